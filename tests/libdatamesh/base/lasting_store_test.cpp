#include "base/lasting_store.hpp"

#include "base/simple_store.hpp"
#include "datamesh/base/file_system.hpp"
#include "tests/libdatamesh/base/rocksdb_on_files.hpp"
#include "tests/support/seeded_random.hpp"
#include "tests/support/simulated_files.hpp"

#include <catch2/catch.hpp>

#include <thread>

using namespace datamesh;

namespace {

struct full_disk {
  explicit full_disk(bool rocksdb) {
    REQUIRE(disk->make_folder("/drive").has_value());
    disk->sync_all();
    auto random = std::make_shared<test::seeded_random>(1);
    stores = rocksdb ? test::rocksdb_stores_over(disk, random) : simple_stores(disk, random);
    auto opened = lasting_store::open(stores, {.folder = "/drive/store", .or_read_only = true});
    REQUIRE(opened.has_value());
    store = std::move(*opened);
  }

  errc write(std::string_view key, std::string_view value = "v") {
    write_batch batch;
    batch.put(key, value);
    auto written = store->write(batch, durability::synced);
    return written ? errc{} : written.error().code();
  }
  bool has(std::string_view key) const {
    auto value = store->get(key);
    REQUIRE(value.has_value());
    return value->has_value();
  }
  void end(test::drive_end how) {
    disk->end_drive(1, "/drive", how);
    (void) disk->make_folder("/drive/ended");
  }

  std::shared_ptr<test::simulated_files> disk = std::make_shared<test::simulated_files>();
  std::shared_ptr<ordered_store_opener> stores;
  std::unique_ptr<lasting_store> store;
};

} // namespace

TEST_CASE("a store that met a full or read-only disk is written again once opened anew", "[store]") {
  auto rocksdb = GENERATE(false, true);
  auto how = GENERATE(test::drive_end::read_only, test::drive_end::full);
  CAPTURE(rocksdb, test::to_string(how));
  full_disk room{rocksdb};
  CHECK(room.write("a") == errc{});
  room.end(how);
  auto refusal = how == test::drive_end::full ? errc::no_space : errc::read_only;
  CHECK(room.write("b", std::string(1 << 20, 'b')) == refusal);
  CHECK_FALSE(room.store->writable());
  // Still full: it is read on.
  REQUIRE(room.store->reopen().has_value());
  CHECK(room.write("c", std::string(1 << 20, 'c')) == refusal);
  CHECK(room.has("a"));
  room.disk->plug_in("/drive");
  CHECK_FALSE(room.store->writable());
  REQUIRE(room.store->reopen().has_value());
  CHECK(room.store->writable());
  CHECK(room.write("d") == errc{});
  room.disk->crash(1);
  room.store.reset();
  auto again = lasting_store::open(room.stores, {.folder = "/drive/store"});
  REQUIRE(again.has_value());
  room.store = std::move(*again);
  CHECK(room.has("a"));
  CHECK(room.has("d"));
  CHECK_FALSE(room.has("c"));
}

TEST_CASE("a store is not opened anew under those who hold a view, and waits for those who read", "[store]") {
  auto rocksdb = GENERATE(false, true);
  CAPTURE(rocksdb);
  full_disk room{rocksdb};
  CHECK(room.write("a") == errc{});
  auto view = room.store->snapshot();
  auto refused = room.store->reopen();
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.error().code() == errc::unavailable);
  CHECK(room.has("a"));
  CHECK(room.write("b") == errc{});
  CHECK(view->get("a")->has_value());
  CHECK_FALSE(view->get("b")->has_value());
  view.reset();
  std::atomic<bool> over = false;
  std::atomic<size_t> misses = 0;
  std::thread reader{[&] {
    while (!over) {
      auto value = room.store->get("a");
      misses += !value || !*value;
    }
  }};
  for (int round = 0; round < 5; ++round)
    CHECK(room.store->reopen().has_value());
  over = true;
  reader.join();
  CHECK(misses == 0);
  CHECK(room.has("b"));
}

TEST_CASE("whoever reads a store while it is closed, or later, is told that it is", "[store]") {
  auto rocksdb = GENERATE(false, true);
  CAPTURE(rocksdb);
  full_disk room{rocksdb};
  CHECK(room.write("a") == errc{});
  std::atomic<bool> reads = false;
  std::atomic<size_t> wrong = 0;
  std::thread reader{[&] {
    for (;;) {
      auto value = room.store->get("a");
      reads = true;
      if (!value) {
        wrong += value.error().code() != errc::unavailable;
        return;
      }
      wrong += !value->has_value();
      auto seen = room.store->snapshot()->get("a");
      wrong += !seen && seen.error().code() != errc::unavailable;
    }
  }};
  while (!reads)
    std::this_thread::yield();
  room.store->close();
  reader.join();
  CHECK(wrong == 0);
  CHECK(room.write("b") == errc::unavailable);
  CHECK_FALSE(room.store->writable());
}

TEST_CASE("a store that can not be opened anew answers so, until it can", "[store]") {
  auto rocksdb = GENERATE(false, true);
  CAPTURE(rocksdb);
  full_disk room{rocksdb};
  CHECK(room.write("a") == errc{});
  REQUIRE(room.disk->rename("/drive/store", "/drive/away").has_value());
  auto opened = room.store->reopen();
  REQUIRE_FALSE(opened.has_value());
  CHECK(opened.error().code() == errc::not_found);
  CHECK(room.store->get("a").error().code() == errc::unavailable);
  CHECK(room.store->snapshot()->get("a").error().code() == errc::unavailable);
  CHECK(room.store->snapshot()->scan({}, {}, [](auto, auto) { return true; }).error().code() == errc::unavailable);
  CHECK(room.write("b") == errc::unavailable);
  CHECK_FALSE(room.store->writable());
  CHECK(room.store->disk_bytes() == 0);
  REQUIRE(room.disk->rename("/drive/away", "/drive/store").has_value());
  REQUIRE(room.store->reopen().has_value());
  CHECK(room.has("a"));
  CHECK_FALSE(room.has("b"));
}
