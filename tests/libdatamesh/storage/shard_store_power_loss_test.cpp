// The power goes at every call that changes the disk, and every call fails once:
// nothing acknowledged is lost, nothing removed comes back, nothing is torn.
#include "base/simple_store.hpp"
#include "storage/drive_marker.hpp"
#include "storage/shard_store.hpp"
#include "tests/libdatamesh/storage/pack_maker.hpp"
#include "tests/libdatamesh/storage/seed.hpp"
#include "tests/support/manual_clock.hpp"
#include "tests/support/simulated_files.hpp"

#include <catch2/catch.hpp>
#include <fmt/core.h>

#include <map>
#include <set>

using namespace datamesh;
using namespace datamesh::storage;
using test::key_of;
using test::keys_of;
using test::make_pack;

namespace {

const std::string folder = "/drive";
constexpr geometry in_files{1, 1, inline_shard_max};
constexpr geometry in_index{2, 1, 320};
// A clock that stands still and files of any age: everything is old enough.
constexpr int64_t no_grace_ns = -1'000'000'000;

/// What may be found on the drive.
enum class expectation { present, absent, either, removing };

struct step {
  enum kind_type { store, remove, set_state, reopen, sweep } kind;
  std::vector<shard_write> writes;
  drive_state state = drive_state::ok;
};

const char* name_of(step::kind_type kind) {
  static constexpr const char* names[] = {"store", "remove", "set state", "reopen", "sweep"};
  return names[kind];
}

std::vector<shard_write> joined(std::vector<shard_write> a, const std::vector<shard_write>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

/// Stores, stores of what is there, removals and changes of state, all kinds in each
/// script. What was removed is stored again, and what was refused is tried again.
std::vector<step> make_script(test::seeded_random& random) {
  auto a = make_pack(random, in_files);
  auto b = make_pack(random, in_index);
  auto c = joined(make_pack(random, in_files), make_pack(random, in_index));
  auto d = make_pack(random, in_files);
  std::vector<step> script{{step::store, a}, {step::store, joined(b, d)}, {step::store, joined(a, b)}};
  std::vector<step> middle{{step::store, c},
                           {step::remove, a},
                           {step::set_state, {}, drive_state::draining},
                           {step::remove, joined(b, d)},
                           {step::sweep, {}},
                           {step::reopen, {}},
                           {step::store, joined(a, d)}};
  for (size_t i = middle.size(); i > 1; --i)
    std::swap(middle[i - 1], middle[random.below(i)]);
  script.insert(script.end(), middle.begin(), middle.end());
  script.push_back({step::store, joined(a, d)});
  script.push_back({step::set_state, {}, drive_state::ok});
  script.push_back({step::remove, joined(a, c)});
  script.push_back({step::store, a});
  return script;
}

/// A drive on a simulated disk and what has been promised of it.
class harness {
public:
  harness(const std::vector<step>& script, uint64_t seed, const test::simulated_files::image& disk)
      : script_(script), disk_(std::make_shared<test::simulated_files>(disk)) {
    env_.clock = std::make_shared<test::manual_clock>();
    env_.random = std::make_shared<test::seeded_random>(seed);
    env_.files = disk_;
    env_.stores = simple_stores(disk_, env_.random);
    for (const auto& one : script_)
      for (const auto& write : one.writes)
        expected_.emplace(key_of(write), expectation::absent);
  }

  result<void> open() {
    drive_.reset();
    shard_store_options options;
    options.folder = folder;
    options.reserve_bytes = 0;
    options.reserve_ratio = 0;
    return shard_store::open(env_, options).map([&](auto opened) { drive_ = std::move(opened); });
  }

  /// The outcome of the step; what it leaves to be expected is noted.
  result<void> run(const step& one) {
    switch (one.kind) {
    case step::store:
      return run_store(one.writes);
    case step::remove: {
      for (const auto& write : one.writes)
        if (auto& now = expected_.at(key_of(write)); now != expectation::absent)
          now = expectation::removing;
      auto done = drive_->remove(keys_of(one.writes));
      if (done)
        promise(one.writes, expectation::absent);
      return done;
    }
    case step::set_state: {
      states_.insert(one.state);
      auto done = drive_->set_state(one.state);
      if (done)
        states_ = {one.state};
      return done;
    }
    case step::reopen:
      return open();
    case step::sweep:
      return drive_->sweep(no_grace_ns).map([](uint64_t) {});
    }
    return fail(errc::internal);
  }

  /// Runs until a call fails and answers the step in which it did.
  std::optional<step::kind_type> run_until_failure() {
    for (const auto& one : script_)
      if (!run(one))
        return one.kind;
    return std::nullopt;
  }

  /// Compares the open drive with what was promised.
  void check() {
    std::set<shard_key> listed;
    auto rows = drive_->list(std::nullopt, 1000);
    REQUIRE(rows);
    for (const auto& row : *rows)
      listed.insert(row.key);
    for (const auto& [key, expected] : expected_) {
      CAPTURE(key.pack.brief(), int{key.index}, int(expected));
      REQUIRE((expected != expectation::present || listed.contains(key)));
      REQUIRE((expected != expectation::absent || !listed.contains(key)));
      auto whole = drive_->check_deep(key);
      INFO((whole ? std::string{"whole"} : whole.error().message()));
      // Whatever has a row is whole.
      REQUIRE(whole.has_value() == listed.contains(key));
    }
    uint64_t stored_bytes = 0;
    for (const auto& row : *rows) {
      REQUIRE(expected_.contains(row.key));
      stored_bytes += shard_header_length(row.shape, !row.in_index) + row.shape.shard_length;
    }
    REQUIRE(drive_->usage()->shard_count == listed.size());
    REQUIRE(drive_->usage()->shard_bytes == stored_bytes);
  }

  /// An interrupted removal was finished by opening the drive: no row, no file.
  void check_deletions() {
    for (const auto& [key, expected] : expected_) {
      CAPTURE(key.pack.brief(), int{key.index}, int(expected));
      if (expected == expectation::absent || expected == expectation::removing) {
        auto row = drive_->find(key);
        REQUIRE(row);
        REQUIRE((*row || !disk_->status(shard_path(folder, key))));
      }
    }
  }

  void check_state() {
    CAPTURE(int(drive_->state()));
    REQUIRE(states_.contains(drive_->state()));
  }

  /// After a sweep, files and rows match one to one.
  void check_no_orphans() {
    auto swept = drive_->sweep(no_grace_ns);
    INFO((swept ? std::string{} : swept.error().message()));
    REQUIRE(swept);
    std::set<std::string> found;
    std::set<std::string> due;
    for (unsigned number = 0; number < shard_folder_count; ++number) {
      auto entries = disk_->list(shard_folder(folder, number));
      REQUIRE(entries);
      for (const auto& entry : *entries)
        found.insert(join_path(shard_folder(folder, number), entry.name));
    }
    auto rows = drive_->list(std::nullopt, 1000);
    REQUIRE(rows);
    for (const auto& row : *rows)
      if (!row.in_index)
        due.insert(shard_path(folder, row.key));
    REQUIRE(found == due);
  }

  /// The drive takes the whole script again, and a power loss then takes nothing.
  void check_usable(uint64_t seed) {
    for (const auto& one : script_) {
      auto done = run(one);
      INFO((done ? std::string{} : done.error().message()));
      REQUIRE(done);
    }
    drive_.reset();
    disk_->crash(seed);
    REQUIRE(open());
    check();
  }

  [[nodiscard]] test::simulated_files& disk() {
    return *disk_;
  }
  [[nodiscard]] shard_store* drive() {
    return drive_.get();
  }
  void close() {
    drive_.reset();
  }

private:
  result<void> run_store(const std::vector<shard_write>& writes) {
    std::set<shard_key> fresh;
    for (const auto& write : writes)
      if (auto& now = expected_.at(key_of(write)); now == expectation::absent) {
        now = expectation::either;
        fresh.insert(key_of(write));
      }
    auto done = drive_->store(writes);
    if (done) {
      promise(writes, expectation::present);
      return done;
    }
    if (!disk_->powered())
      return done;
    // An error means that no row of this call exists. What a failed sync should have
    // covered may still turn up when the drive is opened again.
    for (const auto& key : fresh) {
      auto row = drive_->find(key);
      REQUIRE(row);
      REQUIRE(!*row);
      if (drive_->state() != drive_state::failed)
        expected_.at(key) = expectation::absent;
    }
    return done;
  }

  void promise(const std::vector<shard_write>& writes, expectation then) {
    for (const auto& write : writes)
      expected_.at(key_of(write)) = then;
  }

  const std::vector<step>& script_;
  std::shared_ptr<test::simulated_files> disk_;
  environment env_;
  std::map<shard_key, expectation> expected_;
  std::set<drive_state> states_{drive_state::ok};
  std::unique_ptr<shard_store> drive_;
};

test::simulated_files::image formatted_disk(uint64_t seed) {
  auto disk = std::make_shared<test::simulated_files>();
  environment env;
  env.clock = std::make_shared<test::manual_clock>();
  env.random = std::make_shared<test::seeded_random>(seed);
  env.files = disk;
  env.stores = simple_stores(disk, env.random);
  REQUIRE(shard_store::format(env, folder));
  return disk->snapshot();
}

using call_counts = std::array<uint64_t, test::disk_call_kinds>;

call_counts counts_of(const test::simulated_files& disk) {
  call_counts counts{};
  for (size_t i = 0; i < counts.size(); ++i)
    counts[i] = disk.calls(static_cast<test::disk_call>(i));
  return counts;
}

/// Points by the call that was cut short and by the step in which that happened.
struct tally {
  call_counts calls{};
  std::map<std::string, uint64_t> steps;

  [[nodiscard]] std::string text() const {
    std::string text = "calls:";
    for (size_t i = 0; i < calls.size(); ++i)
      if (calls[i] != 0)
        text += fmt::format(" {} {},", test::to_string(static_cast<test::disk_call>(i)), calls[i]);
    text += " steps:";
    for (const auto& [name, count] : steps)
      text += fmt::format(" {} {},", name, count);
    return text;
  }
};

/// Cuts the power at the *n*-th change; false when the script makes fewer.
bool lose_power_at(uint64_t n, uint64_t seed, const std::vector<step>& script, const test::simulated_files::image& image, tally& points) {
  CAPTURE(n);
  harness drive{script, seed, image};
  REQUIRE(drive.open());
  auto before = counts_of(drive.disk());
  drive.disk().crash_after(n);
  auto failed_in = drive.run_until_failure();
  if (drive.disk().powered()) {
    REQUIRE(!failed_in);
    return false;
  }
  // A call cut short is counted; the calls after it find no power and count no more.
  static thread_local call_counts last{};
  auto now = counts_of(drive.disk());
  uint64_t made = 0;
  for (size_t i = 0; i < now.size(); ++i) {
    now[i] -= before[i];
    made += now[i];
  }
  REQUIRE(made == n);
  if (n == 1)
    last = {};
  for (size_t i = 0; i < now.size(); ++i)
    points.calls[i] += now[i] > last[i] ? 1 : 0;
  last = now;
  ++points.steps[failed_in ? name_of(*failed_in) : "end"];

  drive.close();
  test::seeded_random random{seed + n};
  drive.disk().crash(random.below(1u << 30));
  // The power goes again while the drive cleans up.
  drive.disk().crash_after(1 + random.below(8));
  (void) drive.open();
  drive.close();
  drive.disk().crash(random.below(1u << 30));
  auto opened = drive.open();
  INFO((opened ? std::string{} : opened.error().message()));
  REQUIRE(opened);
  drive.check_state();
  drive.check();
  drive.check_deletions();
  drive.check_no_orphans();
  drive.check();
  if (n % 5 == 0)
    drive.check_usable(seed + n);
  return true;
}

} // namespace

TEST_CASE("a power loss at any call loses nothing acknowledged and tears nothing", "[shard_store][power_loss]") {
  auto first_seed = test::seed();
  tally points;
  for (uint64_t round = 0; round < 6; ++round) {
    auto seed = first_seed + round;
    CAPTURE(seed);
    test::seeded_random random{seed};
    auto script = make_script(random);
    auto image = formatted_disk(seed);
    uint64_t n = 1;
    while (lose_power_at(n, seed, script, image, points))
      ++n;
    CHECK(n > 100);
  }
  // The figures that docs/reliability.md quotes; shown with `-s`.
  INFO(points.text());
  for (auto kind : {test::disk_call::create_unnamed, test::disk_call::write, test::disk_call::allocate, test::disk_call::sync,
                    test::disk_call::link, test::disk_call::remove, test::disk_call::sync_folder})
    CHECK(points.calls[static_cast<size_t>(kind)] >= 20);
  for (const char* name : {"store", "remove", "set state"})
    CHECK(points.steps[name] >= 4);
}

TEST_CASE("any call may fail once and nothing is lost", "[shard_store][power_loss]") {
  auto seed = test::seed();
  auto code = GENERATE(errc::io_failed, errc::no_space, errc::read_only);
  CAPTURE(seed, int(code));
  test::seeded_random random{seed};
  auto script = make_script(random);
  auto image = formatted_disk(seed);
  uint64_t failures = 0;
  uint64_t refusals = 0;
  for (uint64_t n = 1;; ++n) {
    CAPTURE(n);
    harness drive{script, seed, image};
    REQUIRE(drive.open());
    auto before = drive.disk().calls();
    drive.disk().fail_call(n, code);
    for (const auto& one : script) {
      auto done = drive.run(one);
      refusals += done ? 0 : 1;
      if (drive.drive() == nullptr)
        REQUIRE(drive.open());
      // Reads go on whatever happened.
      if (!done)
        drive.check();
    }
    if (drive.disk().calls() - before < n)
      break;
    drive.check();
    auto state = drive.drive()->state();
    failures += state == drive_state::failed ? 1 : 0;
    drive.close();
    drive.disk().crash(seed + n);
    auto opened = drive.open();
    INFO((opened ? std::string{} : opened.error().message()));
    REQUIRE(opened);
    REQUIRE(drive.drive()->state() == state);
    drive.check();
    if (state == drive_state::failed)
      continue;
    drive.check_no_orphans();
    drive.check();
    if (n % 5 == 0)
      drive.check_usable(seed + n);
  }
  CHECK(refusals > 100);
  CHECK(failures > 20);
}

TEST_CASE("a power loss while a drive is made leaves a drive or none", "[shard_store][power_loss]") {
  auto seed = test::seed();
  CAPTURE(seed);
  int drives = 0;
  for (uint64_t n = 1;; ++n) {
    CAPTURE(n);
    auto disk = std::make_shared<test::simulated_files>();
    environment env;
    env.clock = std::make_shared<test::manual_clock>();
    env.random = std::make_shared<test::seeded_random>(seed);
    env.files = disk;
    env.stores = simple_stores(disk, env.random);
    disk->crash_after(n);
    auto formatted = shard_store::format(env, folder);
    bool whole = disk->powered();
    REQUIRE(formatted.has_value() == whole);
    disk->crash(seed + n);
    auto found = shard_store::identify(*disk, folder);
    if (whole)
      REQUIRE(*found == *formatted);
    if (!found) {
      REQUIRE((found.error().code() == errc::drive_missing || found.error().code() == errc::drive_alien));
      auto again = shard_store::format(env, folder);
      INFO((again ? std::string{} : again.error().message()));
      REQUIRE(again);
    } else {
      ++drives;
    }
    shard_store_options options;
    options.folder = folder;
    auto opened = shard_store::open(env, options);
    REQUIRE(opened);
    test::seeded_random random{seed};
    auto pack = make_pack(random, in_files);
    REQUIRE((*opened)->store(pack));
    if (whole)
      break;
  }
  CHECK(drives >= 1);
}
