#include "base/memory_budget.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <atomic>
#include <optional>
#include <thread>
#include <vector>

using namespace datamesh;
using reservation = memory_budget::reservation;

namespace {

auto keep_in(std::optional<reservation>& slot) {
  return [&slot](reservation r) {
    slot = std::move(r);
  };
}

} // namespace

TEST_CASE("a reservation is granted at once when there is room", "[budget]") {
  auto budget = memory_budget::make(100);
  std::optional<reservation> a;
  REQUIRE(budget->reserve(60, keep_in(a)));
  REQUIRE(a);
  CHECK(a->size() == 60);
  CHECK(budget->in_use() == 60);
  CHECK(budget->limit() == 100);
  a.reset();
  CHECK(budget->in_use() == 0);
}

TEST_CASE("more than the limit is refused, the limit itself is not", "[budget]") {
  auto budget = memory_budget::make(100);
  std::optional<reservation> a;
  auto refused = budget->reserve(101, keep_in(a));
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code() == errc::capacity_exceeded);
  CHECK_FALSE(budget->reserve(~uint64_t{0}, keep_in(a)));
  CHECK_FALSE(a);
  CHECK(budget->in_use() == 0);
  REQUIRE(budget->reserve(100, keep_in(a)));
  CHECK(a);
}

TEST_CASE("who comes first is served first, even where a later one would fit", "[budget]") {
  auto budget = memory_budget::make(100);
  std::optional<reservation> a, big, small;
  REQUIRE(budget->reserve(60, keep_in(a)));
  REQUIRE(budget->reserve(80, keep_in(big)));
  REQUIRE(budget->reserve(10, keep_in(small)));
  CHECK_FALSE(big);
  CHECK_FALSE(small);
  a.reset();
  CHECK(big);
  CHECK(small);
  CHECK(budget->in_use() == 90);
}

TEST_CASE("a reservation moves and is returned once", "[budget]") {
  auto budget = memory_budget::make(100);
  std::optional<reservation> a, b;
  REQUIRE(budget->reserve(60, keep_in(a)));
  REQUIRE(budget->reserve(30, keep_in(b)));
  reservation c{std::move(*a)};
  a.reset();
  CHECK(budget->in_use() == 90);
  *b = std::move(c);
  CHECK(budget->in_use() == 60);
  CHECK(b->size() == 60);
  auto& self = *b;
  *b = std::move(self);
  CHECK(budget->in_use() == 60);
  b.reset();
  CHECK(budget->in_use() == 0);
}

TEST_CASE("a callback may reserve, and a long queue does not grow the stack", "[budget]") {
  auto budget = memory_budget::make(1);
  std::optional<reservation> first;
  REQUIRE(budget->reserve(1, keep_in(first)));
  std::vector<int> order;
  for (int i = 0; i < 200000; ++i)
    REQUIRE(budget->reserve(1, [&order, i](reservation) { order.push_back(i); }));
  bool nested = false;
  REQUIRE(budget->reserve(1, [&](reservation r) {
    r = {};
    REQUIRE(budget->reserve(1, [&](reservation) { nested = true; }));
  }));
  first.reset();
  CHECK(nested);
  CHECK(order.size() == 200000);
  CHECK(std::is_sorted(order.begin(), order.end()));
  CHECK(budget->in_use() == 0);
}

TEST_CASE("threads never hold more than the limit together", "[budget]") {
  auto budget = memory_budget::make(10);
  std::atomic<int> held = 0;
  std::atomic<int> served = 0;
  std::atomic<bool> exceeded = false;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 2000; ++i) {
        auto size = 1 + (t + i) % 10;
        (void) budget->reserve(static_cast<uint64_t>(size), [&, size](reservation r) {
          if (held.fetch_add(size) + size > 10)
            exceeded = true;
          ++served;
          held -= size;
          r = {};
        });
      }
    });
  for (auto& thread : threads)
    thread.join();
  CHECK_FALSE(exceeded);
  CHECK(served == 8000);
  CHECK(budget->in_use() == 0);
}
