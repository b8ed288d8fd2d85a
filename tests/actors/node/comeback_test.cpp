// What comes back from earlier days: a home from a backup, a copy of it, old drives, old keys.
// Nothing that was acknowledged meanwhile is passed over, and nothing is told that is not so.
#include "storage/shard.hpp"
#include "tests/actors/node/house.hpp"

#include <future>

namespace datamesh::test {

namespace {

constexpr size_t mib = 1 << 20;
using answer = status_report::answer;
using names_list = std::vector<std::string>;
constexpr std::chrono::seconds no_trash{0};

put_stream_request stream(std::string target, std::shared_ptr<source> from, std::string policy = {}) {
  put_stream_request what;
  what.from = std::move(from);
  what.target_path = std::move(target);
  what.policy = std::move(policy);
  return what;
}

/// Reads nothing until it may end.
class held_source : public source {
public:
  result<size_t> read(byte_span) override {
    reads.set_value();
    may_end.get_future().wait();
    return 0;
  }
  std::promise<void> reads;
  std::promise<void> may_end;
};

/// A name that does not compress.
std::string letters(std::string_view noise) {
  std::string text{noise};
  for (auto& one : text)
    one = static_cast<char>('a' + static_cast<unsigned char>(one) % 26);
  return text;
}

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
  /// Shard files, and the drives on which they lie; small shards lie in indexes.
  std::map<std::string, size_t> shard_files() {
    std::map<std::string, size_t> found;
    for (size_t drive = 1; drive <= h.node().drives().size(); ++drive)
      for (const auto& file : h.files_below(join_path(h.drive(drive), "shards")))
        found[file] = drive;
    return found;
  }
  /// Flips a bit in each of its blocks.
  void spoil(const std::string& path) {
    auto content = must(read_whole(h.files(), path, 64 * mib));
    std::string text{as_text(content)};
    auto file = must(h.files().open_write(path));
    for (size_t at = storage::block_size / 2; at < text.size(); at += storage::block_size) {
      text[at] ^= 0x10;
      const byte_view parts[] = {as_view(text).subspan(at, 1)};
      must(file->write_at(at, parts));
    }
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

TEST_CASE("a cleanup deletes nothing while packs could not be read, for nobody knows what they need", "[comeback]") {
  backup_house b{6};
  auto& h = b.h;
  h.put_text("/x", noise(1, 4 * mib));
  std::vector<size_t> away{1, 2, 3};
  SECTION("since drives were away when the catalog was made") {
    b.lose_catalog();
    b.unplug(away);
    must(b.rebuild());
  }
  SECTION("since the key file is older") {
    away = {};
    b.back_up_home();
    must(h.vault().rotate_epoch());
    // The first chunks of it are known, and needed once more.
    h.put_text("/y", noise(1, 4 * mib) + noise(2, mib));
    h.close();
    h.copy_tree(h.options.home, h.path("newer"));
    b.put_back_home();
    h.open();
    must(h.vault().remove("/x"));
  }
  for (auto dry : {true, false})
    CHECK(code_of(h.vault().cleanup({.dry_run = dry, .trash_age = no_trash})) == errc::conflict);
  CHECK(must(h.vault().status()).overall == answer::unknown);
  if (away.empty()) {
    h.close();
    h.copy_tree(h.path("newer"), h.options.home);
  } else {
    b.plug();
  }
  h.open();
  must(h.vault().cleanup({.trash_age = no_trash}));
  b.check_holds(away.empty() ? names_list{"/x", "/y"} : names_list{"/x"});
}

TEST_CASE("a cleanup waits for what a drive brought while other jobs run", "[comeback]") {
  backup_house b{6};
  auto& h = b.h;
  h.put_text("/x", noise(1, 4 * mib));
  b.lose_catalog();
  b.unplug({1, 2, 3});
  must(b.rebuild());
  auto held = std::make_shared<held_source>();
  auto put = std::async(std::launch::async, [&] { return h.vault().put(stream("/slow", held)); });
  held->reads.get_future().wait();
  for (auto drive : b.away) {
    must(h.files().rename(h.path("away" + std::to_string(drive)), h.drive(drive)));
    must(h.node().adopt_drive(h.drive(drive)));
  }
  // Whatever is given up: this is on its way.
  CHECK(code_of(h.vault().cleanup({.trash_age = no_trash, .give_up_unread = true})) == errc::unavailable);
  held->may_end.set_value();
  must(put.get());
  h.reopen();
  must(h.vault().cleanup({.trash_age = no_trash}));
  b.check_holds({"/slow", "/x"});
}

TEST_CASE("packs that have too few shards on the drives that were named put a restored vault in doubt", "[comeback]") {
  backup_house b{3};
  auto& h = b.h;
  h.put_text("/x", noise(1, mib));
  for (size_t i = 4; i <= 6; ++i)
    must(h.node().add_drive(h.drive(i)));
  h.put_text("/y", noise(2, mib));
  auto phrase = credential::recovery_phrase(must(h.vault().add_recovery_phrase()));
  auto key = must(h.vault().key_file());
  h.close();
  h.remove_tree(h.options.home);
  {
    auto node = must(datamesh::node::create(h.options));
    for (size_t i = 1; i <= 3; ++i)
      must(node->adopt_drive(h.drive(i)));
    auto made = must(node->restore_vault("main", key, phrase));
    CHECK(made.files == 1);
    CHECK(made.packs_unreadable == 0);
    CHECK(made.packs_incomplete == 1);
    must(must(node->open_vault("main", phrase)).trust_this_device());
  }
  h.open();
  for (int round = 0; round < 2; ++round) {
    auto status = must(h.vault().status());
    CHECK(status.overall == answer::unknown);
    CHECK(status.sentence.find("too few shards") != std::string::npos);
    CHECK(must(h.vault().verify({})).packs_unread == 1);
    CHECK(code_of(h.vault().cleanup({})) == errc::conflict);
    h.reopen();
  }
  SECTION("until the other drives are adopted") {
    for (size_t i = 4; i <= 6; ++i)
      must(h.node().adopt_drive(h.drive(i)));
    CHECK(must(h.vault().status()).overall == answer::safe);
    must(h.vault().cleanup({.trash_age = no_trash}));
    b.check_holds({"/x", "/y"});
  }
  SECTION("or given up") {
    must(h.vault().cleanup({.give_up_unread = true}));
    b.check_holds({"/x"});
  }
}

TEST_CASE("a home from a backup is in doubt while what was stored since lies on drives that it does not know", "[comeback]") {
  backup_house b{4};
  auto& h = b.h;
  h.put_text("/x", noise(1, mib));
  h.put_text("/kept", noise(2, mib));
  must(h.vault().remove("/x"));
  must(h.vault().flush());
  b.back_up_home();
  for (size_t i = 5; i <= 8; ++i)
    must(h.node().add_drive(h.drive(i)));
  for (size_t i = 2; i <= 4; ++i)
    must(h.node().drain_drive(h.drive(i)));
  // All of it is known, and needs what the backup would clean up.
  h.put_text("/again", noise(1, mib));
  must(h.vault().put(stream("/new", std::make_shared<text_source>(noise(3, mib)), "4+1")));
  b.put_back_home();
  auto after_rebuild = GENERATE(false, true);
  if (after_rebuild)
    CHECK(must(b.rebuild()).packs_incomplete > 0);
  else
    h.open();
  for (int round = 0; round < 2; ++round) {
    CHECK(must(h.vault().status()).overall == answer::unknown);
    CHECK(must(h.vault().verify({})).packs_unread > 0);
    CHECK(code_of(h.vault().cleanup({.trash_age = no_trash})) == errc::conflict);
    h.reopen();
  }
  for (size_t i = 5; i <= 8; ++i)
    must(h.node().adopt_drive(h.drive(i)));
  must(h.vault().cleanup({.trash_age = no_trash}));
  b.check_holds({"/again", "/kept", "/new"});
}

TEST_CASE("a home from a backup is in doubt while drives are away that may have what was stored since", "[comeback]") {
  backup_house b{4};
  auto& h = b.h;
  h.put_text("/x", noise(1, mib));
  h.put_text("/kept", noise(2, mib));
  must(h.vault().remove("/x"));
  must(h.vault().flush());
  for (size_t i = 5; i <= 8; ++i)
    must(h.node().add_drive(h.drive(i)));
  b.back_up_home();
  auto put_beside = [&](size_t first, const std::string& name, uint64_t seed) {
    for (size_t i = first; i < first + 4; ++i)
      must(h.node().drain_drive(h.drive(i)));
    must(h.vault().put(stream(name, std::make_shared<text_source>(noise(seed, mib)), "2+2")));
    for (size_t i = first; i < first + 4; ++i)
      must(h.node().add_drive(h.drive(i)));
  };
  h.put_text("/again", noise(1, mib));
  put_beside(1, "/there", 3);
  put_beside(5, "/here", 4);
  b.put_back_home();
  b.unplug({5, 6, 7, 8});
  h.open();
  CHECK(must(h.vault().status()).overall == answer::unknown);
  CHECK(code_of(h.vault().cleanup({.trash_age = no_trash})) == errc::conflict);
  b.plug();
  h.open();
  must(h.vault().cleanup({.trash_age = no_trash}));
  b.check_holds({"/again", "/here", "/kept", "/there"});
}

TEST_CASE("a damaged pack is not taken for lost while drives that were not named may have more of it", "[comeback]") {
  backup_house b{6};
  auto& h = b.h;
  auto phrase = credential::recovery_phrase(must(h.vault().add_recovery_phrase()));
  h.put_text("/x", noise(1, 3 * mib));
  h.put_text("/kept", noise(2, 3 * mib));
  must(h.vault().remove("/x"));
  must(h.vault().flush());
  auto before = b.shard_files();
  h.put_text("/again", noise(1, 3 * mib));
  // Their names alone make a pack of some blocks.
  for (uint64_t i = 0; i < 2000; ++i)
    must(h.vault().make_folder("/folder" + std::to_string(i) + letters(noise(i, 200))));
  must(h.vault().flush());
  auto key = must(h.vault().key_file());
  // The first shard has what tells whose pack it is, the second operations alone.
  auto which = GENERATE(".0", ".1");
  auto after = b.shard_files();
  auto victim = std::ranges::find_if(after, [&](const auto& file) { return before.count(file.first) == 0 && file.first.ends_with(which); });
  REQUIRE(victim != after.end());
  h.close();
  b.spoil(victim->first);
  std::vector<size_t> named{victim->second};
  for (size_t i = 1; named.size() < 4; ++i)
    if (i != victim->second)
      named.push_back(i);
  h.remove_tree(h.options.home);
  {
    auto node = must(datamesh::node::create(h.options));
    for (auto drive : named)
      must(node->adopt_drive(h.drive(drive)));
    auto made = must(node->restore_vault("main", key, phrase));
    CHECK(made.packs_unreadable == 0);
    CHECK(made.packs_incomplete == 1);
    must(must(node->open_vault("main", phrase)).trust_this_device());
  }
  h.open();
  // Of a pack that is known without its operations it is known, too, that it can not be read.
  auto told = must(h.vault().status()).overall;
  CHECK((told == answer::unknown || told == answer::lost));
  CHECK(code_of(h.vault().cleanup({.trash_age = no_trash})) == errc::conflict);
  for (size_t i = 1; i <= 6; ++i)
    if (std::ranges::count(named, i) == 0)
      must(h.node().adopt_drive(h.drive(i)));
  CHECK(must(h.vault().verify({})).packs_unread == 0);
  must(h.vault().cleanup({.trash_age = no_trash}));
  CHECK(h.list("/").size() == 2002);
  CHECK(h.get_text("/again") == noise(1, 3 * mib));
}

TEST_CASE("a home from before a cleanup forgets what that deleted with the next one", "[comeback]") {
  backup_house b{3};
  auto& h = b.h;
  for (const auto* name : {"/a", "/b", "/c"})
    h.put_text(name, noise(name[1], mib));
  b.back_up_home();
  must(h.vault().remove("/a"));
  must(h.vault().remove("/b"));
  must(h.vault().cleanup({.trash_age = no_trash}));
  b.put_back_home();
  h.open();
  must(h.vault().cleanup({.trash_age = no_trash}));
  b.check_holds({"/c"});
}

TEST_CASE("a dry run of a cleanup counts what a repair left twice", "[comeback]") {
  backup_house b{6};
  auto& h = b.h;
  must(h.vault().put(stream("/x", std::make_shared<text_source>(noise(1, 3 * mib)), "2+1")));
  for (size_t drive = 1; drive <= 3; ++drive) {
    b.unplug({drive});
    h.open();
    must(h.vault().verify({.repair = true}));
    b.plug();
    h.open();
  }
  must(h.vault().remove("/x"));
  must(h.vault().flush());
  auto would = must(h.vault().cleanup({.dry_run = true, .trash_age = no_trash}));
  auto did = must(h.vault().cleanup({.trash_age = no_trash}));
  CHECK(would.bytes_freed == did.bytes_freed);
  CHECK(would.packs_deleted == did.packs_deleted);
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
