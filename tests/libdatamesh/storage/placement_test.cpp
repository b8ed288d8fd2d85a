#include "storage/placement.hpp"

#include "tests/libdatamesh/storage/seed.hpp"
#include "tests/support/seeded_random.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <map>
#include <set>

using namespace datamesh;
using namespace datamesh::storage;

namespace {

std::vector<drive_candidate> make_drives(test::seeded_random& random, std::initializer_list<uint64_t> gigabytes_free) {
  std::vector<drive_candidate> result;
  for (auto free : gigabytes_free)
    result.push_back({*random_id<drive_id>(random), drive_state::ok, free << 30});
  return result;
}

std::vector<drive_candidate> make_equal_drives(test::seeded_random& random, size_t count) {
  std::vector<drive_candidate> result;
  for (size_t i = 0; i < count; ++i)
    result.push_back({*random_id<drive_id>(random), drive_state::ok, 100ull << 30});
  return result;
}

std::set<drive_id> set_of(const std::vector<std::optional<drive_id>>& placed) {
  std::set<drive_id> result;
  for (const auto& drive : placed)
    if (drive)
      result.insert(*drive);
  return result;
}

size_t count_of(const std::vector<std::optional<drive_id>>& placed) {
  return static_cast<size_t>(std::count_if(placed.begin(), placed.end(), [](const auto& drive) { return drive.has_value(); }));
}

constexpr policy four_two{4, 2, domain_level::drive};
constexpr policy single{1, 0, domain_level::drive};

} // namespace

TEST_CASE("the policy follows the number of drives", "[placement]") {
  CHECK(policy_for(1) == policy{10, 2, domain_level::block});
  CHECK(policy_for(2) == policy{1, 1, domain_level::drive});
  CHECK(policy_for(3) == policy{2, 1, domain_level::drive});
  CHECK(policy_for(4) == policy{2, 2, domain_level::drive});
  CHECK(policy_for(5) == policy{2, 2, domain_level::drive});
  CHECK(policy_for(6) == four_two);
  CHECK(policy_for(600) == four_two);
  CHECK(four_two.shards_min() == 5);
  CHECK(policy_for(2).shards_min() == 1);
}

TEST_CASE("a policy is read as k+m and nothing else", "[placement]") {
  CHECK(*parse_policy("4+2") == four_two);
  CHECK(*parse_policy("1+0") == single);
  CHECK(parse_policy("127+1")->k == 127);
  CHECK(to_string(*parse_policy("10+15")) == "10+15");
  for (const char* text : {"",     "+",     "4",     "4+",    "+2",    "0+2",   "4+2 ",          " 4+2",          "4+-2",         "-4+2",
                           "4++2", "4+2+1", "127+2", "129+0", "1+128", "4.0+2", "99999999999+1", "1+99999999999", "4294967297+1", "a+b"}) {
    CAPTURE(text);
    auto refused = parse_policy(text);
    REQUIRE(!refused);
    CHECK(refused.error().code() == errc::policy_invalid);
  }
}

TEST_CASE("no drive takes two shards of a pack at level drive", "[placement]") {
  auto seed = test::seed();
  CAPTURE(seed);
  test::seeded_random random{seed};
  auto drives = make_drives(random, {5, 10, 20, 40, 80, 160, 320, 1000});
  for (int round = 0; round < 500; ++round) {
    auto placed = place(drives, four_two, random.make(32), 4 << 20);
    REQUIRE(placed);
    CHECK(placed->size() == 6);
    CHECK(set_of(*placed).size() == 6);
  }
}

TEST_CASE("placement depends on the seed and not on the order of the drives", "[placement]") {
  auto seed = test::seed();
  CAPTURE(seed);
  test::seeded_random random{seed};
  auto drives = make_drives(random, {50, 60, 70, 80, 90, 100, 110, 120, 130});
  auto reversed = std::vector(drives.rbegin(), drives.rend());
  std::set<std::set<drive_id>> seen;
  for (int round = 0; round < 100; ++round) {
    auto pack = random.make(32);
    auto first = place(drives, four_two, pack, 1000);
    auto again = place(reversed, four_two, pack, 1000);
    REQUIRE(first);
    CHECK(*first == *again);
    seen.insert(set_of(*first));
  }
  CHECK(seen.size() > 20);
}

TEST_CASE("a drive's share follows its free space", "[placement]") {
  auto seed = test::seed();
  CAPTURE(seed);
  test::seeded_random random{seed};
  auto drives = make_drives(random, {1, 2, 3, 4, 10, 30});
  double total = 50;
  std::map<drive_id, double> seen;
  constexpr int rounds = 20'000;
  for (int round = 0; round < rounds; ++round)
    ++seen[place(drives, single, random.make(32), 4096)->at(0).value()];
  double chi_square = 0;
  for (const auto& drive : drives) {
    auto expected = rounds * static_cast<double>(drive.bytes_free >> 30) / total;
    chi_square += (seen[drive.id] - expected) * (seen[drive.id] - expected) / expected;
  }
  // Five degrees of freedom: 1 in 10,000 fair runs lies above 25.7.
  CHECK(chi_square < 25.7);
}

TEST_CASE("equal drives take equal shares of every shard index", "[placement]") {
  auto seed = test::seed();
  CAPTURE(seed);
  test::seeded_random random{seed};
  auto drives = make_equal_drives(random, 10);
  std::vector<std::map<drive_id, double>> seen(6);
  constexpr int rounds = 10'000;
  for (int round = 0; round < rounds; ++round) {
    auto placed = place(drives, four_two, random.make(32), 4096);
    for (size_t i = 0; i < 6; ++i)
      ++seen[i][placed->at(i).value()];
  }
  for (size_t i = 0; i < 6; ++i) {
    CAPTURE(i);
    double chi_square = 0;
    for (const auto& drive : drives)
      chi_square += (seen[i][drive.id] - 1000) * (seen[i][drive.id] - 1000) / 1000;
    // Nine degrees of freedom: 1 in 10,000 fair runs lies above 33.7.
    CHECK(chi_square < 33.7);
  }
}

TEST_CASE("a new drive moves no more than its share", "[placement]") {
  auto seed = test::seed();
  CAPTURE(seed);
  test::seeded_random random{seed};
  auto before = make_equal_drives(random, 11);
  auto after = before;
  after.push_back(make_equal_drives(random, 1).front());
  constexpr int rounds = 4'000;
  int moved = 0;
  for (int round = 0; round < rounds; ++round) {
    auto pack = random.make(32);
    auto old_set = set_of(*place(before, four_two, pack, 4096));
    auto new_set = set_of(*place(after, four_two, pack, 4096));
    int joined = 0;
    for (const auto& drive : new_set)
      if (!old_set.contains(drive)) {
        // Nothing moves between the drives that were there before.
        REQUIRE(drive == after.back().id);
        ++joined;
      }
    REQUIRE(joined <= 1);
    moved += joined;
  }
  // Its share is six shards over twelve drives: half of the packs; 5 sigma of slack.
  CHECK(moved < rounds / 2 + 160);
  CHECK(moved > rounds / 2 - 160);
}

TEST_CASE("drives that fail, drain or lack room are left out and the tail stays empty", "[placement]") {
  auto seed = test::seed();
  CAPTURE(seed);
  test::seeded_random random{seed};
  auto drives = make_equal_drives(random, 8);
  drives[1].state = drive_state::failed;
  drives[4].state = drive_state::draining;
  drives[6].bytes_free = 999;
  for (int round = 0; round < 50; ++round) {
    auto placed = place(drives, four_two, random.make(32), 1000);
    REQUIRE(placed);
    CHECK(count_of(*placed) == 5);
    CHECK(placed->at(4).has_value());
    CHECK(!placed->at(5).has_value());
    auto chosen = set_of(*placed);
    for (size_t left_out : {1, 4, 6})
      CHECK(!chosen.contains(drives[left_out].id));
  }
}

TEST_CASE("fewer drives than the minimum are refused", "[placement]") {
  auto seed = test::seed();
  CAPTURE(seed);
  test::seeded_random random{seed};
  auto pack = random.make(32);
  auto drives = make_equal_drives(random, 4);
  auto refused = place(drives, four_two, pack, 1000);
  REQUIRE(!refused);
  CHECK(refused.error().code() == errc::too_few_drives);
  auto crowded = make_equal_drives(random, 6);
  crowded[0].bytes_free = crowded[1].bytes_free = 999;
  CHECK(place(crowded, four_two, pack, 1000).error().code() == errc::drive_full);
  CHECK(place({}, single, pack, 0).error().code() == errc::too_few_drives);
  CHECK(place(drives, {0, 2, domain_level::drive}, pack, 0).error().code() == errc::policy_invalid);
  CHECK(place(drives, {120, 20, domain_level::drive}, pack, 0).error().code() == errc::policy_invalid);
  // With one parity shard the minimum is k itself.
  auto bare = place(std::span{drives}.first(2), {2, 1, domain_level::drive}, pack, 1000);
  REQUIRE(bare);
  CHECK(count_of(*bare) == 2);
}

TEST_CASE("read-only drives get nothing, and are named as the reason where they would be enough", "[placement]") {
  auto seed = test::seed();
  CAPTURE(seed);
  test::seeded_random random{seed};
  auto pack = random.make(32);
  auto drives = make_equal_drives(random, 6);
  auto code = [&] {
    auto placed = place(drives, four_two, pack, 1000);
    return placed ? std::optional<errc>{} : placed.error().code();
  };
  drives[2].read_only = true;
  auto placed = place(drives, four_two, pack, 1000);
  REQUIRE(placed);
  CHECK(count_of(*placed) == 5);
  CHECK(!set_of(*placed).contains(drives[2].id));
  auto others = std::vector{drives[0].id, drives[1].id, drives[3].id, drives[4].id, drives[5].id};
  CHECK(!place_one(drives, others, four_two, pack, 1000));

  drives[3].read_only = true;
  CHECK(code() == errc::read_only);
  // One of the two reasons is enough.
  drives[3].read_only = false;
  drives[3].bytes_free = 999;
  CHECK(code() == errc::read_only);
  drives[4].bytes_free = 999;
  CHECK(code() == errc::drive_full);
  drives[3].state = drives[4].state = drive_state::failed;
  CHECK(code() == errc::too_few_drives);

  policy ten_two{10, 2, domain_level::block};
  CHECK(place(std::span{drives}.subspan(2, 1), ten_two, pack, 1000).error().code() == errc::read_only);
}

TEST_CASE("level block shares the drives evenly as far as they have room", "[placement]") {
  auto seed = test::seed();
  CAPTURE(seed);
  test::seeded_random random{seed};
  policy ten_two{10, 2, domain_level::block};
  auto count_on = [](const auto& placed, const drive_id& id) {
    return std::count(placed->begin(), placed->end(), std::optional{id});
  };

  SECTION("one drive takes all") {
    auto drives = make_equal_drives(random, 1);
    auto placed = place(drives, ten_two, random.make(32), 1000);
    REQUIRE(placed);
    CHECK(count_on(placed, drives[0].id) == 12);
  }
  SECTION("five drives take two or three each") {
    auto drives = make_equal_drives(random, 5);
    for (int round = 0; round < 50; ++round) {
      auto placed = place(drives, ten_two, random.make(32), 1000);
      REQUIRE(placed);
      for (const auto& drive : drives) {
        CHECK(count_on(placed, drive.id) >= 2);
        CHECK(count_on(placed, drive.id) <= 3);
      }
    }
  }
  SECTION("a drive takes no more than fits") {
    auto drives = make_equal_drives(random, 2);
    drives[0].bytes_free = 3500;
    auto placed = place(drives, ten_two, random.make(32), 1000);
    REQUIRE(placed);
    CHECK(count_on(placed, drives[0].id) == 3);
    CHECK(count_on(placed, drives[1].id) == 9);
    drives[1].bytes_free = 8000;
    placed = place(drives, ten_two, random.make(32), 1000);
    REQUIRE(placed);
    CHECK(count_of(*placed) == 11);
    drives[1].bytes_free = 7000;
    CHECK(place(drives, ten_two, random.make(32), 1000).error().code() == errc::drive_full);
  }
}

TEST_CASE("a single shard goes to the next best drive", "[placement]") {
  auto seed = test::seed();
  CAPTURE(seed);
  test::seeded_random random{seed};
  auto drives = make_equal_drives(random, 8);
  auto pack = random.make(32);
  auto placed = *place(drives, four_two, pack, 1000);
  std::vector<drive_id> taken;
  for (const auto& drive : placed)
    taken.push_back(drive.value());

  auto next = place_one(drives, taken, four_two, pack, 1000);
  REQUIRE(next);
  CHECK(!set_of(placed).contains(*next));
  // The order is that of `place`: seven shards would have put the seventh there.
  CHECK(place(drives, {5, 2, domain_level::drive}, pack, 1000)->at(6) == next);

  taken.push_back(*next);
  auto last = place_one(drives, taken, four_two, pack, 1000);
  REQUIRE(last);
  taken.push_back(*last);
  CHECK(!place_one(drives, taken, four_two, pack, 1000));
  CHECK(!place_one({}, {}, {10, 2, domain_level::block}, pack, 0));
}

TEST_CASE("at level block a single shard goes where the fewest are", "[placement]") {
  auto seed = test::seed();
  CAPTURE(seed);
  test::seeded_random random{seed};
  auto drives = make_equal_drives(random, 3);
  std::vector<drive_id> taken{drives[0].id, drives[0].id, drives[1].id, drives[2].id, drives[2].id};
  for (int round = 0; round < 20; ++round)
    CHECK(place_one(drives, taken, {3, 2, domain_level::block}, random.make(32), 1000) == drives[1].id);
  drives[1].bytes_free = 10;
  auto other = place_one(drives, taken, {3, 2, domain_level::block}, random.make(32), 1000);
  REQUIRE(other);
  CHECK(*other != drives[1].id);
}
