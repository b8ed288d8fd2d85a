// A drive that is not well is told of once, and again when it is well.
#include "drive_guard.hpp"
#include "tests/actors/node/house.hpp"
#include "tests/support/manual_clock.hpp"

using namespace datamesh;
using namespace datamesh::daemon;
using test::house;
using test::must;

namespace {

constexpr uint64_t gib = 1ull << 30;

drive_report drive(uint64_t free_percent, std::string state = "ok") {
  drive_report report;
  report.id = drive_id::from(as_view("0123456789abcdef"));
  report.folder = "/mnt/one";
  report.state = std::move(state);
  report.disk_total = 1000 * gib;
  report.disk_free = 10 * gib * free_percent;
  return report;
}

std::vector<event> look(drive_changes& changes, const drive_report& now) {
  return changes.look({now}, drive_limits{});
}

/// Levels of what a look tells.
std::vector<severity> levels(const std::vector<event>& news) {
  std::vector<severity> found;
  for (const auto& what : news)
    found.push_back(what.level);
  return found;
}

using told = std::vector<severity>;

} // namespace

TEST_CASE("a drive that runs full is told of at each limit, and once", "[drive_guard]") {
  drive_changes changes;
  CHECK(look(changes, drive(50)).empty());
  CHECK(look(changes, drive(11)).empty());
  auto low = look(changes, drive(10));
  CHECK(levels(low) == told{severity::warning});
  CHECK(low.front().kind == event_kind::drive_changed);
  CHECK(low.front().subject == "/mnt/one");
  CHECK(low.front().detail == "the drive runs full: 100.0 GiB of 1000.0 GiB free for shards");
  CHECK(look(changes, drive(5)).empty());
  auto full = look(changes, drive(1));
  CHECK(levels(full) == told{severity::error});
  CHECK(full.front().code == errc::drive_full);
  CHECK(look(changes, drive(0)).empty());
}

TEST_CASE("a drive at a limit does not flap", "[drive_guard]") {
  drive_changes changes;
  CHECK(levels(look(changes, drive(10))) == told{severity::warning});
  CHECK(look(changes, drive(11)).empty());
  CHECK(look(changes, drive(10)).empty());
  CHECK(levels(look(changes, drive(12))) == told{severity::info});
  CHECK(levels(look(changes, drive(1))) == told{severity::error});
  CHECK(look(changes, drive(2)).empty());
  CHECK(levels(look(changes, drive(3))) == told{severity::warning});
}

TEST_CASE("a drive that fails or is gone is told of with the reason", "[drive_guard]") {
  drive_changes changes;
  auto gone = drive(0, "missing");
  gone.reason = error{errc::drive_alien, "find drive", gone.folder};
  auto news = look(changes, gone);
  CHECK(levels(news) == told{severity::error});
  CHECK(news.front().code == errc::drive_alien);
  CHECK(look(changes, gone).empty());
  CHECK(look(changes, drive(50, "failed")).front().code == errc::drive_failed);
  CHECK(levels(look(changes, drive(50))) == told{severity::info});
}

TEST_CASE("nobody is told of a drive that is drained or was taken out", "[drive_guard]") {
  drive_changes changes;
  CHECK(look(changes, drive(50)).empty());
  CHECK(look(changes, drive(50, "draining")).empty());
  CHECK(look(changes, drive(50)).empty());
  CHECK(changes.look({}, drive_limits{}).empty());
  CHECK(levels(look(changes, drive(0))) == told{severity::error});
}

TEST_CASE("limits of zero tell of a drive without any room only", "[drive_guard]") {
  drive_changes changes;
  drive_limits none{.low_percent = 0, .full_percent = 0};
  CHECK(changes.look({drive(1)}, none).empty());
  CHECK(levels(changes.look({drive(0)}, none)) == told{severity::error});
  CHECK(levels(changes.look({drive(1)}, none)) == told{severity::info});
}

TEST_CASE("the guard finds a drive that was pulled out and one that is full before anybody uses them", "[drive_guard]") {
  auto disk = std::make_shared<test::simulated_files>();
  node_options options;
  options.environment.files = disk;
  options.environment.clock = std::make_shared<test::manual_clock>();
  house h{3, test::disk::simulated, options};
  auto* files = dynamic_cast<test::simulated_files*>(&h.files());
  REQUIRE(files != nullptr);
  std::vector<event> heard;
  drive_guard guard{h.node(), h.options.environment, {}, [&](const event& what) {
                      heard.push_back(what);
                    }};
  guard.tick();
  CHECK(heard.empty());

  SECTION("pulled out, and plugged in") {
    files->unplug(h.drive(1));
    guard.tick();
    REQUIRE(heard.size() == 1);
    CHECK(heard[0].subject == h.drive(1));
    CHECK(heard[0].level == severity::error);
    files->plug_in(h.drive(1));
    guard.tick();
    REQUIRE(heard.size() == 2);
    CHECK(heard[1].level == severity::info);
  }
  SECTION("read-only, and mounted anew") {
    files->end_drive(1, h.drive(1), test::drive_end::read_only);
    guard.tick();
    guard.tick();
    REQUIRE(heard.size() == 1);
    CHECK(heard[0].level == severity::error);
    CHECK(heard[0].code == errc::read_only);
    files->plug_in(h.drive(1));
    guard.tick();
    REQUIRE(heard.size() == 2);
    CHECK(heard[1].level == severity::info);
  }
  SECTION("full") {
    files->set_capacity(files->used() + 4096);
    guard.tick();
    REQUIRE(heard.size() == 3);
    for (const auto& what : heard)
      CHECK(what.code == errc::drive_full);
  }
  SECTION("replaced by an empty mount point") {
    must(files->rename(h.drive(1), h.path("elsewhere")));
    must(files->make_folder(h.drive(1)));
    guard.tick();
    REQUIRE(heard.size() == 1);
    CHECK(heard[0].code == errc::drive_alien);
  }
  SECTION("broken: it takes no write") {
    // Making the file, writing it, syncing it.
    auto call = GENERATE(1u, 2u, 3u);
    CAPTURE(call);
    // Nobody else has anything to write from here on.
    h.put_text("/settled", "x");
    must(h.vault().flush());
    guard.tick();
    REQUIRE(heard.empty());
    files->fail_call(call, errc::io_failed);
    guard.tick();
    REQUIRE(heard.size() == 1);
    CHECK(heard[0].code == (call == 3 ? errc::sync_failed : errc::io_failed));
    CHECK(heard[0].level == severity::error);
  }
}
