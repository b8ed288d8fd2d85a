#include "tests/libdatamesh/storage/catalog_fixture.hpp"

#include "crypto/hash.hpp"

using namespace datamesh;
using namespace datamesh::storage;
using namespace datamesh::test;

namespace {

struct fixture {
  std::shared_ptr<memory_disk> disk = std::make_shared<memory_disk>();
  std::unique_ptr<catalog> names = open_catalog(disk);

  void reopen() {
    names.reset();
    names = open_catalog(disk);
  }
  void apply(std::vector<operation_body> bodies, int64_t wall_ns = 0) {
    test::apply(*names, std::move(bodies), wall_ns);
  }
  std::vector<std::string> listing(const node_id& parent) {
    std::vector<std::string> out;
    auto list = names->list(parent, "", 1000);
    REQUIRE(list);
    for (const auto& n : *list)
      out.push_back(n.name);
    return out;
  }
};

std::unique_ptr<catalog> must_open(result<std::unique_ptr<catalog>> opened) {
  REQUIRE(opened);
  return std::move(*opened);
}

errc code_of(const result<node_view>& r) {
  REQUIRE_FALSE(r);
  return r.error().code();
}

using names_list = std::vector<std::string>;

} // namespace

// -- names -------------------------------------------------------------------------

TEST_CASE("an empty catalog has a root and nothing else", "[catalog]") {
  fixture f;
  auto root = f.names->resolve("");
  REQUIRE(root);
  CHECK(root->node == root_node());
  CHECK(root->kind == node_kind::folder);
  CHECK(f.names->resolve("///")->node == root_node());
  CHECK(f.names->path_of(root_node()).value() == "/");
  CHECK(f.listing(root_node()).empty());
  CHECK(f.listing(trash_node()).empty());
  CHECK(f.names->totals()->files == 0);
  CHECK_FALSE(f.names->was_interrupted());
  CHECK(f.names->check());
  CHECK(f.disk->writes == 0);
}

TEST_CASE("paths resolve with and without slashes around them", "[catalog]") {
  fixture f;
  add(*f.names, {new_pack(pack(1), {chunk(1), chunk(2)})});
  f.apply({make(nth_node(1), root_node(), "a", node_kind::folder), make(nth_node(2), nth_node(1), "b"),
           put(nth_node(2), version(1), {chunk(1), chunk(2)})},
          42);
  for (auto path : {"a/b", "/a/b", "//a///b"}) {
    auto view = f.names->resolve(path);
    REQUIRE(view);
    CHECK(view->node == nth_node(2));
    CHECK(view->parent == nth_node(1));
    CHECK(view->name == "b");
    CHECK(view->size == 2000);
    CHECK(view->mode == 0644);
    CHECK(view->version == version(1));
    CHECK(view->version_count == 1);
    CHECK(view->extent_count == 2);
    CHECK(view->moved_ns == 42);
  }
  CHECK(f.names->resolve("a/")->child_count == 1);
  CHECK(f.names->path_of(nth_node(2)).value() == "/a/b");
  CHECK(code_of(f.names->resolve("a/b/c")) == errc::not_a_folder);
  CHECK(code_of(f.names->resolve("a/b/")) == errc::not_a_folder);
  CHECK(code_of(f.names->resolve("a/c/d")) == errc::not_found);
  CHECK(f.names->resolve("a/c/d").error().object() == "a/c");
  CHECK(code_of(f.names->node(nth_node(9))) == errc::not_found);
  CHECK(f.names->path_of(nth_node(9)).error().code() == errc::not_found);
  CHECK(f.names->check());
}

TEST_CASE("a folder is renamed and moved with all that is in it", "[catalog]") {
  fixture f;
  f.apply({make(nth_node(1), root_node(), "a", node_kind::folder), make(nth_node(2), nth_node(1), "b", node_kind::folder),
           make(nth_node(3), nth_node(2), "c"), make(nth_node(4), root_node(), "z", node_kind::folder)});
  f.apply({make(nth_node(1), nth_node(4), "new", node_kind::folder)});
  CHECK(f.names->path_of(nth_node(3)).value() == "/z/new/b/c");
  CHECK(f.listing(root_node()) == names_list{"z"});
  // Into its own descendant it does not go.
  f.apply({make(nth_node(4), nth_node(2), "loop", node_kind::folder), make(nth_node(4), nth_node(4), "self", node_kind::folder)});
  CHECK(f.names->path_of(nth_node(3)).value() == "/z/new/b/c");
  CHECK(f.names->check());
}

TEST_CASE("of two nodes with one name the older keeps it and both are found", "[catalog]") {
  fixture f;
  f.apply({make(nth_node(1), root_node(), "x"), make(nth_node(2), root_node(), "x"), make(nth_node(3), root_node(), "x")});
  auto second = "x~" + nth_node(2).brief();
  auto third = "x~" + nth_node(3).brief();
  CHECK(f.listing(root_node()) == names_list{"x", second, third});
  CHECK(f.names->resolve("x")->node == nth_node(1));
  CHECK(f.names->resolve(second)->node == nth_node(2));
  CHECK(f.names->node(nth_node(3))->name == third);
  CHECK(f.names->path_of(nth_node(3)).value() == "/" + third);
  CHECK(f.names->check());
  f.apply({make(nth_node(1), root_node(), "y")});
  CHECK(f.listing(root_node()) == names_list{"x", third, "y"});
  CHECK(f.names->resolve("x")->node == nth_node(2));
  CHECK_FALSE(f.names->child(root_node(), second).value());
  f.apply({make(nth_node(3), trash_node(), "x")});
  CHECK(f.listing(root_node()) == names_list{"x", "y"});
  CHECK(f.names->check());
}

TEST_CASE("a name that looks like an alias is shown beside the alias", "[catalog]") {
  fixture f;
  auto alias = "x~" + nth_node(2).brief();
  f.apply({make(nth_node(1), root_node(), "x"), make(nth_node(2), root_node(), "x"), make(nth_node(3), root_node(), alias)});
  CHECK(f.listing(root_node()) == names_list{"x", alias, alias});
  CHECK(f.names->resolve(alias)->node == nth_node(3));
  CHECK(f.names->totals()->files == 3);
  CHECK(f.names->check());
  f.apply({make(nth_node(3), root_node(), "other")});
  CHECK(f.names->resolve(alias)->node == nth_node(2));
  CHECK(f.names->check());
}

TEST_CASE("listing goes on behind a cursor in bytewise order", "[catalog]") {
  fixture f;
  std::vector<operation_body> bodies;
  std::vector<std::string> expected;
  for (uint64_t i = 0; i < 700; ++i) {
    std::string name = "n" + std::to_string(i * 7919 % 1000) + (i % 2 ? "\xff" : " ");
    bodies.emplace_back(make(nth_node(i + 1), root_node(), name));
    expected.push_back(name);
  }
  f.apply(bodies);
  std::sort(expected.begin(), expected.end());
  for (size_t limit : {1u, 7u, 256u, 1000u}) {
    names_list seen;
    std::string after;
    for (;;) {
      auto page = f.names->list(root_node(), after, limit);
      REQUIRE(page);
      CHECK(page->size() <= limit);
      if (page->empty())
        break;
      for (const auto& n : *page)
        seen.push_back(n.name);
      after = seen.back();
      if (limit == 1 && seen.size() == 20)
        break;
    }
    CHECK(std::equal(seen.begin(), seen.end(), expected.begin()));
    CHECK((limit == 1 || seen.size() == expected.size()));
  }
  CHECK(f.names->list(root_node(), "n1", 0)->empty());
}

// -- trash -------------------------------------------------------------------------

TEST_CASE("a node in the trash keeps its versions until it is purged", "[catalog]") {
  fixture f;
  add(*f.names, {new_pack(pack(1), {chunk(1)})});
  f.apply({make(nth_node(1), root_node(), "d", node_kind::folder), make(nth_node(2), nth_node(1), "f"),
           put(nth_node(2), version(1), {chunk(1)}), set_tag{nth_node(2), "k", "v"}});
  f.apply({make(nth_node(1), trash_node(), "d", node_kind::folder)});
  CHECK(code_of(f.names->resolve("d")) == errc::not_found);
  CHECK(f.names->path_of(nth_node(2)).error().code() == errc::not_found);
  CHECK(f.listing(trash_node()) == names_list{"d"});
  CHECK(f.names->versions(nth_node(2))->size() == 1);
  f.apply({make(nth_node(1), root_node(), "back", node_kind::folder)});
  CHECK(f.names->path_of(nth_node(2)).value() == "/back/f");
  f.apply({make(nth_node(1), trash_node(), "d", node_kind::folder), purge_node{nth_node(2)}, purge_node{nth_node(1)}});
  CHECK(f.listing(trash_node()).empty());
  CHECK(f.names->versions(nth_node(2))->empty());
  CHECK(f.names->tags(nth_node(2))->empty());
  CHECK(f.names->extents(version(1), 0, 10).error().code() == errc::not_found);
  CHECK(f.names->totals()->files == 0);
  CHECK(f.names->totals()->folders == 0);
  CHECK(f.names->totals()->versions == 0);
  CHECK(f.names->totals()->logical_bytes == 0);
  CHECK(f.names->check());
}

TEST_CASE("a purged folder stays in sight while something in it lives", "[catalog]") {
  fixture f;
  f.apply({make(nth_node(1), root_node(), "d", node_kind::folder), make(nth_node(2), nth_node(1), "e", node_kind::folder),
           make(nth_node(3), nth_node(2), "f"), put(nth_node(3), version(1), {})});
  f.apply({make(nth_node(1), trash_node(), "d", node_kind::folder), purge_node{nth_node(1)}, purge_node{nth_node(2)}});
  CHECK(f.listing(trash_node()) == names_list{"d"});
  CHECK(f.listing(nth_node(2)) == names_list{"f"});
  CHECK(f.names->check());
  f.apply({purge_node{nth_node(3)}});
  CHECK(f.listing(trash_node()).empty());
  CHECK(f.names->totals()->folders == 0);
  CHECK(f.names->check());
  // What is later than the purge is kept.
  f.apply({put(nth_node(3), version(2), {})});
  CHECK(f.listing(nth_node(2)) == names_list{"f"});
  CHECK(f.listing(trash_node()) == names_list{"d"});
  CHECK(f.names->check());
}

// -- versions ------------------------------------------------------------------------

TEST_CASE("versions come newest first and the current one is the one that none replaces", "[catalog]") {
  fixture f;
  f.apply({make(nth_node(1), root_node(), "f"), put(nth_node(1), version(1), {})}, 100);
  f.apply({put(nth_node(1), version(2), {chunk(1)}, {version(1)})}, 200);
  f.apply({put(nth_node(1), version(3), {chunk(1), chunk(2)}, {version(2)})}, 300);
  auto list = f.names->versions(nth_node(1));
  REQUIRE(list);
  REQUIRE(list->size() == 3);
  CHECK(list->at(0).version == version(3));
  CHECK(list->at(0).current);
  CHECK(list->at(0).stored_ns == 300);
  CHECK(list->at(2).version == version(1));
  CHECK_FALSE(list->at(2).current);
  CHECK(f.names->totals()->logical_bytes == 2000);
  f.apply({drop_version{nth_node(1), version(2)}});
  CHECK(f.names->versions(nth_node(1))->size() == 2);
  CHECK(f.names->node(nth_node(1))->version == version(3));
  // Without the current one, what it replaced is there again.
  f.apply({drop_version{nth_node(1), version(3)}});
  CHECK(f.names->node(nth_node(1))->version == version(1));
  CHECK(f.names->totals()->logical_bytes == 0);
  f.apply({drop_version{nth_node(1), version(1)}});
  CHECK_FALSE(f.names->node(nth_node(1))->version);
  f.apply({put(nth_node(1), version(3), {})});
  CHECK(f.names->versions(nth_node(1))->empty());
  CHECK(f.names->totals()->versions == 0);
  CHECK(f.names->check());
}

TEST_CASE("long versions are read from any extent on", "[catalog]") {
  for (bool late : {false, true}) {
    CAPTURE(late);
    fixture f;
    std::vector<extent> all;
    uint64_t size = 0;
    for (uint64_t i = 0; i < 1500; ++i) {
      all.push_back(i % 9 == 8 ? extent{std::nullopt, 1ull << 33} : extent{chunk(i), 1 + i});
      size += all.back().length;
    }
    auto part = [&](size_t from, size_t to) {
      return std::vector<extent>(all.begin() + from, all.begin() + to);
    };
    put_version last;
    last.node = nth_node(1);
    last.version = version(1);
    last.size = size;
    last.extent_count = all.size();
    last.extents = part(1400, 1500);
    std::vector<operation_body> bodies{add_extents{version(1), 0, part(0, 700)}, add_extents{version(1), 700, part(700, 1400)}};
    bodies.insert(late ? bodies.begin() : bodies.end(), last);
    bodies.emplace_back(make(nth_node(1), root_node(), "f"));
    f.apply({bodies[0]});
    if (late)
      CHECK(f.names->extents(version(1), 3, 5).error().code() == errc::not_found);
    f.apply({bodies.begin() + 1, bodies.end()});
    for (size_t from : {0u, 1u, 255u, 256u, 699u, 700u, 701u, 1023u, 1399u, 1400u, 1499u, 1500u, 1501u})
      for (size_t limit : {0u, 1u, 256u, 300u, 5000u}) {
        auto some = f.names->extents(version(1), from, limit);
        REQUIRE(some);
        auto begin = std::min<size_t>(from, all.size());
        CHECK(*some == part(begin, std::min(begin + limit, all.size())));
      }
    size_t references = 0;
    REQUIRE(f.names->visit_references([&](const node_id& n, const version_id& v, const chunk_id&) {
      CHECK(n == nth_node(1));
      CHECK(v == version(1));
      references += 1;
      return references < 2000;
    }));
    CHECK(references == 1500 - 1500 / 9);
    f.apply({drop_version{nth_node(1), version(1)}, add_extents{version(1), 0, part(0, 700)}});
    CHECK(f.names->extents(version(1), 0, 1).error().code() == errc::not_found);
    CHECK(std::none_of(f.disk->content.begin(), f.disk->content.end(), [](const auto& row) { return row.first[0] == 'x'; }));
  }
}

TEST_CASE("a tag has the value that was set last", "[catalog]") {
  fixture f;
  f.apply({make(nth_node(1), root_node(), "f"), set_tag{nth_node(1), "b", "1"}, set_tag{nth_node(1), "a", "2"},
           set_tag{nth_node(1), "b", "3"}});
  using tag_list = std::vector<std::pair<std::string, std::string>>;
  CHECK(f.names->tags(nth_node(1)).value() == tag_list{{"a", "2"}, {"b", "3"}});
  f.apply({set_tag{nth_node(1), "a", std::nullopt}});
  CHECK(f.names->tags(nth_node(1)).value() == tag_list{{"b", "3"}});
  CHECK(f.names->tags(nth_node(2))->empty());
}

// -- packs -------------------------------------------------------------------------

TEST_CASE("a chunk is found where it was first, until that pack is condemned or it is stored again later", "[catalog]") {
  fixture f;
  add(*f.names, {new_pack(pack(1), {chunk(1), chunk(2)})});
  add(*f.names, {new_pack(pack(2), {chunk(2), chunk(3)})});
  CHECK(f.names->find_chunk(chunk(2)).value()->pack == pack(1));
  CHECK(f.names->find_chunk(chunk(2)).value()->entry.offset == 628);
  CHECK(f.names->find_chunk(chunk(3)).value()->entry.id == chunk(3));
  CHECK_FALSE(f.names->find_chunk(chunk(4)).value());
  auto totals = f.names->totals().value();
  CHECK(totals.chunks == 3);
  CHECK(totals.chunk_plain_bytes == 3000);
  CHECK(totals.chunk_sealed_bytes == 1500);
  CHECK(totals.packs == 2);
  CHECK(totals.pack_bytes == 2 * 4 * 8192);
  CHECK(totals.shard_bytes == 2 * 6 * 8192);
  f.apply({condemn_packs{{pack(1)}}});
  CHECK_FALSE(f.names->find_chunk(chunk(1)).value());
  CHECK(f.names->locate_chunk(chunk(1)).value()->pack == pack(1));
  CHECK(f.names->find_chunk(chunk(2)).value()->pack == pack(2));
  CHECK(f.names->find_pack(pack(1)).value()->condemned);
  CHECK_FALSE(f.names->find_pack(pack(2)).value()->condemned);
  // Copied forward, then forgotten.
  add(*f.names, {new_pack(pack(3), {chunk(1)})});
  CHECK(f.names->find_chunk(chunk(1)).value()->pack == pack(3));
  CHECK(f.names->check());
  catalog_commit c;
  c.forgotten = {pack(1), pack(1), pack(7)};
  REQUIRE(f.names->commit(c));
  CHECK_FALSE(f.names->find_pack(pack(1)).value());
  CHECK(f.names->table_of(pack(1)).error().code() == errc::not_found);
  for (uint64_t i = 1; i <= 3; ++i)
    CHECK(f.names->find_chunk(chunk(i)).value());
  CHECK(f.names->totals()->packs == 2);
  CHECK(f.names->totals()->chunks == 3);
  auto later = new_pack(pack(4), {chunk(3)});
  later.record.created_ns += 1;
  add(*f.names, {later});
  CHECK(f.names->find_chunk(chunk(3)).value()->pack == pack(4));
  CHECK(f.names->totals()->chunks == 3);
  CHECK(f.names->check());
}

TEST_CASE("forgetting a pack keeps chunks of which another known pack has a copy", "[catalog]") {
  fixture f;
  add(*f.names,
      {new_pack(pack(1), {chunk(1), chunk(2), chunk(9)}), new_pack(pack(2), {chunk(2), chunk(1)}), new_pack(pack(3), {chunk(1)})});
  catalog_commit c;
  c.forgotten = {pack(2)};
  REQUIRE(f.names->commit(c));
  CHECK(f.names->check());
  c.forgotten = {pack(1)};
  REQUIRE(f.names->commit(c));
  CHECK(f.names->find_chunk(chunk(1)).value()->pack == pack(3));
  CHECK_FALSE(f.names->find_chunk(chunk(2)).value());
  CHECK_FALSE(f.names->find_chunk(chunk(9)).value());
  CHECK(f.names->totals()->chunks == 1);
  CHECK(f.names->check());
}

TEST_CASE("shards that were found faulty stay so until they are good or elsewhere", "[catalog]") {
  fixture f;
  add(*f.names, {new_pack(pack(1), {chunk(1)}), new_pack(pack(2), {chunk(2)})});
  auto record = *f.names->find_pack(pack(1)).value();
  auto seen = [&](uint64_t of, uint8_t index) {
    return seen_shard{pack(of), index, record.drives[index]};
  };
  auto faulty = [&](uint64_t of) {
    auto found = f.names->find_pack(pack(of)).value()->faulty;
    auto all = f.names->packs(std::nullopt, 10).value();
    for (const auto& listed : all)
      CHECK((listed.seal.id != pack(of) || listed.faulty == found));
    return found;
  };
  using indexes = std::vector<uint8_t>;
  CHECK(faulty(1).empty());
  REQUIRE(f.names->mark_shards({seen(1, 4), seen(1, 1), seen(2, 0)}, {}));
  CHECK(faulty(1) == indexes{1, 4});
  CHECK(faulty(2) == indexes{0});
  CHECK(f.names->find_pack(pack(1)).value()->is_faulty(4));
  CHECK_FALSE(f.names->find_pack(pack(1)).value()->is_faulty(0));

  SECTION("what is known or not so is not written") {
    auto writes = f.disk->writes;
    REQUIRE(f.names->mark_shards({seen(1, 4), seen(7, 1), {pack(1), 2, numbered<drive_id>(9)}, {pack(1), 77, numbered<drive_id>(1)}},
                                 {seen(1, 3), seen(7, 2)}));
    CHECK(f.disk->writes == writes);
    f.disk->read_only = true;
    REQUIRE(f.names->mark_shards({seen(1, 2)}, {seen(1, 4)}));
    CHECK(f.disk->writes == writes);
    CHECK(faulty(1) == indexes{1, 4});
  }
  SECTION("with fewer than k others the pack is lost until a look at all says otherwise") {
    auto is_lost = [&] {
      return f.names->find_pack(pack(1)).value()->lost;
    };
    CHECK_FALSE(is_lost()); // Of 4+2 two may go.
    REQUIRE(f.names->mark_shards({seen(1, 0)}, {}));
    CHECK(is_lost());
    REQUIRE(f.names->mark_packs({}, {pack(1)}));
    CHECK_FALSE(is_lost());
  }
  SECTION("one is good again") {
    REQUIRE(f.names->mark_shards({}, {seen(1, 4)}));
    CHECK(faulty(1) == indexes{1});
    REQUIRE(f.names->mark_shards({}, {seen(1, 1)}));
    CHECK(faulty(1).empty());
  }
  SECTION("one gets another place, the other is not touched") {
    catalog_commit placed;
    record.drives[1] = numbered<drive_id>(9);
    placed.placed = {record};
    REQUIRE(f.names->commit(placed));
    CHECK(faulty(1) == indexes{4});
  }
  SECTION("none is sought of a condemned pack") {
    f.apply({condemn_packs{{pack(1)}}});
    REQUIRE(f.names->mark_shards({seen(1, 5)}, {}));
    CHECK(faulty(1) == indexes{1, 4});
  }
  SECTION("a pack takes them with it") {
    catalog_commit gone;
    gone.forgotten = {pack(1), pack(2)};
    REQUIRE(f.names->commit(gone));
    add(*f.names, {new_pack(pack(1), {chunk(1)})});
    CHECK(faulty(1).empty());
  }
}

TEST_CASE("a pack is condemned also when the operation came before it", "[catalog]") {
  fixture f;
  f.apply({condemn_packs{{pack(1)}}});
  add(*f.names, {new_pack(pack(1), {chunk(1)})});
  CHECK(f.names->find_pack(pack(1)).value()->condemned);
  CHECK_FALSE(f.names->find_chunk(chunk(1)).value());
}

TEST_CASE("that a pack was condemned is known before it is, and when it is forgotten", "[catalog]") {
  fixture f;
  add(*f.names, {new_pack(pack(1), {chunk(1)})});
  CHECK_FALSE(f.names->was_condemned(pack(1)).value());
  f.apply({condemn_packs{{pack(1), pack(2)}}});
  CHECK(f.names->was_condemned(pack(1)).value());
  CHECK(f.names->was_condemned(pack(2)).value());
  catalog_commit c;
  c.forgotten = {pack(1)};
  REQUIRE(f.names->commit(c).has_value());
  CHECK(f.names->was_condemned(pack(1)).value());
  CHECK_FALSE(f.names->was_condemned(pack(3)).value());
}

TEST_CASE("a pack that is committed twice counts once, and placement follows", "[catalog]") {
  fixture f;
  auto p = new_pack(pack(1), {chunk(1)});
  p.table.operations.push_back({700, 90, 3, crypto::aead_suite::chacha20_poly1305, device(4), 5, 9, true});
  add(*f.names, {p, new_pack(pack(2), {})});
  p.record.drives[2] = {};
  add(*f.names, {p});
  CHECK(f.names->totals()->packs == 2);
  CHECK(f.names->totals()->chunks == 1);
  CHECK(f.names->find_pack(pack(1)).value()->shards_present() == 5);
  auto record = *f.names->find_pack(pack(1)).value();
  record.drives[2] = numbered<drive_id>(70);
  record.copied_forward = true;
  catalog_commit c;
  c.placed = {record, new_pack(pack(99), {}).record};
  REQUIRE(f.names->commit(c));
  auto list = f.names->packs(std::nullopt, 10);
  REQUIRE(list);
  REQUIRE(list->size() == 2);
  CHECK(list->at(0).drives == record.drives);
  CHECK(list->at(0).seal.shape == record.seal.shape);
  CHECK(list->at(0).seal.shard_roots.size() == 6);
  CHECK(list->at(0).copied_forward);
  CHECK(f.names->packs(pack(1), 10)->size() == 1);
  CHECK(f.names->packs(pack(2), 10)->empty());
  auto table = f.names->table_of(pack(1));
  REQUIRE(table);
  CHECK(table->space == p.table.space);
  REQUIRE(table->chunks.size() == 1);
  CHECK(table->chunks[0].sealed_length == 500);
  REQUIRE(table->operations.size() == 1);
  CHECK(table->operations[0].device == device(4));
  CHECK(table->operations[0].last_sequence == 9);
  CHECK(table->operations[0].checkpoint);
  CHECK(f.names->check());
}

TEST_CASE("a chunk row is as the format document says", "[catalog]") {
  fixture f;
  auto p = new_pack(pack(1), {});
  for (auto& b : p.record.seal.id.span())
    b = std::byte{2};
  chunk_entry e;
  for (auto& b : e.id.span())
    b = std::byte{1};
  e.offset = 128;
  e.sealed_length = 4176;
  e.plain_length = 4096;
  e.epoch = 1;
  p.table.chunks = {e};
  add(*f.names, {p});
  std::string value = std::string(1, '\0') + std::string(32, '\x02');
  for (uint32_t x : {128u, 4176u, 4096u, 1u})
    for (int i = 0; i < 4; ++i)
      value += static_cast<char>(x >> (8 * i));
  value += std::string("\x00\x01", 2);
  CHECK(f.disk->content.at("c" + std::string(32, '\x01')) == value);
}

// -- stamps, pending, durability --------------------------------------------------------

TEST_CASE("stamps grow, are linked by hash, and go on after a restart", "[catalog]") {
  fixture f;
  auto first = f.names->stamp({purge_node{nth_node(1)}, purge_node{nth_node(2)}}, 5);
  CHECK(first[0].sequence == 1);
  CHECK(first[0].previous.is_zero());
  CHECK(first[1].sequence == 2);
  CHECK(first[1].previous == crypto::blake3(as_view(encode(first[0]))));
  CHECK(first[1].at.lamport == first[0].at.lamport + 1);
  catalog_commit c;
  c.operations = first;
  operation foreign;
  foreign.at = {1000, device(9)};
  foreign.sequence = 4;
  foreign.body = purge_node{nth_node(3)};
  c.operations.push_back(foreign);
  REQUIRE(f.names->commit(c));
  REQUIRE(f.names->close());
  f.reopen();
  auto next = f.names->stamp({purge_node{nth_node(1)}}, 6);
  CHECK(next[0].sequence == 3);
  CHECK(next[0].at.lamport == 1001);
  CHECK(next[0].previous == crypto::blake3(as_view(encode(first[1]))));
  auto known = f.names->devices().value();
  REQUIRE(known.size() == 2);
  CHECK(known[0].last_sequence == 2);
  CHECK(known[0].missing == 0);
  CHECK(known[1].last_sequence == 4);
  CHECK(known[1].missing == 3);
  CHECK(known[1].broken_at == 0);
}

TEST_CASE("a broken hash link is noticed in any order of arrival", "[catalog]") {
  fixture origin;
  auto ops = origin.names->stamp(std::vector<operation_body>(6, set_tag{nth_node(1), "k", "v"}), 0);
  auto forged = ops;
  forged[3].wall_ns = 1; // Its successor's link does not fit any more.
  auto seed = run_seed();
  CAPTURE(seed);
  seeded_random random{seed};
  for (int round = 0; round < 50; ++round) {
    for (const auto& log : {ops, forged}) {
      fixture f;
      auto order = log;
      for (size_t i = order.size() - 1; i > 0; --i)
        std::swap(order[i], order[random.below(i + 1)]);
      for (const auto& op : order) {
        catalog_commit c;
        c.operations = {op, op};
        REQUIRE(f.names->commit(c));
      }
      auto known = f.names->devices().value();
      REQUIRE(known.size() == 1);
      CHECK(known[0].missing == 0);
      CHECK(known[0].last_sequence == 6);
      CHECK(known[0].broken_at == (log == ops ? 0 : 5));
      CHECK(f.names->totals()->operations == 6);
    }
  }
}

TEST_CASE("operations wait until they are in a pack", "[catalog]") {
  fixture f;
  catalog_commit c;
  c.operations_in_pack = false;
  c.operations =
      f.names->stamp({make(nth_node(1), root_node(), "a"), make(nth_node(2), root_node(), "b"), make(nth_node(3), root_node(), "c")}, 0);
  auto ops = c.operations;
  REQUIRE(f.names->commit(c));
  REQUIRE(f.names->commit(c)); // Again: nothing changes.
  f.reopen();
  CHECK(f.names->pending_operations(10).value() == ops);
  CHECK(f.names->pending_operations(2)->size() == 2);
  CHECK(f.names->resolve("b"));
  CHECK(f.names->check());
  c.operations_in_pack = true;
  c.operations = {ops[0], ops[2]};
  REQUIRE(f.names->commit(c));
  CHECK(f.names->pending_operations(10).value() == std::vector{ops[1]});
  c.operations = {ops[1]};
  REQUIRE(f.names->commit(c));
  CHECK(f.names->pending_operations(10)->empty());
  CHECK(f.names->totals()->operations == 3);
  CHECK(f.names->check());
}

TEST_CASE("a catalog that is older than the drives says so, and gives no number twice", "[catalog]") {
  fixture f;
  drive_marks drives{{numbered<drive_id>(1), 5}, {numbered<drive_id>(2), 7}};
  auto follow = [&] {
    f.names->follow_drives([&] { return drives; });
    f.names->compare_drives();
  };
  f.names->follow_drives([&] { return drives; });
  f.names->trust({numbered<drive_id>(1), numbered<drive_id>(2)});
  f.apply({make(nth_node(1), root_node(), "a")});
  REQUIRE(f.names->close());
  f.reopen();
  follow();
  REQUIRE_FALSE(f.names->was_interrupted());
  SECTION("one that is away says nothing, and what was known of it stays") {
    drives.erase(numbered<drive_id>(2));
    f.apply({make(nth_node(2), root_node(), "b")});
    REQUIRE(f.names->close());
    drives[numbered<drive_id>(2)] = 7;
    f.reopen();
    follow();
    CHECK_FALSE(f.names->was_interrupted());
  }
  SECTION("something was stored without this catalog") {
    auto known = f.names->stamp({make(nth_node(2), root_node(), "b")}, 0).front().sequence;
    f.names->unstamp();
    drives[numbered<drive_id>(2)] = 9;
    f.reopen();
    follow();
    CHECK(f.names->was_interrupted());
    CHECK(f.names->stamp({make(nth_node(2), root_node(), "b")}, 0).front().sequence > known + 1000);
  }
  SECTION("on a drive that it does not know") {
    drives[numbered<drive_id>(3)] = 1;
    f.reopen();
    follow();
    CHECK(f.names->was_interrupted());
  }
  SECTION("a new drive has nothing yet") {
    drives[numbered<drive_id>(3)] = 0;
    f.reopen();
    follow();
    CHECK_FALSE(f.names->was_interrupted());
  }
}

TEST_CASE("a log that somebody else may have gone on with is left for another", "[catalog]") {
  auto disk = std::make_shared<memory_disk>();
  drive_marks drives{{numbered<drive_id>(1), 5}, {numbered<drive_id>(2), 7}};
  const std::vector<drive_id> both{numbered<drive_id>(1), numbered<drive_id>(2)};
  uint64_t opened = 0;
  std::unique_ptr<catalog> names;
  auto open = [&](std::string_view place = "here") {
    names = must_open(try_open_catalog(disk, test_vault(), device(++opened), place));
    names->follow_drives([&] { return drives; });
    names->compare_drives(both);
  };
  // The device and the number of the operation.
  auto write = [&](uint64_t n) {
    auto given = names->stamp({make(nth_node(n), root_node(), "n" + std::to_string(n))}, 0);
    catalog_commit c;
    c.operations = given;
    REQUIRE(names->commit(c));
    REQUIRE(names->close());
    return std::pair{given.front().at.device, given.front().sequence};
  };
  names = must_open(try_open_catalog(disk, test_vault(), device(++opened), "here"));
  names->follow_drives([&] { return drives; });
  names->trust(both);
  REQUIRE(write(1) == std::pair{device(1), uint64_t{1}});
  open();
  CHECK_FALSE(names->was_interrupted());
  REQUIRE(write(2) == std::pair{device(1), uint64_t{2}});
  auto before = disk->content;
  SECTION("by a copy of the catalog") {
    open("elsewhere");
    CHECK(names->was_interrupted());
    auto own = names->own_device();
    CHECK(own == device(opened));
    SECTION("which then goes on with its own") {
      names->reconciled(names->doubts(), both);
      REQUIRE(write(3) == std::pair{own, uint64_t{1}});
      open("elsewhere");
      CHECK_FALSE(names->was_interrupted());
      REQUIRE(write(4) == std::pair{own, uint64_t{2}});
      SECTION("and so does the one that was copied") {
        disk->content = before;
        open();
        CHECK_FALSE(names->was_interrupted());
        CHECK(write(5) == std::pair{device(1), uint64_t{3}});
      }
    }
    SECTION("also when nothing was written") {
      names->reconciled(names->doubts(), both);
      REQUIRE(names->close());
      open("elsewhere");
      CHECK_FALSE(names->was_interrupted());
      CHECK(write(3) == std::pair{own, uint64_t{1}});
    }
  }
  SECTION("on a drive that is away") {
    drives.erase(numbered<drive_id>(2));
    open();
    CHECK_FALSE(names->was_interrupted());
    auto lamport = names->stamp({make(nth_node(3), root_node(), "c")}, 0).front().at.lamport;
    names->unstamp();
    CHECK(lamport > 1000);
    REQUIRE(write(3) == std::pair{device(opened), uint64_t{1}});
    drives[numbered<drive_id>(2)] = 7;
    open();
    CHECK(write(4) == std::pair{device(opened - 1), uint64_t{2}});
  }
  SECTION("by what a crash cut short") {
    open();
    REQUIRE(names->begin_writing());
    open();
    CHECK(names->was_interrupted());
    CHECK(names->own_device() == device(opened));
  }
  SECTION("or with what the drives have and this does not know") {
    drives[numbered<drive_id>(1)] = 6;
    open();
    CHECK(names->was_interrupted());
    CHECK(names->own_device() == device(opened));
  }
}

TEST_CASE("a catalog that met a checkpoint which knows more says so until it was compared with it", "[catalog]") {
  fixture f;
  CHECK_FALSE(f.names->is_behind());
  catalog_commit c;
  c.packs = {new_pack(pack(1), {chunk(1)})};
  c.behind = true;
  REQUIRE(f.names->commit(c));
  CHECK(f.names->is_behind());
  f.apply({make(nth_node(1), root_node(), "a")});
  f.reopen();
  CHECK(f.names->is_behind());
  catalog_commit compared;
  compared.behind = false;
  REQUIRE(f.names->commit(compared));
  CHECK_FALSE(f.names->is_behind());
  f.reopen();
  CHECK_FALSE(f.names->is_behind());
}

TEST_CASE("a drive that comes while others are looked at is looked at, too", "[catalog]") {
  fixture f;
  drive_marks drives{{numbered<drive_id>(1), 5}};
  f.names->follow_drives([&] { return drives; });
  f.names->compare_drives();
  f.names->doubt({});
  auto doubts = f.names->doubts();
  drives[numbered<drive_id>(2)] = 3;
  SECTION("by the next look") {
    f.names->doubt({});
    f.names->reconciled(doubts, {numbered<drive_id>(1)});
    CHECK(f.names->was_interrupted());
    f.names->reconciled(f.names->doubts(), {numbered<drive_id>(1), numbered<drive_id>(2)});
    CHECK_FALSE(f.names->was_interrupted());
  }
  SECTION("or when the catalog is opened again") {
    f.names->reconciled(doubts, {numbered<drive_id>(1)});
    f.apply({make(nth_node(1), root_node(), "a")});
    REQUIRE(f.names->close());
    f.reopen();
    f.names->follow_drives([&] { return drives; });
    f.names->compare_drives();
    CHECK(f.names->was_interrupted());
  }
}

TEST_CASE("a catalog that was not closed says so", "[catalog]") {
  fixture f;
  f.reopen();
  CHECK_FALSE(f.names->was_interrupted());
  f.apply({make(nth_node(1), root_node(), "a")});
  CHECK_FALSE(f.names->was_interrupted());
  f.reopen();
  CHECK(f.names->was_interrupted());
  REQUIRE(f.names->close());
  f.reopen();
  // Still: no operation tells yet which numbers were left out.
  CHECK(f.names->was_interrupted());
  f.apply({make(nth_node(2), root_node(), "b")});
  REQUIRE(f.names->close());
  f.reopen();
  // Still: nobody looked what is on the drives.
  CHECK(f.names->was_interrupted());
  f.names->reconciled(f.names->doubts(), {});
  f.apply({make(nth_node(3), root_node(), "c")});
  REQUIRE(f.names->close());
  f.reopen();
  CHECK_FALSE(f.names->was_interrupted());
  CHECK(f.names->resolve("a"));
}

TEST_CASE("after a crash no number is given out that a pack out of sight may carry", "[catalog]") {
  fixture f;
  f.apply({make(nth_node(1), root_node(), "a")});
  // On its way into a pack, and never committed.
  auto lost = f.names->stamp({make(nth_node(2), root_node(), "b"), make(nth_node(3), root_node(), "c")}, 0);
  f.reopen();
  auto check_behind = [&] {
    auto next = f.names->stamp({make(nth_node(4), root_node(), "d")}, 0);
    CHECK(next.front().sequence > lost.back().sequence);
    CHECK(next.front().at.lamport > lost.back().at.lamport);
    return next;
  };
  (void) check_behind();
  f.names->unstamp();
  // A second crash before anything is committed.
  REQUIRE(f.names->begin_writing());
  lost.push_back(check_behind().front());
  f.reopen();
  (void) check_behind();
  f.names->unstamp();
  REQUIRE(f.names->close());
  f.reopen();
  catalog_commit c;
  c.operations = check_behind();
  REQUIRE(f.names->commit(c));
  REQUIRE(f.names->close());
  f.reopen();
  // The first pack turns up: both are known.
  lost.pop_back();
  c.operations = lost;
  REQUIRE(f.names->commit(c));
  for (const auto* name : {"a", "b", "c", "d"})
    CHECK(f.names->resolve(name));
  CHECK(f.names->devices()->front().broken_at == 0);
  CHECK(f.names->check());
}

TEST_CASE("after a failed commit nothing more is written", "[catalog]") {
  fixture f;
  f.disk->write_fails = true;
  catalog_commit c;
  c.operations = f.names->stamp({make(nth_node(1), root_node(), "a")}, 0);
  CHECK(f.names->commit(c).error().code() == errc::no_space);
  f.disk->write_fails = false;
  CHECK(f.names->commit(c).error().code() == errc::no_space);
  CHECK_FALSE(f.names->close());
  CHECK(f.disk->content.empty());
  f.reopen();
  CHECK(f.listing(root_node()).empty());
}

TEST_CASE("a catalog on a full disk is read, and written again when there is room", "[catalog]") {
  auto kept = GENERATE(false, true);
  CAPTURE(kept);
  fixture f;
  f.apply({make(nth_node(1), root_node(), "a")});
  f.disk->write_fails = true;
  f.disk->keeps_refused = kept;
  catalog_commit c;
  c.operations = f.names->stamp({make(nth_node(2), root_node(), "b")}, 0);
  auto lost = c.operations.front();
  CHECK(f.names->commit(c).error().code() == errc::no_space);
  f.names->unstamp();
  CHECK(f.names->begin_writing().error().code() == errc::no_space);
  CHECK(f.names->mark_packs({pack(1)}, {}).error().code() == errc::no_space);
  CHECK(f.names->make_writable().error().code() == errc::no_space);
  CHECK(f.names->resolve("a"));
  f.disk->write_fails = false;
  CHECK(f.names->begin_writing().error().code() == errc::no_space);
  // Who reads is not disturbed.
  auto frozen = f.names->freeze();
  CHECK(f.names->make_writable().error().code() == errc::unavailable);
  CHECK(f.names->resolve("a"));
  frozen.reset();
  REQUIRE(f.names->make_writable());
  CHECK(f.names->was_interrupted());
  REQUIRE(f.names->make_writable());
  // What the failed commit left, if anything, is known, and its numbers are not given again.
  CHECK(f.listing(root_node()) == (kept ? names_list{"a", "b"} : names_list{"a"}));
  auto next = f.names->stamp({make(nth_node(3), root_node(), "c")}, 0);
  CHECK(next.front().sequence > lost.sequence);
  CHECK(next.front().at.lamport > lost.at.lamport);
  c.operations = next;
  REQUIRE(f.names->commit(c));
  CHECK(f.names->check());
  REQUIRE(f.names->close());
  f.reopen();
  CHECK(f.names->was_interrupted());
  CHECK(f.listing(root_node()) == (kept ? names_list{"a", "b", "c"} : names_list{"a", "c"}));
  CHECK(f.names->devices()->front().broken_at == 0);
  f.names->reconciled(f.names->doubts(), {});
  f.apply({make(nth_node(4), root_node(), "d")});
  REQUIRE(f.names->close());
  f.reopen();
  CHECK_FALSE(f.names->was_interrupted());
}

TEST_CASE("a catalog is not opened anew under what is stamped", "[catalog]") {
  fixture f;
  f.apply({make(nth_node(1), root_node(), "a")});
  catalog_commit c;
  c.operations = f.names->stamp({make(nth_node(2), root_node(), "b")}, 0);
  f.disk->write_fails = true;
  CHECK_FALSE(f.names->mark_packs({pack(1)}, {}));
  f.disk->write_fails = false;
  CHECK(f.names->make_writable().error().code() == errc::no_space);
  CHECK(f.names->commit(c).error().code() == errc::no_space);
  f.names->unstamp();
  REQUIRE(f.names->make_writable());
  CHECK(f.listing(root_node()) == names_list{"a"});
}

TEST_CASE("a catalog that opens on a full disk takes no pack under way", "[catalog]") {
  fixture f;
  f.apply({make(nth_node(1), root_node(), "a")});
  f.disk->write_fails = true;
  f.reopen();
  CHECK(f.names->was_interrupted());
  CHECK(f.names->resolve("a"));
  for (int round = 0; round < 2; ++round)
    CHECK(f.names->begin_writing().error().code() == errc::no_space);
  f.disk->write_fails = false;
  REQUIRE(f.names->make_writable());
  REQUIRE(f.names->begin_writing());
  f.apply({make(nth_node(2), root_node(), "b")});
  REQUIRE(f.names->close());
  f.reopen();
  CHECK(f.names->was_interrupted());
  CHECK(f.names->resolve("b"));
}

TEST_CASE("a catalog whose disk fails is not opened anew", "[catalog]") {
  fixture f;
  f.disk->write_fails = true;
  f.disk->refusal = errc::io_failed;
  CHECK(f.names->begin_writing().error().code() == errc::io_failed);
  f.disk->write_fails = false;
  CHECK(f.names->make_writable().error().code() == errc::io_failed);
  REQUIRE_FALSE(f.names->close());
  // Nor one that is closed.
  CHECK_FALSE(f.names->make_writable());
}

TEST_CASE("an operation out of bounds is refused by commit", "[catalog]") {
  fixture f;
  catalog_commit c;
  c.operations = f.names->stamp({make(nth_node(1), root_node(), "a/b")}, 0);
  CHECK(f.names->commit(c).error().code() == errc::format_damaged);
  CHECK(f.disk->content.empty());
}

TEST_CASE("a catalog of another vault or a newer version is not opened", "[catalog]") {
  fixture f;
  f.apply({make(nth_node(1), root_node(), "a")});
  auto other = try_open_catalog(f.disk, numbered<vault_id>(2), device(1));
  CHECK(other.error().code() == errc::format_alien);
  auto head = f.disk->content["h"];
  REQUIRE(head.substr(0, 2) == "\x08\x01");
  f.disk->content["h"] = "\x08\x02" + head.substr(2);
  CHECK(try_open_catalog(f.disk, test_vault(), device(1)).error().code() == errc::format_newer);
  f.disk->content["h"] = head.substr(0, head.size() - 1);
  CHECK(try_open_catalog(f.disk, test_vault(), device(1)).error().code() == errc::store_corrupt);
}

TEST_CASE("damaged rows are told as a corrupt store and never crash", "[catalog]") {
  auto disk = std::make_shared<memory_disk>();
  {
    auto names = open_catalog(disk);
    add(*names, {new_pack(pack(1), {chunk(1), chunk(2)}), new_pack(pack(2), {chunk(1)})});
    test::apply(*names, {make(nth_node(1), root_node(), "a", node_kind::folder), make(nth_node(2), nth_node(1), "b"),
                         make(nth_node(3), nth_node(1), "b"), put(nth_node(2), version(1), {chunk(1)}),
                         put(nth_node(2), version(2), {chunk(2)}, {version(1)}), set_tag{nth_node(2), "k", "v"},
                         make(nth_node(2), nth_node(1), "c")});
    REQUIRE(names->check());
  }
  auto whole = disk->content;
  auto seed = run_seed();
  CAPTURE(seed);
  seeded_random random{seed};
  size_t noticed = 0;
  for (int round = 0; round < 3000; ++round) {
    disk->content = whole;
    auto row = std::next(disk->content.begin(), static_cast<long>(random.below(whole.size())));
    auto kind = random.below(3);
    if (kind == 0) {
      disk->content.erase(row);
    } else if (kind == 1 && !row->second.empty()) {
      row->second.resize(random.below(row->second.size()));
    } else if (!row->second.empty()) {
      row->second[random.below(row->second.size())] ^= static_cast<char>(1 + random.below(255));
    }
    auto names = try_open_catalog(disk, test_vault(), device(1));
    if (!names) {
      noticed += 1;
      continue;
    }
    auto& n = **names;
    noticed += n.check() ? 0 : 1;
    (void) n.resolve("/a/b");
    (void) n.list(nth_node(1), "", 10);
    (void) n.versions(nth_node(2));
    (void) n.extents(version(1), 0, 10);
    (void) n.tags(nth_node(2));
    (void) n.path_of(nth_node(3));
    (void) n.packs(std::nullopt, 10);
    (void) n.table_of(pack(1));
    (void) n.find_chunk(chunk(1));
    (void) n.fingerprint();
    (void) n.visit_references([](const auto&, const auto&, const auto&) { return true; });
    catalog_commit c;
    c.operations = n.stamp({make(nth_node(2), root_node(), "q"), drop_version{nth_node(2), version(2)}, purge_node{nth_node(2)}}, 0);
    c.forgotten = {pack(1)};
    (void) n.commit(c);
  }
  CHECK(noticed > 1500);
}

TEST_CASE("a commit of many files changes few rows for each", "[catalog]") {
  fixture f;
  constexpr uint64_t files = 2000;
  std::vector<operation_body> bodies;
  std::vector<chunk_id> chunks;
  bodies.emplace_back(make(nth_node(1), root_node(), "d", node_kind::folder));
  for (uint64_t i = 0; i < files; ++i) {
    bodies.emplace_back(make(nth_node(10 + i), nth_node(1), "file " + std::to_string(i)));
    bodies.emplace_back(put(nth_node(10 + i), version(10 + i), {chunk(i)}));
    chunks.push_back(chunk(i));
  }
  catalog_commit c;
  c.packs = {new_pack(pack(1), chunks)};
  c.operations = f.names->stamp(bodies, 0);
  REQUIRE(f.names->commit(c));
  CHECK(f.disk->writes == 1);
  CHECK(f.disk->changes <= 5 * files + 20);
  CHECK(f.names->totals()->files == files);
  CHECK(f.names->node(nth_node(1))->child_count == files);
  CHECK(f.names->check());
}
