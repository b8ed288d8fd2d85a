// Repair and rebalance side by side.
#include "tests/actors/node/hooked_files.hpp"
#include "tests/actors/node/house.hpp"

#include <condition_variable>
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

uint64_t shards_on(house& h, size_t drive) {
  for (const auto& report : h.node().drives())
    if (report.folder == h.drive(drive))
      return report.shards;
  return 0;
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

} // namespace datamesh::test
