#include "base/buffer_pool.hpp"

#include <catch2/catch.hpp>

#include <atomic>
#include <cstring>
#include <set>
#include <thread>

using namespace datamesh;

TEST_CASE("buffers have the size asked for and begin at a page", "[buffer]") {
  for (size_t size : {size_t{1}, size_t{4095}, size_t{4096}, size_t{4097}, size_t{1} << 20}) {
    auto pool = buffer_pool::make(size, 2);
    CHECK(pool->buffer_size() == size);
    auto buffer = pool->take();
    REQUIRE(buffer);
    CHECK(buffer.span().size() == size);
    CHECK(reinterpret_cast<uintptr_t>(buffer.span().data()) % 4096 == 0);
    std::memset(buffer.span().data(), 0x5a, size);
  }
}

TEST_CASE("a buffer comes back when the last slice of it is gone", "[buffer]") {
  auto pool = buffer_pool::make(4096, 4);
  auto buffer = pool->take();
  auto* memory = buffer.span().data();
  std::memset(memory, 7, 4096);
  auto whole = buffer.freeze(0, 4096);
  auto part = whole.slice(10, 5);
  buffer = {};
  CHECK_FALSE(buffer);
  whole = {};
  CHECK(pool->take().span().data() != memory);
  CHECK(part.size() == 5);
  CHECK(part.view()[4] == std::byte{7});
  part = {};
  // Two are idle now; ours is one of them.
  std::set<std::byte*> idle;
  auto a = pool->take();
  auto b = pool->take();
  idle.insert(a.span().data());
  idle.insert(b.span().data());
  CHECK(idle.count(memory) == 1);
}

TEST_CASE("two buffers in use never share memory", "[buffer]") {
  auto pool = buffer_pool::make(8192, 1);
  auto a = pool->take();
  auto b = pool->take();
  std::memset(a.span().data(), 1, 8192);
  std::memset(b.span().data(), 2, 8192);
  CHECK(a.span()[8191] == std::byte{1});
  CHECK(b.span()[0] == std::byte{2});
}

TEST_CASE("the pool may go before its buffers", "[buffer]") {
  auto pool = buffer_pool::make(4096, 4);
  auto kept = pool->take();
  auto slice = kept.freeze(0, 16);
  { auto idle = pool->take(); }
  pool = nullptr;
  kept.span()[20] = std::byte{1};
  kept = {};
  CHECK(slice.size() == 16);
}

TEST_CASE("threads take and return buffers at once", "[buffer]") {
  auto pool = buffer_pool::make(4096, 3);
  std::vector<std::thread> threads;
  std::atomic<int> wrong = 0;
  for (int t = 1; t <= 4; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 2000; ++i) {
        auto buffer = pool->take();
        std::memset(buffer.span().data(), t, 4096);
        auto slice = buffer.freeze(0, 4096);
        buffer = {};
        wrong += slice.view()[0] != static_cast<std::byte>(t) || slice.view()[4095] != static_cast<std::byte>(t);
      }
    });
  for (auto& thread : threads)
    thread.join();
  CHECK(wrong == 0);
}
