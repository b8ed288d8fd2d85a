// What the cache of opened chunks keeps, and what it lets go.
#include "storage/chunk_cache.hpp"
#include "tests/libdatamesh/storage/seed.hpp"

#include <catch2/catch.hpp>

#include <cmath>
#include <random>

namespace datamesh::storage {

namespace {

using origin = chunk_cache::origin;
using datamesh::test::seed;

constexpr uint64_t piece = 1000 - chunk_cache::entry_overhead;

chunk_key key(uint64_t number, uint8_t vault = 1) {
  chunk_key made;
  std::memcpy(made.chunk.span().data(), &number, sizeof number);
  made.vault.span()[0] = std::byte{vault};
  return made;
}

bytes content(uint64_t number, size_t size = piece) {
  std::vector<std::byte> data(size, static_cast<std::byte>(number * 31 + 7));
  return chunk_cache::copy_of(data);
}

bool is_content(const bytes& data, uint64_t number, size_t size = piece) {
  auto want = content(number, size);
  return data.size() == want.size() && std::equal(data.view().begin(), data.view().end(), want.view().begin());
}

/// Asks for a chunk and brings it when it is not there; true when it was.
bool ask(chunk_cache& cache, uint64_t number) {
  if (auto found = cache.find(key(number)); !found.empty()) {
    REQUIRE(is_content(found, number));
    return true;
  }
  cache.insert(key(number), content(number), origin::asked);
  return false;
}

/// The plain rule to compare with.
class lru_cache {
public:
  explicit lru_cache(size_t entries) : room_(entries) {}
  bool ask(uint64_t number) {
    auto found = places_.find(number);
    if (found != places_.end()) {
      list_.splice(list_.begin(), list_, found->second);
      return true;
    }
    list_.push_front(number);
    places_[number] = list_.begin();
    if (list_.size() > room_) {
      places_.erase(list_.back());
      list_.pop_back();
    }
    return false;
  }

private:
  size_t room_;
  std::list<uint64_t> list_;
  std::unordered_map<uint64_t, std::list<uint64_t>::iterator> places_;
};

/// Numbers from [0, count), the first ones most often.
class zipf {
public:
  zipf(size_t count, double skew) {
    for (size_t i = 1; i <= count; ++i)
      sums_.push_back((sums_.empty() ? 0 : sums_.back()) + 1 / std::pow(static_cast<double>(i), skew));
  }
  uint64_t operator()(std::mt19937_64& chance) {
    auto at = std::uniform_real_distribution<double>{0, sums_.back()}(chance);
    return static_cast<uint64_t>(std::lower_bound(sums_.begin(), sums_.end(), at) - sums_.begin());
  }

private:
  std::vector<double> sums_;
};

} // namespace

TEST_CASE("a chunk that was put into the cache is found in it, and no other", "[chunk_cache]") {
  chunk_cache cache{100'000, seed()};
  CHECK(cache.find(key(1)).empty());
  CHECK(cache.insert(key(1), content(1), origin::asked));
  CHECK(is_content(cache.find(key(1)), 1));
  CHECK(cache.find(key(2)).empty());
  CHECK(cache.current().entries == 1);
  CHECK(cache.current().bytes == 1000);
}

TEST_CASE("a chunk of one vault is not found for another", "[chunk_cache]") {
  chunk_cache cache{100'000, seed()};
  cache.insert(key(1, 1), content(1), origin::asked);
  CHECK(cache.find(key(1, 2)).empty());
  cache.insert(key(1, 2), content(2), origin::asked);
  CHECK(is_content(cache.find(key(1, 1)), 1));
  CHECK(is_content(cache.find(key(1, 2)), 2));
  cache.forget(key(1, 1).vault);
  CHECK(cache.find(key(1, 1)).empty());
  CHECK(is_content(cache.find(key(1, 2)), 2));
  CHECK(cache.current().entries == 1);
}

TEST_CASE("a chunk that comes twice is held once", "[chunk_cache]") {
  chunk_cache cache{100'000, seed()};
  CHECK(cache.insert(key(1), content(1), origin::ahead));
  CHECK(cache.insert(key(1), content(1), origin::asked));
  CHECK(cache.current().entries == 1);
  CHECK(cache.current().bytes == 1000);
}

TEST_CASE("nothing empty and nothing larger than the cache is kept", "[chunk_cache]") {
  chunk_cache cache{10'000, seed()};
  CHECK_FALSE(cache.insert(key(1), {}, origin::asked));
  CHECK_FALSE(cache.insert(key(1), content(1, 10'001), origin::asked));
  CHECK_FALSE(cache.insert(key(1), content(1, 3000), origin::ahead));
  CHECK(cache.current().entries == 0);
  // Larger than the window, but somebody reads it.
  CHECK(cache.insert(key(1), content(1, 9000), origin::asked));
  CHECK(is_content(cache.find(key(1)), 1, 9000));
}

TEST_CASE("the byte budget is never exceeded, whatever is asked for and however it shrinks", "[chunk_cache]") {
  CAPTURE(seed());
  std::mt19937_64 chance{seed()};
  chunk_cache cache{200'000, seed()};
  std::unordered_map<uint64_t, size_t> sizes;
  for (int step = 0; step < 20'000; ++step) {
    auto number = chance() % 400;
    auto [size, fresh] = sizes.try_emplace(number, 1 + chance() % (chance() % 8 == 0 ? 60'000 : 5000));
    if (auto found = cache.find(key(number), chance() % 4 != 0); !found.empty())
      REQUIRE(is_content(found, number, size->second));
    else
      cache.insert(key(number), content(number, size->second), chance() % 3 == 0 ? origin::ahead : origin::asked);
    if (chance() % 100 == 0)
      cache.set_limit(chance() % 250'000);
    REQUIRE(cache.current().bytes <= cache.limit());
    REQUIRE(cache.limit() <= 200'000);
  }
  uint64_t bytes = 0;
  uint64_t entries = 0;
  for (const auto& [number, size] : sizes)
    if (cache.holds(key(number))) {
      bytes += size + chunk_cache::entry_overhead;
      ++entries;
    }
  CHECK(cache.current().bytes == bytes);
  CHECK(cache.current().entries == entries);
  cache.set_limit(0);
  CHECK(cache.current().bytes == 0);
  CHECK(cache.current().entries == 0);
}

TEST_CASE("a scan displaces nothing that is asked for again and again", "[chunk_cache]") {
  chunk_cache cache{100'000, seed()};
  lru_cache plain{100};
  for (int round = 0; round < 5; ++round)
    for (uint64_t number = 0; number < 60; ++number) {
      ask(cache, number);
      plain.ask(number);
    }
  for (uint64_t number = 1000; number < 1500; ++number) {
    ask(cache, number);
    plain.ask(number);
  }
  size_t kept = 0;
  size_t kept_by_lru = 0;
  for (uint64_t number = 0; number < 60; ++number) {
    kept += cache.holds(key(number)) ? 1 : 0;
    kept_by_lru += plain.ask(number) ? 1 : 0;
  }
  CHECK(kept >= 57);
  CHECK(kept_by_lru == 0);
}

TEST_CASE("of a skewed load with scans between, more is found than by LRU", "[chunk_cache]") {
  CAPTURE(seed());
  std::mt19937_64 chance{seed()};
  zipf popular{2000, 0.9};
  chunk_cache cache{100'000, seed()};
  lru_cache plain{100};
  size_t asked = 0;
  size_t hits = 0;
  size_t lru_hits = 0;
  uint64_t scanned = 10'000;
  for (int round = 0; round < 60; ++round) {
    for (int i = 0; i < 1000; ++i) {
      auto number = popular(chance);
      ++asked;
      hits += ask(cache, number) ? 1 : 0;
      lru_hits += plain.ask(number) ? 1 : 0;
    }
    for (int i = 0; i < 200; ++i) {
      ++asked;
      hits += ask(cache, scanned) ? 1 : 0;
      lru_hits += plain.ask(scanned++) ? 1 : 0;
    }
  }
  auto rate = static_cast<double>(hits) / static_cast<double>(asked);
  auto lru_rate = static_cast<double>(lru_hits) / static_cast<double>(asked);
  WARN("hit rate " << rate << ", LRU " << lru_rate);
  CHECK(rate > lru_rate * 1.15);
}

TEST_CASE("what was popular once makes room for what is popular now", "[chunk_cache]") {
  chunk_cache cache{100'000, seed()};
  for (int round = 0; round < 50; ++round)
    for (uint64_t number = 0; number < 80; ++number)
      ask(cache, number);
  size_t hits = 0;
  for (int round = 0; round < 60; ++round) {
    hits = 0;
    for (uint64_t number = 100; number < 180; ++number)
      hits += ask(cache, number) ? 1 : 0;
  }
  CHECK(hits >= 70);
}

TEST_CASE("the same calls with the same seed keep the same chunks", "[chunk_cache]") {
  auto run = [](uint64_t with) {
    chunk_cache cache{50'000, with};
    std::mt19937_64 chance{7};
    zipf popular{500, 0.8};
    std::vector<bool> found;
    for (int i = 0; i < 5000; ++i)
      found.push_back(ask(cache, popular(chance)));
    return found;
  };
  CHECK(run(seed()) == run(seed()));
}

TEST_CASE("what was opened ahead stays a while, takes a quarter at most, and counts as used once", "[chunk_cache]") {
  chunk_cache cache{100'000, seed()};
  for (int round = 0; round < 3; ++round)
    for (uint64_t number = 0; number < 100; ++number)
      ask(cache, number);
  for (uint64_t number = 500; number < 520; ++number)
    CHECK(cache.insert(key(number), content(number), origin::ahead));
  // Others are asked for before it is its turn.
  for (uint64_t number = 900; number < 950; ++number)
    ask(cache, number);
  for (uint64_t number = 500; number < 520; ++number) {
    CHECK(is_content(cache.find(key(number)), number));
    CHECK(is_content(cache.find(key(number), false), number));
  }
  CHECK(cache.current().ahead == 20);
  CHECK(cache.current().ahead_used == 20);
  for (uint64_t number = 600; number < 640; ++number)
    cache.insert(key(number), content(number), origin::ahead);
  size_t there = 0;
  for (uint64_t number = 600; number < 640; ++number)
    there += cache.holds(key(number)) ? 1 : 0;
  CHECK(there == 25);
  CHECK(cache.holds(key(639)));
  CHECK(cache.current().ahead_used == 20);
}

TEST_CASE("a slice that somebody reads outlives its entry", "[chunk_cache]") {
  chunk_cache cache{10'000, seed()};
  cache.insert(key(1), content(1), origin::asked);
  auto reading = cache.find(key(1));
  cache.set_limit(0);
  CHECK_FALSE(cache.holds(key(1)));
  CHECK(is_content(reading, 1));
}

TEST_CASE("what the cache keeps pins no memory but its own", "[chunk_cache]") {
  auto segment = std::make_shared<std::vector<std::byte>>(8 << 20);
  std::weak_ptr<const void> watched = segment;
  bytes slice{segment, byte_view{*segment}.first(piece)};
  segment.reset();
  chunk_cache cache{10'000, seed()};
  cache.insert(key(1), chunk_cache::copy_of(slice), origin::asked);
  slice = {};
  CHECK(watched.expired());
  CHECK(cache.find(key(1)).size() == piece);
}

} // namespace datamesh::storage
