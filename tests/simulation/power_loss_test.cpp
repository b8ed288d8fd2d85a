// The power goes at any change of the disk while a user works with the store.
//
// DATAMESH_POWER_POINTS: points over all kinds of operations, 300 by default, and a tenth
// as many with drives away afterwards;
// DATAMESH_SEED: where they lie and what survives; DATAMESH_POWER_SCRIPT: only this
// kind; DATAMESH_POWER_POINT: only this point of it.
#include "tests/libdatamesh/storage/seed.hpp"
#include "tests/simulation/scripts.hpp"

#include <catch2/catch.hpp>
#include <fmt/format.h>

#include <iostream>

namespace datamesh::test {

namespace {

uint64_t from_environment(const char* name, uint64_t otherwise) {
  auto text = std::getenv(name);
  return text != nullptr ? std::strtoull(text, nullptr, 0) : otherwise;
}

/// Changes of the disk when nothing goes wrong.
struct changes_made {
  uint64_t by_script = 0;
  uint64_t with_closing = 0;
};

changes_made count_changes(const script& what, const starting_point& start, uint64_t seed) {
  store_under_test store{start.disk, start.expected, seed};
  REQUIRE(store.open());
  auto before = store.disk().calls();
  auto outcome = what.run(store);
  INFO((outcome ? std::string{} : outcome.error().message()));
  REQUIRE(outcome);
  changes_made changes;
  changes.by_script = store.disk().calls() - before;
  store.close();
  changes.with_closing = store.disk().calls() - before;
  REQUIRE(changes.by_script > 0);
  REQUIRE(store.open());
  store.check();
  store.check_rebuild();
  return changes;
}

/// How the point ended: before, or with, the acknowledgement of all.
bool lose_power_at(const script& what, const starting_point& start, uint64_t point, uint64_t seed) {
  store_under_test store{start.disk, start.expected, seed};
  REQUIRE(store.open());
  store.disk().crash_after(point);
  auto outcome = what.run(store);
  if (outcome)
    store.close();
  seeded_random random{seed};
  store.lose_power(random.below(1u << 30));
  store.reopen_after_loss(random);
  store.check();
  // What was interrupted can be taken up again.
  if (std::string_view{what.name}.starts_with("cleanup")) {
    auto again = run_cleanup(store);
    INFO((again ? std::string{} : again.error().message()));
    REQUIRE(again);
    store.check();
  }
  switch (random.below(4)) {
  case 0:
    store.check_rebuild();
    break;
  case 1:
    store.check_usable(seed);
    break;
  default:
    break;
  }
  return outcome.has_value();
}

/// The power goes, and drives are away when the store recovers. What nobody was told of
/// may show up when they are back; what is stored meanwhile stays, also in a catalog that
/// is made again.
void recover_without_drives(const script& what, const starting_point& start, uint64_t point, uint64_t seed) {
  store_under_test store{start.disk, start.expected, seed};
  REQUIRE(store.open());
  store.disk().crash_after(point);
  if (what.run(store))
    store.close();
  seeded_random random{seed};
  store.lose_power(random.below(1u << 30));
  auto promised = store.expected();
  auto first = random.below(drive_count);
  auto away = 1 + random.below(what.name == std::string{"repair"} ? 1 : 2);
  for (uint64_t i = 0; i < away; ++i)
    store.disk().unplug(drive_folder(static_cast<unsigned>((first + i) % drive_count)));
  auto opened = store.open();
  INFO((opened ? std::string{} : opened.error().message()));
  REQUIRE(opened);
  store.check_contents();
  store.expected() = promised;
  for (int i = 0; i < 3; ++i)
    (void) store.put(fmt::format("/meanwhile {}", i), make_content(random, 1 + random.below(9000), false));
  if (random.below(2) == 0)
    store.lose_power(random.below(1u << 30));
  store.close();
  for (unsigned i = 0; i < drive_count; ++i)
    store.disk().plug_in(drive_folder(i));
  opened = store.open();
  INFO((opened ? std::string{} : opened.error().message()));
  REQUIRE(opened);
  promised = store.expected();
  store.check();
  store.expected() = promised;
  store.close_vault();
  auto rebuilt = store.rebuild();
  INFO((rebuilt ? std::string{} : rebuilt.error().message()));
  REQUIRE(rebuilt);
  REQUIRE(store.open());
  store.check_contents();
}

} // namespace

TEST_CASE("a power loss at any point loses, tears and brings back nothing", "[simulation][power_loss]") {
  auto seed = test::seed();
  auto points = from_environment("DATAMESH_POWER_POINTS", 300);
  auto only = std::getenv("DATAMESH_POWER_SCRIPT");
  auto scripts = all_scripts(seed);
  for (size_t i = 0; i < scripts.size(); ++i) {
    const auto& script = scripts[i];
    if (only != nullptr && script.name != std::string{only})
      continue;
    CAPTURE(seed, script.name);
    auto start = script.prepare(seed);
    auto changes = count_changes(script, start, seed);
    auto here = points / scripts.size() + (i < points % scripts.size() ? 1 : 0);
    seeded_random random{seed + i};
    uint64_t acknowledged = 0;
    for (uint64_t n = 0; n < here; ++n) {
      // One in each stretch of equal length, so that they are spread; one in five
      // while the store is closed.
      auto point = 1 + (n * changes.by_script + random.below(changes.by_script)) / here;
      if (n % 5 == 4)
        point = changes.by_script + 1 + random.below(changes.with_closing - changes.by_script + 1);
      point = from_environment("DATAMESH_POWER_POINT", point);
      auto dice = seed + i * 1'000'003 + n;
      CAPTURE(point, changes.by_script, n, dice);
      acknowledged += lose_power_at(script, start, point, dice) ? 1 : 0;
    }
    std::cout << fmt::format("figure power cuts during {}: {}\n", script.name, here)
              << fmt::format("figure of these after all was acknowledged, {}: {}\n", script.name, acknowledged)
              << fmt::format("{} makes {} changes of the disk\n", script.name, changes.with_closing);
  }
  const auto& found = store_under_test::found();
  std::cout << fmt::format("figure stores reopened: {}\nfigure files compared: {}\nfigure old versions compared: {}\n"
                           "figure rebuilt catalogs compared: {}\nfigure shards checked: {}\n",
                           found.reopened, found.files_compared, found.versions_compared, found.rebuilds_compared, found.shards_checked);
}

TEST_CASE("drives that are away while the store recovers from a power loss cost nothing", "[simulation][power_loss]") {
  auto seed = test::seed();
  auto points = from_environment("DATAMESH_POWER_POINTS", 300) / 10;
  auto only = std::getenv("DATAMESH_POWER_SCRIPT");
  auto scripts = all_scripts(seed);
  for (size_t i = 0; i < scripts.size(); ++i) {
    const auto& script = scripts[i];
    if (only != nullptr && script.name != std::string{only})
      continue;
    CAPTURE(seed, script.name);
    auto start = script.prepare(seed);
    auto changes = count_changes(script, start, seed);
    auto here = points / scripts.size() + (i < points % scripts.size() ? 1 : 0);
    seeded_random random{seed + i};
    for (uint64_t n = 0; n < here; ++n) {
      auto point = from_environment("DATAMESH_POWER_POINT", 1 + (n * changes.by_script + random.below(changes.by_script)) / here);
      auto dice = seed + i * 1'000'003 + n;
      CAPTURE(point, changes.by_script, n, dice);
      recover_without_drives(script, start, point, dice);
    }
    std::cout << fmt::format("figure power cuts with drives away afterwards, during {}: {}\n", script.name, here);
  }
}

} // namespace datamesh::test
