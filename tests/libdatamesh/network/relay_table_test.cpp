#include "network/relay_table.hpp"

#include "datamesh/base/errc.hpp"
#include "tests/support/manual_clock.hpp"

#include <catch2/catch.hpp>

using namespace datamesh;
using namespace datamesh::network;
using namespace std::chrono_literals;

namespace {

constexpr uint64_t mib = 1 << 20;

peer_id peer(uint16_t number) {
  std::array<std::byte, peer_id::size> raw{};
  raw[0] = static_cast<std::byte>(number >> 8);
  raw[1] = static_cast<std::byte>(number);
  raw[2] = std::byte{1};
  return peer_id::from(raw);
}

const auto ann = peer(1);
const auto ned = peer(2);

/// A relay through which ned is reached.
struct relay {
  explicit relay(uint64_t per_second = 16 * mib) : table({per_second}) {
    REQUIRE(table.reserve(ned));
  }
  uint64_t open(const peer_id& from = ann, const peer_id& to = ned) {
    auto stream = table.open(from, {to, ++token}, now()).value().stream;
    table.opened(stream);
    return stream;
  }
  errc refusal(const peer_id& from, const peer_id& to) {
    auto opened = table.open(from, {to, ++token}, now());
    return opened ? errc{} : opened.error().code();
  }
  errc refused_piece(uint64_t stream, const peer_id& from) {
    auto way = table.pass(stream, from, 1000, now());
    return way ? errc{} : way.error().code();
  }
  relay_table::time now() const {
    return time.monotonic();
  }

  test::manual_clock time;
  relay_table table;
  uint64_t token = 0;
};

} // namespace

TEST_CASE("pieces go from each end of a stream to the other, and are counted", "[relay]") {
  relay r;
  auto stream = r.open();
  CHECK(r.table.pass(stream, ann, 1000, r.now()).value().to == ned);
  CHECK(r.table.pass(stream, ned, 500, r.now()).value().to == ann);
  CHECK(r.table.report().bytes == 0);
  r.table.passed(stream, ann, 1000);
  r.table.passed(stream, ned, 500);
  CHECK(r.table.report() == relay_report{16 * mib, 1500, 1, 1});
}

TEST_CASE("only a node that asked for it is reached, and never by itself", "[relay]") {
  relay r;
  CHECK(r.refusal(ann, peer(3)) == errc::unavailable);
  CHECK(r.refusal(ned, ann) == errc::unavailable);
  CHECK(r.refusal(ned, ned) == errc::invalid_argument);
  CHECK(r.table.gone(ned).empty());
  CHECK(r.refusal(ann, ned) == errc::unavailable);
}

TEST_CASE("a stream that is asked for twice is one, and another token is another one", "[relay]") {
  relay r;
  auto first = r.table.open(ann, {ned, 1}, r.now()).value();
  CHECK(first.is_new);
  auto again = r.table.open(ann, {ned, 1}, r.now()).value();
  CHECK_FALSE(again.is_new);
  CHECK(again.stream == first.stream);
  CHECK(r.table.open(ann, {ned, 2}, r.now()).value().stream != first.stream);
}

TEST_CASE("a thousand who open streams get no more than may be open", "[relay]") {
  relay r;
  size_t open = 0;
  for (uint16_t i = 0; i < 1000; ++i)
    open += r.refusal(ann, ned) == errc{} ? 1 : 0;
  CHECK(open == relay_limits{}.opened_by_one);
  for (uint16_t i = 10; i < 1010; ++i)
    open += r.refusal(peer(i), ned) == errc{} ? 1 : 0;
  CHECK(open == relay_limits{}.led_to_one);
  for (uint16_t to = 2000; to < 2100; ++to) {
    REQUIRE(r.table.reserve(peer(to)));
    for (uint16_t i = 0; i < 10; ++i)
      open += r.refusal(peer(static_cast<uint16_t>(3000 + 10 * (to - 2000) + i)), peer(to)) == errc{} ? 1 : 0;
  }
  CHECK(open == relay_limits{}.streams);
  CHECK(r.table.report().streams == open);
}

TEST_CASE("a relay that may pass on little has few streams, so that each goes on", "[relay]") {
  relay r{3 * relay_rate_min};
  for (int i = 0; i < 3; ++i)
    (void) r.open();
  CHECK(r.refusal(ann, ned) == errc::capacity_exceeded);
}

TEST_CASE("no more nodes are reached through a relay than may be", "[relay]") {
  relay r;
  for (uint16_t i = 1; i < relay_limits{}.reserved; ++i)
    REQUIRE(r.table.reserve(peer(static_cast<uint16_t>(100 + i))));
  CHECK(r.table.reserve(ann).error().code() == errc::capacity_exceeded);
  CHECK(r.table.reserve(ned));
  (void) r.table.gone(ned);
  CHECK(r.table.reserve(ann));
}

TEST_CASE("nothing is passed on before the other end took the stream, or for who is none of its ends", "[relay]") {
  relay r;
  auto stream = r.table.open(ann, {ned, 1}, r.now()).value().stream;
  CHECK(r.refused_piece(stream, ann) == errc::protocol_violated);
  r.table.opened(stream);
  CHECK(r.refused_piece(stream, ann) == errc{});
  CHECK(r.refused_piece(stream, peer(3)) == errc::not_found);
  CHECK(r.refused_piece(stream + 1, ann) == errc::not_found);
  CHECK_FALSE(r.table.end(stream, peer(3)));
  CHECK(r.table.end(stream, ned));
  CHECK_FALSE(r.table.end(stream, ned));
  CHECK(r.refused_piece(stream, ann) == errc::not_found);
}

TEST_CASE("who sends on though nothing is taken is refused, each direction by itself", "[relay]") {
  relay r;
  auto stream = r.open();
  for (size_t i = 0; i < relay_held_max; ++i)
    CHECK(r.refused_piece(stream, ann) == errc{});
  CHECK(r.refused_piece(stream, ann) == errc::protocol_violated);
  CHECK(r.refused_piece(stream, ned) == errc{});
  r.table.passed(stream, ann, 1000);
  CHECK(r.refused_piece(stream, ann) == errc{});
}

TEST_CASE("a stream ends with the link of one of its ends, and when nothing comes over it", "[relay]") {
  relay r;
  auto first = r.open();
  REQUIRE(r.table.reserve(peer(3)));
  auto second = r.open(ann, peer(3));
  auto ended = r.table.gone(peer(3));
  REQUIRE(ended.size() == 1);
  CHECK(ended[0].stream == second);
  CHECK(ended[0].ends == std::array{ann, peer(3)});
  r.time.advance(59s);
  CHECK(r.table.expire(r.now()).empty());
  CHECK(r.refused_piece(first, ned) == errc{});
  r.time.advance(59s);
  CHECK(r.table.expire(r.now()).empty());
  r.time.advance(1s);
  CHECK(r.table.expire(r.now()).size() == 1);
  CHECK(r.table.report().streams == 0);
}

TEST_CASE("what all streams send together goes no faster than the relay lets it", "[relay]") {
  relay r{mib};
  auto one = r.open();
  REQUIRE(r.table.reserve(peer(3)));
  auto two = r.open(ann, peer(3));
  auto begun = r.now();
  auto last = begun;
  // Four MiB: one at once, and the rest in three seconds.
  for (int i = 0; i < 32; ++i)
    for (auto stream : {one, two}) {
      last = r.table.pass(stream, ann, relay_piece_max, r.now()).value().due;
      r.table.passed(stream, ann, relay_piece_max);
    }
  CHECK(last >= begun + 2900ms);
  CHECK(last <= begun + 3100ms);
  r.time.advance(10s);
  CHECK(r.table.pass(one, ann, relay_piece_max, r.now()).value().due == r.now());
}
