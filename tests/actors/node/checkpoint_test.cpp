// The catalog in packs: when a checkpoint is written, what cleanup leaves behind once
// there are two, and how a catalog is made again from one.
#include "tests/actors/node/house.hpp"
#include "tests/support/manual_clock.hpp"

#include <algorithm>
#include <set>

namespace datamesh::test {

namespace {

constexpr size_t tag_count = 360;
constexpr size_t tag_size = 4000;

struct aging_house {
  std::shared_ptr<manual_clock> time = std::make_shared<manual_clock>();
  house h;

  explicit aging_house(size_t drives = 3) : h{drives, disk::simulated, with(time)} {}

  static node_options with(std::shared_ptr<manual_clock> time) {
    node_options options;
    options.environment.clock = std::move(time);
    return options;
  }
  /// A day later something comes, and the look in the background brings a checkpoint.
  void pass_day() {
    time->advance(std::chrono::hours{25});
    h.put_text("/day", "d");
    look();
    h.reopen();
  }
  void look() {
    must(h.vault().verify({.background = true}));
  }
  int64_t now() const {
    return time->wall().time_since_epoch().count();
  }
  vault_stats stats() {
    return must(h.vault().stats());
  }
  uint64_t bytes_on_drives() {
    uint64_t sum = 0;
    for (const auto& drive : h.node().drives())
      sum += drive.shard_bytes;
    return sum;
  }
  /// Operations that are long and leave little behind.
  void set_tags(uint64_t seed) {
    for (uint64_t i = 0; i < tag_count; ++i)
      must(h.vault().set_tag("/tagged", "key", noise(seed + i, tag_size)));
    must(h.vault().flush());
  }
  std::string tag() {
    return must(h.vault().info("/tagged")).tags.at(0).second;
  }
  rebuild_summary rebuild() {
    h.close();
    auto node = must(datamesh::node::open(h.options));
    auto made = must(node->rebuild_catalog("main", credential::this_device()));
    node.reset();
    h.open();
    return made;
  }
  std::set<std::string> shard_files() {
    std::set<std::string> all;
    for (size_t d = 1; d <= 3; ++d)
      for (auto& path : h.files_below(h.drive(d)))
        if (path.find("shards") != std::string::npos)
          all.insert(path);
    return all;
  }
};

cleanup_request at_once(bool dry_run = false) {
  return {.dry_run = dry_run, .trash_age = std::chrono::seconds{0}};
}

} // namespace

TEST_CASE("a day after the last checkpoint a look in the background brings one", "[checkpoint]") {
  aging_house a;
  a.h.put_text("/file", "x");
  a.h.reopen();
  CHECK(a.stats().last_checkpoint_ns == 0);
  CHECK(a.stats().operations_since_checkpoint == a.stats().operations);
  a.pass_day();
  auto first = a.now();
  CHECK(a.stats().last_checkpoint_ns == first);
  CHECK(a.stats().operations_since_checkpoint == 0);
  SECTION("no command that somebody waits for writes one") {
    a.time->advance(std::chrono::hours{25});
    a.h.put_text("/more", "y");
    must(a.h.vault().move("/more", "/moved"));
    must(a.h.vault().verify({}));
    CHECK(a.h.get_text("/file") == "x");
    a.h.reopen();
    CHECK(a.stats().last_checkpoint_ns == first);
    CHECK(a.stats().operations_since_checkpoint == 3);
    SECTION("but cleanup does") {
      must(a.h.vault().cleanup({.dry_run = true}));
      CHECK(a.stats().last_checkpoint_ns == first);
      must(a.h.vault().cleanup({}));
      CHECK(a.stats().last_checkpoint_ns == a.now());
      CHECK(a.stats().operations_since_checkpoint == 0);
    }
  }
  SECTION("nothing came, nothing is written") {
    auto packs = a.stats().packs;
    a.time->advance(std::chrono::hours{25});
    a.look();
    CHECK(a.stats().last_checkpoint_ns == first);
    CHECK(a.stats().packs == packs);
  }
  SECTION("a catalog that is made again remembers it") {
    CHECK(a.rebuild().operations == 0);
    CHECK(a.stats().last_checkpoint_ns == first);
    CHECK(a.stats().operations_since_checkpoint == 0);
    CHECK(a.h.get_text("/file") == "x");
  }
}

TEST_CASE("with two checkpoints cleanup leaves operations behind, and nothing is lost", "[checkpoint]") {
  aging_house a;
  for (uint64_t i = 0; i < 4; ++i)
    a.h.put_text("/file" + std::to_string(i), noise(i, 100'000));
  a.h.put_text("/file1", noise(11, 50'000));
  a.h.put_text("/tagged", "t");
  must(a.h.vault().move("/file2", "/folder/moved"));
  must(a.h.vault().remove("/file3"));
  a.set_tags(100);
  auto long_ones = tag_count * tag_size;
  auto before = a.bytes_on_drives();
  REQUIRE(before > long_ones);
  a.pass_day();
  must(a.h.vault().cleanup({}));
  // With one checkpoint all operations stay.
  CHECK(a.bytes_on_drives() > long_ones);
  a.h.put_text("/between", "b");
  a.pass_day();
  a.h.put_text("/after", "c");
  must(a.h.vault().flush());
  auto names = a.h.list();
  // With a drive away, too.
  auto& disk = dynamic_cast<simulated_files&>(a.h.files());
  disk.unplug(a.h.drive(2));
  a.h.reopen();
  auto away = must(a.h.vault().cleanup(at_once(true)));
  a.h.close();
  disk.plug_in(a.h.drive(2));
  a.h.open();
  auto dry = must(a.h.vault().cleanup(at_once(true)));
  CHECK(away.bytes_freed + long_ones < dry.bytes_freed);
  auto real = must(a.h.vault().cleanup(at_once()));
  CHECK(dry.packs_deleted == real.packs_deleted);
  CHECK(dry.packs_copied == real.packs_copied);
  CHECK(dry.bytes_copied == real.bytes_copied);
  CHECK(a.bytes_on_drives() + long_ones < before);
  CHECK(must(a.h.vault().verify({.deep = true})).shards_missing == 0);
  auto check_all = [&] {
    CHECK(a.h.list() == names);
    CHECK(a.h.get_text("/file0") == noise(0, 100'000));
    CHECK(a.h.get_text("/file1") == noise(11, 50'000));
    CHECK(must(a.h.vault().versions("/file1")).size() == 2);
    CHECK(a.h.get_text("/folder/moved") == noise(2, 100'000));
    CHECK(a.h.get_text("/after") == "c");
    CHECK(a.tag() == noise(100 + tag_count - 1, tag_size));
    CHECK(must(a.h.vault().trash()).empty());
  };
  check_all();
  auto stats = a.stats();
  auto made = a.rebuild();
  CHECK(made.packs_unreadable == 0);
  CHECK(made.operations < 20);
  CHECK(a.stats().operations == stats.operations);
  CHECK(a.stats().versions == stats.versions);
  check_all();
  SECTION("what comes then joins on, and superseded checkpoints go") {
    for (int day = 0; day < 6; ++day) {
      a.h.put_text("/daily", noise(500 + static_cast<uint64_t>(day), 1000));
      a.pass_day();
      must(a.h.vault().cleanup(at_once()));
    }
    names = a.h.list();
    CHECK(a.bytes_on_drives() < before);
    a.rebuild();
    check_all();
    CHECK(must(a.h.vault().versions("/daily")).size() == 6);
  }
}

TEST_CASE("a catalog that is older than a checkpoint is not gone on with until it is made again", "[checkpoint]") {
  aging_house a;
  auto& h = a.h;
  h.put_text("/file", "x");
  h.close();
  h.copy_tree(h.options.home, h.path("backup"));
  h.open();
  h.put_text("/tagged", "t");
  a.set_tags(100);
  a.pass_day();
  h.put_text("/between", "b");
  a.pass_day();
  must(h.vault().cleanup(at_once()));
  h.put_text("/after", "c");
  must(h.vault().flush());
  auto names = h.list();
  h.close();
  h.copy_tree(h.path("backup"), h.options.home);
  auto refused = [&] {
    auto node = must(datamesh::node::open(h.options));
    auto first = code_of(node->open_vault("main", credential::this_device()));
    CHECK(code_of(node->open_vault("main", credential::this_device())) == first);
    return first;
  };
  CHECK(refused() == errc::store_corrupt);
  CHECK(refused() == errc::store_corrupt);
  // Also when the checkpoint can not be read for a while.
  auto& disk = dynamic_cast<simulated_files&>(h.files());
  for (size_t drive : {1, 2, 3})
    disk.unplug(h.drive(drive));
  CHECK(refused() == errc::drive_missing);
  for (size_t drive : {1, 2, 3})
    disk.plug_in(h.drive(drive));
  CHECK(refused() == errc::store_corrupt);
  a.rebuild();
  CHECK(h.list() == names);
  CHECK(a.tag() == noise(100 + tag_count - 1, tag_size));
  h.reopen();
  CHECK(must(h.vault().verify({.deep = true})).files_lost.empty());
}

TEST_CASE("a vault that was brought back with some of its drives is not gone on with when the others bring a checkpoint", "[checkpoint]") {
  aging_house a;
  auto& h = a.h;
  h.put_text("/tagged", "t");
  a.set_tags(100);
  a.pass_day();
  h.put_text("/between", "b");
  a.pass_day();
  must(h.vault().cleanup(at_once()));
  auto names = h.list();
  auto key = must(h.vault().key_file());
  must(h.vault().change_password(credential::password("a password")));
  key = must(h.vault().key_file());
  h.close();
  h.options.home = h.path("anew");
  {
    auto node = must(datamesh::node::create(h.options));
    must(node->adopt_drive(h.drive(1)));
    auto restored = must(node->restore_vault("main", key, credential::password("a password")));
    CHECK(restored.packs == 0);
    // Open all the time.
    auto vault = must(node->open_vault("main", credential::password("a password")));
    must(vault.make_folder("/meanwhile"));
    for (size_t drive : {2, 3})
      must(node->adopt_drive(h.drive(drive)));
    CHECK(code_of(node->open_vault("main", credential::password("a password"))) == errc::store_corrupt);
    CHECK(code_of(vault.cleanup(at_once())) == errc::store_corrupt);
  }
  {
    auto node = must(datamesh::node::open(h.options));
    CHECK(code_of(node->open_vault("main", credential::password("a password"))) == errc::store_corrupt);
    must(node->rebuild_catalog("main", credential::password("a password")));
    auto vault = must(node->open_vault("main", credential::password("a password")));
    must(vault.trust_this_device());
  }
  h.open();
  names.push_back("/meanwhile");
  std::sort(names.begin(), names.end());
  CHECK(h.list() == names);
}

TEST_CASE("when the newest checkpoint is lost, the one before it serves with what came after", "[checkpoint]") {
  aging_house a;
  a.h.put_text("/tagged", "t");
  // In the checkpoint, too, so that its shards are files.
  for (uint64_t i = 0; i < tag_count; ++i)
    must(a.h.vault().set_tag("/tagged", "key" + std::to_string(i), noise(300 + i, tag_size)));
  a.pass_day();
  a.h.put_text("/between", "b");
  a.h.reopen();
  auto before = a.shard_files();
  a.pass_day();
  auto after = a.shard_files();
  auto names = a.h.list();
  a.h.close();
  size_t removed = 0;
  for (const auto& path : after)
    if (!before.contains(path)) {
      must(a.h.files().remove(path));
      ++removed;
    }
  REQUIRE(removed > 0);
  a.h.open();
  auto made = a.rebuild();
  CHECK(made.operations == 3); // What came after the older one: two puts, one of a new file.
  CHECK(a.h.list() == names);
  CHECK(a.h.get_text("/between") == "b");
  CHECK(must(a.h.vault().info("/tagged")).tags.size() == tag_count);
}

TEST_CASE("what a cleanup forgot is forgotten for a rebuild, too, though it copied nothing", "[checkpoint]") {
  aging_house a;
  a.h.put_text("/large", noise(1, 8 << 20));
  a.h.put_text("/kept", "k");
  for (int i = 0; i < 2; ++i) {
    a.pass_day();
    must(a.h.vault().cleanup({}));
  }
  for (int i = 0; i < 2; ++i)
    must(a.h.vault().cleanup(at_once()));
  must(a.h.vault().remove("/large"));
  auto freed = must(a.h.vault().cleanup(at_once()));
  REQUIRE(freed.packs_deleted > 0);
  REQUIRE(freed.packs_copied == 0);
  a.h.close();
  a.h.remove_tree(join_path(a.h.options.home, "vaults/main/catalog"));
  auto node = must(datamesh::node::open(a.h.options));
  must(node->rebuild_catalog("main", credential::this_device()));
  node.reset();
  a.h.open();
  CHECK(a.h.list() == std::vector<std::string>{"/day", "/kept"});
}

} // namespace datamesh::test
