#include "storage/open_pack.hpp"

#include <catch2/catch.hpp>

#include <thread>

using namespace datamesh;
using namespace datamesh::storage;

namespace {

constexpr uint32_t limit = 256 << 10;

open_pack make_pack(uint32_t size_limit = limit) {
  return {3, buffer_pool::make(pack_buffer_size, 1)->take(), size_limit};
}

chunk_entry entry_of(uint32_t length) {
  chunk_entry entry;
  entry.sealed_length = length;
  entry.plain_length = length;
  return entry;
}

} // namespace

TEST_CASE("workers side by side get room that does not overlap", "[open_pack]") {
  auto pack = make_pack();
  CHECK(pack.empty());
  std::mutex mutex;
  std::vector<std::pair<uint32_t, uint32_t>> places;
  std::vector<std::thread> workers;
  for (uint32_t w = 0; w < 4; ++w)
    workers.emplace_back([&, w] {
      for (uint32_t length = 500 + w;; length += 7) {
        auto entry = entry_of(length);
        auto room = pack.reserve(entry);
        if (!room)
          return;
        std::fill(room->begin(), room->end(), static_cast<std::byte>(w));
        std::lock_guard guard{mutex};
        places.emplace_back(entry.offset, length);
      }
    });
  for (auto& worker : workers)
    worker.join();
  std::sort(places.begin(), places.end());
  for (size_t i = 1; i < places.size(); ++i)
    REQUIRE(places[i - 1].first + places[i - 1].second <= places[i].first);
  CHECK(places.back().first + places.back().second <= limit);
  CHECK(pack.builder().table().chunks.size() == places.size());
  CHECK(!pack.empty());
}

TEST_CASE("room is kept for operations that wait", "[open_pack]") {
  auto pack = make_pack();
  auto first = entry_of(1000);
  REQUIRE(pack.reserve(first));
  pack.set_operation_bytes(limit / 2);
  auto large = entry_of(limit / 2);
  CHECK(!pack.reserve(large));
  pack.set_operation_bytes(0);
  CHECK(pack.reserve(large));
}

TEST_CASE("the first chunk fits, however much room operations want", "[open_pack]") {
  auto pack = make_pack();
  pack.set_operation_bytes(limit);
  auto large = entry_of(chunk_plain_max);
  CHECK(pack.reserve(large));
  CHECK(!pack.reserve(large));
}
