#include "tests/simulation/scripts.hpp"

#include "tests/simulation/shard_files.hpp"

#include <catch2/catch.hpp>
#include <fmt/format.h>

#include <future>

namespace datamesh::test {

namespace {

using files = std::map<std::string, content>;

/// Contents of the sets that scripts store, and where each lies as a source.
struct materials {
  explicit materials(uint64_t seed) {
    seeded_random random{seed};
    for (int i = 0; i < 6; ++i)
      base[fmt::format("note {}", i)] = make_content(random, 1 + random.below(6000), i % 2 == 0);
    base["letters/long"] = make_content(random, 700'000, false);
    for (int i = 0; i < 5; ++i)
      fresh[fmt::format("leaf {}", i)] = make_content(random, 1 + random.below(20'000), i % 2 == 0);
    fresh["deep/tree"] = make_content(random, 2'300'000, false);
    fresh["deep/empty"] = std::make_shared<std::string>();
    // Half of it is known already.
    fresh["known"] = base["letters/long"];
    for (const auto& [name, old] : base)
      if (name != "note 5")
        changed[name] = make_content(random, old->size() / 2 + 1, false);
    big = make_content(random, 19 << 20, false);
  }

  files base;
  files fresh;
  files changed;
  content big; ///< Longer than a pack.
};

using shared_materials = std::shared_ptr<const materials>;

void add_sources(store_under_test& store, const std::string& folder, const files& what) {
  for (const auto& [name, text] : what)
    store.add_source(folder + "/" + name, text);
}

starting_point freeze(store_under_test& store) {
  store.close();
  return {store.freeze(), store.expected()};
}

/// A vault with the base files in /base and sources for the rest.
std::unique_ptr<store_under_test> make_base(const materials& from, uint64_t seed) {
  auto store = store_under_test::make(seed);
  add_sources(*store, "/src/base", from.base);
  add_sources(*store, "/src/fresh", from.fresh);
  add_sources(*store, "/src/changed", from.changed);
  REQUIRE(store->open());
  REQUIRE(store->put_folder("/src/base", "/base", from.base));
  REQUIRE(store->put("/single", from.base.at("note 1")));
  return store;
}

/// Files of which some were removed and some replaced, in packs of their own.
std::unique_ptr<store_under_test> make_worn(const materials& from, uint64_t seed) {
  auto store = make_base(from, seed);
  REQUIRE(store->put_folder("/src/changed", "/base", from.changed));
  REQUIRE(store->put_folder("/src/fresh", "/fresh", from.fresh));
  REQUIRE(store->remove("/fresh/deep/tree", false));
  REQUIRE(store->remove("/base/note 0", false));
  REQUIRE(store->vault().flush());
  return store;
}

result<void> run_put(store_under_test& store, const materials& what) {
  return store.put_folder("/src/fresh", "/fresh", what.fresh)
      .and_then([&] { return store.put("/streamed", what.fresh.at("leaf 1")); })
      .and_then([&] { return store.put("/second", what.changed.at("letters/long")); });
}

/// Two puts at once: the second is begun before the first is done.
result<void> run_put_together(store_under_test& store, const materials& what) {
  for (const auto& [name, text] : what.fresh)
    store.expected().may_become("/fresh/" + name, text);
  std::promise<result<put_summary>> done;
  auto answered = done.get_future();
  store.vault().put(put_request{{{"/src/fresh", "/fresh"}}, if_exists::version, {}, {}, false},
                    [&](result<put_summary> outcome) { done.set_value(std::move(outcome)); });
  auto beside = store.put("/beside", what.changed.at("letters/long"));
  auto folder = answered.get();
  if (folder && folder->failures.empty())
    for (const auto& [name, text] : what.fresh)
      store.expected().is("/fresh/" + name, text);
  if (!folder)
    return fail(folder.error());
  store.told_short(folder->shards_short);
  return beside;
}

result<void> run_put_long(store_under_test& store, const materials& what) {
  return store.put("/long", what.big).and_then([&] { return store.put("/short", what.base.at("note 2")); });
}

result<void> run_overwrite(store_under_test& store, const materials& what) {
  return store.put_folder("/src/changed", "/base", what.changed).and_then([&] { return store.put("/single", what.fresh.at("leaf 2")); });
}

result<void> run_delete(store_under_test& store) {
  return store.remove("/base/note 2", false)
      .and_then([&] { return store.vault().flush(); })
      .and_then([&] { return store.remove("/base/letters", true); })
      .and_then([&] { return store.remove("/single", false); })
      .and_then([&] { return store.vault().flush(); })
      .and_then([&] { return store.remove("/base/note 3", false); });
}

result<void> run_repair(store_under_test& store) {
  verify_request request;
  request.deep = true;
  request.repair = true;
  auto repaired = store.vault().verify(request);
  if (!repaired)
    return fail(repaired.error());
  if (repaired->shards_unplaced > 0)
    return fail(errc::degraded, "repair");
  return {};
}

/// A day later something comes, and a look in the background brings a checkpoint.
result<void> put_after_a_day(store_under_test& store, const std::string& path, const content& what) {
  store.time().advance(std::chrono::hours{25});
  auto stored = store.put(path, what);
  if (!stored)
    return stored;
  if (auto looked = store.vault().verify({.background = true}); !looked)
    return fail(looked.error());
  store.close();
  return store.open();
}

result<void> run_checkpoint(store_under_test& store, const materials& what) {
  return put_after_a_day(store, "/first", what.fresh.at("leaf 1"))
      .and_then([&] { return store.remove("/base/note 2", false); })
      .and_then([&] { return put_after_a_day(store, "/second", what.fresh.at("leaf 2")); });
}

/// Checkpoints, and what cleanup leaves behind for them, in turns.
result<void> run_cleanup_after_checkpoints(store_under_test& store, const materials& what) {
  // The disk was made two days after the hour at which a store begins.
  store.time().advance(std::chrono::hours{48});
  return run_cleanup(store)
      .and_then([&] { return put_after_a_day(store, "/single", what.fresh.at("leaf 3")); })
      .and_then([&] { return store.remove("/base/note 4", false); })
      .and_then([&] { return run_cleanup(store); })
      .and_then([&] { return store.put("/last", what.fresh.at("leaf 4")); });
}

result<void> run_rebuild(store_under_test& store) {
  store.close_vault();
  auto rebuilt = store.rebuild();
  if (!rebuilt)
    return fail(rebuilt.error());
  return store.open();
}

} // namespace

result<void> run_cleanup(store_under_test& store) {
  cleanup_request request;
  request.trash_age = std::chrono::seconds{0};
  request.keep_versions = 2;
  auto cleaned = store.vault().cleanup(request);
  if (!cleaned)
    return fail(cleaned.error());
  return {};
}

std::vector<script> all_scripts(uint64_t seed) {
  auto what = std::make_shared<const materials>(seed);
  auto base = [what](uint64_t s) {
    return freeze(*make_base(*what, s));
  };
  auto worn = [what](uint64_t s) {
    return freeze(*make_worn(*what, s));
  };
  auto holed = [what](uint64_t s) {
    auto store = make_worn(*what, s);
    store->close();
    auto shards = shard_files(store->disk());
    REQUIRE(shards.size() > 3);
    // One is gone, one does not read as it was written, in different packs.
    REQUIRE(store->disk().remove(shards.front().path));
    for (const auto& shard : shards)
      if (shard.pack != shards.front().pack) {
        REQUIRE(store->disk().flip_bit(shard.path, shard.size * 8 - 5));
        break;
      }
    store->expected().may_be_damaged(1);
    return freeze(*store);
  };
  auto checkpointed = [what](uint64_t s) {
    auto store = make_worn(*what, s);
    REQUIRE(put_after_a_day(*store, "/early", what->fresh.at("leaf 0")));
    REQUIRE(put_after_a_day(*store, "/between", what->fresh.at("leaf 0")));
    REQUIRE(store->remove("/base/note 1", false));
    return freeze(*store);
  };
  return {
      {"put", base, [what](auto& store) { return run_put(store, *what); }, true},
      {"two puts at once", base, [what](auto& store) { return run_put_together(store, *what); }, true},
      {"put over several packs", base, [what](auto& store) { return run_put_long(store, *what); }, true},
      {"overwrite", base, [what](auto& store) { return run_overwrite(store, *what); }, true},
      {"delete", worn,
       [](auto& store) {
         return run_delete(store);
       }},
      {"repair", holed,
       [](auto& store) {
         return run_repair(store);
       }},
      {"cleanup", worn,
       [](auto& store) {
         return run_cleanup(store);
       }},
      {"checkpoint", base,
       [what](auto& store) {
         return run_checkpoint(store, *what);
       }},
      {"cleanup with checkpoints", checkpointed,
       [what](auto& store) {
         return run_cleanup_after_checkpoints(store, *what);
       }},
      {"rebuild from a checkpoint", checkpointed,
       [](auto& store) {
         return run_rebuild(store);
       }},
      {"rebuild", worn,
       [](auto& store) {
         return run_rebuild(store);
       }},
  };
}

script script_named(const std::string& name, uint64_t seed) {
  for (auto& one : all_scripts(seed))
    if (name == one.name)
      return one;
  FAIL("no script is called " << name);
  return {};
}

} // namespace datamesh::test
