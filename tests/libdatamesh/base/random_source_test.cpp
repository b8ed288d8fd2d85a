#include "base/system_parts.hpp"
#include "datamesh/base/ids.hpp"
#include "datamesh/base/random_source.hpp"
#include "tests/support/manual_clock.hpp"
#include "tests/support/seeded_random.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <set>

using namespace datamesh;

namespace {

uint64_t seed() {
  const char* text = std::getenv("DATAMESH_SEED");
  return text != nullptr ? std::strtoull(text, nullptr, 0) : 20260101;
}

// Hands out given words, then fails.
class scripted_random : public random_source {
public:
  explicit scripted_random(std::vector<uint64_t> words) : words_(std::move(words)) {}
  result<void> fill(byte_span out) override {
    REQUIRE(out.size() == 8);
    if (next_ == words_.size())
      return fail(errc::random_failed, "draw");
    auto word = words_[next_++];
    for (size_t i = 0; i < 8; ++i)
      out[i] = static_cast<std::byte>(word >> (8 * i));
    return {};
  }
  size_t used() const {
    return next_;
  }

private:
  std::vector<uint64_t> words_;
  size_t next_ = 0;
};

} // namespace

TEST_CASE("the system's random bytes fill all that was asked and differ each time", "[random]") {
  auto source = system_random();
  std::set<std::string> seen;
  for (size_t size : {0u, 1u, 16u, 32u, 255u, 256u, 257u, 65537u}) {
    std::vector<std::byte> buffer(size + 2, std::byte{0xA5});
    REQUIRE(source->fill(byte_span{buffer}.subspan(1, size)));
    CHECK(buffer.front() == std::byte{0xA5});
    CHECK(buffer.back() == std::byte{0xA5});
  }
  for (int i = 0; i < 1000; ++i)
    CHECK(seen.insert(random_id<chunk_id>(*source)->hex()).second);
  // A buffer of 64 KiB that was not filled to its end would show a run of zeros.
  std::vector<std::byte> big(1 << 16);
  REQUIRE(source->fill(big));
  CHECK_FALSE(std::all_of(big.end() - 32, big.end(), [](std::byte b) { return b == std::byte{0}; }));
}

TEST_CASE("a number below a bound is below it and every one comes up", "[random]") {
  INFO("DATAMESH_SEED=" << seed());
  test::seeded_random source{seed()};
  for (uint64_t bound : {1u, 2u, 3u, 7u, 10u}) {
    std::array<int, 10> count{};
    constexpr int rounds = 10000;
    for (int i = 0; i < rounds; ++i) {
      auto number = random_below(source, bound);
      REQUIRE(number);
      REQUIRE(*number < bound);
      ++count[*number];
    }
    // Eight standard deviations: no seed will ever see it.
    auto expected = rounds / static_cast<double>(bound);
    for (uint64_t i = 0; i < bound; ++i)
      CHECK(std::abs(count[i] - expected) < 8 * std::sqrt(expected) + 1);
  }
  for (int i = 0; i < 100; ++i)
    CHECK(*random_below(source, ~uint64_t{0}) < ~uint64_t{0});
}

TEST_CASE("words that would bias a number are thrown away", "[random]") {
  // 2^64 mod 3 is 1: of all words only 0 has a low half below it.
  scripted_random thirds{{0, 1}};
  CHECK(*random_below(thirds, 3) == 0);
  CHECK(thirds.used() == 2);
  // A power of two divides 2^64: nothing is thrown away.
  scripted_random powers{{0, ~uint64_t{0}}};
  CHECK(*random_below(powers, 8) == 0);
  CHECK(*random_below(powers, 8) == 7);
  CHECK(powers.used() == 2);
  // Just above 2^63, nearly half of all words are.
  constexpr auto bound = (uint64_t{1} << 63) + 1;
  scripted_random halves{{0, 1, 2, 3}};
  CHECK(*random_below(halves, bound) == 0);
  CHECK(halves.used() == 2);
}

TEST_CASE("a source that fails is never replaced by a guess", "[random]") {
  scripted_random empty{{}};
  auto number = random_below(empty, 10);
  REQUIRE_FALSE(number);
  CHECK(number.error().code() == errc::random_failed);
}

TEST_CASE("one seed gives one sequence", "[random]") {
  test::seeded_random a{7};
  test::seeded_random b{7};
  test::seeded_random c{8};
  auto first = a.make(100);
  CHECK(first == b.make(100));
  CHECK(first != c.make(100));
}

TEST_CASE("the system's monotonic clock never runs back", "[clock]") {
  auto now = system_clock();
  auto last = now->monotonic();
  for (int i = 0; i < 1000; ++i) {
    auto next = now->monotonic();
    REQUIRE(next >= last);
    last = next;
  }
  CHECK(now->wall().time_since_epoch().count() > 1'700'000'000'000'000'000);
}

TEST_CASE("a manual clock stands still until it is moved", "[clock]") {
  test::manual_clock now;
  auto wall = now.wall();
  auto monotonic = now.monotonic();
  CHECK(now.wall() == wall);
  now.advance(std::chrono::seconds{5});
  CHECK(now.wall() - wall == std::chrono::seconds{5});
  CHECK(now.monotonic() - monotonic == std::chrono::seconds{5});
}
