#include "network/token_bucket.hpp"

#include "tests/support/seeded_random.hpp"

#include <catch2/catch.hpp>

using namespace datamesh;
using namespace datamesh::network;
using namespace std::chrono_literals;

namespace {

const token_bucket::time start{1h};

} // namespace

TEST_CASE("a bucket gives its burst at once and then what comes in", "[token_bucket]") {
  token_bucket b{{10, 5}};
  for (int i = 0; i < 5; ++i)
    CHECK(b.try_take(1, start));
  CHECK_FALSE(b.try_take(1, start));
  CHECK_FALSE(b.try_take(1, start + 99ms));
  CHECK(b.try_take(1, start + 100ms));
  CHECK_FALSE(b.try_take(1, start + 100ms));
  CHECK_FALSE(b.try_take(6, start + 1h));
  CHECK(b.try_take(5, start + 1h));
}

TEST_CASE("what a bucket says to have can be taken, and no more", "[token_bucket]") {
  test::seeded_random chance{3};
  for (int round = 0; round < 1000; ++round) {
    auto burst = 1 + chance.below(1'000'000);
    token_bucket b{{1 + chance.below(100'000), burst}};
    auto now = start + std::chrono::nanoseconds{static_cast<int64_t>(chance.below(1'000'000'000))};
    b.take(chance.below(2'000'000), now);
    now += std::chrono::nanoseconds{static_cast<int64_t>(chance.below(20'000'000'000))};
    auto there = b.count(now);
    auto more = there + 1;
    CHECK((there < 2 || b.has_at(there - 1) <= now));
    CHECK((more + 1 > burst || b.has_at(more + 1) > now));
    auto other = b;
    CHECK_FALSE(other.try_take(there + 2, now));
    CHECK((there == 0 || b.try_take(there, now)));
  }
}

TEST_CASE("what was taken beyond the bucket has to come in first", "[token_bucket]") {
  token_bucket b{{10, 5}};
  b.take(5, start);
  CHECK(b.ready_at() == start);
  b.take(20, start);
  CHECK(b.ready_at() == start + 2s);
  CHECK_FALSE(b.try_take(1, start + 2s));
  CHECK_FALSE(b.is_full(start + 2499ms));
  CHECK(b.is_full(start + 2500ms));
}

TEST_CASE("in the long run no more is given than the rate and one burst", "[token_bucket]") {
  auto seed = GENERATE(range(1, 20));
  CAPTURE(seed);
  test::seeded_random chance{static_cast<uint64_t>(seed)};
  rate of{1 + chance.below(5000), 1 + chance.below(500)};
  token_bucket b{of};
  auto now = start;
  uint64_t given = 0;
  for (int i = 0; i < 5000; ++i) {
    now += std::chrono::microseconds{chance.below(2000)};
    auto count = 1 + chance.below(20);
    if (b.try_take(count, now))
      given += count;
  }
  auto seconds = std::chrono::duration<double>(now - start).count();
  CHECK(static_cast<double>(given) <= static_cast<double>(of.burst) + static_cast<double>(of.per_second) * seconds + 1);
}

TEST_CASE("no amount is too large for a bucket", "[token_bucket]") {
  token_bucket b{{1, 1}};
  for (int i = 0; i < 10; ++i)
    b.take(UINT64_MAX, start);
  CHECK(b.ready_at() == start + 1h);
  token_bucket fast{{UINT64_MAX, UINT64_MAX}};
  CHECK(fast.try_take(1 << 20, start));
  CHECK(fast.try_take(1 << 20, start));
}
