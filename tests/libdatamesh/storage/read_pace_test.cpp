#include "storage/read_pace.hpp"

#include "tests/libdatamesh/storage/seed.hpp"
#include "tests/support/manual_clock.hpp"
#include "tests/support/seeded_random.hpp"

#include <catch2/catch.hpp>

using namespace datamesh;
using namespace datamesh::storage;
using std::chrono::milliseconds;
using std::chrono::seconds;
using standing = read_pace::standing;

namespace {

constexpr size_t mib = 1 << 20;

struct pace_room {
  std::shared_ptr<test::manual_clock> time = std::make_shared<test::manual_clock>();
  std::shared_ptr<read_pace> pace = std::make_shared<read_pace>(time);
  test::seeded_random random{test::seed()};
  std::vector<drive_id> drives;

  explicit pace_room(size_t count) {
    for (size_t i = 0; i < count; ++i)
      drives.push_back(*random_id<drive_id>(random));
  }
  void read(size_t drive, milliseconds took, size_t size = mib) {
    auto under_way = pace->begin(drives[drive], size);
    time->advance(took);
  }
};

} // namespace

TEST_CASE("nothing is late before a floor, however fast drives are", "[read_pace]") {
  pace_room room{3};
  CHECK(room.pace->patience(mib) == late_unmeasured);
  for (size_t i = 0; i < 100; ++i)
    room.read(i % 3, milliseconds{1});
  CHECK(room.pace->patience(mib) == late_floor);
}

TEST_CASE("what is late follows the drives, and the size of a read", "[read_pace]") {
  pace_room room{3};
  for (size_t i = 0; i < 300; ++i)
    room.read(i % 3, milliseconds{400});
  auto usual = room.pace->patience(mib);
  CHECK(usual >= milliseconds{1100});
  CHECK(usual <= milliseconds{1500});
  CHECK(room.pace->patience(7 * mib) >= 3 * usual);
  for (size_t i = 0; i < 3000; ++i)
    room.read(i % 3, milliseconds{100});
  CHECK(room.pace->patience(mib) <= milliseconds{500});
}

TEST_CASE("the estimate rests where one read in twenty takes longer", "[read_pace]") {
  pace_room room{1};
  INFO("seed " << test::seed());
  auto above = 0.0;
  for (size_t i = 0; i < 20'000; ++i) {
    // Evenly from 1 to 2 seconds; two units of work.
    milliseconds took{1000 + static_cast<int64_t>(room.random.below(1000))};
    above += i >= 1000 && took > room.pace->patience(mib) / late_factor;
    room.read(0, took);
  }
  CHECK(above / 19'000 > 0.02);
  CHECK(above / 19'000 < 0.10);
}

TEST_CASE("a drive that is always slow does not set its own standard", "[read_pace]") {
  pace_room room{3};
  for (size_t i = 0; i < 300; ++i) {
    room.read(0, milliseconds{2000});
    room.read(1, milliseconds{5});
    room.read(2, milliseconds{5});
  }
  CHECK(room.pace->patience(mib) == late_floor);
  // Of two the faster one counts.
  pace_room two{2};
  for (size_t i = 0; i < 300; ++i) {
    two.read(0, milliseconds{2000});
    two.read(1, milliseconds{5});
  }
  CHECK(two.pace->patience(mib) == late_floor);
}

TEST_CASE("a drive is late, then hangs, and is well when it has answered", "[read_pace]") {
  pace_room room{2};
  room.read(0, milliseconds{5});
  auto first = room.pace->begin(room.drives[0], mib);
  auto second = room.pace->begin(room.drives[0], mib);
  CHECK(room.pace->of(room.drives[0]) == standing::answers);
  room.time->advance(late_floor);
  CHECK(room.pace->of(room.drives[0]) == standing::late);
  CHECK_FALSE(room.pace->is_news(room.drives[0]));
  room.time->advance(hanging_after);
  CHECK(room.pace->of(room.drives[0]) == standing::hanging);
  CHECK(room.pace->of(room.drives[1]) == standing::answers);
  CHECK(room.pace->is_news(room.drives[0]));
  CHECK_FALSE(room.pace->is_news(room.drives[0]));
  first.reset();
  CHECK_FALSE(room.pace->is_news(room.drives[0]));
  second.reset();
  CHECK(room.pace->of(room.drives[0]) == standing::answers);
  // The next time is news again.
  auto third = room.pace->begin(room.drives[0], mib);
  room.time->advance(hanging_after);
  CHECK(room.pace->is_news(room.drives[0]));
}

TEST_CASE("late is never longer than hanging", "[read_pace]") {
  pace_room room{1};
  for (size_t i = 0; i < 100; ++i)
    room.read(0, seconds{40});
  CHECK(room.pace->patience(8 * mib) == hanging_after);
}

TEST_CASE("hedges are paid by reads, up to what may be had at once", "[read_pace]") {
  pace_room room{1};
  CHECK_FALSE(room.pace->pay(hedges_at_once + 1));
  CHECK(room.pace->pay(hedges_at_once));
  CHECK_FALSE(room.pace->pay(1));
  for (size_t i = 0; i + 1 < reads_per_hedge; ++i)
    room.read(0, milliseconds{1});
  CHECK_FALSE(room.pace->pay(1));
  room.read(0, milliseconds{1});
  CHECK(room.pace->pay(1));
  for (size_t i = 0; i < size_t{2} * hedges_at_once * reads_per_hedge; ++i)
    room.read(0, milliseconds{1});
  CHECK(room.pace->pay(hedges_at_once));
  CHECK_FALSE(room.pace->pay(1));
}
