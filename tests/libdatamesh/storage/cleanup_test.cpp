#include "storage/cleanup.hpp"

#include "tests/libdatamesh/storage/catalog_fixture.hpp"

using namespace datamesh;
using namespace datamesh::storage;
using namespace datamesh::test;

namespace {

constexpr int64_t day = 24ll * 3600 * 1'000'000'000;

operations_entry batch(uint32_t length) {
  operations_entry o;
  o.sealed_length = length;
  o.device = device(1);
  o.first_sequence = 1;
  o.last_sequence = 2;
  return o;
}

struct fixture {
  std::shared_ptr<memory_disk> disk = std::make_shared<memory_disk>();
  std::unique_ptr<catalog> names = open_catalog(disk);
  retention rules;
  copy_protection copies{{4, 2}, 6};
  std::set<pack_id> pinned;
  uint64_t next_pack = 1000;

  fixture() {
    rules.short_pack_bytes = 0;
  }
  cleanup_plan plan(int64_t now_ns = 0) {
    auto p = plan_cleanup(*names, rules, copies, now_ns, pinned);
    REQUIRE(p);
    return std::move(*p);
  }
  std::vector<pack_record> all_packs() {
    auto list = names->packs(std::nullopt, 1000);
    REQUIRE(list);
    return std::move(*list);
  }
  void apply(std::vector<operation_body> bodies, int64_t wall_ns = 0) {
    test::apply(*names, std::move(bodies), wall_ns);
  }
  /// As the actor does: copy forward, condemn, forget.
  void carry_out(const cleanup_plan& p) {
    catalog_commit c;
    auto bodies = p.forget;
    std::map<space_id, catalog_commit::new_pack> fresh;
    std::vector<pack_id> gone = p.dead;
    for (const auto& copy : p.copied) {
      auto& target = fresh.try_emplace(copy.space, new_pack(pack(++next_pack), {})).first->second;
      target.table.space = copy.space;
      for (auto e : copy.living) {
        e.offset = static_cast<uint32_t>(128 + 500 * target.table.chunks.size());
        target.table.chunks.push_back(e);
      }
      for (const auto& o : copy.operations)
        target.table.operations.push_back(o);
      gone.push_back(copy.pack);
    }
    for (auto& [space, target] : fresh)
      c.packs.push_back(target);
    if (!gone.empty())
      bodies.emplace_back(condemn_packs{gone});
    c.operations = names->stamp(bodies, 0);
    REQUIRE(names->commit(c));
    catalog_commit second;
    second.forgotten = gone;
    REQUIRE(names->commit(second));
  }
};

std::vector<pack_id> copied_packs(const cleanup_plan& p) {
  std::vector<pack_id> out;
  for (const auto& c : p.copied)
    out.push_back(c.pack);
  return out;
}

} // namespace

TEST_CASE("nothing is to be cleaned where all lives", "[cleanup]") {
  fixture f;
  add(*f.names, {new_pack(pack(1), {chunk(1), chunk(2)})});
  f.apply({make(nth_node(1), root_node(), "a"), put(nth_node(1), version(1), {chunk(1), chunk(2)})});
  auto p = f.plan();
  CHECK(p.forget.empty());
  CHECK(p.dead.empty());
  CHECK(p.copied.empty());
  CHECK(p.bytes_freed == 0);
}

TEST_CASE("the trash is emptied when its time has run out, folders with all that is in them", "[cleanup]") {
  fixture f;
  add(*f.names, {new_pack(pack(1), {chunk(1)}), new_pack(pack(2), {chunk(2)})});
  f.apply({make(nth_node(1), root_node(), "d", node_kind::folder), make(nth_node(2), nth_node(1), "f"),
           put(nth_node(2), version(1), {chunk(1)}), make(nth_node(3), root_node(), "g"), put(nth_node(3), version(2), {chunk(2)})});
  f.apply({make(nth_node(1), trash_node(), "d", node_kind::folder)}, 10 * day);
  auto young = f.plan(40 * day - 1);
  CHECK(young.forget.empty());
  CHECK(young.dead.empty());
  CHECK(f.plan(5 * day).forget.empty()); // The clock went back.
  auto p = f.plan(40 * day);
  REQUIRE(p.forget.size() == 2);
  CHECK(std::get<purge_node>(p.forget[0]).node == nth_node(2));
  CHECK(std::get<purge_node>(p.forget[1]).node == nth_node(1));
  CHECK(p.nodes_forgotten == 2);
  CHECK(p.versions_forgotten == 1);
  CHECK(p.dead == std::vector{pack(1)});
  CHECK(p.bytes_freed == 6 * 8192);
  f.carry_out(p);
  CHECK(f.names->list(trash_node(), "", 10)->empty());
  CHECK(f.names->find_chunk(chunk(2)).value());
  CHECK(f.names->check());
  CHECK(f.plan(40 * day).dead.empty());
}

TEST_CASE("a trash that keeps nothing is emptied even when the clock was set back", "[cleanup]") {
  fixture f;
  add(*f.names, {new_pack(pack(1), {chunk(1)})});
  f.apply({make(nth_node(1), root_node(), "a"), put(nth_node(1), version(1), {chunk(1)})});
  f.apply({make(nth_node(1), trash_node(), "a")}, 10 * day);
  f.rules.trash_ns = 0;
  CHECK(f.plan(10 * day).nodes_forgotten == 1);
  CHECK(f.plan(5 * day).nodes_forgotten == 1);
  f.rules.trash_ns = 1;
  CHECK(f.plan(10 * day).forget.empty());
}

TEST_CASE("a folder of very many entries leaves the trash whole", "[cleanup]") {
  // More than are listed at once, on two levels.
  constexpr uint64_t many = 700;
  fixture f;
  std::vector<operation_body> bodies{make(nth_node(1), root_node(), "d", node_kind::folder)};
  for (uint64_t i = 0; i < many; ++i) {
    bodies.emplace_back(move_node{nth_node(10 + i), nth_node(1), "f" + std::to_string(i), node_kind::folder});
    bodies.emplace_back(move_node{nth_node(10'000 + i), nth_node(10 + i), "g", node_kind::file});
  }
  f.apply(std::move(bodies));
  f.apply({make(nth_node(1), trash_node(), "d", node_kind::folder)});
  auto p = f.plan(100 * day);
  CHECK(p.nodes_forgotten == 2 * many + 1);
  f.carry_out(p);
  CHECK(f.names->list(trash_node(), "", 10)->empty());
  CHECK(f.names->check());
  CHECK(f.plan(100 * day).forget.empty());
}

TEST_CASE("old versions go by number and by age but never the current one", "[cleanup]") {
  fixture f;
  f.apply({make(nth_node(1), root_node(), "a")});
  for (uint64_t v = 1; v <= 6; ++v)
    f.apply({put(nth_node(1), version(v), {}, v > 1 ? std::vector{version(v - 1)} : std::vector<version_id>{})},
            static_cast<int64_t>(v) * day);
  CHECK(f.plan(100 * day).forget.empty());
  f.rules.versions_kept = 3;
  auto p = f.plan(100 * day);
  REQUIRE(p.forget.size() == 3);
  CHECK(std::get<drop_version>(p.forget[0]).version == version(3));
  CHECK(std::get<drop_version>(p.forget[2]).version == version(1));
  CHECK(p.versions_forgotten == 3);
  f.rules.versions_kept = 1;
  CHECK(f.plan(100 * day).forget.size() == 5);
  f.rules.versions_kept = 0;
  f.rules.versions_kept_ns = 4 * day;
  CHECK(f.plan(8 * day).forget.size() == 4);
  CHECK(f.plan(100 * day).forget.size() == 5);
  f.carry_out(f.plan(100 * day));
  CHECK(f.names->node(nth_node(1))->version == version(6));
  CHECK(f.plan(100 * day).forget.empty());
}

TEST_CASE("chunks that only a dropped version names are dead with it", "[cleanup]") {
  fixture f;
  add(*f.names, {new_pack(pack(1), {chunk(1)}), new_pack(pack(2), {chunk(2)}), new_pack(pack(3), {chunk(3)})});
  f.apply({make(nth_node(1), root_node(), "a"), put(nth_node(1), version(1), {chunk(1), chunk(2)}),
           put(nth_node(1), version(2), {chunk(2)}, {version(1)}), put(nth_node(1), version(3), {chunk(3)}, {version(2)})});
  CHECK(f.plan().dead.empty());
  f.rules.versions_kept = 2;
  CHECK(f.plan().dead == std::vector{pack(1)});
}

TEST_CASE("thin packs are copied with their operations and packs without any life are dead", "[cleanup]") {
  fixture f;
  auto thin = new_pack(pack(1), {chunk(1), chunk(2), chunk(3), chunk(4)});
  thin.table.operations = {batch(100)};
  auto only_operations = new_pack(pack(2), {chunk(5)});
  only_operations.table.operations = {batch(100)};
  add(*f.names, {thin, only_operations, new_pack(pack(3), {chunk(6)}), new_pack(pack(4), {chunk(7), chunk(8)})});
  f.apply({make(nth_node(1), root_node(), "a"), put(nth_node(1), version(1), {chunk(3), chunk(7), chunk(8)})});
  auto p = f.plan();
  CHECK(p.dead == std::vector{pack(3)});
  REQUIRE(copied_packs(p) == std::vector{pack(1), pack(2)});
  REQUIRE(p.copied[0].living.size() == 1);
  CHECK(p.copied[0].living[0].id == chunk(3));
  CHECK(p.copied[0].living[0].offset == 128 + 2 * 500);
  CHECK(p.copied[0].operations.size() == 1);
  CHECK(p.copied[0].bytes == 600);
  CHECK(p.copied[1].living.empty());
  CHECK(p.copied[1].operations.size() == 1);
  // Three packs of six shards go, one small one comes.
  auto fresh = geometry_for(4, 2, 128 + 700 + 3 * 64);
  CHECK(p.bytes_freed == 3 * 6 * 8192 - uint64_t{fresh.shard_length} * 6);
  f.carry_out(p);
  CHECK(f.names->find_chunk(chunk(3)).value()->pack == pack(1001));
  CHECK(f.names->table_of(pack(1001))->operations.size() == 2);
  CHECK(f.names->check());
  auto again = f.plan();
  CHECK(again.dead.empty());
  CHECK(again.copied.empty());
}

TEST_CASE("short packs are merged when there are several in a space", "[cleanup]") {
  fixture f;
  f.rules.short_pack_bytes = 1 << 20;
  auto other_space = new_pack(pack(2), {chunk(2)});
  other_space.table.space = numbered<space_id>(2);
  add(*f.names, {new_pack(pack(1), {chunk(1)}), other_space});
  f.apply({make(nth_node(1), root_node(), "a"), put(nth_node(1), version(1), {chunk(1), chunk(2), chunk(3)})});
  CHECK(f.plan().copied.empty());
  add(*f.names, {new_pack(pack(3), {chunk(3)})});
  CHECK(copied_packs(f.plan()) == std::vector{pack(1), pack(3)});
  f.pinned = {pack(3)};
  CHECK(f.plan().copied.empty());
}

TEST_CASE("pinned packs are left alone", "[cleanup]") {
  fixture f;
  add(*f.names, {new_pack(pack(1), {chunk(1)}), new_pack(pack(2), {chunk(2)})});
  f.pinned = {pack(1)};
  CHECK(f.plan().dead == std::vector{pack(2)});
}

TEST_CASE("an interrupted cleanup is taken up again", "[cleanup]") {
  fixture f;
  auto a = new_pack(pack(1), {chunk(1)});
  a.table.operations = {batch(10)};
  add(*f.names, {a});
  f.apply({make(nth_node(1), root_node(), "a"), put(nth_node(1), version(1), {chunk(1)}), condemn_packs{{pack(1)}}});
  // Condemned, not yet copied: its life must be saved.
  CHECK(copied_packs(f.plan()) == std::vector{pack(1)});
  add(*f.names, {new_pack(pack(2), {chunk(1)})});
  // The chunk is elsewhere by now, the operations are not.
  CHECK(copied_packs(f.plan()) == std::vector{pack(1)});
  CHECK(f.plan().copied[0].living.empty());
  catalog_commit c;
  c.placed = {*f.names->find_pack(pack(1)).value()};
  c.placed[0].copied_forward = true;
  REQUIRE(f.names->commit(c));
  CHECK(f.plan().dead == std::vector{pack(1)});
  CHECK(f.plan().copied.empty());
}

TEST_CASE("of two copies of a chunk one is enough", "[cleanup]") {
  fixture f;
  add(*f.names, {new_pack(pack(1), {chunk(1)}), new_pack(pack(2), {chunk(1)})});
  f.apply({make(nth_node(1), root_node(), "a"), put(nth_node(1), version(1), {chunk(1)})});
  auto p = f.plan();
  CHECK(p.dead == std::vector{pack(2)});
  CHECK(p.copied.empty());
}

TEST_CASE("whatever is cleaned, every living chunk is still found", "[cleanup]") {
  auto seed = run_seed();
  CAPTURE(seed);
  seeded_random random{seed};
  for (int round = 0; round < 25; ++round) {
    CAPTURE(round);
    fixture f;
    f.rules.trash_ns = 20;
    f.rules.versions_kept = static_cast<uint32_t>(random.below(4));
    f.rules.short_pack_bytes = random.below(2) ? 2000 : 0;
    std::map<uint64_t, std::vector<chunk_id>> content; // By version.
    uint64_t packs = 0;
    uint64_t versions = 0;
    std::map<uint64_t, uint64_t> current;
    for (int64_t now = 0; now < 60; ++now) {
      std::vector<chunk_id> stored;
      for (auto n = random.below(6); n > 0; --n)
        stored.push_back(chunk(random.below(40)));
      auto p = new_pack(pack(++packs), stored);
      p.table.space = numbered<space_id>(1 + random.below(2));
      if (random.below(2))
        p.table.operations = {batch(50)};
      add(*f.names, {p});
      auto n = 1 + random.below(10);
      std::vector<operation_body> bodies{make(nth_node(n), random.below(4) ? root_node() : trash_node(), std::to_string(n))};
      std::vector<chunk_id> used;
      for (uint64_t c = 0; c < 40; ++c)
        if (random.below(8) == 0 && f.names->find_chunk(chunk(c)).value())
          used.push_back(chunk(c));
      std::vector<version_id> replaces;
      if (current.count(n))
        replaces.push_back(version(current[n]));
      bodies.emplace_back(put(nth_node(n), version(++versions), used, replaces));
      content[versions] = used;
      current[n] = versions;
      f.apply(bodies, now);
      if (random.below(6) != 0)
        continue;
      f.pinned.clear();
      for (const auto& r : f.all_packs())
        if (random.below(8) == 0)
          f.pinned.insert(r.seal.id);
      auto plan = f.plan(now);
      for (const auto& id : f.pinned) {
        CHECK(std::count(plan.dead.begin(), plan.dead.end(), id) == 0);
        CHECK(f.names->find_pack(id).value());
      }
      auto batches = [&] {
        size_t count = 0;
        for (const auto& r : f.all_packs())
          count += f.names->table_of(r.seal.id)->operations.size();
        return count;
      };
      auto batches_before = batches();
      auto bytes_before = f.names->totals()->logical_bytes;
      f.carry_out(plan);
      CHECK(batches() == batches_before);
      CHECK(f.names->totals()->logical_bytes <= bytes_before);
      auto sound = f.names->check();
      INFO((sound ? "" : sound.error().message()));
      REQUIRE(sound);
      std::set<chunk_id> living;
      REQUIRE(f.names->visit_references([&](const node_id&, const version_id& v, const chunk_id& c) {
        living.insert(c);
        REQUIRE(f.names->find_chunk(c).value());
        bool known = false;
        for (const auto& [number, chunks] : content)
          known = known || (version(number) == v && std::count(chunks.begin(), chunks.end(), c));
        CHECK(known);
        return true;
      }));
      f.pinned.clear();
      auto again = f.plan(now);
      CHECK(again.forget.empty());
      f.carry_out(again);
      // Without pins nothing dead remains but what thin packs may hold.
      for (const auto& r : f.all_packs()) {
        auto table = f.names->table_of(r.seal.id).value();
        size_t alive = 0;
        for (const auto& e : table.chunks)
          alive += living.count(e.id);
        CHECK((alive > 0 || !table.operations.empty()));
      }
    }
  }
}

TEST_CASE("what checkpoints cover is not carried along", "[cleanup]") {
  fixture f;
  auto part = [](uint64_t number) {
    auto o = batch(500);
    o.checkpoint = true;
    o.first_sequence = o.last_sequence = checkpoint_place{number, 0}.sequence();
    return o;
  };
  auto covered = batch(500);
  auto later = batch(500);
  later.first_sequence = later.last_sequence = 3;
  auto only_covered = new_pack(pack(1), {});
  only_covered.table.operations = {covered, part(7)};
  auto with_later = new_pack(pack(2), {});
  with_later.table.operations = {covered, later};
  auto with_kept = new_pack(pack(3), {});
  with_kept.table.operations = {covered, part(8), covered};
  add(*f.names, {only_covered, with_later, with_kept});
  checkpoint_cover cover;
  cover.superseded = {7};
  for (uint64_t number : {8u, 9u}) {
    auto& log = cover.kept.emplace_back(good_checkpoint{number, {}}).header.devices[device(1)];
    log.add(1, digest{}, digest{});
    log.add(2, digest{}, digest{});
  }
  SECTION("with two checkpoints") {
    auto plan = plan_cleanup(*f.names, f.rules, f.copies, 0, {}, cover).value();
    REQUIRE(plan.dead == std::vector{pack(1)});
    REQUIRE(plan.copied.size() == 2);
    for (const auto& copy : plan.copied) {
      REQUIRE(copy.operations.size() == 1);
      CHECK(copy.bytes == 500);
      CHECK((copy.pack == pack(2) ? copy.operations[0].first_sequence == 3 : copy.operations[0].checkpoint));
    }
  }
  SECTION("with one, all of it") {
    cover.kept.pop_back();
    auto plan = plan_cleanup(*f.names, f.rules, f.copies, 0, {}, cover).value();
    CHECK(plan.dead.empty());
    CHECK(plan.copied.empty());
  }
}

TEST_CASE("a copy survives the loss of no fewer drives than what it is made from", "[cleanup]") {
  fixture f;
  auto shaped = [](uint64_t n, uint8_t k, uint8_t m, uint64_t drives) {
    auto p = new_pack(pack(n), {chunk(2 * n), chunk(2 * n + 1), chunk(1000 + n)});
    p.record.seal.shape = {k, m, 8192};
    p.record.seal.shard_roots.assign(k + m, digest{});
    p.record.drives.clear();
    for (uint64_t i = 0; i < uint64_t{k} + m; ++i)
      p.record.drives.push_back(numbered<drive_id>(1 + i % drives));
    return p;
  };
  add(*f.names, {shaped(1, 6, 0, 6), shaped(2, 3, 3, 6), shaped(3, 10, 2, 1), shaped(4, 4, 2, 6), shaped(5, 10, 6, 8)});
  // One of the three chunks of each lives on.
  for (uint64_t n = 1; n <= 5; ++n)
    f.apply({make(nth_node(n), root_node(), std::to_string(n)), put(nth_node(n), version(n), {chunk(1000 + n)})});
  auto policies = [&] {
    std::map<pack_id, std::string> found;
    for (const auto& copy : f.plan().copied)
      found[copy.pack] = to_string(copy.how);
    return found;
  };
  SECTION("where it survives less than new data it is made as that is, and what would survive less stays") {
    CHECK(policies() == std::map<pack_id, std::string>{{pack(1), "4+2"}, {pack(2), "3+3"}, {pack(3), "4+2"}, {pack(4), "4+2"}});
  }
  SECTION("and with drives enough it keeps its shape") {
    f.copies.drives = 16;
    CHECK(policies()[pack(5)] == "10+6");
  }
  SECTION("on one drive nothing survives its loss, and shapes are kept") {
    f.copies = {{10, 2, domain_level::block}, 1};
    CHECK(policies()[pack(3)] == "10+2");
    CHECK(policies().count(pack(2)) == 0);
  }
}

TEST_CASE("packs that survive less than is asked for are copied for that alone", "[cleanup]") {
  fixture f;
  auto strong = new_pack(pack(1), {chunk(1)});
  auto weak = new_pack(pack(2), {chunk(2)});
  weak.record.seal.shape = {6, 0, 8192};
  auto gathered = new_pack(pack(3), {chunk(3)});
  gathered.record.drives.assign(6, numbered<drive_id>(1));
  auto gone = new_pack(pack(4), {chunk(4)});
  gone.record.seal.shape = {6, 0, 8192};
  add(*f.names, {strong, weak, gathered, gone});
  for (uint64_t n = 1; n <= 4; ++n)
    f.apply({make(nth_node(n), root_node(), std::to_string(n)), put(nth_node(n), version(n), {chunk(n)})});
  REQUIRE(f.names->mark_packs({pack(4)}, {}));
  CHECK(f.plan().copied.empty());
  f.copies.raised = true;
  CHECK(copied_packs(f.plan()) == std::vector{pack(2), pack(3)});
  f.copies.how = {3, 3};
  CHECK(copied_packs(f.plan()) == std::vector{pack(1), pack(2), pack(3)});
  f.copies.how = {5, 1};
  CHECK(copied_packs(f.plan()) == std::vector{pack(2), pack(3)});
}

TEST_CASE("a pack survives the loss of drives as its shards lie on them", "[cleanup]") {
  auto p = new_pack(pack(1), {}).record;
  CHECK(drive_losses_survived(p) == 2);
  p.drives[1] = p.drives[0];
  CHECK(drive_losses_survived(p) == 1);
  p.drives[2] = p.drives[0];
  CHECK(drive_losses_survived(p) == 0);
  // One that is missing will be rebuilt on a drive of its own.
  p.drives[0] = p.drives[1] = {};
  CHECK(drive_losses_survived(p) == 2);
}
