#include "storage/stage_watch.hpp"

#include "tests/support/manual_clock.hpp"

#include <catch2/catch.hpp>

#include <thread>

using namespace datamesh;
using namespace datamesh::storage;
using namespace std::chrono_literals;

namespace {

struct watched {
  std::shared_ptr<test::manual_clock> clock = std::make_shared<test::manual_clock>();
  stage_watch watch{clock};

  void pass(std::chrono::nanoseconds time) {
    clock->advance(time);
  }
  transfer_waits waits() {
    return watch.read().waits;
  }
};

drive_id drive(char name) {
  drive_id made;
  made.span()[0] = static_cast<std::byte>(name);
  return made;
}

constexpr uint64_t ms = 1'000'000;

} // namespace

TEST_CASE("the stage that was waited for longest limits, with its share of the time", "[stages]") {
  watched one;
  one.watch.wait_for(transfer_stage::memory);
  one.pass(10ms);
  one.watch.wait_for(transfer_stage::source);
  one.pass(60ms);
  one.watch.wait_for(transfer_stage::none);
  one.pass(30ms);
  auto waits = one.waits();
  CHECK(waits.elapsed_ns == 100 * ms);
  CHECK(waits.memory_ns == 10 * ms);
  CHECK(waits.source_ns == 60 * ms);
  CHECK(waits.codec_ns + waits.drives_ns + waits.catalog_ns + waits.target_ns == 0);
  CHECK(waits.limiting() == transfer_stage::source);
  CHECK(waits.share() == Approx(0.6));
  CHECK(to_string(waits.limiting()) == "source");
}

TEST_CASE("nothing that was waited for limits nothing", "[stages]") {
  watched one;
  CHECK(one.waits().limiting() == transfer_stage::none);
  CHECK(one.waits().share() == 0);
  one.pass(5ms);
  CHECK(one.waits().limiting() == transfer_stage::none);
  CHECK(one.waits().elapsed_ns == 5 * ms);
  CHECK(to_string(transfer_stage::none) == "none");
  CHECK(to_string(transfer_stage::target) == "target");
}

TEST_CASE("what the pipeline waits for counts only while the transfer waits for the pipeline", "[stages]") {
  watched one;
  one.watch.pipeline_waits_for({transfer_stage::drives});
  one.watch.wait_for(transfer_stage::source);
  one.pass(7ms);
  one.watch.wait_for_pipeline();
  one.pass(2ms);
  one.watch.pipeline_waits_for({transfer_stage::codec});
  one.pass(3ms);
  one.watch.pipeline_waits_for({});
  one.pass(4ms);
  auto waits = one.waits();
  CHECK(waits.source_ns == 7 * ms);
  CHECK(waits.drives_ns == 2 * ms);
  CHECK(waits.codec_ns == 3 * ms);
  CHECK(waits.elapsed_ns == 16 * ms);
  one.watch.wait_for_pipeline(); // Said twice, it is the same wait.
  one.watch.pipeline_waits_for({transfer_stage::catalog});
  one.pass(1ms);
  one.watch.wait_for_pipeline();
  one.pass(1ms);
  CHECK(one.waits().catalog_ns == 2 * ms);
}

TEST_CASE("a drive is named when it alone was waited for, at least half of the time", "[stages]") {
  watched one;
  one.watch.wait_for_pipeline();
  one.watch.pipeline_waits_for({transfer_stage::drives});
  one.pass(10ms);
  one.watch.pipeline_waits_for({transfer_stage::drives, drive('a')});
  one.pass(4ms);
  one.watch.pipeline_waits_for({transfer_stage::drives, drive('b')});
  one.pass(5ms);
  CHECK(one.watch.read().drive.is_zero());
  one.pass(9ms);
  CHECK(one.watch.read().drive == drive('b'));
  CHECK(one.waits().drives_ns == 28 * ms);
}

TEST_CASE("drives that answer together hold nobody up", "[stages]") {
  watched one;
  one.watch.wait_for_pipeline();
  one.watch.pipeline_waits_for({transfer_stage::drives});
  one.pass(10ms);
  one.watch.pipeline_waits_for({transfer_stage::drives, drive('a')});
  one.watch.pipeline_waits_for({});
  CHECK(one.watch.read().drive.is_zero());
}

TEST_CASE("waits that two threads tell sum up to no more than the time that passed", "[stages]") {
  watched one;
  std::thread behind{[&] {
    for (int i = 0; i < 1000; ++i) {
      one.watch.pipeline_waits_for({i % 2 == 0 ? transfer_stage::drives : transfer_stage::codec});
      one.pass(1us);
    }
  }};
  for (int i = 0; i < 1000; ++i) {
    one.watch.wait_for(transfer_stage::source);
    one.pass(1us);
    one.watch.wait_for_pipeline();
  }
  behind.join();
  auto waits = one.waits();
  CHECK(waits.elapsed_ns == 2 * ms);
  CHECK(waits.source_ns + waits.codec_ns + waits.drives_ns <= waits.elapsed_ns);
}
