#include "network/line_course.hpp"

#include "network/line_message.hpp"
#include "tests/support/code_of.hpp"
#include "tests/support/manual_clock.hpp"

#include <catch2/catch.hpp>

#include <deque>

using namespace datamesh;
using namespace datamesh::network;
using namespace datamesh::test;
using namespace std::chrono_literals;

namespace {

constexpr uint64_t mib = 1 << 20;

/// A line of so many bytes a second and that round trip, over which a course goes until it is over.
struct pretended_line {
  double per_second;
  std::chrono::nanoseconds rtt;
  manual_clock time{};
  size_t most_under_way = 0;
  uint64_t most_bytes_under_way = 0;
  uint32_t largest = 0;

  struct piece {
    uint32_t size;
    clock::monotonic_time asked;
    clock::monotonic_time answered;
  };

  line_flow run(line_course& course) {
    std::deque<piece> under_way;
    auto free_at = time.monotonic();
    while (!course.is_over(time.monotonic())) {
      while (auto size = course.next(time.monotonic())) {
        free_at = std::max(free_at, time.monotonic()) + std::chrono::nanoseconds{static_cast<int64_t>(1e9 * *size / per_second)};
        under_way.push_back({*size, time.monotonic(), free_at + rtt});
        largest = std::max(largest, *size);
      }
      most_under_way = std::max(most_under_way, under_way.size());
      uint64_t bytes = 0;
      for (const auto& one : under_way)
        bytes += one.size;
      most_bytes_under_way = std::max(most_bytes_under_way, bytes);
      if (under_way.empty())
        break;
      auto first = under_way.front();
      under_way.pop_front();
      time.advance(std::max(first.answered - time.monotonic(), clock::monotonic_time::duration{0}));
      course.answered(first.size, first.asked, time.monotonic());
    }
    return course.flow();
  }
};

line_flow measure(pretended_line& line, uint64_t bytes, std::chrono::nanoseconds lasts, bool cut = false) {
  line_course course{bytes, cut, lasts, line.rtt, line.time.monotonic()};
  return line.run(course);
}

} // namespace

TEST_CASE("a fast line is measured by all its bytes", "[line]") {
  for (auto rtt : {0ns, 1'000'000ns, 10'000'000ns}) {
    pretended_line line{100e6, rtt};
    auto flow = measure(line, 128 * mib, 60s);
    CHECK(flow.bytes == 128 * mib);
    CHECK(flow.stop == line_stop::bytes);
    CHECK(flow.per_second() == Approx(100e6).epsilon(0.1));
    CHECK(line.largest == line_piece_max);
    CHECK(line.most_under_way == line_pieces_ahead);
  }
}

TEST_CASE("a slow line is measured until its time is over, without being blocked for long", "[line]") {
  pretended_line line{60e3, 30ms};
  auto began = line.time.monotonic();
  auto flow = measure(line, 16 * mib, 5s);
  CHECK(flow.stop == line_stop::time);
  CHECK(flow.per_second() == Approx(60e3).epsilon(0.05));
  CHECK(flow.bytes < mib);
  // The last answers do not take long: less was asked for at once.
  CHECK(line.time.monotonic() - began < 7s);
  // What was asked for at first takes 4 s.
  CHECK(line.most_bytes_under_way <= line_pieces_ahead * line_piece_first);
}

TEST_CASE("bytes that the other node has not left end a test by its budget", "[line]") {
  pretended_line line{100e6, 1ms};
  auto flow = measure(line, 3 * mib, 5s, true);
  CHECK(flow.bytes == 3 * mib);
  CHECK(flow.stop == line_stop::budget);
}

TEST_CASE("a node that refuses is asked no more, and what had moved counts", "[line]") {
  manual_clock time;
  line_course course{16 * mib, false, 5s, 1ms, time.monotonic()};
  auto asked = time.monotonic();
  auto first = course.next(asked);
  auto second = course.next(asked);
  REQUIRE((first && second));
  time.advance(10ms);
  course.answered(*first, asked, time.monotonic());
  course.refused();
  CHECK_FALSE(course.next(time.monotonic()));
  CHECK(course.is_over(time.monotonic()));
  CHECK(course.flow().bytes == *first);
  CHECK(course.flow().stop == line_stop::budget);
}

TEST_CASE("a line over which nothing comes is given up, and has no speed", "[line]") {
  manual_clock time;
  line_course course{16 * mib, false, 5s, 1ms, time.monotonic()};
  while (course.next(time.monotonic())) {
  }
  time.advance(5s + line_answers_late - 1ms);
  CHECK_FALSE(course.is_over(time.monotonic()));
  CHECK_FALSE(course.next(time.monotonic()));
  time.advance(1ms);
  CHECK(course.is_over(time.monotonic()));
  CHECK(course.flow().bytes == 0);
  CHECK(course.flow().per_second() == 0);
  CHECK(course.flow().stop == line_stop::time);
}

TEST_CASE("a few bytes have a speed, whatever the round trip was before", "[line]") {
  pretended_line line{1e12, 0ns};
  line_course course{line_piece_min, false, 5s, 1s, line.time.monotonic()};
  auto flow = line.run(course);
  CHECK(flow.bytes == line_piece_min);
  CHECK(flow.elapsed_ns > 0);
}

TEST_CASE("what nodes say to measure a line is read as it was written", "[line]") {
  CHECK(decode_line_request(as_view(encode(line_request{}))).value().want == 0);
  CHECK(encode(line_request{mib}) == "\x08\x80\x80\x40");
  CHECK(decode_line_request(as_view(encode(line_request{line_piece_max}))).value().want == line_piece_max);
  line_answer told{true, 5 * mib, 90s, {mib, 2 * mib}};
  auto read = decode_line_answer(as_view(encode(told))).value();
  CHECK(read.refused);
  CHECK(read.left == 5 * mib);
  CHECK(read.refilled_in == 90s);
  CHECK(read.limits == rate_limits{mib, 2 * mib});
}

TEST_CASE("what is no message to measure a line, or asks for too much, is refused", "[line]") {
  CHECK(code_of(decode_line_request(as_view(encode(line_request{line_piece_max + 1})))) == errc::protocol_violated);
  CHECK(code_of(decode_line_request(as_view("\x0a"))) == errc::protocol_violated);
  CHECK(code_of(decode_line_request(as_view(std::string(line_message_max + 1, '\0')))) == errc::protocol_violated);
  auto whole = encode(line_answer{true, 5 * mib, 90s, {mib, 2 * mib}});
  CHECK(code_of(decode_line_answer(as_view(whole.substr(0, whole.size() - 1)))) == errc::protocol_violated);
  CHECK(code_of(decode_line_answer(as_view(std::string(line_message_max + 1, '\0')))) == errc::protocol_violated);
  // Nobody waits for a year.
  CHECK(decode_line_answer(as_view(encode(line_answer{true, 0, 8760h, {}}))).value().refilled_in == 168h);
}
