#include "node/event_hub.hpp"

#include "tests/support/manual_clock.hpp"

#include <catch2/catch.hpp>

#include <vector>

using namespace datamesh;

TEST_CASE("events are handed over in order and stamped, and who waits for them sees them all", "[events]") {
  auto clock = std::make_shared<test::manual_clock>();
  constexpr uint64_t count = 5000;
  std::vector<uint64_t> seen;
  event_hub hub{clock, [&](const event& what) {
                  CHECK(what.wall_ns == clock->wall().time_since_epoch().count());
                  seen.push_back(what.sequence);
                }};
  for (uint64_t i = 0; i < count; ++i)
    hub.publish(event{});
  hub.wait_delivered();
  REQUIRE(seen.size() == count);
  for (uint64_t i = 0; i < count; ++i)
    REQUIRE(seen[i] == i + 1);
}

TEST_CASE("a callback that calls back does not wait for itself", "[events]") {
  auto clock = std::make_shared<test::manual_clock>();
  event_hub* hub_of_callback = nullptr;
  int seen = 0;
  event_hub hub{clock, [&](const event&) {
                  if (++seen == 1)
                    hub_of_callback->publish(event{});
                  hub_of_callback->wait_delivered();
                }};
  hub_of_callback = &hub;
  hub.publish(event{});
  hub.wait_delivered();
  // What the callback itself published is younger than what was waited for.
  CHECK(seen >= 1);
}

TEST_CASE("without a callback there is nothing to wait for", "[events]") {
  event_hub hub{std::make_shared<test::manual_clock>(), {}};
  hub.publish(event{});
  hub.wait_delivered();
}
