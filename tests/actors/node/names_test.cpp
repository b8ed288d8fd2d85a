// Names of a vault: listing with cursors, moving, copying, the trash, tags.
#include "tests/actors/node/house.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace datamesh::test {

namespace {

using strings = std::vector<std::string>;

/// Pages of *limit* until the end; *between* is called after each.
template <class Between>
strings list_by_pages(vault& v, const std::string& path, bool recursive, size_t limit, Between&& between) {
  strings names;
  list_request request{.path = path, .recursive = recursive, .limit = limit};
  do {
    auto page = must(v.list(request));
    REQUIRE(page.entries.size() <= limit);
    for (const auto& row : page.entries)
      names.push_back(row.path);
    request.cursor = page.next_cursor;
    if (!request.cursor.empty())
      between();
  } while (!request.cursor.empty());
  return names;
}

void write_many(house& h) {
  for (int folder = 0; folder < 7; ++folder)
    for (int file = 0; file < 60; ++file)
      h.write(fmt::format("many/{:c}-folder/{:03}", 'a' + folder, file), "x");
  for (int file = 0; file < 30; ++file)
    h.write(fmt::format("many/top{:02}", file), "y");
  h.put("many", "/many");
}

} // namespace

TEST_CASE("cursors page through many entries without a gap or a repeat", "[list]") {
  house h;
  write_many(h);
  auto nothing = [] {
  };
  for (bool recursive : {false, true}) {
    auto all = h.list("/many", recursive);
    CHECK(all.size() == (recursive ? 7 + 7 * 60 + 30 : 37));
    CHECK(std::set<std::string>(all.begin(), all.end()).size() == all.size());
    for (size_t limit : {1u, 7u, 60u, 61u, 1000u})
      CHECK(list_by_pages(h.vault(), "/many", recursive, limit, nothing) == all);
  }
  auto top = h.list("/many", false);
  CHECK(std::is_sorted(top.begin(), top.end()));
  CHECK(list_by_pages(h.vault(), "/", false, 1, nothing) == strings{"/many"});
  CHECK(list_by_pages(h.vault(), "/many/top00", true, 5, nothing) == strings{"/many/top00"});
  CHECK(code_of(h.vault().list({.path = "/none"})) == errc::not_found);
}

TEST_CASE("cursors stay true while names come and go", "[list]") {
  house h;
  write_many(h);
  auto before = h.list("/many");
  int round = 0;
  auto seen = list_by_pages(h.vault(), "/many", true, 13, [&] {
    must(h.vault().make_folder(fmt::format("/many/c-folder/new{}", round)));
    must(h.vault().make_folder(fmt::format("/many/zz{}", round)));
    ++round;
  });
  std::set<std::string> unique(seen.begin(), seen.end());
  CHECK(unique.size() == seen.size());
  for (const auto& name : before)
    CHECK(unique.count(name) == 1);
  SECTION("when the entry of the cursor itself is gone") {
    list_request request{.path = "/many", .recursive = true, .limit = 100};
    auto first = must(h.vault().list(request));
    must(h.vault().remove(first.next_cursor, true));
    request.cursor = first.next_cursor;
    request.limit = 10'000;
    auto rest = must(h.vault().list(request));
    std::set<std::string> both;
    for (const auto& page : {first, rest})
      for (const auto& row : page.entries)
        CHECK(both.insert(row.path).second);
    auto now = h.list("/many");
    std::set<std::string> expected(now.begin(), now.end());
    expected.insert(first.next_cursor);
    CHECK(both == expected);
  }
  SECTION("when the folder of the cursor is gone") {
    list_request request{.path = "/many", .recursive = true, .limit = 80};
    auto first = must(h.vault().list(request));
    REQUIRE(first.next_cursor.starts_with("/many/b-folder/"));
    must(h.vault().remove("/many/b-folder", true));
    request.cursor = first.next_cursor;
    auto rest = must(h.vault().list(request));
    REQUIRE(!rest.entries.empty());
    CHECK(rest.entries.front().path == "/many/c-folder");
  }
}

TEST_CASE("a move keeps content, versions and identity", "[names]") {
  house h;
  h.put_text("/a/file", "one");
  h.put_text("/a/file", "two");
  h.put_text("/b/file", "other");
  auto before = must(h.vault().info("/a/file"));
  must(h.vault().move("/a/file", "/a/renamed"));
  auto after = must(h.vault().info("/a/renamed"));
  CHECK(after.node == before.node);
  CHECK(after.version_count == 2);
  CHECK(code_of(h.vault().info("/a/file")) == errc::not_found);
  // Into a folder, under its own name; and with folders on the way.
  must(h.vault().move("/a/renamed", "/b"));
  CHECK(h.get_text("/b/renamed") == "two");
  must(h.vault().move("/b/renamed", "/x/y/z"));
  CHECK(h.get_text("/x/y/z") == "two");
  CHECK(code_of(h.vault().move("/x/y/z", "/b/file")) == errc::already_exists);
  must(h.vault().move("/x/y/z", "/b/file", if_exists::rename));
  CHECK(h.get_text("/b/file (2)") == "two");
  CHECK(h.get_text("/b/file") == "other");
  must(h.vault().move("/b", "/c"));
  CHECK(h.list("/c") == strings{"/c/file", "/c/file (2)"});
  CHECK(code_of(h.vault().move("/x", "/x/y/w")) == errc::conflict);
  CHECK(code_of(h.vault().move("/", "/w")) == errc::invalid_argument);
  CHECK(code_of(h.vault().move("/none", "/w")) == errc::not_found);
  must(h.vault().move("/c", "/c"));
  h.reopen();
  CHECK(h.list("/c") == strings{"/c/file", "/c/file (2)"});
}

TEST_CASE("a copy shares chunks and goes its own way", "[names]") {
  house h;
  auto text = noise(1, 2 << 20);
  h.put_text("/a/sub/file", text);
  h.put_text("/a/other", "x");
  must(h.vault().set_tag("/a/sub/file", "k", "v"));
  auto before = must(h.vault().stats());
  must(h.vault().copy("/a", "/b"));
  CHECK(h.list("/b") == strings{"/b/other", "/b/sub", "/b/sub/file"});
  auto after = must(h.vault().stats());
  CHECK(after.chunks == before.chunks);
  CHECK(after.logical_bytes == 2 * before.logical_bytes);
  CHECK(h.get_text("/b/sub/file") == text);
  h.put_text("/a/sub/file", "changed");
  CHECK(h.get_text("/b/sub/file") == text);
  CHECK(must(h.vault().info("/b/sub/file")).node != must(h.vault().info("/a/sub/file")).node);
  CHECK(code_of(h.vault().copy("/a", "/a/sub/again")) == errc::conflict);
  CHECK(code_of(h.vault().copy("/a/other", "/b/other")) == errc::already_exists);
  must(h.vault().copy("/a/sub/file", "/b/other", if_exists::version));
  CHECK(h.get_text("/b/other") == "changed");
  CHECK(must(h.vault().versions("/b/other")).size() == 2);
}

TEST_CASE("who is moved or copied beside something else hears where", "[names]") {
  house h;
  h.put_text("/a", "one");
  h.put_text("/b", "two");
  h.put_text("/folder/file", "three");
  CHECK(must(h.vault().copy("/a", "/c")).path == "/c");
  CHECK(must(h.vault().copy("/a", "/b", if_exists::rename)).path == "/b (2)");
  CHECK(must(h.vault().copy("/a", "/folder")).path == "/folder/a");
  CHECK(must(h.vault().move("/a", "/b", if_exists::rename)).path == "/b (3)");
  CHECK(must(h.vault().copy("/folder", "/b", if_exists::rename)).path == "/b (4)");
  CHECK(h.get_text("/b (4)/file") == "three");
  CHECK(h.get_text("/b") == "two");
  CHECK(must(h.vault().make_folder("/made")).path.empty());
}

TEST_CASE("what is removed lies in the trash until it is restored", "[names]") {
  house h;
  h.put_text("/a/file", "one");
  h.put_text("/b", "two");
  CHECK(code_of(h.vault().remove("/a")) == errc::folder_not_empty);
  CHECK(code_of(h.vault().remove("/")) == errc::invalid_argument);
  CHECK(code_of(h.vault().remove("/none")) == errc::not_found);
  must(h.vault().remove("/b"));
  must(h.vault().remove("/a", true));
  CHECK(h.list().empty());
  auto trash = must(h.vault().trash());
  REQUIRE(trash.size() == 2);
  CHECK(trash[0].first.name == "a");
  CHECK(trash[1].first.name == "b");
  CHECK(trash[0].second >= trash[1].second);
  // The name may be taken again meanwhile.
  h.put_text("/b", "three");
  CHECK(code_of(h.vault().restore_from_trash(trash[1].first.node, "/b")) == errc::already_exists);
  must(h.vault().restore_from_trash(trash[1].first.node, "/old/b"));
  CHECK(code_of(h.vault().restore_from_trash(trash[1].first.node, "/twice")) == errc::not_found);
  CHECK(code_of(h.vault().restore_from_trash(node_id{}, "/nothing")) == errc::not_found);
  must(h.vault().restore_from_trash(trash[0].first.node, "/a"));
  CHECK(h.get_text("/old/b") == "two");
  CHECK(h.get_text("/a/file") == "one");
  CHECK(h.get_text("/b") == "three");
  CHECK(must(h.vault().trash()).empty());
  must(h.vault().make_folder("/empty"));
  must(h.vault().remove("/empty"));
}

TEST_CASE("the trash knows where everything came from, and so does a catalog that was made again", "[names]") {
  house h;
  h.put_text("/a/b/file", "one");
  h.put_text("/other", "two");
  must(h.vault().set_tag("/a/b/file", "colour", "red"));
  must(h.vault().remove("//a/b//file"));
  must(h.vault().remove("/a", true));
  auto check = [&] {
    auto trash = must(h.vault().trash());
    REQUIRE(trash.size() == 2);
    CHECK(trash[0].first.path == "/a");
    CHECK(trash[1].first.path == "/a/b/file");
    CHECK(trash[1].first.name == "file");
  };
  check();
  must(h.vault().flush());
  h.close();
  {
    auto node = must(datamesh::node::open(h.options));
    must(node->rebuild_catalog("main", credential::this_device()));
  }
  h.open();
  check();
  auto file = must(h.vault().trash())[1].first;
  must(h.vault().restore_from_trash(file.node, file.path));
  CHECK(h.get_text("/a/b/file") == "one");
  // What the vault keeps for itself is no tag of anybody's.
  using tags = std::vector<std::pair<std::string, std::string>>;
  CHECK(must(h.vault().info("/a/b/file")).tags == tags{{"colour", "red"}});
  CHECK(code_of(h.vault().set_tag("/other", "datamesh.removed-from", "/x")) == errc::invalid_argument);
  must(h.vault().move("/a/b/file", "/moved"));
  must(h.vault().remove("/moved"));
  CHECK(must(h.vault().trash())[0].first.path == "/moved");
}

TEST_CASE("many of one name fit into the trash", "[names]") {
  house h(1);
  for (int i = 0; i < 5; ++i) {
    h.put_text("/same", std::to_string(i));
    must(h.vault().remove("/same"));
  }
  auto trash = must(h.vault().trash());
  REQUIRE(trash.size() == 5);
  must(h.vault().restore_from_trash(trash.back().first.node, "/first"));
  CHECK(h.get_text("/first") == "0");
}

TEST_CASE("tags are set, changed and taken away", "[names]") {
  house h(1);
  h.put_text("/file", "x");
  must(h.vault().set_tag("/file", "place", "Oslo"));
  must(h.vault().set_tag("/file", "year", "1911"));
  must(h.vault().set_tag("/file", "place", "Pole"));
  using tags = std::vector<std::pair<std::string, std::string>>;
  CHECK(must(h.vault().info("/file")).tags == tags{{"place", "Pole"}, {"year", "1911"}});
  must(h.vault().set_tag("/file", "place", std::nullopt));
  must(h.vault().set_tag("/file", "never", std::nullopt));
  must(h.vault().set_tag("/file", "empty", ""));
  CHECK(must(h.vault().info("/file")).tags == tags{{"empty", ""}, {"year", "1911"}});
  CHECK(code_of(h.vault().set_tag("/file", "", "x")) == errc::invalid_argument);
  CHECK(code_of(h.vault().set_tag("/file", "k", std::string(4097, 'x'))) == errc::invalid_argument);
  CHECK(code_of(h.vault().set_tag("/none", "k", "v")) == errc::not_found);
  h.reopen();
  CHECK(must(h.vault().info("/file")).tags.size() == 2);
}

TEST_CASE("a folder is made with all above it, and once", "[names]") {
  house h(1);
  must(h.vault().make_folder("/a/b/c"));
  must(h.vault().make_folder("/a/b/c"));
  CHECK(h.list() == strings{"/a", "/a/b", "/a/b/c"});
  h.put_text("/a/file", "x");
  CHECK(code_of(h.vault().make_folder("/a/file")) == errc::already_exists);
  CHECK(code_of(h.vault().make_folder("/a/file/below")) == errc::not_a_folder);
  CHECK(code_of(h.vault().make_folder("/")) == errc::name_invalid);
  CHECK(code_of(h.vault().versions("/a")) == errc::is_a_folder);
}

TEST_CASE("info and a list with health tell the spare shards", "[names]") {
  house h{3};
  h.put_text("/file", noise(1, 300'000));
  h.put_text("/empty", "");
  CHECK(must(h.vault().info("/file")).margin == 1);
  CHECK(must(h.vault().info("/empty")).margin == std::nullopt);
  auto page = must(h.vault().list({.health = true}));
  REQUIRE(page.entries.size() == 2);
  CHECK(page.entries[1].margin == 1);
  must(h.node().remove_drive(h.drive(1), true));
  CHECK(must(h.vault().info("/file")).margin == 0);
  must(h.node().remove_drive(h.drive(2), true));
  CHECK(must(h.vault().info("/file")).margin == -1);
  CHECK(must(h.vault().status()).overall == status_report::answer::lost);
}

} // namespace datamesh::test
