#include "storage/restore_plan.hpp"

#include "tests/libdatamesh/storage/catalog_fixture.hpp"

using namespace datamesh;
using namespace datamesh::storage;
using test::chunk;
using test::make;
using test::version;

namespace {

struct plan_room {
  std::shared_ptr<test::memory_disk> disk = std::make_shared<test::memory_disk>();
  std::shared_ptr<catalog> names = test::open_catalog(disk);

  /// A file of so many chunks of 1000 bytes each, chunk i being number n * 100 + i.
  void add_file(uint64_t n, const node_id& parent, const std::string& name, uint64_t chunks) {
    std::vector<chunk_id> ids;
    for (uint64_t i = 0; i < chunks; ++i)
      ids.push_back(chunk(n * 100 + i));
    test::apply(*names, {make(test::nth_node(n), parent, name), test::put(test::nth_node(n), version(n), ids)});
  }
  restore_plan plan(const std::string& path, byte_range range = {}, std::optional<version_id> which = std::nullopt) {
    auto found = names->resolve(path);
    REQUIRE(found);
    return {names, {{*found, found->name, which}}, range};
  }
};

/// (chunk number, skip, wanted) of each piece that is left.
std::vector<std::array<uint64_t, 3>> pieces_of(restore_plan& plan, uint64_t n) {
  std::vector<std::array<uint64_t, 3>> result;
  for (;;) {
    auto piece = plan.next_extent();
    REQUIRE(piece);
    if (!*piece)
      return result;
    uint64_t number = 0;
    while (chunk(n * 100 + number) != *(*piece)->what.chunk)
      ++number;
    result.push_back({number, (*piece)->skip, (*piece)->wanted});
  }
}

std::vector<std::string> paths_of(restore_plan& plan) {
  std::vector<std::string> result;
  for (;;) {
    auto next = plan.next();
    REQUIRE(next);
    if (!*next)
      return result;
    result.push_back((*next)->path);
  }
}

} // namespace

TEST_CASE("a range wants parts of the extents that it touches, and no others", "[restore_plan]") {
  plan_room room;
  room.add_file(1, root_node(), "f", 4);
  using rows = std::vector<std::array<uint64_t, 3>>;
  auto range = [&](uint64_t first, std::optional<uint64_t> length) {
    auto plan = room.plan("/f", {first, length});
    REQUIRE(*plan.next());
    return pieces_of(plan, 1);
  };
  CHECK(range(0, std::nullopt) == rows{{0, 0, 1000}, {1, 0, 1000}, {2, 0, 1000}, {3, 0, 1000}});
  CHECK(range(1000, 1000) == rows{{1, 0, 1000}});
  CHECK(range(999, 2) == rows{{0, 999, 1}, {1, 0, 1}});
  CHECK(range(1500, 100) == rows{{1, 500, 100}});
  CHECK(range(3999, std::nullopt) == rows{{3, 999, 1}});
  CHECK(range(3500, UINT64_MAX) == rows{{3, 500, 500}});
  CHECK(range(3500, UINT64_MAX - 3500) == rows{{3, 500, 500}});
  CHECK(range(100, 0).empty());
  CHECK(range(4000, std::nullopt).empty());
  CHECK(range(UINT64_MAX, UINT64_MAX).empty());
}

TEST_CASE("a walk comes by every file of a folder once, whatever the size of pages", "[restore_plan]") {
  plan_room room;
  test::apply(*room.names, {make(test::nth_node(1), root_node(), "d", node_kind::folder)});
  std::vector<operation_body> bodies;
  std::vector<std::string> expected{"d"};
  for (uint64_t i = 0; i < 2000; ++i) {
    auto name = "f" + std::to_string(10'000 + i);
    bodies.emplace_back(make(test::nth_node(100 + i), test::nth_node(1), name, node_kind::folder));
    expected.push_back("d/" + name);
  }
  test::apply(*room.names, std::move(bodies));
  auto plan = room.plan("/d");
  CHECK(paths_of(plan) == expected);
}

TEST_CASE("folders are walked depth first, and roots one behind the other", "[restore_plan]") {
  plan_room room;
  test::apply(*room.names, {make(test::nth_node(1), root_node(), "a", node_kind::folder),
                            make(test::nth_node(2), test::nth_node(1), "b", node_kind::folder)});
  room.add_file(3, test::nth_node(2), "x", 1);
  room.add_file(4, test::nth_node(1), "y", 1);
  auto a = *room.names->resolve("/a");
  auto y = *room.names->resolve("/a/y");
  restore_plan plan{room.names, {{a, "", std::nullopt}, {y, "again/y", std::nullopt}}, {}};
  CHECK(paths_of(plan) == std::vector<std::string>{"", "b", "b/x", "y", "again/y"});
}

TEST_CASE("an old version is restored when it is asked for, and an unknown one is not found", "[restore_plan]") {
  plan_room room;
  room.add_file(1, root_node(), "f", 1);
  test::apply(*room.names, {test::put(test::nth_node(1), version(2), {chunk(100), chunk(101), chunk(102)}, {version(1)})});
  auto newest = room.plan("/f");
  CHECK((**newest.next()).size == 3000);
  auto old = room.plan("/f", {}, version(1));
  CHECK((**old.next()).size == 1000);
  CHECK(pieces_of(old, 1).size() == 1);
  auto unknown = room.plan("/f", {}, version(9));
  auto next = unknown.next();
  REQUIRE(!next);
  CHECK(next.error().code() == errc::not_found);
}

TEST_CASE("extents that are resumed are passed over with their bytes", "[restore_plan]") {
  plan_room room;
  room.add_file(1, root_node(), "f", 5);
  auto plan = room.plan("/f");
  REQUIRE(*plan.next());
  auto first = plan.first_extents();
  REQUIRE(first);
  CHECK(first->size() == 5);
  CHECK(*plan.skip_extents(3) == 3000);
  CHECK(pieces_of(plan, 1).size() == 2);
  CHECK(*plan.skip_extents(7) == 0);
}
