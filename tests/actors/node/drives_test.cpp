// Drives that are few, missing, damaged, failing or leaving, and what a node makes of them.
#include "tests/actors/node/hooked_files.hpp"
#include "tests/actors/node/house.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <set>

namespace datamesh::test {

namespace {

constexpr size_t mib = 1 << 20;

/// Shard files of a drive; small shards lie in its index.
std::vector<std::string> shard_files(house& h, size_t drive) {
  return h.files_below(join_path(h.drive(drive), "shards"));
}

void flip_bit(house& h, const std::string& path, uint64_t offset) {
  auto content = must(read_whole(h.files(), path, 64 * mib));
  std::string text{as_text(content)};
  REQUIRE(offset < text.size());
  text[offset] ^= 0x10;
  auto file = must(h.files().open_write(path));
  const byte_view parts[] = {as_view(text).subspan(offset, 1)};
  must(file->write_at(offset, parts));
}

uint64_t shards_on(house& h, size_t drive) {
  for (const auto& report : h.node().drives())
    if (report.folder == h.drive(drive))
      return report.shards;
  return 0;
}

/// A house whose files a test may fail.
struct hooked_house {
  std::shared_ptr<hooked_files> files = std::make_shared<hooked_files>(system_files());
  house h;
  explicit hooked_house(size_t drives) : h{drives, disk::system, with(files)} {}
  static node_options with(std::shared_ptr<hooked_files> files) {
    node_options options;
    options.environment.files = std::move(files);
    return options;
  }
  /// From now on all that changes *drive* fails.
  void break_drive(size_t drive, errc code = errc::io_failed) {
    files->set([folder = h.drive(drive), code](std::string_view call, const std::string& path) -> result<void> {
      static const std::set<std::string_view> changes{"create_unnamed", "write", "sync", "sync_folder", "link", "create"};
      if (path.starts_with(folder) && changes.count(call) > 0)
        return fail(code, "use the broken drive", path);
      return {};
    });
  }
};

/// Files of which those of a drive's shards answer no read until they are let go.
class stalling_files : public hooked_files {
public:
  using hooked_files::hooked_files;
  ~stalling_files() override {
    let_go();
  }

  void stall(const std::string& folder) {
    std::lock_guard guard{gate_->mutex};
    gate_->folder = folder;
  }
  /// True when a read was not answered.
  bool has_stalled() const {
    std::lock_guard guard{gate_->mutex};
    return gate_->has_stalled;
  }
  void let_go() {
    std::lock_guard guard{gate_->mutex};
    gate_->folder.clear();
    gate_->changed.notify_all();
  }
  result<std::unique_ptr<readable_file>> open_read(const std::string& path, access_hint hint) override {
    auto inner = hooked_files::open_read(path, hint);
    if (!inner)
      return inner;
    return std::make_unique<stalling_reader>(std::move(*inner), gate_, path);
  }

private:
  struct gate {
    std::mutex mutex;
    std::condition_variable changed;
    std::string folder;
    bool has_stalled = false;
  };
  class stalling_reader : public readable_file {
  public:
    stalling_reader(std::unique_ptr<readable_file> inner, std::shared_ptr<gate> held, std::string path)
        : inner_(std::move(inner)), gate_(std::move(held)), path_(std::move(path)) {}
    result<size_t> read_at(uint64_t offset, byte_span out) override {
      std::unique_lock guard{gate_->mutex};
      auto is_held = [&] {
        return !gate_->folder.empty() && path_.starts_with(gate_->folder);
      };
      gate_->has_stalled = gate_->has_stalled || is_held();
      gate_->changed.wait(guard, [&] { return !is_held(); });
      guard.unlock();
      return inner_->read_at(offset, out);
    }
    result<file_status> status() override {
      return inner_->status();
    }
    result<uint64_t> next_data(uint64_t offset) override {
      return inner_->next_data(offset);
    }
    result<uint64_t> next_hole(uint64_t offset) override {
      return inner_->next_hole(offset);
    }

  private:
    std::unique_ptr<readable_file> inner_;
    std::shared_ptr<gate> gate_;
    std::string path_;
  };
  std::shared_ptr<gate> gate_ = std::make_shared<gate>();
};

} // namespace

TEST_CASE("a file comes back whole and its node closes though a drive answers no read", "[drives]") {
  auto files = std::make_shared<stalling_files>(system_files());
  node_options options;
  options.environment.files = files;
  house h{3, disk::system, options};
  auto text = noise(77, 24 * mib);
  h.put_text("/f", text);
  files->stall(join_path(h.drive(1), "shards"));
  auto to = std::make_shared<text_sink>();
  auto fetched = must(h.vault().get("/f", to));
  CHECK(to->text == text);
  // The drive may have nothing but parity.
  CHECK((fetched.reads_hedged > 0) == files->has_stalled());
  CHECK(fetched.shards_bad == 0);
  // Once it has been silent for long, it is not asked any more.
  CHECK(h.get_text("/f") == text);
  h.close();
  files->let_go();
  h.open();
  CHECK(h.get_text("/f") == text);
}

TEST_CASE("the policy follows the number of drives", "[drives]") {
  house h{1};
  auto policy = [&] {
    auto status = must(h.vault().status());
    return status.policy + " " + status.policy_level;
  };
  CHECK(policy() == "10+2 block");
  std::vector<std::string> expected{"1+1 drive", "2+1 drive", "2+2 drive", "2+2 drive", "4+2 drive", "4+2 drive"};
  for (size_t i = 0; i < expected.size(); ++i) {
    must(h.node().add_drive(h.drive(i + 2)));
    CHECK(policy() == expected[i]);
  }
  put_stream_request what{std::make_shared<text_source>("x"), "/x", if_exists::version, "3+4"};
  must(h.vault().put(what));
  CHECK(must(h.vault().info("/x")).margin == 4);
  for (std::string bad : {"0+1", "3", "3+5", "x+y", "100+29", "4+-1"}) {
    what = {std::make_shared<text_source>("x"), "/y", if_exists::version, bad};
    CHECK(code_of(h.vault().put(what)) == errc::policy_invalid);
  }
}

TEST_CASE("a single drive survives bit rot", "[drives]") {
  house h{1};
  auto text = noise(1, 3 * mib);
  h.put_text("/file", text);
  auto files = shard_files(h, 1);
  REQUIRE(files.size() == 12);
  flip_bit(h, files[0], 100'000);
  must(h.files().remove(files[7]));
  CHECK(h.get_text("/file") == text);
  auto found = must(h.vault().verify({.deep = true, .repair = true}));
  CHECK(found.shards_damaged + found.shards_missing == 2);
  CHECK(found.shards_repaired == 2);
  CHECK(must(h.vault().verify({.deep = true})).shards_damaged == 0);
  CHECK(h.get_text("/file") == text);
}

TEST_CASE("without drives nothing is stored, and it is said", "[drives]") {
  house h{0};
  put_stream_request what{std::make_shared<text_source>("x"), "/x"};
  CHECK(code_of(h.vault().put(what)) == errc::too_few_drives);
  must(h.vault().make_folder("/kept in the catalog"));
  CHECK(h.list() == std::vector<std::string>{"/kept in the catalog"});
  h.reopen();
  must(h.node().add_drive(h.drive(1)));
  must(h.vault().flush());
  CHECK(h.list() == std::vector<std::string>{"/kept in the catalog"});
}

TEST_CASE("too few drives that answer store nothing", "[drives]") {
  hooked_house hooked{3};
  auto& h = hooked.h;
  h.put_text("/before", "kept");
  auto folder = h.path("drive");
  hooked.files->set([&](std::string_view call, const std::string& path) -> result<void> {
    if (path.starts_with(folder) && !path.starts_with(h.drive(1)) && (call == "create_unnamed" || call == "write"))
      return fail(errc::io_failed, "write", path);
    return {};
  });
  put_stream_request what{std::make_shared<text_source>(noise(2, 3 * mib)), "/lost"};
  CHECK(code_of(h.vault().put(what)) == errc::too_few_drives);
  CHECK(h.list() == std::vector<std::string>{"/before"});
  hooked.files->set({});
  h.reopen();
  CHECK(h.list() == std::vector<std::string>{"/before"});
  CHECK(h.get_text("/before") == "kept");
}

TEST_CASE("a drive that fails in mid-put leaves the put degraded and is healed later", "[drives]") {
  hooked_house hooked{6};
  auto& h = hooked.h;
  hooked.break_drive(3);
  auto text = noise(3, 5 * mib);
  auto stored = h.put_text("/file", text);
  CHECK(stored.shards_short == 1);
  CHECK(h.get_text("/file") == text);
  auto status = must(h.vault().status());
  CHECK(status.overall == status_report::answer::degraded);
  CHECK(status.margin_min == 1);
  CHECK(must(h.vault().info("/file")).margin == 1);
  hooked.files->set({});
  SECTION("by a new drive") {
    must(h.node().remove_drive(h.drive(3), true));
    must(h.node().add_drive(h.drive(7)));
  }
  SECTION("by the drive itself when it works again") {
    h.reopen();
  }
  auto found = must(h.vault().verify({.repair = true}));
  CHECK(found.shards_missing > 0);
  CHECK(found.shards_repaired == found.shards_missing);
  CHECK(must(h.vault().status()).overall == status_report::answer::safe);
  CHECK(h.get_text("/file") == text);
}

TEST_CASE("a failed sync fails the drive for good", "[drives]") {
  hooked_house hooked{4};
  auto& h = hooked.h;
  hooked.files->set([&](std::string_view call, const std::string& path) -> result<void> {
    if (call == "sync" && path.starts_with(h.drive(2)))
      return fail(errc::sync_failed, "sync", path);
    return {};
  });
  auto text = noise(4, 2 * mib);
  CHECK(h.put_text("/file", text).shards_short == 1);
  hooked.files->set({});
  for (int round = 0; round < 2; ++round) {
    auto reports = h.node().drives();
    CHECK(reports[1].state == "failed");
    CHECK(h.get_text("/file") == text);
    h.reopen();
  }
  // Its place is taken by a new one.
  must(h.node().remove_drive(h.drive(2)));
  must(h.node().add_drive(h.drive(5)));
  auto found = must(h.vault().verify({.repair = true}));
  CHECK(found.shards_repaired > 0);
  CHECK(must(h.vault().status()).overall == status_report::answer::safe);
}

TEST_CASE("a drive that is missing when the node opens is reported, and data is there all the same", "[drives]") {
  house h{4};
  auto text = noise(5, 4 * mib);
  h.put_text("/file", text);
  h.close();
  must(h.files().rename(h.drive(2), h.path("elsewhere")));
  h.open();
  auto reports = h.node().drives();
  REQUIRE(reports.size() == 4);
  CHECK(reports[1].state == "missing");
  REQUIRE(reports[1].reason);
  CHECK(reports[1].reason->code() == errc::drive_missing);
  CHECK(h.get_text("/file") == text);
  CHECK(must(h.vault().status()).overall == status_report::answer::degraded);
  CHECK(must(h.vault().verify({})).shards_missing > 0);
  SECTION("it may come back at another place") {
    must(h.node().adopt_drive(h.path("elsewhere")));
    CHECK(h.node().drives().size() == 4);
    CHECK(h.node().drives()[1].state == "ok");
    CHECK(must(h.vault().verify({.deep = true})).shards_missing == 0);
    CHECK(must(h.vault().status()).overall == status_report::answer::safe);
  }
  SECTION("or stay away, and be replaced") {
    auto id = h.node().drives()[1].id.hex();
    CHECK(code_of(h.node().remove_drive(id.substr(0, 8))) == errc::conflict);
    must(h.node().remove_drive(id.substr(0, 8), true));
    must(h.node().add_drive(h.drive(5)));
    auto healed = must(h.vault().verify({.repair = true}));
    CHECK(healed.shards_repaired == healed.shards_missing);
    CHECK(must(h.vault().status()).overall == status_report::answer::safe);
  }
  CHECK(h.get_text("/file") == text);
}

TEST_CASE("verify finds, repair heals, and what is beyond repair is named", "[drives]") {
  house h{6};
  auto one = noise(6, 2 * mib);
  auto two = noise(7, 2 * mib);
  h.put_text("/lost", one);
  h.put_text("/kept", two);
  h.put_text("/small", "in the index");
  // All six shards of the first pack, by the names of their files.
  std::map<std::string, std::vector<std::string>> packs;
  for (size_t drive = 1; drive <= 6; ++drive)
    for (const auto& file : shard_files(h, drive)) {
      auto name = file.substr(file.rfind('/') + 1);
      packs[name.substr(0, name.rfind('.'))].push_back(file);
    }
  REQUIRE(packs.size() == 2);
  auto& victim = packs.begin()->second;
  REQUIRE(victim.size() == 6);
  SECTION("damage is found by a deep verify and healed") {
    flip_bit(h, victim[0], 200'000);
    flip_bit(h, victim[4], 70'000);
    CHECK(must(h.vault().verify({.deep = true})).shards_damaged == 2);
    auto dry = must(h.vault().verify({.deep = true, .repair = true, .dry_run = true}));
    CHECK(dry.shards_damaged == 2);
    CHECK(dry.shards_repaired == 2);
    auto to = std::make_shared<text_sink>();
    CHECK(h.get_text("/lost") == one);
    CHECK(h.get_text("/kept") == two);
    CHECK(must(h.vault().verify({.deep = true, .repair = true})).shards_repaired == 2);
    CHECK(must(h.vault().status()).overall == status_report::answer::safe);
    CHECK(must(h.vault().verify({.deep = true})).shards_damaged == 0);
    CHECK(must(h.vault().status()).last_deep_verify_ns.has_value());
  }
  SECTION("loss is found by a quick verify and healed") {
    must(h.files().remove(victim[1]));
    must(h.files().remove(victim[5]));
    CHECK(must(h.vault().verify({.paths = {"/small"}})).shards_missing == 0);
    auto found = must(h.vault().verify({.repair = true}));
    CHECK(found.shards_missing == 2);
    CHECK(found.shards_repaired == 2);
    CHECK(must(h.files().status(victim[1])).kind == file_kind::regular);
  }
  SECTION("beyond parity, exactly the lost files are named and the rest is served") {
    for (size_t i : {0u, 2u, 3u})
      must(h.files().remove(victim[i]));
    auto found = must(h.vault().verify({.deep = true, .repair = true}));
    CHECK(found.packs_lost == 1);
    REQUIRE(found.files_lost.size() == 1);
    auto lost = found.files_lost[0];
    CHECK((lost == "/lost" || lost == "/kept"));
    auto to = std::make_shared<text_sink>();
    CHECK(code_of(h.vault().get(lost, to)) == errc::damaged);
    CHECK(h.get_text(lost == "/lost" ? "/kept" : "/lost") == (lost == "/lost" ? two : one));
    CHECK(h.get_text("/small") == "in the index");
    // A get of all writes what can be read.
    must(h.files().make_folder(h.path("back")));
    auto fetched = must(h.vault().get(get_request{.paths = {"/lost", "/kept", "/small"}, .target_folder = h.path("back")}));
    CHECK(fetched.failure_count == 1);
    CHECK(fetched.files == 2);
  }
}

/// The shard files of the one pack that has any, by index.
std::map<size_t, std::string> shards_of_the_pack(house& h, size_t drives) {
  std::map<size_t, std::string> found;
  for (size_t drive = 1; drive <= drives; ++drive)
    for (const auto& file : shard_files(h, drive))
      REQUIRE(found.emplace(std::stoul(file.substr(file.rfind('.') + 1)), file).second);
  return found;
}

/// What the catalog was told before is in it.
status_report status_behind(house& h) {
  must(h.vault().make_folder("/behind"));
  must(h.vault().remove("/behind"));
  return must(h.vault().status());
}

TEST_CASE("what a read finds gone or damaged is known from then on, and a quick repair mends it", "[drives]") {
  house h{6};
  auto text = noise(70, 2 * mib);
  h.put_text("/file", text);
  auto shards = shards_of_the_pack(h, 6);
  REQUIRE(shards.size() == 6);
  must(h.files().remove(shards[1]));
  flip_bit(h, shards[2], 200'000);
  CHECK(must(h.vault().status()).overall == status_report::answer::safe);
  auto by = GENERATE(0, 1, 2);
  CAPTURE(by);
  if (by == 0)
    CHECK(h.get_text("/file") == text);
  else if (by == 1)
    CHECK(h.get_text("/file", {600'000, 900'000}) == text.substr(600'000, 900'000));
  else
    CHECK(must(h.vault().verify({.deep = true})).shards_damaged == 1);
  for (int round = 0; round < 2; ++round) {
    auto status = status_behind(h);
    CHECK(status.overall == status_report::answer::degraded);
    CHECK(status.packs_degraded == 1);
    CHECK(status.margin_min == 0);
    CHECK(must(h.vault().info("/file")).margin == 0);
    h.reopen();
  }
  CHECK(h.get_text("/file") == text);
  // Nobody else looks at the bytes in a quick one.
  auto found = must(h.vault().verify({}));
  CHECK(found.shards_missing == 1);
  CHECK(found.shards_damaged == 1);
  CHECK(status_behind(h).overall == status_report::answer::degraded);
  auto healed = must(h.vault().verify({.repair = true}));
  CHECK(healed.shards_repaired == 2);
  for (int round = 0; round < 2; ++round) {
    CHECK(status_behind(h).overall == status_report::answer::safe);
    CHECK(must(h.vault().info("/file")).margin == 2);
    h.reopen();
  }
  CHECK(must(h.vault().verify({.deep = true})).shards_damaged == 0);
}

TEST_CASE("a shard that was found gone and is back is good after the next look", "[drives]") {
  house h{4};
  auto text = noise(71, mib);
  h.put_text("/file", text);
  auto gone = shards_of_the_pack(h, 4)[0];
  must(h.files().rename(gone, h.path("kept")));
  CHECK(h.get_text("/file") == text);
  CHECK(status_behind(h).overall == status_report::answer::degraded);
  must(h.files().rename(h.path("kept"), gone));
  auto dry = must(h.vault().verify({.dry_run = true}));
  CHECK(dry.shards_missing == 0);
  CHECK(status_behind(h).overall == status_report::answer::degraded);
  CHECK(must(h.vault().verify({})).shards_missing == 0);
  CHECK(status_behind(h).overall == status_report::answer::safe);
}

TEST_CASE("more gone than parity is told by status after a read", "[drives]") {
  house h{4};
  h.put_text("/file", noise(72, mib));
  for (const auto& [index, file] : shards_of_the_pack(h, 4))
    if (index != 3)
      must(h.files().remove(file));
  auto to = std::make_shared<text_sink>();
  CHECK(code_of(h.vault().get("/file", to)) == errc::damaged);
  auto status = status_behind(h);
  CHECK(status.overall == status_report::answer::lost);
  CHECK(status.packs_lost == 1);
  CHECK(must(h.vault().info("/file")).margin == -1);
}

TEST_CASE("a read of a drive that is away, or that fails to read, tells nothing of its shards", "[drives]") {
  auto text = noise(73, mib);
  SECTION("its folder is gone") {
    house h{4};
    h.put_text("/file", text);
    for (size_t drive = 1; drive <= 4; ++drive) {
      must(h.files().rename(h.drive(drive), h.path("elsewhere")));
      auto empty = drive % 2 == 0;
      if (empty)
        must(h.files().make_folder(h.drive(drive)));
      CHECK(h.get_text("/file") == text);
      CHECK(must(h.vault().verify({})).shards_missing == 1);
      if (empty)
        must(h.files().remove_folder(h.drive(drive)));
      must(h.files().rename(h.path("elsewhere"), h.drive(drive)));
    }
    CHECK(status_behind(h).overall == status_report::answer::safe);
    CHECK(must(h.vault().info("/file")).margin == 2);
  }
  SECTION("its reads fail") {
    hooked_house hooked{4};
    auto& h = hooked.h;
    h.put_text("/file", text);
    auto call = GENERATE(as<std::string_view>{}, "open_read", "read");
    CAPTURE(call);
    for (size_t drive = 1; drive <= 4; ++drive) {
      hooked.files->set([folder = h.drive(drive) + "/shards", call](std::string_view now, const std::string& path) -> result<void> {
        return now == call && path.starts_with(folder) ? fail(errc::io_failed, "read", path) : result<void>{};
      });
      CHECK(h.get_text("/file") == text);
    }
    hooked.files->set({});
    CHECK(status_behind(h).overall == status_report::answer::safe);
  }
}

TEST_CASE("a get goes on behind files that are lost beyond parity, and counts nothing of them as resumed", "[drives]") {
  house h{6};
  auto whole = noise(33, 18 * mib);
  h.put_text("/short lost", noise(30, 2 * mib));
  h.put_text("/long lost", noise(31, 40 * mib));
  h.put_text("/also lost", noise(32, 18 * mib));
  h.put_text("/in the index", "short");
  for (size_t drive = 1; drive <= 3; ++drive)
    for (const auto& file : shard_files(h, drive))
      must(h.files().remove(file));
  h.put_text("/whole", whole);
  must(h.files().make_folder(h.path("back")));
  get_request all{.paths = {"/short lost", "/long lost", "/in the index", "/also lost", "/whole"}, .target_folder = h.path("back")};
  // A deadline, so that one that waits for ever is a failure.
  auto fetched = must(h.vault().get(all, {.timeout = std::chrono::minutes{2}}));
  CHECK(fetched.failure_count == 3);
  for (const auto& failure : fetched.failures)
    CHECK(failure.reason.code() == errc::damaged);
  CHECK(fetched.files == 2);
  CHECK(fetched.bytes_resumed == 0);
  CHECK(h.read("back/in the index") == "short");
  CHECK(h.read("back/whole") == whole);
}

TEST_CASE("with drives pulled from an open node nothing that can not be read counts as safe or known", "[drives]") {
  house h{6};
  auto text = noise(35, 2 * mib);
  h.put_text("/file", text);
  CHECK(must(h.vault().info("/file")).margin == 2);
  for (size_t drive = 1; drive <= 3; ++drive)
    must(h.files().rename(h.drive(drive), h.path("away" + std::to_string(drive))));
  CHECK(must(h.vault().status()).overall == status_report::answer::lost);
  CHECK(must(h.vault().info("/file")).margin == -1);
  put_stream_request again{std::make_shared<text_source>(text), "/again"};
  CHECK_FALSE(h.vault().put(again).has_value());
  CHECK(h.list() == std::vector<std::string>{"/file"});
  for (size_t drive = 1; drive <= 3; ++drive)
    must(h.files().rename(h.path("away" + std::to_string(drive)), h.drive(drive)));
  CHECK(must(h.vault().status()).overall == status_report::answer::safe);
  CHECK(h.get_text("/file") == text);
}

TEST_CASE("a rebuild without drives that it needs spares the catalog, or tells of packs that it can not read", "[drives]") {
  house h{6};
  h.put_text("/file", noise(36, 2 * mib));
  h.close();
  for (size_t drive = 1; drive <= 3; ++drive)
    must(h.files().rename(h.drive(drive), h.path("away" + std::to_string(drive))));
  auto node = must(datamesh::node::open(h.options));
  CHECK(code_of(node->rebuild_catalog("main", credential::this_device())) == errc::drive_missing);
  {
    auto vault = must(node->open_vault("main", credential::this_device()));
    CHECK(must(vault.list({})).entries.size() == 1);
  }
  node.reset();
  // Where there is none to be spared, it is made of what there is.
  h.remove_tree(join_path(h.options.home, "vaults/main/catalog"));
  node = must(datamesh::node::open(h.options));
  CHECK(must(node->rebuild_catalog("main", credential::this_device())).packs_unreadable > 0);
  node.reset();
  for (size_t drive = 1; drive <= 3; ++drive)
    must(h.files().rename(h.path("away" + std::to_string(drive)), h.drive(drive)));
  node = must(datamesh::node::open(h.options));
  auto made = must(node->rebuild_catalog("main", credential::this_device()));
  CHECK(made.packs_unreadable == 0);
  CHECK(made.files == 1);
}

TEST_CASE("a file whose data a rebuild could not read is told as lost until it is stored anew", "[drives]") {
  house h{3};
  // Several packs, of which the last tells of the file.
  auto text = noise(38, 40 * mib);
  h.put_text("/lost", text);
  h.put_text("/whole", "whole");
  size_t largest = 0;
  for (size_t drive = 1; drive <= 2; ++drive)
    for (const auto& file : shard_files(h, drive))
      largest = std::max<size_t>(largest, must(h.files().status(file)).size);
  for (size_t drive = 1; drive <= 2; ++drive)
    for (const auto& file : shard_files(h, drive))
      if (must(h.files().status(file)).size == largest)
        must(h.files().remove(file));
  h.close();
  must(must(datamesh::node::open(h.options))->rebuild_catalog("main", credential::this_device()));
  h.open();
  REQUIRE(h.list() == std::vector<std::string>{"/lost", "/whole"});
  CHECK(must(h.vault().status()).overall == status_report::answer::lost);
  for (const auto& paths : {std::vector<std::string>{}, {"/lost"}}) {
    auto found = must(h.vault().verify({.paths = paths}));
    CHECK(found.files_lost == std::vector<std::string>{"/lost"});
  }
  CHECK(must(h.vault().verify({.paths = {"/whole"}})).files_lost.empty());
  h.put_text("/lost", text);
  CHECK(must(h.vault().verify({.deep = true})).files_lost.empty());
  CHECK(must(h.vault().status()).overall == status_report::answer::safe);
  CHECK(h.get_text("/lost") == text);
}

TEST_CASE("a shard is healed elsewhere when the drive that it was on takes none", "[drives]") {
  hooked_house hooked{7};
  auto& h = hooked.h;
  auto text = noise(37, 2 * mib);
  h.put_text("/file", text);
  size_t broken = 1;
  while (shard_files(h, broken).empty())
    ++broken;
  must(h.files().remove(shard_files(h, broken).front()));
  hooked.break_drive(broken, errc::no_space);
  auto healed = must(h.vault().verify({.repair = true}));
  CHECK(healed.shards_repaired == 1);
  CHECK(healed.shards_unplaced == 0);
  CHECK(must(h.vault().status()).overall == status_report::answer::safe);
  CHECK(h.get_text("/file") == text);
}

TEST_CASE("what a read found lost is stored anew when it comes by", "[drives]") {
  house h{6};
  auto text = noise(30, 2 * mib);
  h.put_text("/lost", text);
  for (size_t drive = 1; drive <= 3; ++drive)
    for (const auto& file : shard_files(h, drive))
      must(h.files().remove(file));
  CHECK(code_of(get_text(h.vault(), "/lost")) == errc::damaged);
  CHECK(status_behind(h).packs_lost == 1);
  auto again = h.put_text("/again", text);
  CHECK(again.bytes_new_plain == 2 * mib);
  CHECK(h.get_text("/again") == text);
  CHECK(h.get_text("/lost") == text);
}

TEST_CASE("a drained drive is emptied by a rebalance, and may then be removed", "[drives]") {
  house h{4};
  std::vector<std::string> texts;
  for (uint64_t i = 0; i < 4; ++i) {
    texts.push_back(noise(10 + i, i % 2 == 0 ? 2 * mib : 5000));
    h.put_text("/f" + std::to_string(i), texts.back());
  }
  must(h.node().add_drive(h.drive(5)));
  REQUIRE(shards_on(h, 2) > 0);
  CHECK(code_of(h.node().remove_drive(h.drive(2))) == errc::conflict);
  must(h.node().drain_drive(h.drive(2)));
  CHECK(h.node().drives()[1].state == "draining");
  auto before = shards_on(h, 2);
  h.put_text("/while draining", "x");
  CHECK(shards_on(h, 2) == before);
  auto dry = must(h.vault().rebalance(true));
  CHECK(shards_on(h, 2) == before);
  auto moved = must(h.vault().rebalance());
  CHECK(moved.shards_left == 0);
  CHECK(dry.shards_moved >= before);
  CHECK(shards_on(h, 2) == 0);
  must(h.node().remove_drive(h.drive(2)));
  CHECK(must(h.vault().status()).overall == status_report::answer::safe);
  h.reopen();
  CHECK(h.node().drives().size() == 4);
  for (uint64_t i = 0; i < 4; ++i)
    CHECK(h.get_text("/f" + std::to_string(i)) == texts[i]);
  CHECK(must(h.vault().verify({.deep = true})).shards_missing == 0);
}

namespace {

using texts_by_path = std::map<std::string, std::string>;

texts_by_path put_some(house& h) {
  texts_by_path texts;
  for (uint64_t i = 0; i < 4; ++i) {
    auto path = "/f" + std::to_string(i);
    texts[path] = noise(20 + i, i % 2 == 0 ? 2 * mib : 5000);
    h.put_text(path, texts[path]);
  }
  return texts;
}

/// All is there, whichever two of *drives* are away.
void check_without_any_two(house& h, const std::vector<size_t>& drives, const texts_by_path& texts) {
  for (size_t a = 0; a < drives.size(); ++a)
    for (size_t b = a + 1; b < drives.size(); ++b) {
      h.close();
      for (auto away : {drives[a], drives[b]})
        must(h.files().rename(h.drive(away), h.drive(away) + " away"));
      h.open();
      CAPTURE(drives[a], drives[b]);
      for (const auto& [path, text] : texts)
        CHECK(h.get_text(path) == text);
      h.close();
      for (auto away : {drives[a], drives[b]})
        must(h.files().rename(h.drive(away) + " away", h.drive(away)));
      h.open();
    }
}

/// What a failed sync leaves.
void fail_drive(house& h, size_t drive) {
  h.close();
  must(write_whole(h.files(), join_path(h.drive(drive), "datamesh-drive.failed"), as_view("sync failed\n")));
  h.open();
}

} // namespace

TEST_CASE("a drive in any state is replaced without loss of redundancy, and not removed before", "[drives]") {
  house h{4};
  auto texts = put_some(h);
  auto old = h.node().drives()[1];
  auto id = old.id.hex();
  std::string state = "ok";
  SECTION("that is well") {}
  SECTION("that is drained already") {
    must(h.node().drain_drive(id));
    state = "draining";
  }
  SECTION("that failed") {
    fail_drive(h, 2);
    state = "failed";
    CHECK(must(h.vault().status()).overall == status_report::answer::degraded);
  }
  SECTION("that is missing") {
    h.close();
    must(h.files().rename(h.drive(2), h.path("gone")));
    h.open();
    state = "missing";
  }
  CHECK(h.node().drives()[1].state == state);
  CHECK(code_of(h.node().remove_drive(id)) == errc::conflict);
  must(h.node().add_drive(h.drive(5)));
  if (state == "ok")
    must(h.node().drain_drive(id));
  auto moved = must(h.vault().rebalance());
  CHECK(moved.shards_left == 0);
  CHECK((state == "missing" || moved.shards_moved >= old.shards));
  auto mended = must(h.vault().verify({.repair = true}));
  CHECK((state != "missing" || mended.shards_repaired >= old.shards));
  CHECK(mended.shards_unplaced == 0);
  must(h.node().remove_drive(id));
  CHECK(must(h.vault().status()).overall == status_report::answer::safe);
  check_without_any_two(h, {1, 3, 4, 5}, texts);
}

TEST_CASE("a drive that takes no writes is replaced, and says so when it is to be drained", "[drives]") {
  house h{4, disk::simulated};
  auto texts = put_some(h);
  auto& simulated = dynamic_cast<simulated_files&>(h.files());
  auto how = GENERATE(drive_end::read_only, drive_end::full);
  CAPTURE(to_string(how));
  simulated.end_drive(1, h.drive(2), how);
  must(h.node().add_drive(h.drive(5)));
  auto id = h.node().drives()[1].id.hex();
  auto refused = h.node().drain_drive(id);
  if (how == drive_end::read_only)
    CHECK(code_of(refused) == errc::read_only);
  CHECK(h.node().drives()[1].state != "ok");
  auto moved = must(h.vault().rebalance());
  CHECK(moved.shards_left == 0);
  CHECK(moved.shards_moved > 0);
  CHECK(must(h.vault().verify({.repair = true})).shards_unplaced == 0);
  must(h.node().remove_drive(id));
  CHECK(must(h.vault().status()).overall == status_report::answer::safe);
  check_without_any_two(h, {1, 3, 4, 5}, texts);
}

TEST_CASE("read-only drives are told of, a put says which they are, and they are used again", "[drives]") {
  house h{4, disk::simulated};
  auto texts = put_some(h);
  auto& simulated = dynamic_cast<simulated_files&>(h.files());
  auto close = [&](size_t drive) {
    simulated.end_drive(1, h.drive(drive), drive_end::read_only);
  };
  close(2);
  auto reports = h.node().drives();
  CHECK(reports[0].state == "ok");
  CHECK(reports[0].disk_free > 0);
  CHECK(reports[1].state == "read-only");
  CHECK(reports[1].disk_free == 0);
  REQUIRE(reports[1].reason);
  CHECK(reports[1].reason->code() == errc::read_only);
  auto status = must(h.vault().status());
  CHECK(status.overall == status_report::answer::safe);
  CHECK(status.sentence.ends_with(" One drive takes no writes."));
  // Nothing is moved on or off it.
  CHECK(must(h.vault().rebalance()).shards_moved == 0);

  auto short_of_one = noise(60, mib);
  CHECK(h.put_text("/short of one", short_of_one).shards_short == 1);
  close(3);
  auto refused = [&](bool reopened) {
    CAPTURE(reopened);
    auto put = h.vault().put(put_stream_request{std::make_shared<text_source>(noise(61, mib)), "/refused"});
    REQUIRE_FALSE(put.has_value());
    CHECK(put.error().code() == errc::read_only);
    auto message = put.error().message();
    CAPTURE(message);
    CHECK(message.find(h.drive(1)) == std::string::npos);
    CHECK(message.find(h.drive(2)) != std::string::npos);
    CHECK(message.find(h.drive(3)) != std::string::npos);
  };
  refused(false);
  h.reopen();
  refused(true);
  for (const auto& [path, text] : texts)
    CHECK(h.get_text(path) == text);
  simulated.plug_in(h.drive(2));
  simulated.plug_in(h.drive(3));
  CHECK(h.node().drives()[2].state == "ok");
  CHECK(h.put_text("/again", noise(62, mib)).shards_short == 0);
  CHECK(must(h.vault().verify({.repair = true})).shards_unplaced == 0);
  CHECK(must(h.vault().status()).sentence.find("drive") == std::string::npos);
  CHECK(h.get_text("/short of one") == short_of_one);
}

TEST_CASE("a put during which drives become read-only says so", "[drives]") {
  hooked_house hooked{4};
  auto& h = hooked.h;
  // Found by the write alone, as on a server that exports it so.
  hooked.files->set([&](std::string_view call, const std::string& path) -> result<void> {
    if (call == "create_unnamed" && (path.starts_with(h.drive(2)) || path.starts_with(h.drive(4))))
      return fail(errc::read_only, "create", path);
    return {};
  });
  auto put = h.vault().put(put_stream_request{std::make_shared<text_source>(noise(63, 2 * mib)), "/refused"});
  REQUIRE_FALSE(put.has_value());
  CHECK(put.error().code() == errc::read_only);
  CHECK(put.error().message().find(h.drive(4)) != std::string::npos);
  hooked.files->set({});
  CHECK(h.put_text("/again", noise(63, 2 * mib)).shards_short == 0);
}

TEST_CASE("a cleanup goes on past a drive that takes no deletions, and the next one makes up for it", "[drives]") {
  house h{4, disk::simulated};
  auto texts = put_some(h);
  auto others = shards_on(h, 1);
  auto gone = noise(50, 6 * mib);
  for (auto name : {"/gone 1", "/gone 2"}) {
    h.put_text(name, name + gone);
    must(h.vault().remove(name));
  }
  auto before = shards_on(h, 2);
  auto& simulated = dynamic_cast<simulated_files&>(h.files());
  auto how = GENERATE(drive_end::read_only, drive_end::full);
  CAPTURE(to_string(how));
  simulated.end_drive(1, h.drive(2), how);
  cleanup_request all{.trash_age = std::chrono::seconds{0}};
  auto first = must(h.vault().cleanup(all));
  CHECK(first.nodes_forgotten == 2);
  CHECK(first.bytes_freed > 6 * mib);
  CHECK(shards_on(h, 1) <= others + 2);
  CHECK(must(h.vault().rebalance()).shards_left == 0);
  for (const auto& [path, text] : texts)
    CHECK(h.get_text(path) == text);
  if (how == drive_end::read_only) {
    CHECK(shards_on(h, 2) == before);
    auto second = must(h.vault().cleanup(all));
    CHECK(second.nodes_forgotten == 0);
    CHECK(second.packs_copied == 0);
    CHECK(shards_on(h, 2) == before);
  }
  simulated.plug_in(h.drive(2));
  h.reopen();
  must(h.vault().cleanup(all));
  CHECK(shards_on(h, 2) < before);
  must(h.vault().verify({.repair = true}));
  CHECK(must(h.vault().status()).overall == status_report::answer::safe);
  check_without_any_two(h, {1, 2, 3, 4}, texts);
}

TEST_CASE("a cleanup goes on past a failed drive", "[drives]") {
  house h{4};
  auto texts = put_some(h);
  auto others = shards_on(h, 1);
  h.put_text("/gone", noise(50, 6 * mib));
  must(h.vault().remove("/gone"));
  fail_drive(h, 2);
  auto done = must(h.vault().cleanup({.trash_age = std::chrono::seconds{0}}));
  CHECK(done.nodes_forgotten == 1);
  CHECK(shards_on(h, 1) <= others + 2);
  must(h.node().add_drive(h.drive(5)));
  must(h.vault().rebalance());
  must(h.vault().verify({.repair = true}));
  // What the cleanup left there is no obstacle.
  must(h.node().remove_drive(h.drive(2)));
  CHECK(must(h.vault().status()).overall == status_report::answer::safe);
  check_without_any_two(h, {1, 3, 4, 5}, texts);
}

TEST_CASE("a repair brings what lies on a failed drive elsewhere, as soon as a drive takes it", "[drives]") {
  house h{4};
  auto texts = put_some(h);
  auto shards = shards_on(h, 4);
  fail_drive(h, 4);
  CHECK(must(h.vault().verify({.deep = true, .repair = true})).shards_missing == 0);
  CHECK(must(h.vault().status()).overall == status_report::answer::degraded);
  CHECK(code_of(h.node().remove_drive(h.drive(4))) == errc::conflict);
  must(h.node().add_drive(h.drive(5)));
  auto mended = must(h.vault().verify({.repair = true}));
  CHECK(mended.shards_missing == shards);
  CHECK(mended.shards_repaired == shards);
  CHECK(must(h.vault().verify({.deep = true})).shards_missing == 0);
  must(h.node().remove_drive(h.drive(4)));
  check_without_any_two(h, {1, 2, 3, 5}, texts);
}

TEST_CASE("packs that only failed drives still have come off them", "[drives]") {
  house h{4};
  auto texts = put_some(h);
  for (size_t drive : {2, 3, 4})
    fail_drive(h, drive);
  auto status = must(h.vault().status());
  CHECK(status.overall == status_report::answer::degraded);
  CHECK(status.packs_lost == 0);
  for (size_t drive : {5, 6, 7})
    must(h.node().add_drive(h.drive(drive)));
  CHECK(must(h.vault().rebalance()).shards_left == 0);
  for (size_t drive : {2, 3, 4})
    must(h.node().remove_drive(h.drive(drive)));
  check_without_any_two(h, {1, 5, 6, 7}, texts);
}

TEST_CASE("while a vault is closed that may have shards on a drive, the drive stays", "[drives]") {
  house h{4};
  auto texts = put_some(h);
  must(h.node().create_vault({.name = "other", .trust_this_device = true}));
  {
    auto other = must(h.node().open_vault("other", credential::this_device()));
    must(put_text(other, "/o", noise(40, mib)));
  }
  fail_drive(h, 2);
  must(h.node().add_drive(h.drive(5)));
  must(h.vault().rebalance());
  CHECK(code_of(h.node().remove_drive(h.drive(2))) == errc::conflict);
  auto other = must(h.node().open_vault("other", credential::this_device()));
  CHECK(code_of(h.node().remove_drive(h.drive(2))) == errc::conflict);
  must(other.rebalance());
  must(h.node().remove_drive(h.drive(2)));
  CHECK(must(other.status()).overall == status_report::answer::safe);
}

TEST_CASE("a drive that is drained is not counted when new data gets its policy", "[drives]") {
  house h{6};
  CHECK(must(h.vault().status()).policy == "4+2");
  must(h.node().drain_drive(h.drive(1)));
  must(h.node().drain_drive(h.drive(2)));
  CHECK(must(h.vault().status()).policy == "2+2");
  auto summary = h.put_text("/after", noise(1, 2 * mib));
  CHECK(summary.shards_short == 0);
  put_stream_request too_wide{std::make_shared<text_source>("x"), "/wide", if_exists::version, "4+2"};
  CHECK(code_of(h.vault().put(too_wide)) == errc::policy_invalid);
}

TEST_CASE("drives are added by an absolute path, once, and never one of others", "[drives]") {
  house h{2};
  CHECK(code_of(h.node().add_drive("relative")) == errc::invalid_argument);
  CHECK(code_of(h.node().add_drive("")) == errc::invalid_argument);
  CHECK(code_of(h.node().add_drive(h.drive(1))) == errc::already_exists);
  CHECK(code_of(h.node().adopt_drive(h.path("nowhere"))) == errc::drive_missing);
  must(h.files().make_folder(h.path("plain")));
  CHECK(code_of(h.node().adopt_drive(h.path("plain"))) == errc::drive_alien);
  CHECK(code_of(h.node().remove_drive(h.path("nowhere"))) == errc::not_found);
  CHECK(code_of(h.node().drain_drive("0")) == errc::not_found);
  // A drive that serves can not be served twice.
  CHECK(code_of(h.node().adopt_drive(h.drive(1))) == errc::locked);
  CHECK(h.node().drives().size() == 2);
  CHECK(h.node().drives()[0].state == "ok");
}

TEST_CASE("a put that fills the drives tells what it leaves behind, and a cleanup frees it", "[drives]") {
  house h{3, disk::simulated};
  auto& simulated = dynamic_cast<simulated_files&>(h.files());
  // Some packs fit above the reserve, and not all.
  simulated.set_capacity(simulated.used() + (150ull << 20));
  put_stream_request what{std::make_shared<text_source>(noise(10, 90 * mib), 1 << 20), "/large"};
  auto refused = h.vault().put(what);
  REQUIRE(!refused);
  INFO(refused.error().message());
  CHECK(refused.error().code() == errc::drive_full);
  CHECK(refused.error().message().find("stay on the drives for the next try, or for a cleanup to free") != std::string::npos);
  CHECK(h.list().empty());
  CHECK(must(h.vault().cleanup({})).bytes_freed > 0);
  uint64_t left = 0;
  for (size_t drive = 1; drive <= 3; ++drive)
    left += shards_on(h, drive);
  CHECK(left <= 6); // Of operations alone.
}

TEST_CASE("nobody hears of an item whose put fails before it is durable", "[drives]") {
  std::mutex mutex;
  std::vector<std::string> done;
  node_options options;
  options.on_event = [&](const event& what) {
    std::lock_guard guard{mutex};
    if (what.kind == event_kind::item_done)
      done.push_back(what.subject);
  };
  {
    house h{3, disk::simulated, options};
    h.put_text("/first", "it fits");
    auto& simulated = dynamic_cast<simulated_files&>(h.files());
    simulated.set_capacity(simulated.used() + (60ull << 20));
    put_stream_request what{std::make_shared<text_source>(noise(9, 2 * mib)), "/refused"};
    CHECK(!h.vault().put(what));
  }
  CHECK(done == std::vector<std::string>{"/first"});
}

TEST_CASE("a vault of one drive can leave it for another", "[drives]") {
  house h{1};
  auto text = noise(1, 3 * mib);
  h.put_text("/early", text);
  CHECK(must(h.vault().info("/early")).margin == 0);
  must(h.node().add_drive(h.drive(2)));
  CHECK(must(h.vault().info("/early")).margin == 0);
  must(h.node().drain_drive(h.drive(1)));
  CHECK(must(h.vault().rebalance()).shards_left == 0);
  must(h.node().remove_drive(h.drive(1)));
  h.close();
  h.remove_tree(h.drive(1));
  h.open();
  CHECK(h.get_text("/early") == text);
}

TEST_CASE("a vault of one drive can leave it for fewer drives than its packs have shards", "[drives]") {
  house h{1};
  auto text = noise(1, mib);
  must(h.vault().put(put_stream_request{std::make_shared<text_source>(text), "/early", if_exists::version, "2+1"}));
  must(h.node().add_drive(h.drive(2)));
  must(h.node().add_drive(h.drive(3)));
  must(h.node().drain_drive(h.drive(1)));
  CHECK(must(h.vault().rebalance()).shards_left == 0);
  must(h.node().remove_drive(h.drive(1)));
  CHECK(h.get_text("/early") == text);
}

TEST_CASE("a full drive stays with the node that took it over", "[drives]") {
  house h{2, disk::simulated};
  auto text = noise(1, 300'000);
  h.put_text("/kept", text);
  auto phrase = must(h.vault().add_recovery_phrase());
  auto key = must(h.vault().key_file());
  h.close();
  auto fresh = h.options;
  fresh.home = h.path("another home");
  auto& disk = dynamic_cast<simulated_files&>(h.files());
  auto with = credential::recovery_phrase(phrase);
  {
    auto node = must(datamesh::node::create(fresh));
    disk.set_capacity(disk.used() + (8ull << 20)); // Room for the home, and none above the reserve of a drive.
    for (size_t drive = 1; drive <= 2; ++drive)
      must(node->adopt_drive(h.drive(drive)));
    CHECK(must(node->restore_vault("main", key, with)).files == 1);
  }
  auto node = must(datamesh::node::open(fresh));
  for (const auto& drive : node->drives())
    CHECK(drive.state == "ok");
  auto back = must(node->open_vault("main", with));
  CHECK(must(get_text(back, "/kept")) == text);
}

TEST_CASE("a drive that is adopted brings the packs that it holds", "[drives]") {
  house h{4};
  auto text = noise(1, 300'000);
  h.put_text("/kept", text);
  h.put_text("/more", noise(2, 3 * mib));
  auto key = must(h.vault().key_file());
  auto phrase = must(h.vault().add_recovery_phrase());
  h.close();
  auto with = credential::this_device();
  auto fresh = h.options;
  fresh.home = h.path("another home");
  auto node = must(datamesh::node::create(fresh));
  must(node->adopt_drive(h.drive(1)));
  key = must(read_whole(h.files(), join_path(h.options.home, "vaults/main/key"), 1 << 20));
  auto made = must(node->restore_vault("main", key, credential::recovery_phrase(phrase)));
  CHECK(made.files == 0);
  CHECK(made.packs_incomplete > 0);
  auto vault = must(node->open_vault("main", credential::recovery_phrase(phrase)));
  for (size_t drive = 2; drive <= 4; ++drive)
    must(node->adopt_drive(h.drive(drive)));
  CHECK(must(get_text(vault, "/kept")) == text);
  CHECK(must(vault.verify({.deep = true})).shards_missing == 0);
}

TEST_CASE("data that was stored on one drive is spread over more by a cleanup with their policy", "[drives]") {
  house h{1};
  auto text = noise(1, 3 * mib);
  h.put_text("/early", text);
  for (size_t i = 2; i <= 6; ++i)
    must(h.node().add_drive(h.drive(i)));
  CHECK(must(h.vault().status()).packs_weaker > 0);
  cleanup_request raise;
  raise.policy = "4+2";
  raise.dry_run = true;
  auto told = must(h.vault().cleanup(raise));
  raise.dry_run = false;
  auto made = must(h.vault().cleanup(raise));
  CHECK(made.packs_copied == told.packs_copied);
  CHECK(made.packs_deleted == told.packs_deleted);
  CHECK(must(h.vault().status()).packs_weaker == 0);
  CHECK(must(h.vault().cleanup(raise)).packs_copied == 0);
  h.close();
  h.remove_tree(h.drive(1));
  h.remove_tree(h.drive(4));
  h.open();
  CHECK(h.get_text("/early") == text);
}

TEST_CASE("a cleanup leaves no copy that survives less than what was put", "[drives]") {
  house h{6};
  for (uint64_t i = 0; i < 8; ++i)
    must(h.vault().put(
        put_stream_request{std::make_shared<text_source>(noise(i, 50'000)), "/f" + std::to_string(i), if_exists::version, "3+3"}));
  REQUIRE(must(h.vault().cleanup({})).packs_copied > 1);
  for (uint64_t i = 0; i < 8; ++i)
    CHECK(must(h.vault().info("/f" + std::to_string(i))).margin == 3);
}

TEST_CASE("a full drive is left out, and full drives refuse a put before it is lost", "[drives]") {
  house h{3, disk::simulated};
  auto text = noise(8, mib);
  h.put_text("/kept", text);
  auto& simulated = dynamic_cast<simulated_files&>(h.files());
  // The reserve of a drive is 64 MiB: this is below it.
  simulated.set_capacity(simulated.used() + (60ull << 20));
  put_stream_request what{std::make_shared<text_source>(noise(9, 2 * mib)), "/refused"};
  auto refused = h.vault().put(what);
  CHECK((code_of(refused) == errc::too_few_drives || code_of(refused) == errc::drive_full || code_of(refused) == errc::no_space));
  CHECK(h.get_text("/kept") == text);
  CHECK(h.list() == std::vector<std::string>{"/kept"});
  // Names may still change, and space be made.
  must(h.vault().remove("/kept"));
  simulated.set_capacity(1ull << 40);
  h.put_text("/refused", "now it fits");
  CHECK(h.get_text("/refused") == "now it fits");
}

TEST_CASE("drives that are full to their reserve are cleaned, in steps that have room", "[drives]") {
  auto count = GENERATE(size_t{1}, size_t{3});
  CAPTURE(count);
  house h{count, disk::simulated};
  auto& simulated = dynamic_cast<simulated_files&>(h.files());
  constexpr uint64_t reserve = 64ull << 20;
  constexpr size_t files = 30;
  for (size_t i = 0; i < files; ++i)
    h.write(fmt::format("tree/{}", i), noise(i, 3 * mib / 2));
  auto stored = must(h.vault().put(put_request{.sources = {{h.path("tree"), "/tree"}}}));
  REQUIRE(stored.files == files);
  // What is left takes no pack above the reserve.
  simulated.set_capacity(simulated.used() + reserve + 4096);
  auto full = simulated.used();
  REQUIRE(code_of(h.vault().put(put_stream_request{std::make_shared<text_source>(noise(99, 20 * mib)), "/more"})) == errc::drive_full);
  CHECK(simulated.used() < full + mib); // The reserve is not for what is new.
  for (size_t i = 0; i < files; ++i)
    if (i % 4 != 0)
      must(h.vault().remove(fmt::format("/tree/{}", i)));
  auto planned = must(h.vault().cleanup({.dry_run = true, .trash_age = std::chrono::seconds{0}}));
  CHECK(planned.packs_copied >= 3);

  // Below half of the reserve nothing can be told to the drives, so nothing is forgotten.
  simulated.set_capacity(simulated.used() + reserve / 2);
  CHECK(code_of(h.vault().cleanup({.trash_age = std::chrono::seconds{0}})) == errc::drive_full);
  CHECK(must(h.vault().cleanup({.dry_run = true, .trash_age = std::chrono::seconds{0}})).versions_forgotten == planned.versions_forgotten);

  simulated.set_capacity(simulated.used() + reserve + 4096);
  auto before = simulated.used();
  auto done = must(h.vault().cleanup({.trash_age = std::chrono::seconds{0}}));
  CHECK(done.packs_deleted >= planned.packs_deleted);
  CHECK(done.bytes_freed >= planned.bytes_freed);
  CHECK(before - simulated.used() > planned.bytes_freed / 2);
  h.put_text("/more", "fits again");
  for (size_t i = 0; i < files; i += 4)
    CHECK(h.get_text(fmt::format("/tree/{}", i)) == noise(i, 3 * mib / 2));
  CHECK(must(h.vault().status()).overall == status_report::answer::safe);
}

TEST_CASE("sources that can not be read are listed and the rest is stored", "[put]") {
  hooked_house hooked{3};
  auto& h = hooked.h;
  h.write("tree/good", "good");
  h.write("tree/secret", "secret");
  h.write("tree/rotten", noise(1, mib));
  h.write("tree/closed/inner", "x");
  hooked.files->set([&](std::string_view call, const std::string& path) -> result<void> {
    if (call == "open_read" && path == h.path("tree/secret"))
      return fail(errc::permission_denied, "open", path);
    if (call == "read" && path == h.path("tree/rotten"))
      return fail(errc::io_failed, "read", path);
    if (call == "list" && path == h.path("tree/closed"))
      return fail(errc::permission_denied, "list", path);
    return {};
  });
  auto stored = must(h.vault().put(put_request{.sources = {{h.path("tree"), "/tree"}}}));
  CHECK(stored.files == 1);
  CHECK(stored.failure_count == 3);
  std::map<std::string, errc> failures;
  for (const auto& failure : stored.failures)
    failures[failure.path] = failure.reason.code();
  CHECK(failures
        == std::map<std::string, errc>{{h.path("tree/secret"), errc::permission_denied},
                                       {h.path("tree/rotten"), errc::io_failed},
                                       {h.path("tree/closed"), errc::permission_denied}});
  CHECK(h.list() == std::vector<std::string>{"/tree", "/tree/good"});
  CHECK(h.get_text("/tree/good") == "good");
}

TEST_CASE("a file that changes while it is read is told and not stored", "[put]") {
  hooked_house hooked{3};
  auto& h = hooked.h;
  h.write("tree/busy", noise(1, 3 * mib));
  h.write("tree/calm", "calm");
  bool changed = false;
  hooked.files->set([&](std::string_view call, const std::string& path) -> result<void> {
    if (call == "read" && path == h.path("tree/busy") && !changed) {
      changed = true;
      (void) system_files()->set_attributes(path, 0644, 42);
    }
    return {};
  });
  auto stored = must(h.vault().put(put_request{.sources = {{h.path("tree"), "/tree"}}}));
  CHECK(changed);
  REQUIRE(stored.failure_count == 1);
  CHECK(stored.failures[0].reason.code() == errc::source_changed);
  CHECK(h.list() == std::vector<std::string>{"/tree", "/tree/calm"});
  CHECK(h.get_text("/tree/calm") == "calm");
}

TEST_CASE("a put that was interrupted is resumed by dedup", "[put]") {
  hooked_house hooked{3};
  auto& h = hooked.h;
  h.write("long", noise(1, 40 * mib));
  size_t links = 0;
  hooked.files->set([&](std::string_view call, const std::string& path) -> result<void> {
    if (call == "link" && path.find("/shards/") != std::string::npos && ++links > 7)
      return fail(errc::io_failed, "link", path);
    return {};
  });
  auto request = put_request{.sources = {{h.path("long"), "/long"}}};
  CHECK(code_of(h.vault().put(request)) == errc::too_few_drives);
  CHECK(h.list().empty());
  hooked.files->set({});
  h.reopen();
  auto stored = must(h.vault().put(request));
  CHECK(stored.bytes_known > 8 * mib);
  CHECK(stored.bytes_known + stored.bytes_new_plain == 40 * mib);
  must(h.files().make_folder(h.path("back")));
  must(h.vault().get(get_request{.paths = {"/long"}, .target_folder = h.path("back")}));
  CHECK(h.look("back/long") == h.look("long"));
}

} // namespace datamesh::test
