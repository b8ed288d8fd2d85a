#include "storage/pack_census.hpp"

#include "tests/libdatamesh/storage/seed.hpp"
#include "tests/support/seeded_random.hpp"

#include <catch2/catch.hpp>

using namespace datamesh;
using namespace datamesh::storage;

namespace {

constexpr uint32_t shard_length = 4096;

struct yard {
  explicit yard(size_t count, uint64_t free = 1 << 30) {
    for (size_t i = 0; i < count; ++i)
      drives.push_back({*random_id<drive_id>(random), drive_state::ok, free, false, 1, domains_of("", "z" + std::to_string(i), "", "")});
  }
  pack_record pack(uint8_t k, uint8_t m, std::vector<size_t> on) {
    pack_record made;
    made.seal.id = *random_id<pack_id>(random);
    made.seal.shape = {k, m, shard_length};
    for (auto drive : on)
      made.drives.push_back(drives[drive].id);
    return made;
  }
  loss_report without(std::set<size_t> gone, const std::vector<pack_record>& packs, domain_level level = domain_level::drive) {
    std::set<drive_id> ids;
    for (auto drive : gone)
      ids.insert(drives[drive].id);
    loss_census census{ids, drives, [&](const drive_id& id) {
                         return std::ranges::find(drives, id, &drive_candidate::id)->state == drive_state::ok;
                       }};
    for (const auto& pack : packs)
      census.add(pack, level);
    return census.report();
  }

  test::seeded_random random{test::seed()};
  std::vector<drive_candidate> drives;
};

} // namespace

TEST_CASE("a loss is counted pack by pack, each shard once", "[census]") {
  yard y{6};
  std::vector packs{y.pack(2, 1, {0, 1, 2}), y.pack(2, 1, {1, 2, 3}), y.pack(2, 1, {3, 4, 5}), y.pack(2, 2, {0, 1, 2, 3})};
  auto one = y.without({0}, packs);
  CHECK(one.packs == 4);
  CHECK(one.now == pack_standing{4, 0, 0, 0});
  CHECK(one.then == pack_standing{2, 2, 1, 0});
  CHECK(one.shards_gone == 2);
  CHECK(one.bytes_gone == 2 * shard_length);
  CHECK(one.shards_to_repair == 2);
  CHECK(one.bytes_to_write == 2 * shard_length);
  CHECK(one.bytes_to_read == 4 * shard_length);
  CHECK(one.shards_unplaced == 0);
  auto two = y.without({0, 1}, packs);
  CHECK(two.then == pack_standing{1, 2, 2, 1});
  CHECK(two.shards_gone == 5);
  // What is lost is not repaired.
  CHECK(two.shards_to_repair == 3);
  CHECK(y.without({}, packs).then == one.now);
}

TEST_CASE("shards on a drive that failed, or that are damaged, do not count already", "[census]") {
  yard y{4};
  auto damaged = y.pack(2, 2, {0, 1, 2, 3});
  damaged.faulty = {1};
  auto missing = y.pack(2, 2, {0, 1, 2, 3});
  missing.drives[2] = {};
  auto seen = y.without({0}, {damaged, missing});
  CHECK(seen.now == pack_standing{0, 2, 0, 0});
  CHECK(seen.then == pack_standing{0, 2, 2, 0});
  CHECK(seen.shards_gone == 2);
  y.drives[3].state = drive_state::failed;
  seen = y.without({0}, {damaged, missing});
  CHECK(seen.now == pack_standing{0, 2, 2, 0});
  CHECK(seen.then == pack_standing{0, 0, 0, 2});
  // The drive that failed had nothing that counts.
  CHECK(y.without({3}, {damaged}).shards_gone == 0);
}

TEST_CASE("several shards of a pack on one drive are lost with it together", "[census]") {
  yard y{2};
  std::vector packs{y.pack(4, 2, {0, 0, 0, 0, 0, 0}), y.pack(4, 2, {0, 0, 1, 1, 1, 1})};
  auto seen = y.without({0}, packs, domain_level::block);
  CHECK(seen.then == pack_standing{0, 1, 1, 1});
  CHECK(seen.shards_gone == 8);
  CHECK(seen.shards_to_repair == 2);
  CHECK(seen.shards_unplaced == 0);
}

TEST_CASE("a repair has as much room as the drives that are left, and no drive twice", "[census]") {
  auto size = [](const pack_record& pack) {
    return shard_length + shard_header_length(pack.seal.shape, true);
  };
  yard y{4};
  std::vector packs{y.pack(2, 1, {0, 1, 2}), y.pack(2, 1, {0, 1, 2}), y.pack(2, 1, {0, 1, 2})};
  CHECK(y.without({0}, packs).shards_unplaced == 0);
  y.drives[3].bytes_free = 2 * size(packs[0]);
  CHECK(y.without({0}, packs).shards_unplaced == 1);
  y.drives[3].read_only = true;
  CHECK(y.without({0}, packs).shards_unplaced == 3);
  // Those that have a shard take no other.
  yard three{3};
  CHECK(three.without({0}, {three.pack(2, 1, {0, 1, 2})}).shards_unplaced == 1);
}

TEST_CASE("how many domains may go is told by those with the most shards", "[census]") {
  CHECK(domains_to_spare({"a", "b", "c", "d", "e", "f"}, 4) == 2);
  CHECK(domains_to_spare({"a", "a", "b", "b", "c", "c"}, 4) == 1);
  CHECK(domains_to_spare({"a", "a", "a", "b", "b", "c"}, 4) == 0);
  CHECK(domains_to_spare({"a", "b", "c"}, 4) < 0);
}
