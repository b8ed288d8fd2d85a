// A drive becomes full, goes read-only or is pulled out in the middle of an operation.
//
// DATAMESH_DRIVE_POINTS: points over all operations and ends, 24 by default;
// DATAMESH_SEED: where they lie and what follows.
#include "tests/libdatamesh/storage/seed.hpp"
#include "tests/simulation/scripts.hpp"
#include "tests/simulation/shard_files.hpp"

#include <catch2/catch.hpp>
#include <fmt/format.h>

#include <iostream>

namespace datamesh::test {

namespace {

constexpr std::array ends{drive_end::unplugged, drive_end::read_only, drive_end::full};

uint64_t points_of_run() {
  auto text = std::getenv("DATAMESH_DRIVE_POINTS");
  return text != nullptr ? std::strtoull(text, nullptr, 0) : 24;
}

struct outcomes {
  uint64_t points = 0;
  uint64_t refused = 0;
};

uint64_t changes_of(const script& what, const starting_point& start, uint64_t seed) {
  store_under_test store{start.disk, start.expected, seed};
  REQUIRE(store.open());
  auto before = store.disk().calls();
  REQUIRE(what.run(store));
  return store.disk().calls() - before;
}

void open_well(store_under_test& store) {
  auto opened = store.open();
  INFO((opened ? std::string{} : opened.error().message()));
  REQUIRE(opened);
}

/// Stops the store: its user closes it, or the power goes.
void stop(store_under_test& store, seeded_random& random) {
  if (random.below(2) == 0)
    store.close();
  else
    store.lose_power(random.below(1u << 30));
}

/// The drives end, the operation goes on or is refused, and nothing is lost: while they
/// are away, after the store was opened without them, and when they are back.
void end_drives_at(const script& what, const starting_point& start, drive_end how, uint64_t point, uint64_t count, uint64_t dice,
                   outcomes& sums) {
  seeded_random random{dice};
  store_under_test store{start.disk, start.expected, dice};
  open_well(store);
  auto first = random.below(drive_count);
  for (uint64_t i = 0; i < count; ++i)
    store.disk().end_drive(point, drive_folder(static_cast<unsigned>((first + i) % drive_count)), how);
  auto outcome = what.run(store);
  ++sums.points;
  sums.refused += outcome ? 0 : 1;
  INFO((outcome ? std::string{} : outcome.error().message()));
  if (!outcome)
    REQUIRE(outcome.error().code() != errc::internal);
  // What such a drive has can be read, and it must not seem to have more.
  else if (how != drive_end::unplugged && what.only_puts)
    store.check_shards_told();
  // A rebuild that was refused has left no vault open.
  open_well(store);
  store.check_contents();
  stop(store, random);
  open_well(store);
  store.check_contents();
  auto path = fmt::format("/while away {}", point);
  auto stored = store.put(path, make_content(random, 5000, false));
  INFO((stored ? std::string{} : stored.error().message()));
  REQUIRE((stored || count > 1));
  stop(store, random);
  for (unsigned i = 0; i < drive_count; ++i)
    store.disk().plug_in(drive_folder(i));
  open_well(store);
  store.check();
  store.check_rebuild();
}

/// Shards and their bytes, by drive.
std::vector<std::pair<uint64_t, uint64_t>> shards_of(store_under_test& store) {
  std::vector<std::pair<uint64_t, uint64_t>> found;
  for (const auto& drive : store.node().drives())
    found.emplace_back(drive.shards, drive.shard_bytes);
  return found;
}

uint64_t shard_file_bytes(store_under_test& store) {
  uint64_t bytes = 0;
  for (const auto& file : shard_files(store.disk()))
    bytes += file.size;
  return bytes;
}

} // namespace

TEST_CASE("a full store gives its room back after a failed put", "[simulation][drive_end]") {
  auto seed = test::seed();
  auto store = store_under_test::make(seed);
  seeded_random random{seed};
  open_well(*store);
  REQUIRE(store->put("/kept", make_content(random, 100'000, false)));
  auto before = shards_of(*store);
  auto room = shard_file_bytes(*store);
  // 4+2 wants five drives; so many have room when the put begins, and then no more.
  auto large = make_content(random, 3'000'000, false);
  size_t refused = 0;
  for (uint64_t point = 1; point <= 25; point += 4) {
    CAPTURE(seed, point);
    auto first = random.below(drive_count);
    for (uint64_t i = 0; i < 2; ++i)
      store->disk().end_drive(point, drive_folder(static_cast<unsigned>((first + i) % drive_count)), drive_end::full);
    auto stored = store->put("/large", large);
    for (unsigned i = 0; i < drive_count; ++i)
      store->disk().plug_in(drive_folder(i));
    if (stored)
      break;
    ++refused;
    INFO(stored.error().message());
    CHECK((stored.error().code() == errc::drive_full || stored.error().code() == errc::too_few_drives));
    CHECK(shards_of(*store) == before);
    CHECK(shard_file_bytes(*store) == room);
  }
  CHECK(refused > 0);
  REQUIRE(store->put("/large", large));
  store->check();
  store->check_rebuild();
}

TEST_CASE("a drive that ends in the middle of an operation costs nothing", "[simulation][drive_end]") {
  auto seed = test::seed();
  auto scripts = all_scripts(seed);
  auto each = std::max<uint64_t>(1, points_of_run() / (scripts.size() * ends.size()));
  outcomes sums;
  for (size_t i = 0; i < scripts.size(); ++i) {
    const auto& script = scripts[i];
    CAPTURE(seed, script.name);
    auto start = script.prepare(seed);
    auto changes = changes_of(script, start, seed);
    for (auto how : ends) {
      sums.points = 0;
      seeded_random random{seed + i};
      for (uint64_t n = 0; n < each; ++n) {
        auto point = 1 + (n * changes + random.below(changes)) / each;
        auto dice = seed + i * 1'000'003 + n * ends.size() + static_cast<size_t>(how);
        // One time in three a second drive goes with it: 4+2 bears that, but for packs
        // with a hole.
        auto count = (i + n + static_cast<size_t>(how)) % 3 == 0 && script.name != std::string{"repair"} ? 2u : 1u;
        CAPTURE(to_string(how), point, count, dice);
        end_drives_at(script, start, how, point, count, dice, sums);
      }
      std::cout << fmt::format("figure a drive {} during {}: {}\n", to_string(how), script.name, sums.points);
    }
  }
  std::cout << "figure of these refused to the caller: " << sums.refused << '\n';
}

} // namespace datamesh::test
