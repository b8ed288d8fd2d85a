// Repair, rebalance and cleanup side by side, and what a cleanup leaves for a drive that is away.
#include "tests/actors/node/hooked_files.hpp"
#include "tests/actors/node/house.hpp"

#include <condition_variable>
#include <filesystem>
#include <future>

namespace datamesh::test {

namespace {

constexpr size_t mib = 1 << 20;

/// Where something waits until the test lets it go.
class gate {
public:
  ~gate() {
    let_go();
  }
  void shut() {
    std::lock_guard guard{mutex_};
    shut_ = true;
  }
  void pass() {
    std::unique_lock guard{mutex_};
    if (!shut_)
      return;
    somebody_ = true;
    changed_.notify_all();
    changed_.wait(guard, [&] { return !shut_; });
  }
  void wait_for_somebody() {
    std::unique_lock guard{mutex_};
    changed_.wait(guard, [&] { return somebody_; });
  }
  void let_go() {
    std::lock_guard guard{mutex_};
    shut_ = false;
    changed_.notify_all();
  }

private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool shut_ = false;
  bool somebody_ = false;
};

/// Files at which who looks in the background, and who removes one of them, may be held up.
class gated_files : public hooked_files {
public:
  gated_files() : hooked_files(system_files()) {}

  gate background;
  gate removal;
  std::string held; ///< The file that `removal` is for. Set before that is shut.

  result<void> yield_disk() override {
    background.pass();
    return hooked_files::yield_disk();
  }
  result<void> remove(const std::string& path) override {
    if (path == held)
      removal.pass();
    return hooked_files::remove(path);
  }
};

/// A call on a thread of its own. Whoever is held up goes on when this ends, or nobody would.
template <class T>
struct beside {
  std::shared_ptr<gated_files> files;
  std::future<result<T>> outcome;
  ~beside() {
    files->background.let_go();
    files->removal.let_go();
  }
};

/// Three drives with two packs, of which the first has gone since and the second is to be emptied,
/// and three more.
struct half_lost_house {
  std::shared_ptr<gated_files> files = std::make_shared<gated_files>();
  house h{3, disk::system, with(files)};
  std::vector<std::string> shards; ///< Of each pack, in their order, the file on the second drive.
  std::vector<std::string> paths;  ///< What is in each.

  static node_options with(std::shared_ptr<gated_files> files) {
    node_options options;
    options.environment.files = std::move(files);
    options.memory_bytes = size_t{512} * mib; // For a repair and a rebalance together.
    return options;
  }

  half_lost_house() {
    std::map<std::string, std::string> found;
    for (const auto* path : {"/a", "/b"}) {
      h.put_text(path, noise(found.size() + 1, 2 * mib));
      for (const auto& file : h.files_below(join_path(h.drive(2), "shards")))
        found.try_emplace(file, path);
    }
    REQUIRE(found.size() == 2);
    for (const auto& [file, path] : found) {
      shards.push_back(file);
      paths.push_back(path);
    }
    for (size_t drive = 4; drive <= 6; ++drive)
      must(h.node().add_drive(h.drive(drive)));
    h.close();
    must(h.files().rename(h.drive(1), h.path("gone")));
    h.open();
    must(h.node().drain_drive(h.drive(2)));
  }
};

cleanup_request at_once(bool dry_run = false) {
  return {.dry_run = dry_run, .trash_age = std::chrono::seconds{0}};
}

uint64_t shards_on(house& h, size_t drive) {
  for (const auto& report : h.node().drives())
    if (report.folder == h.drive(drive))
      return report.shards;
  return 0;
}

void rename_drive(house& h, const std::string& from, const std::string& to) {
  h.close();
  must(h.files().rename(from, to));
  h.open();
}

void rebuild(house& h) {
  h.close();
  auto node = must(datamesh::node::open(h.options));
  must(node->rebuild_catalog("main", credential::this_device()));
  node.reset();
  h.open();
}

/// What the dry run says is what is done.
cleanup_summary clean(house& h) {
  auto dry = must(h.vault().cleanup(at_once(true)));
  auto real = must(h.vault().cleanup(at_once()));
  CHECK(dry.packs_deleted == real.packs_deleted);
  CHECK(dry.packs_copied == real.packs_copied);
  CHECK(dry.bytes_freed == real.bytes_freed);
  CHECK(dry.shards_waiting == real.shards_waiting);
  return real;
}

} // namespace

TEST_CASE("a repair takes no pack for lost that a rebalance moved meanwhile", "[upkeep]") {
  half_lost_house lost;
  auto& h = lost.h;
  lost.files->background.shut();
  beside<verify_summary> repair{lost.files,
                                std::async(std::launch::async, [&] { return h.vault().verify({.repair = true, .background = true}); })};
  lost.files->background.wait_for_somebody();
  CHECK(must(h.vault().rebalance()).shards_moved > 0);
  CHECK(shards_on(h, 2) == 0);
  lost.files->background.let_go();
  auto repaired = must(repair.outcome.get());
  CHECK(repaired.packs_lost == 0);
  CHECK(repaired.files_lost.empty());
  CHECK(repaired.shards_missing == 2);
  CHECK(repaired.shards_repaired == 2);
  CHECK(must(h.vault().status()).overall == status_report::answer::safe);
  CHECK(must(h.vault().verify({.deep = true})).shards_missing == 0);
}

TEST_CASE("a rebalance keeps the places that a repair found meanwhile", "[upkeep]") {
  half_lost_house lost;
  auto& h = lost.h;
  lost.files->held = lost.shards[0];
  lost.files->removal.shut();
  beside<rebalance_summary> rebalance{lost.files, std::async(std::launch::async, [&] { return h.vault().rebalance(); })};
  lost.files->removal.wait_for_somebody();
  CHECK(must(h.vault().verify({.repair = true, .paths = {lost.paths[1]}})).shards_repaired == 1);
  lost.files->removal.let_go();
  CHECK(must(rebalance.outcome.get()).shards_left == 0);
  CHECK(must(h.vault().verify({.paths = {lost.paths[1]}})).shards_missing == 0);
  CHECK(must(h.vault().verify({.repair = true})).shards_repaired == 1);
  CHECK(must(h.vault().status()).overall == status_report::answer::safe);
}

TEST_CASE("a repair that waits for a pack of a rebalance ends when it is cancelled, and a get does not wait", "[upkeep]") {
  half_lost_house lost;
  auto& h = lost.h;
  lost.files->background.shut();
  job_options options;
  beside<verify_summary> repair{
      lost.files, std::async(std::launch::async, [&] { return h.vault().verify({.repair = true, .background = true}, options); })};
  lost.files->background.wait_for_somebody();
  lost.files->held = lost.shards[0];
  lost.files->removal.shut();
  beside<rebalance_summary> rebalance{lost.files, std::async(std::launch::async, [&] { return h.vault().rebalance(); })};
  lost.files->removal.wait_for_somebody();
  for (const auto& path : lost.paths)
    CHECK(h.get_text(path).size() == 2 * mib);
  lost.files->background.let_go();
  options.cancel.cancel();
  CHECK(code_of(repair.outcome.get()) == errc::cancelled);
  lost.files->removal.let_go();
  CHECK(must(rebalance.outcome.get()).shards_left == 0);
}

TEST_CASE("what a drive that was away has of forgotten data goes with the first cleanup after it is back", "[cleanup][upkeep]") {
  auto drives = GENERATE(as<size_t>{}, 2, 4);
  house h{drives};
  h.put_text("/kept", noise(1, mib));
  h.put_text("/gone", noise(2, 3 * mib));
  auto away = h.path("away");
  rename_drive(h, h.drive(1), away);
  must(h.vault().remove("/gone"));
  auto first = clean(h);
  CHECK(first.shards_waiting > 0);
  CHECK(first.bytes_freed > mib);
  // They wait on, and are not told as freed again.
  auto still = clean(h);
  CHECK(still.shards_waiting == first.shards_waiting);
  CHECK(still.bytes_freed < mib);
  auto when = GENERATE(0, 1, 2, 3);
  CAPTURE(drives, when);
  if (when == 0) {
    // A drive that is given up is waited for no more.
    must(h.node().remove_drive(h.drive(1), true));
    CHECK(clean(h).shards_waiting == 0);
    auto shards = shards_on(h, 2);
    for (size_t drive = 3; drive <= drives; ++drive)
      CHECK(shards_on(h, drive) == shards);
    return;
  }
  if (when == 1)
    rebuild(h);
  rename_drive(h, away, h.drive(1));
  if (when == 2)
    rebuild(h);
  if (when == 3)
    must(h.vault().verify({.repair = true}));
  CHECK(shards_on(h, 1) > 0);
  must(h.vault().verify({.repair = true}));
  CHECK(must(h.vault().status()).overall == status_report::answer::safe);
  CHECK(clean(h).shards_waiting == 0);
  must(h.vault().verify({.repair = true}));
  auto packs = must(h.vault().stats()).packs;
  for (size_t drive = 1; drive <= drives; ++drive)
    CHECK(shards_on(h, drive) == packs);
  CHECK(h.list() == std::vector<std::string>{"/kept"});
  CHECK(h.get_text("/kept") == noise(1, mib));
  CHECK(must(h.vault().trash()).empty());
  CHECK(must(h.vault().status()).overall == status_report::answer::safe);
}

TEST_CASE("a cleanup tells how many shards wait for which drive", "[cleanup][upkeep]") {
  node_options options;
  std::mutex mutex;
  std::vector<event> told;
  options.on_event = [&](const event& what) {
    std::lock_guard guard{mutex};
    if (what.kind == event_kind::drive_changed && what.detail.find("left there for the next cleanup") != std::string::npos)
      told.push_back(what);
  };
  house h{4, disk::simulated, options};
  h.put_text("/gone", noise(2, 3 * mib));
  rename_drive(h, h.drive(3), h.path("away"));
  must(h.vault().remove("/gone"));
  auto dry = GENERATE(true, false);
  auto cleaned = must(h.vault().cleanup(at_once(dry)));
  std::lock_guard guard{mutex};
  REQUIRE(told.size() == 1);
  CHECK(told[0].subject == h.drive(3));
  CHECK(told[0].code == errc::drive_missing);
  auto number = std::to_string(cleaned.shards_waiting);
  CHECK(told[0].detail.substr(0, number.size() + 1) == number + " ");
}

TEST_CASE("after an old home is put back, a cleanup has nothing to say of packs that are rightly gone", "[cleanup][upkeep]") {
  node_options options;
  std::mutex mutex;
  std::vector<std::string> told;
  options.on_event = [&](const event& what) {
    std::lock_guard guard{mutex};
    if (what.kind == event_kind::data_lost)
      told.push_back(what.detail);
  };
  house h{3, disk::system, options};
  for (uint64_t i = 1; i <= 4; ++i)
    h.put_text("/x" + std::to_string(i), noise(i, mib));
  must(h.vault().remove("/x1"));
  h.close();
  std::filesystem::copy(h.path("home"), h.path("old"), std::filesystem::copy_options::recursive);
  h.open();
  must(h.vault().cleanup(at_once()));
  h.put_text("/x5", noise(5, mib));
  h.close();
  std::filesystem::remove_all(h.path("home"));
  std::filesystem::rename(h.path("old"), h.path("home"));
  h.open();
  must(h.vault().cleanup({}));
  {
    std::lock_guard guard{mutex};
    CHECK(told == std::vector<std::string>{});
  }
  for (uint64_t i = 2; i <= 5; ++i)
    CHECK(h.get_text("/x" + std::to_string(i)) == noise(i, mib));
  CHECK(must(h.vault().verify({.deep = true})).packs_lost == 0);
}

} // namespace datamesh::test
