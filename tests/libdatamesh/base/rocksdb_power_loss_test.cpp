// What both kinds of ordered store still hold after the power went away at any
// call, on a disk that loses all that was not synced. RocksDB works in the
// background, so its outcomes are checked, not replayed.

#include "base/file_cipher.hpp"
#include "base/simple_store.hpp"
#include "tests/libdatamesh/base/rocksdb_on_files.hpp"
#include "tests/support/seeded_random.hpp"
#include "tests/support/simulated_files.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <cstdlib>
#include <map>

using namespace datamesh;
using test::seeded_random;
using test::simulated_files;

namespace {

uint64_t number_from(const char* variable, uint64_t otherwise) {
  auto text = std::getenv(variable);
  return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
}

/// A store on a simulated disk and all that it may and must hold.
class scene {
public:
  scene(bool rocksdb, bool encrypted, uint64_t seed)
      : disk_(std::make_shared<simulated_files>()), random_(std::make_shared<seeded_random>(seed)) {
    stores_ = rocksdb ? test::rocksdb_stores_over(disk_, random_) : simple_stores(disk_, random_);
    options_.folder = "/store";
    // Small, so that memtables and logs fill up all the time.
    options_.memory_bytes = 64 << 10;
    if (encrypted)
      options_.encryption_key = bytes::copy_of(std::string(file_cipher::key_size, 'k'));
  }

  [[nodiscard]] simulated_files& disk() noexcept {
    return *disk_;
  }
  [[nodiscard]] seeded_random& random() noexcept {
    return *random_;
  }

  /// Opens and works until a call fails or *batches* are written.
  void work(int batches) {
    auto store = stores_->open(options_);
    if (!store) {
      REQUIRE_FALSE(disk_->powered());
      return;
    }
    for (; batches > 0; --batches)
      if (!step(**store))
        return;
  }

  /// Opens again after a crash: holds the state after some batch, no older than
  /// the last that was acknowledged as synced.
  void verify() {
    auto store = stores_->open(options_);
    INFO((store ? std::string{} : store.error().message()));
    REQUIRE(store.has_value());
    rows found;
    auto ok = (*store)->scan({}, {}, [&](std::string_view key, std::string_view value) {
      found.emplace(key, value);
      return true;
    });
    REQUIRE(ok.has_value());
    auto number = found.find("number");
    auto last = number == found.end() ? 0 : std::stoull(number->second);
    CAPTURE(durable_, last, history_.size());
    REQUIRE(last >= durable_);
    REQUIRE(last < history_.size());
    // A comparison of its own: a dump of all rows would say nothing.
    auto same = found == history_[last];
    REQUIRE(same);
    auto checked = (*store)->check();
    INFO((checked ? std::string{} : checked.error().message()));
    REQUIRE(checked.has_value());
    history_.resize(last + 1);
    durable_ = last;
  }

private:
  using rows = std::map<std::string, std::string>;

  bool step(ordered_store& store) {
    if (random_->below(25) == 0 && !store.flush())
      return false;
    auto next = history_.back();
    write_batch batch;
    auto set = [&](const std::string& key, std::string value) {
      batch.put(key, value);
      next[key] = std::move(value);
    };
    set("number", std::to_string(history_.size()));
    for (auto count = random_->below(6); count > 0; --count) {
      auto key = "key" + std::to_string(random_->below(40));
      if (random_->below(4) == 0) {
        batch.erase(key);
        next.erase(key);
      } else {
        set(key, std::string{as_text(random_->make(random_->below(6000)))});
      }
    }
    history_.push_back(std::move(next));
    auto level = random_->below(3) == 0 ? durability::synced : durability::relaxed;
    auto ok = store.write(batch, level);
    if (ok && level == durability::synced)
      durable_ = history_.size() - 1;
    if (!ok) {
      // Fail-stop: whatever comes next is refused for the same reason.
      auto again = store.write(batch, durability::relaxed);
      REQUIRE_FALSE(again.has_value());
      REQUIRE(again.error().message() == ok.error().message());
    }
    return ok.has_value();
  }

  std::shared_ptr<simulated_files> disk_;
  std::shared_ptr<seeded_random> random_;
  std::shared_ptr<ordered_store_opener> stores_;
  ordered_store_options options_;
  std::vector<rows> history_ = {{}}; ///< The rows after each batch.
  size_t durable_ = 0;               ///< Batches that must be there.
};

constexpr int batches_a_round = 25;

/// Changes that a run without a crash makes, about.
uint64_t calls_of_a_run(bool rocksdb, bool encrypted) {
  scene calm{rocksdb, encrypted, 1};
  calm.work(batches_a_round);
  return calm.disk().calls();
}

/// Three crashes one after the other, each at a random call of opening or work.
void lose_power(bool rocksdb, bool encrypted, uint64_t seed, uint64_t calls) {
  scene play{rocksdb, encrypted, seed};
  for (int round = 0; round < 3; ++round) {
    CAPTURE(round);
    play.disk().crash_after(1 + play.random().below(calls));
    play.work(batches_a_round);
    play.disk().crash(seed * 3 + static_cast<uint64_t>(round));
    play.verify();
    // The check opened and closed it in peace; from here on all may be lost again.
    play.disk().crash(seed * 5 + static_cast<uint64_t>(round));
  }
  play.verify();
}

} // namespace

TEST_CASE("the simple store loses no synced batch and no half batch at any call", "[store][power]") {
  auto seed = number_from("DATAMESH_SEED", 20260101);
  auto encrypted = GENERATE(false, true);
  CAPTURE(seed, encrypted);
  auto calls = calls_of_a_run(false, encrypted);
  for (uint64_t point = 1; point <= calls + 1; ++point) {
    CAPTURE(point);
    scene play{false, encrypted, seed};
    play.disk().crash_after(point);
    play.work(batches_a_round);
    play.disk().crash(seed + point);
    play.verify();
  }
  for (uint64_t point = 0; point < 100; ++point) {
    CAPTURE(point);
    lose_power(false, encrypted, seed + point, calls);
  }
}

TEST_CASE("RocksDB as we set it up loses no synced batch and no half batch", "[store][power]") {
  auto seed = number_from("DATAMESH_SEED", 20260101);
  auto points = number_from("DATAMESH_POWER_POINTS", 300);
  uint64_t calls[] = {calls_of_a_run(true, false), calls_of_a_run(true, true)};
  for (uint64_t point = 0; point < points; point += 3) {
    CAPTURE(seed, point);
    auto encrypted = point % 2 == 1;
    lose_power(true, encrypted, seed + point, calls[encrypted]);
  }
}

TEST_CASE("a store whose write or sync failed refuses every further write for the same reason", "[store][power]") {
  auto rocksdb = GENERATE(false, true);
  auto [call, code] = GENERATE(table<uint64_t, errc>({{1, errc::no_space}, {1, errc::io_failed}, {2, errc::sync_failed}}));
  CAPTURE(rocksdb, call);
  auto disk = std::make_shared<simulated_files>();
  auto random = std::make_shared<seeded_random>(1);
  auto stores = rocksdb ? test::rocksdb_stores_over(disk, random) : simple_stores(disk, random);
  ordered_store_options options;
  options.folder = "/store";
  {
    auto store = stores->open(options);
    REQUIRE(store.has_value());
    write_batch batch;
    batch.put("a", "1");
    REQUIRE((*store)->write(batch, durability::synced).has_value());
    // The next change is the write to the log, the one after it the sync.
    disk->fail_call(call, code);
    batch.put("a", "2");
    auto failed = (*store)->write(batch, durability::synced);
    REQUIRE_FALSE(failed.has_value());
    CHECK(failed.error().code() == code);
    auto message = failed.error().message();
    for (auto level : {durability::relaxed, durability::synced}) {
      auto again = (*store)->write(batch, level);
      REQUIRE_FALSE(again.has_value());
      CHECK(again.error().message() == message);
    }
    auto flushed = (*store)->flush();
    REQUIRE_FALSE(flushed.has_value());
    CHECK(flushed.error().message() == message);
    CHECK((*store)->get("a").has_value());
  }
  disk->crash(1);
  auto store = stores->open(options);
  REQUIRE(store.has_value());
  auto value = (*store)->get("a");
  REQUIRE(value.has_value());
  CHECK((*value == "1" || *value == "2"));
}
