// Where the shards of a pack go when drives are said to be of zones, operators and nodes.
#include "storage/placement.hpp"

#include "tests/libdatamesh/storage/seed.hpp"
#include "tests/support/seeded_random.hpp"

#include <catch2/catch.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <set>

using namespace datamesh;
using namespace datamesh::storage;

namespace {

constexpr policy four_two{4, 2, domain_level::drive};
constexpr uint64_t gib = 1ull << 30;

class town {
public:
  explicit town(uint64_t seed) : random_(std::make_unique<test::seeded_random>(seed)) {}

  void add(std::string zone, std::string operated_by, std::string node, uint64_t free = 100 * gib) {
    drives.push_back({*random_id<drive_id>(*random_), drive_state::ok, free, false, 1, domains_of("", zone, operated_by, node)});
  }
  uint64_t below(uint64_t end) {
    return random_->below(end);
  }
  auto pack() {
    return random_->make(32);
  }
  const drive_candidate& at(const drive_id& id) const {
    return *std::ranges::find(drives, id, &drive_candidate::id);
  }
  /// Most shards that any domain of a level has.
  size_t most(std::span<const drive_id> placed, size_t level) const {
    std::map<std::string, size_t> shards;
    size_t most = 0;
    for (const auto& id : placed)
      if (!id.is_zero())
        most = std::max(most, ++shards[at(id).domains[level]]);
    return most;
  }

  std::vector<drive_candidate> drives;

private:
  std::unique_ptr<test::seeded_random> random_;
};

std::vector<drive_id> ids_of(const std::vector<std::optional<drive_id>>& placed) {
  std::vector<drive_id> ids;
  for (const auto& drive : placed)
    ids.push_back(drive.value_or(drive_id{}));
  return ids;
}

/// Zones with operators, these with nodes, these with drives: domains of a level lie within those above.
town nested_town(uint64_t seed, size_t zones, size_t most_below) {
  town made{seed};
  for (size_t z = 0; z < zones; ++z)
    for (size_t o = made.below(most_below) + 1; o > 0; --o)
      for (size_t n = made.below(most_below) + 1; n > 0; --n)
        for (size_t d = made.below(most_below) + 1; d > 0; --d) {
          auto zone = std::to_string(z);
          auto runner = zone + "." + std::to_string(o);
          made.add(zone, runner, runner + "." + std::to_string(n), (made.below(100) + 1) * gib);
        }
  return made;
}

/// The fewest shards of *count* that some domain of *level* gets however they are placed, with at most *cap_above* in
/// each domain above: drives fill domains, and domains those above.
size_t fewest_possible(const town& in, size_t count, size_t level, std::optional<std::pair<size_t, size_t>> above) {
  for (size_t cap = 1; cap <= count; ++cap) {
    std::map<std::string, std::map<std::string, size_t>> domains;
    for (const auto& drive : in.drives)
      ++domains[above ? drive.domains[above->first] : ""][drive.domains[level]];
    size_t room = 0;
    for (const auto& [name, inside] : domains) {
      size_t here = 0;
      for (const auto& [domain, drives] : inside)
        here += std::min(cap, drives);
      room += above ? std::min(above->second, here) : here;
    }
    if (room >= count)
      return cap;
  }
  return count;
}

} // namespace

TEST_CASE("each shard of a pack goes to a zone of its own where there are enough of them", "[placement][domains]") {
  auto seed = test::seed();
  CAPTURE(seed);
  for (uint64_t round = 0; round < 60; ++round) {
    auto in = nested_town(seed + round, 6 + round % 5, 3);
    auto placed = ids_of(*place(in.drives, four_two, in.pack(), 1 << 20));
    CHECK(placed.size() == 6);
    CHECK(in.most(placed, 0) == 1);
  }
}

TEST_CASE("shards are as far apart as they can be at the highest level that survives a loss", "[placement][domains]") {
  auto seed = test::seed();
  CAPTURE(seed);
  std::map<size_t, int> by_level;
  for (uint64_t round = 0; round < 300; ++round) {
    auto in = nested_town(seed + round, 1 + round % 7, 1 + round % 4);
    CAPTURE(round, in.drives.size());
    constexpr policy policies[] = {four_two, {2, 2, domain_level::drive}, {10, 6, domain_level::drive}, {3, 1, domain_level::drive}};
    const auto& how = policies[in.below(4)];
    size_t count = size_t{how.k} + how.m;
    if (in.drives.size() < count)
      continue;
    auto placed = ids_of(*place(in.drives, how, in.pack(), 1 << 20));
    CHECK(std::set<drive_id>{placed.begin(), placed.end()}.size() == count);
    std::optional<std::pair<size_t, size_t>> above;
    for (size_t level = 0; level < label_levels; ++level) {
      auto fewest = fewest_possible(in, count, level, above);
      std::set<std::string> domains;
      for (const auto& drive : in.drives)
        domains.insert(drive.domains[level]);
      if (domains.size() < 2 || fewest > std::max<size_t>(1, how.m))
        continue; // No way of placing them survives the loss of a domain of this level.
      CHECK(in.most(placed, level) == fewest);
      ++by_level[level];
      if (above)
        break; // The oracle looks at two levels.
      above = {level, fewest};
    }
  }
  // Else nothing was looked at.
  for (size_t level = 0; level < label_levels; ++level)
    CHECK(by_level[level] > 10);
}

TEST_CASE("three zones with two shards each survive the loss of any of them", "[placement][domains]") {
  auto seed = test::seed();
  CAPTURE(seed);
  town in{seed};
  for (int zone = 0; zone < 3; ++zone)
    for (int drive = 0; drive < 4; ++drive)
      in.add(std::to_string(zone), "", "node" + std::to_string(zone));
  for (int round = 0; round < 100; ++round)
    CHECK(in.most(ids_of(*place(in.drives, four_two, in.pack(), 1000)), 0) == 2);
}

TEST_CASE("a zone that could not be lost in any case does not keep small drives full", "[placement][domains]") {
  auto seed = test::seed();
  CAPTURE(seed);
  town in{seed};
  for (int node = 0; node < 10; ++node)
    in.add("large", "", "large" + std::to_string(node));
  for (int node = 0; node < 2; ++node)
    in.add("small", "", "small" + std::to_string(node));
  double small = 0;
  constexpr int rounds = 3000;
  for (int round = 0; round < rounds; ++round)
    for (const auto& id : ids_of(*place(in.drives, four_two, in.pack(), 1000)))
      small += in.at(id).domains[0] == domains_of("", "small", "", "")[0];
  // Two of twelve drives, so one shard of six; 5 sigma.
  CHECK(std::abs(small - rounds) < 5 * std::sqrt(rounds));
}

TEST_CASE("without labels the drives of a node are one domain, and placement is as ever", "[placement][domains]") {
  auto seed = test::seed();
  CAPTURE(seed);
  town in{seed};
  for (int drive = 0; drive < 9; ++drive)
    in.add("", "", "", (in.below(50) + 1) * gib);
  auto bare = in.drives;
  for (auto& drive : bare)
    drive.domains = {};
  for (int round = 0; round < 200; ++round) {
    auto pack = in.pack();
    CHECK(*place(in.drives, four_two, pack, 1000) == *place(bare, four_two, pack, 1000));
    auto taken = std::vector{in.drives[0].id, in.drives[4].id};
    CHECK(place_one(in.drives, taken, four_two, pack, 1000) == place_one(bare, taken, four_two, pack, 1000));
  }
}

TEST_CASE("within their zones drives get their share by free space", "[placement][domains]") {
  auto seed = test::seed();
  CAPTURE(seed);
  town in{seed};
  for (int zone = 0; zone < 6; ++zone) {
    in.add(std::to_string(zone), "", "", 30 * gib);
    in.add(std::to_string(zone), "", "", 10 * gib);
  }
  constexpr int rounds = 4000;
  std::map<drive_id, double> seen;
  for (int round = 0; round < rounds; ++round)
    for (const auto& id : ids_of(*place(in.drives, four_two, in.pack(), 1000)))
      ++seen[id];
  for (const auto& drive : in.drives) {
    auto share = drive.bytes_free == 30 * gib ? 0.75 : 0.25;
    // 5 sigma of a binomial.
    CHECK(std::abs(seen[drive.id] - rounds * share) < 5 * std::sqrt(rounds * share * (1 - share)));
  }
}

TEST_CASE("a new drive in a zone that is there takes the place of one drive of a pack", "[placement][domains]") {
  auto seed = test::seed();
  CAPTURE(seed);
  for (uint64_t round = 0; round < 100; ++round) {
    auto in = nested_town(seed + round, 8, 3);
    auto before = in.drives;
    // Another disk in a node that is there.
    auto& like = before[in.below(before.size())];
    auto after = before;
    after.push_back({*drive_id::parse("00112233445566778899aabbccddeeff"), drive_state::ok, 50 * gib, false, 1, like.domains});
    for (int packs = 0; packs < 20; ++packs) {
      auto pack = in.pack();
      auto old_ids = ids_of(*place(before, four_two, pack, 1000));
      auto new_ids = ids_of(*place(after, four_two, pack, 1000));
      std::set<drive_id> old_set{old_ids.begin(), old_ids.end()};
      int joined = 0;
      for (const auto& id : new_ids)
        if (!old_set.contains(id)) {
          CHECK(id == after.back().id);
          ++joined;
        }
      CHECK(joined <= 1);
    }
  }
}

TEST_CASE("a shard that is made anew goes to a zone that has none of the pack", "[placement][domains]") {
  auto seed = test::seed();
  CAPTURE(seed);
  for (uint64_t round = 0; round < 100; ++round) {
    auto in = nested_town(seed + round, 7, 3);
    auto pack = in.pack();
    auto taken = ids_of(*place(in.drives, four_two, pack, 1000));
    auto gone = in.below(6);
    taken.erase(taken.begin() + static_cast<ptrdiff_t>(gone));
    auto next = place_one(in.drives, taken, four_two, pack, 1000);
    REQUIRE(next);
    taken.push_back(*next);
    CHECK(in.most(taken, 0) == 1);
  }
}

TEST_CASE("where no zone is left a shard still goes to a drive of its own", "[placement][domains]") {
  auto seed = test::seed();
  CAPTURE(seed);
  town in{seed};
  for (int zone = 0; zone < 6; ++zone)
    for (int drive = 0; drive < 2; ++drive)
      in.add(std::to_string(zone), "", std::to_string(zone));
  auto pack = in.pack();
  auto placed = ids_of(*place(in.drives, four_two, pack, 1000));
  auto lost_zone = in.at(placed[0]).domains[0];
  for (auto& drive : in.drives)
    if (drive.domains[0] == lost_zone)
      drive.state = drive_state::failed;
  auto taken = std::vector(placed.begin() + 1, placed.end());
  auto next = place_one(in.drives, taken, four_two, pack, 1000);
  REQUIRE(next);
  CHECK(std::ranges::find(taken, *next) == taken.end());
  CHECK(in.at(*next).domains[0] != lost_zone);
}

TEST_CASE("shards that lie too close come apart, each with one move, and then nothing moves", "[placement][domains]") {
  auto seed = test::seed();
  CAPTURE(seed);
  int moved_at_all = 0;
  for (uint64_t round = 0; round < 150; ++round) {
    auto in = nested_town(seed + round, 3 + round % 6, 3);
    if (in.drives.size() < 6)
      continue;
    auto pack = in.pack();
    auto bare = in.drives;
    for (auto& drive : bare)
      drive.domains = {};
    auto now = ids_of(*place(bare, four_two, pack, 1000));
    auto wanted = ids_of(*place(in.drives, four_two, pack, 1000));
    std::set<size_t> moved;
    while (auto index = too_close(in.drives, now, four_two, pack, 1000)) {
      CAPTURE(round, *index);
      REQUIRE(moved.insert(*index).second); // Bounded: none moves twice.
      auto others = now;
      others[*index] = {};
      auto to = place_one(in.drives, others, four_two, pack, 1000);
      REQUIRE(to);
      CHECK(comes_closer(in.drives, now, *index, *to, four_two, 1000) == false);
      auto back = now;
      back[*index] = *to;
      CHECK(comes_closer(in.drives, back, *index, now[*index], four_two, 1000));
      now = back;
    }
    moved_at_all += !moved.empty();
    CHECK(std::set<drive_id>{now.begin(), now.end()}.size() == 6);
    // As far apart as new data would be, at the highest level that counts.
    for (size_t level = 0; level < label_levels; ++level)
      if (in.most(wanted, level) <= 2) {
        CHECK(in.most(now, level) <= in.most(wanted, level));
        break;
      }
  }
  CHECK(moved_at_all > 20);
}

TEST_CASE("what lies apart is left alone, though new data would go elsewhere", "[placement][domains]") {
  auto seed = test::seed();
  CAPTURE(seed);
  auto in = nested_town(seed, 9, 3);
  for (int round = 0; round < 50; ++round) {
    std::vector<drive_id> placed;
    std::set<std::string> zones;
    for (const auto& drive : in.drives)
      if (placed.size() < 6 && zones.insert(drive.domains[0]).second)
        placed.push_back(drive.id);
    CHECK(!too_close(in.drives, placed, four_two, in.pack(), 1000));
  }
}

TEST_CASE("what is on drives that give nothing away does not move", "[placement][domains]") {
  auto seed = test::seed();
  CAPTURE(seed);
  town in{seed};
  for (int zone = 0; zone < 6; ++zone)
    for (int drive = 0; drive < 6; ++drive)
      in.add(std::to_string(zone), "", "");
  std::vector<drive_id> together;
  for (int i = 0; i < 6; ++i)
    together.push_back(in.drives[static_cast<size_t>(i)].id);
  auto pack = in.pack();
  CHECK(too_close(in.drives, together, four_two, pack, 1000));
  CHECK(!too_close(in.drives, together, {4, 2, domain_level::block}, pack, 1000));
  for (size_t i = 0; i < 6; ++i)
    if (i % 2 == 0)
      in.drives[i].state = drive_state::failed;
    else
      in.drives[i].read_only = true;
  CHECK(!too_close(in.drives, together, four_two, pack, 1000));
}

TEST_CASE("an operator is a domain over the borders of zones", "[placement][domains]") {
  auto seed = test::seed();
  CAPTURE(seed);
  town in{seed};
  // Two zones are too few for 4+2; of six operators each has nodes in both.
  for (int zone = 0; zone < 2; ++zone)
    for (int runner = 0; runner < 6; ++runner)
      in.add(std::to_string(zone), "o" + std::to_string(runner), fmt::format("n{}{}", zone, runner));
  for (int round = 0; round < 100; ++round) {
    auto placed = ids_of(*place(in.drives, four_two, in.pack(), 1000));
    CHECK(in.most(placed, 1) == 1);
  }
}

TEST_CASE("what nobody said of a drive is told apart from what somebody called so", "[placement][domains]") {
  CHECK(domains_of("", "", "", "") == domains_of("eu", "", "", ""));
  CHECK(domains_of("", "a", "", "n")[0] != domains_of("", "", "a", "n")[0]);
  CHECK(domains_of("", "", "a", "n")[1] != domains_of("", "", "", "a")[1]);
  CHECK(domains_of("eu", "a", "", "")[0] != domains_of("us", "a", "", "")[0]);
  CHECK(domains_of("eu", "a", "x", "n")[0] == domains_of("eu", "a", "y", "m")[0]);
  auto bare = domains_of("", "", "", "n");
  CHECK(bare[0] == bare[1]);
  CHECK(bare[1] == bare[2]);
}
