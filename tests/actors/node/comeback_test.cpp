// What comes back from earlier days: a home from a backup, a copy of it, old drives, old keys.
// Nothing that was acknowledged meanwhile is passed over, and nothing is told that is not so.
#include "tests/actors/node/house.hpp"

namespace datamesh::test {

namespace {

constexpr size_t mib = 1 << 20;
using answer = status_report::answer;
using names_list = std::vector<std::string>;

/// A house whose folders are copied, moved away and put back while it is closed.
struct backup_house {
  house h;
  std::vector<size_t> away;

  explicit backup_house(size_t drives = 3) : h{drives} {}

  void back_up_home() {
    h.close();
    h.copy_tree(h.options.home, h.path("backup"));
    h.open();
  }
  void put_back_home() {
    h.close();
    h.copy_tree(h.path("backup"), h.options.home);
  }
  void unplug(const std::vector<size_t>& drives) {
    h.close();
    for (auto drive : drives)
      must(h.files().rename(h.drive(drive), h.path("away" + std::to_string(drive))));
    away = drives;
  }
  void plug() {
    h.close();
    for (auto drive : away)
      must(h.files().rename(h.path("away" + std::to_string(drive)), h.drive(drive)));
  }
  void lose_catalog() {
    h.close();
    h.remove_tree(join_path(h.options.home, "vaults/main/catalog"));
  }
  result<rebuild_summary> rebuild() {
    h.close();
    auto node = must(datamesh::node::open(h.options));
    auto made = node->rebuild_catalog("main", credential::this_device());
    node.reset();
    if (made)
      h.open();
    return made;
  }
  void make_folders(const std::string& prefix, int count = 6) {
    for (int i = 1; i <= count; ++i)
      must(h.vault().make_folder(prefix + std::to_string(i)));
  }
  /// The same is there after the catalog was made again, and can be read.
  void check_holds(const names_list& names) {
    CHECK(h.list() == names);
    CHECK(must(h.vault().status()).overall == answer::safe);
    must(rebuild());
    CHECK(h.list() == names);
    CHECK(must(h.vault().verify({.deep = true})).files_lost.empty());
  }
};

} // namespace

TEST_CASE("a home from a backup takes in what was stored, moved and removed since", "[comeback]") {
  backup_house b{5};
  auto& h = b.h;
  h.put_text("/old", noise(1, mib));
  h.put_text("/moved", noise(2, mib));
  b.back_up_home();
  h.put_text("/new", noise(3, mib));
  SECTION("") {}
  SECTION("and knows where shards are that were moved") {
    for (size_t drive : {1, 2})
      must(h.node().drain_drive(h.drive(drive)));
    must(h.vault().rebalance(false));
  }
  must(h.vault().move("/moved", "/renamed"));
  must(h.vault().flush());
  b.put_back_home();
  h.open();
  CHECK(h.get_text("/old") == noise(1, mib));
  b.check_holds({"/new", "/old", "/renamed"});
}

TEST_CASE("what a home from a backup writes while the drives are away takes the place of nothing that was stored", "[comeback]") {
  backup_house b;
  auto& h = b.h;
  h.put_text("/x", noise(1, mib));
  b.back_up_home();
  for (uint64_t i = 1; i <= 3; ++i)
    h.put_text("/p" + std::to_string(i), noise(10 + i, mib));
  b.put_back_home();
  b.unplug({1, 2, 3});
  h.open();
  b.make_folders("/new");
  b.plug();
  h.open();
  b.check_holds({"/new1", "/new2", "/new3", "/new4", "/new5", "/new6", "/p1", "/p2", "/p3", "/x"});
}

TEST_CASE("a home and a copy of it that both write lose nothing to each other", "[comeback]") {
  backup_house b;
  auto& h = b.h;
  h.put_text("/x", noise(1, mib));
  b.back_up_home();
  b.make_folders("/a");
  h.close();
  auto original = std::exchange(h.options.home, h.path("backup"));
  h.open();
  for (uint64_t i = 1; i <= 3; ++i)
    h.put_text("/p" + std::to_string(i), noise(10 + i, mib));
  h.close();
  h.options.home = original;
  h.open();
  b.check_holds({"/a1", "/a2", "/a3", "/a4", "/a5", "/a6", "/p1", "/p2", "/p3", "/x"});
}

TEST_CASE("no catalog is made of drives none of which is in service", "[comeback]") {
  backup_house b;
  auto& h = b.h;
  h.put_text("/x", noise(1, mib));
  b.lose_catalog();
  b.unplug({1, 2, 3});
  CHECK(code_of(b.rebuild()) == errc::drive_missing);
  b.plug();
  must(b.rebuild());
  b.check_holds({"/x"});
}

TEST_CASE("a catalog that was made while drives were away says so until it has seen them", "[comeback]") {
  backup_house b;
  auto& h = b.h;
  h.put_text("/x", noise(1, mib));
  b.lose_catalog();
  b.unplug({2, 3});
  auto made = must(b.rebuild());
  CHECK(made.packs == 0);
  CHECK(made.drives_unseen == 2);
  CHECK(must(h.vault().status()).overall == answer::unknown);
  b.make_folders("/new", 3);
  h.reopen();
  CHECK(must(h.vault().status()).overall == answer::unknown);
  b.plug();
  h.open();
  b.check_holds({"/new1", "/new2", "/new3", "/x"});
}

TEST_CASE("a catalog that knows all is not in doubt because a drive is away when it takes something in", "[comeback]") {
  backup_house b{2};
  auto& h = b.h;
  h.put_text("/x", noise(1, mib));
  b.back_up_home();
  b.put_back_home();
  b.unplug({2});
  h.open();
  CHECK(must(h.vault().status()).overall == answer::degraded);
  b.plug();
  h.open();
  b.check_holds({"/x"});
}

TEST_CASE("a pack that could not be read is told by status and verify until it was", "[comeback]") {
  backup_house b{6};
  auto& h = b.h;
  h.put_text("/x", noise(1, 4 * mib));
  b.lose_catalog();
  b.unplug({1, 2, 3});
  auto made = must(b.rebuild());
  CHECK(made.packs_unreadable > 0);
  CHECK(must(h.vault().status()).overall == answer::unknown);
  CHECK(must(h.vault().verify({})).packs_unread == made.packs_unreadable);
  b.plug();
  h.open();
  CHECK(must(h.vault().verify({})).packs_unread == 0);
  b.check_holds({"/x"});
}

TEST_CASE("a key file that is older than a pack is told as such, and the newest copy mends it", "[comeback]") {
  backup_house b;
  auto& h = b.h;
  h.put_text("/x", noise(1, mib));
  b.back_up_home();
  must(h.vault().rotate_epoch());
  h.put_text("/y", noise(2, mib));
  h.close();
  h.copy_tree(h.options.home, h.path("newer"));
  b.put_back_home();
  h.open();
  for (int round = 0; round < 2; ++round) {
    auto status = must(h.vault().status());
    CHECK(status.overall == answer::unknown);
    CHECK(status.sentence.find("key file is older") != std::string::npos);
    CHECK(must(h.vault().verify({})).packs_unread == 1);
    h.reopen();
  }
  h.close();
  auto newest = must(read_whole(h.files(), h.path("newer/vaults/main/key"), mib));
  must(write_whole(h.files(), join_path(h.options.home, "vaults/main/key"), newest.view()));
  h.open();
  b.check_holds({"/x", "/y"});
}

TEST_CASE("drives from a backup are looked at, and no chunk counts as known that they do not hold", "[comeback]") {
  backup_house b;
  auto& h = b.h;
  h.put_text("/x", noise(1, mib));
  h.close();
  for (size_t drive = 1; drive <= 3; ++drive)
    h.copy_tree(h.drive(drive), h.path("old" + std::to_string(drive)));
  h.open();
  h.put_text("/y", noise(2, mib));
  h.close();
  SECTION("all of them") {
    for (size_t drive = 1; drive <= 3; ++drive)
      h.copy_tree(h.path("old" + std::to_string(drive)), h.drive(drive));
    h.open();
    CHECK(must(h.vault().status()).overall == answer::lost);
    CHECK(must(h.vault().verify({})).files_lost == names_list{"/y"});
    CHECK(h.put_text("/y2", noise(2, mib)).bytes_new_plain >= mib);
    CHECK(h.get_text("/y2") == noise(2, mib));
    CHECK(h.get_text("/y") == noise(2, mib));
    CHECK(must(h.vault().verify({.deep = true})).files_lost.empty());
  }
  SECTION("one of them") {
    h.copy_tree(h.path("old2"), h.drive(2));
    h.open();
    CHECK(must(h.vault().status()).overall == answer::degraded);
    CHECK(must(h.vault().info("/y")).margin == 0);
    must(h.vault().verify({.repair = true}));
    b.check_holds({"/x", "/y"});
  }
  SECTION("one, from before what a repair brought there") {
    h.open();
    b.unplug({1});
    h.open();
    auto spare = h.path("drive4");
    (void) must(h.node().add_drive(spare));
    h.close();
    h.copy_tree(spare, h.path("old4"));
    h.open();
    must(h.vault().verify({.repair = true}));
    h.close();
    h.copy_tree(h.path("old4"), spare);
    h.open();
    CHECK(must(h.vault().status()).overall == answer::degraded);
    must(h.vault().verify({.repair = true}));
    b.plug();
    h.open();
    b.check_holds({"/x", "/y"});
  }
}

} // namespace datamesh::test
