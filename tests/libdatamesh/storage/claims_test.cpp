#include "storage/chunk_claims.hpp"
#include "storage/name_claims.hpp"
#include "tests/libdatamesh/storage/catalog_fixture.hpp"

#include <thread>

using namespace datamesh;
using namespace datamesh::storage;
using test::chunk;
using test::make;
using test::pack;
using test::version;

namespace {

struct claim_room {
  test::seeded_random random{test::run_seed()};
  std::shared_ptr<test::memory_disk> disk = std::make_shared<test::memory_disk>();
  std::unique_ptr<catalog> names = test::open_catalog(disk);
  name_claims claims{*names, random};
  chunk_claims chunks{*names};

  name_claims::claim take(const std::string& path, uint64_t job, if_exists conflict = if_exists::version,
                          node_kind kind = node_kind::file) {
    auto taken = claims.take(path, kind, conflict, job);
    if (!taken)
      FAIL(taken.error().message());
    return *taken;
  }
  errc refusal(const std::string& path, uint64_t job, if_exists conflict = if_exists::version, node_kind kind = node_kind::file) {
    auto taken = claims.take(path, kind, conflict, job);
    return taken ? errc{} : taken.error().code();
  }
  /// What a job writes for a claim.
  void commit(const name_claims::claim& what) {
    std::vector<operation_body> bodies{what.folders.begin(), what.folders.end()};
    if (what.fresh)
      bodies.emplace_back(make(what.node, what.parent, what.name));
    bodies.emplace_back(test::put(what.node, version(random.below(UINT32_MAX)), {}));
    test::apply(*names, std::move(bodies));
  }
  chunk_claims::standing standing(uint64_t number, uint64_t intake, uint64_t job) {
    auto found = chunks.look_up(chunk(number), intake, job);
    REQUIRE(found);
    return *found;
  }
};

using standing = chunk_claims::standing;
using outcome = chunk_claims::outcome;

bool take_room() {
  return true;
}

} // namespace

TEST_CASE("folders on the way are made once a job, and entered by all", "[name_claims]") {
  claim_room room;
  auto first = room.take("/a/b/x", 1);
  REQUIRE(first.folders.size() == 2);
  CHECK(first.folders[0].name == "a");
  CHECK(first.folders[1].parent == first.folders[0].node);
  CHECK(first.parent == first.folders[1].node);
  CHECK(first.fresh);
  auto second = room.take("a/b/y", 1);
  CHECK(second.folders.empty());
  CHECK(second.parent == first.parent);
}

TEST_CASE("a job does not rely on a folder or file that another job may never commit", "[name_claims]") {
  claim_room room;
  auto first = room.take("/a/x", 1);
  auto other = room.take("/a/y", 2);
  auto same = room.take("/a/x", 2);
  CHECK(same.node == first.node);
  CHECK(same.fresh);
  CHECK(same.folders.empty());
  room.claims.release(1); // It failed.
  room.commit(other);
  room.commit(same);
  CHECK(room.names->resolve("/a/y")->node == other.node);
  CHECK(room.names->resolve("/a/x")->node == first.node);
}

TEST_CASE("two jobs that both commit one new file make one file of it", "[name_claims]") {
  claim_room room;
  auto first = room.take("/a/x", 1);
  auto second = room.take("/a/x", 2);
  room.commit(second);
  room.claims.release(2);
  room.commit(first);
  room.claims.release(1);
  auto a = room.names->resolve("/a");
  REQUIRE(a);
  CHECK(room.names->list(a->node, "", 10)->size() == 1);
  CHECK(room.names->list(root_node(), "", 10)->size() == 1);
}

TEST_CASE("a claim that is withdrawn is taken anew, its folders stay", "[name_claims]") {
  claim_room room;
  auto first = room.take("/a/x", 1);
  room.claims.withdraw(first, 1);
  auto again = room.take("/a/x", 1);
  CHECK(again.fresh);
  CHECK(again.folders.empty());
  CHECK(again.parent == first.parent);
  auto shared = room.take("/a/x", 2);
  room.claims.withdraw(again, 1);
  CHECK(room.take("/a/x", 2).node == shared.node);
  CHECK(!room.take("/a/x", 2).fresh);
}

TEST_CASE("what is committed is a new version of itself, with its node", "[name_claims]") {
  claim_room room;
  auto first = room.take("/x", 1);
  room.commit(first);
  room.claims.release(1);
  auto next = room.take("/x", 2);
  CHECK(next.node == first.node);
  CHECK(!next.fresh);
  REQUIRE(next.existing);
  CHECK(next.existing->node == first.node);
}

TEST_CASE("what is in the catalog is claimed by nobody, though the job goes on", "[name_claims]") {
  claim_room room;
  auto first = room.take("/a/x", 1);
  auto other = room.take("/a/y", 1);
  std::vector<operation_body> bodies{first.folders.begin(), first.folders.end()};
  bodies.emplace_back(make(first.node, first.parent, first.name));
  bodies.emplace_back(test::put(first.node, version(1), {}));
  auto operations = room.names->stamp(bodies, 0);
  REQUIRE(room.names->commit({.packs = {}, .operations = operations}));
  room.claims.settle(operations);
  auto next = room.take("/a/x", 2);
  CHECK(next.node == first.node);
  CHECK(!next.fresh);
  CHECK(next.folders.empty());
  REQUIRE(next.existing);
  CHECK(next.existing->version == version(1));
  CHECK(room.take("/a/y", 2).node == other.node);
  CHECK(room.take("/a/x", 1).existing);
}

TEST_CASE("a name that is taken is refused or numbered, as the job likes", "[name_claims]") {
  claim_room room;
  room.commit(room.take("/dir/pic.tar.gz", 1));
  room.claims.release(1);
  CHECK(room.refusal("/dir/pic.tar.gz", 2, if_exists::fail) == errc::already_exists);
  CHECK(room.take("/dir/pic.tar.gz", 2, if_exists::rename).name == "pic.tar (2).gz");
  CHECK(room.take("/dir/pic.tar.gz", 3, if_exists::rename).name == "pic.tar (3).gz");
  CHECK(room.refusal("/dir", 2) == errc::is_a_folder);
  CHECK(room.take("/dir", 2, if_exists::rename).name == "dir (2)");
  CHECK(room.refusal("/dir/pic.tar.gz/x", 2) == errc::not_a_folder);
  CHECK(room.refusal("/dir/pic.tar.gz", 2, if_exists::version, node_kind::folder) == errc::already_exists);
  CHECK(room.take("/dir", 2, if_exists::fail, node_kind::folder).node == room.names->resolve("/dir")->node);
}

TEST_CASE("names that no file may have are refused", "[name_claims]") {
  claim_room room;
  for (const auto& path :
       {std::string{"/"}, std::string{""}, std::string{"/a/../b"}, std::string{"."}, "/" + std::string(256, 'x'), std::string{"/a\0b", 4}})
    CHECK(room.refusal(path, 1) == errc::name_invalid);
  CHECK(numbered_name(".profile", 2) == ".profile (2)");
  CHECK(numbered_name("a.b", 12) == "a (12).b");
  CHECK(split_path("//a///b/") == std::vector<std::string>{"a", "b"});
}

TEST_CASE("a chunk is fresh, then pending in its intake, then known", "[chunk_claims]") {
  claim_room room;
  CHECK(room.standing(1, 7, 1) == standing::fresh);
  CHECK(room.chunks.add(chunk(1), {7, 1}, [] { return false; }) == outcome::full);
  CHECK(room.standing(1, 7, 1) == standing::fresh);
  CHECK(room.chunks.add(chunk(1), {7, 1}, take_room) == outcome::added);
  CHECK(room.chunks.add(chunk(1), {7, 2}, take_room) == outcome::pending);
  CHECK(room.standing(1, 7, 2) == standing::pending);
  CHECK(room.standing(1, 8, 2) == standing::fresh);
  test::add(*room.names, {test::new_pack(pack(1), {chunk(1)})});
  room.chunks.settle({7, 1});
  CHECK(room.standing(1, 7, 2) == standing::known);
  CHECK(room.standing(1, 8, 2) == standing::known);
}

TEST_CASE("chunks of a pack that failed are fresh again, others' stay pending", "[chunk_claims]") {
  claim_room room;
  REQUIRE(room.chunks.add(chunk(1), {7, 1}, take_room) == outcome::added);
  REQUIRE(room.chunks.add(chunk(2), {7, 2}, take_room) == outcome::added);
  REQUIRE(room.chunks.add(chunk(1), {8, 1}, take_room) == outcome::added);
  room.chunks.settle({7, 1});
  CHECK(room.standing(1, 7, 1) == standing::fresh);
  CHECK(room.standing(2, 7, 1) == standing::pending);
  CHECK(room.standing(1, 8, 1) == standing::pending);
}

TEST_CASE("a pack that a job relies on is not condemned until the job ends", "[chunk_claims]") {
  claim_room room;
  test::add(*room.names, {test::new_pack(pack(1), {chunk(1)}), test::new_pack(pack(2), {chunk(2)}), test::new_pack(pack(3), {chunk(3)})});
  REQUIRE(room.standing(1, 1, 5) == standing::known);
  room.chunks.pin(pack(2), 6);
  CHECK(room.chunks.condemn({pack(1), pack(2), pack(3)}) == std::vector<pack_id>{pack(3)});
  CHECK(room.standing(3, 1, 5) == standing::fresh);
  room.chunks.release(5);
  CHECK(room.chunks.condemn({pack(1), pack(2)}) == std::vector<pack_id>{pack(1)});
  CHECK(room.standing(1, 1, 9) == standing::fresh);
  room.chunks.release(6);
  CHECK(room.chunks.condemn({pack(2)}) == std::vector<pack_id>{pack(2)});
  room.chunks.spare({pack(1)});
  CHECK(room.standing(1, 1, 9) == standing::known);
}

TEST_CASE("chunks of a lost pack are stored anew until it is found again", "[chunk_claims]") {
  claim_room room;
  test::add(*room.names, {test::new_pack(pack(1), {chunk(1)})});
  REQUIRE(room.names->mark_packs({pack(1)}, {}));
  room.chunks.spare({pack(1)});
  CHECK(room.standing(1, 1, 1) == standing::fresh);
  REQUIRE(room.names->mark_packs({}, {pack(1)}));
  CHECK(room.standing(1, 1, 1) == standing::known);
}

TEST_CASE("of many workers that add one chunk at once, one stores it", "[chunk_claims]") {
  claim_room room;
  std::atomic<int> added = 0;
  std::vector<std::thread> workers;
  for (int i = 0; i < 4; ++i)
    workers.emplace_back([&] {
      for (uint64_t n = 0; n < 200; ++n)
        if (room.chunks.add(chunk(n), {1, 1}, take_room) == outcome::added)
          ++added;
    });
  for (auto& worker : workers)
    worker.join();
  CHECK(added == 200);
}
