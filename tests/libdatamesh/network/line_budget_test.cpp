#include "network/line_budget.hpp"

#include "datamesh/mesh.hpp"
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
  return peer_id::from(raw);
}

/// 10 MiB for one peer and 25 for all; a second brings one of them.
line_budget_limits small() {
  return {{mib, 10 * mib}, {mib, 25 * mib}, 3};
}

} // namespace

TEST_CASE("a peer has its budget for tests of the line, and more when time has passed", "[line]") {
  test::manual_clock time;
  line_budget budget{small()};
  CHECK(budget.left(peer(1), time.monotonic()).bytes == 10 * mib);
  CHECK(budget.left(peer(1), time.monotonic()).refilled_in == 0ns);
  for (int i = 0; i < 10; ++i)
    CHECK(budget.take(peer(1), mib, time.monotonic()));
  CHECK(budget.left(peer(1), time.monotonic()).bytes == 0);
  CHECK(budget.left(peer(1), time.monotonic()).refilled_in == 10s);
  CHECK_FALSE(budget.take(peer(1), 1, time.monotonic()));
  time.advance(999ms);
  CHECK_FALSE(budget.take(peer(1), mib, time.monotonic()));
  time.advance(1ms);
  CHECK(budget.left(peer(1), time.monotonic()).bytes == mib);
  CHECK(budget.take(peer(1), mib, time.monotonic()));
  CHECK_FALSE(budget.take(peer(1), mib, time.monotonic()));
  time.advance(1h);
  CHECK(budget.left(peer(1), time.monotonic()).bytes == 10 * mib);
}

TEST_CASE("what is refused costs nothing", "[line]") {
  test::manual_clock time;
  line_budget budget{small()};
  CHECK(budget.take(peer(1), 6 * mib, time.monotonic()));
  for (int i = 0; i < 100; ++i)
    CHECK_FALSE(budget.take(peer(1), 6 * mib, time.monotonic()));
  CHECK(budget.left(peer(1), time.monotonic()).bytes == 4 * mib);
  CHECK(budget.left(peer(2), time.monotonic()).bytes == 10 * mib);
}

TEST_CASE("all peers together have one budget, however many ids are made up", "[line]") {
  test::manual_clock time;
  line_budget budget{small()};
  CHECK(budget.take(peer(1), 10 * mib, time.monotonic()));
  CHECK(budget.take(peer(2), 10 * mib, time.monotonic()));
  CHECK(budget.left(peer(3), time.monotonic()).bytes == 5 * mib);
  CHECK(budget.left(peer(3), time.monotonic()).refilled_in == 5s);
  CHECK_FALSE(budget.take(peer(3), 6 * mib, time.monotonic()));
  CHECK(budget.take(peer(3), 5 * mib, time.monotonic()));
  CHECK_FALSE(budget.take(peer(3), 1, time.monotonic()));
  time.advance(1s);
  CHECK(budget.take(peer(3), mib, time.monotonic()));
}

TEST_CASE("a request without bytes has its price, too", "[line]") {
  test::manual_clock time;
  line_budget budget{small()};
  uint64_t served = 0;
  while (budget.take(peer(1), 0, time.monotonic()))
    ++served;
  CHECK(served == 10 * mib / line_request_cost);
}

TEST_CASE("no more peers are remembered than is said, and those who have all of theirs are forgotten first", "[line]") {
  test::manual_clock time;
  line_budget budget{small()};
  for (uint16_t i = 1; i <= 3; ++i)
    CHECK(budget.take(peer(i), 2 * mib, time.monotonic()));
  CHECK_FALSE(budget.take(peer(4), 1, time.monotonic()));
  CHECK(budget.take(peer(3), 1, time.monotonic()));
  time.advance(2s);
  CHECK(budget.take(peer(4), 1, time.monotonic()));
  CHECK(budget.left(peer(3), time.monotonic()).bytes < 10 * mib);
}

TEST_CASE("two usual tests of one peer are within the budget of a node, and a third is not", "[line]") {
  test::manual_clock time;
  line_budget budget;
  line_test usual;
  for (int i = 0; i < 2; ++i) {
    CHECK(budget.left(peer(1), time.monotonic()).bytes >= 2 * usual.bytes);
    CHECK(budget.take(peer(1), 2 * usual.bytes, time.monotonic()));
  }
  CHECK_FALSE(budget.take(peer(1), 2 * usual.bytes, time.monotonic()));
  time.advance(10min + 1s);
  CHECK(budget.take(peer(1), 2 * usual.bytes, time.monotonic()));
}
