#include "storage/chunker.hpp"

#include "crypto/derive.hpp"
#include "tests/libdatamesh/storage/seed.hpp"
#include "tests/support/seeded_random.hpp"

#include <catch2/catch.hpp>

#include <bit>
#include <numeric>

using namespace datamesh;
using namespace datamesh::storage;

namespace {

constexpr chunk_limits small_limits{1 << 10, 4 << 10, 16 << 10};
// Wide enough for the interleaved scan to run on both sides of the target.
constexpr chunk_limits wide_limits{48 << 10, 128 << 10, 512 << 10};

crypto::key256 key_of(uint8_t fill) {
  std::array<std::byte, 32> raw;
  raw.fill(std::byte{fill});
  return crypto::key256::from(raw);
}

// The definition in the header, written down byte by byte.
class reference {
public:
  reference(const crypto::key256& key, chunk_limits limits) : limits_(limits) {
    std::array<std::byte, 2048> stream;
    crypto::hkdf_sha256(key.view(), {}, as_view("dm/gear/1"), stream);
    for (size_t i = 0; i < stream.size(); ++i)
      gear_[i / 8] |= std::to_integer<uint64_t>(stream[i]) << (8 * (i % 8));
    auto bits = std::countr_zero(limits.size_target);
    for (int i = 0; i < bits + 2; ++i)
      strict_ |= uint64_t{1} << (63 - 2 * i);
    for (int i = 0; i < bits - 2; ++i)
      lax_ |= uint64_t{1} << (63 - 2 * i);
  }

  std::vector<uint32_t> cut(byte_view data) const {
    std::vector<uint32_t> lengths;
    uint64_t hash = 0;
    uint32_t length = 0;
    for (auto byte : data) {
      hash = hash * 2 + gear_[std::to_integer<size_t>(byte)];
      ++length;
      auto mask = length < limits_.size_target ? strict_ : lax_;
      if ((length >= limits_.size_min && (hash & mask) == 0) || length == limits_.size_max) {
        lengths.push_back(length);
        length = 0;
        hash = 0;
      }
    }
    if (length > 0)
      lengths.push_back(length);
    return lengths;
  }

  // Data that has a cut candidate exactly where the hash of its end allows one:
  // 64 bytes behind which a chunk may end, found by search, and in whose midst and
  // behind which none may, between zeros.
  std::vector<std::byte> trigger(test::seeded_random& random, bool strict) const {
    auto data = random.make(1 << 20);
    uint64_t hash = 0;
    for (size_t i = 0; i < data.size(); ++i) {
      hash = hash * 2 + gear_[std::to_integer<size_t>(data[i])];
      if (i >= 63 && (hash & (strict ? strict_ : lax_)) == 0 && (strict || (hash & strict_) != 0))
        if (auto found = byte_view{data}.subspan(i - 63, 64); is_alone(found))
          return {found.begin(), found.end()};
    }
    return trigger(random, strict);
  }

private:
  bool is_alone(byte_view trigger) const {
    std::vector<std::byte> between(192);
    std::copy(trigger.begin(), trigger.end(), between.begin() + 64);
    uint64_t hash = 0;
    for (size_t i = 0; i < between.size(); ++i) {
      hash = hash * 2 + gear_[std::to_integer<size_t>(between[i])];
      if (i >= 63 && i != 127 && (hash & lax_) == 0)
        return false;
    }
    return true;
  }

  chunk_limits limits_;
  uint64_t strict_ = 0;
  uint64_t lax_ = 0;
  std::array<uint64_t, 256> gear_{};
};

// Cuts a stream that arrives in segments as the contract tells the caller to.
template <class NextSegment>
std::vector<uint32_t> cut_segmented(const chunker& cutter, byte_view data, NextSegment next) {
  std::vector<uint32_t> all;
  size_t begin = 0;
  size_t seen = 0;
  for (;;) {
    seen += std::min<size_t>(next(), data.size() - seen);
    auto at_end = seen == data.size();
    for (auto length : cutter.cut(data.subspan(begin, seen - begin), at_end)) {
      all.push_back(length);
      begin += length;
    }
    if (at_end)
      return all;
  }
}

std::vector<std::byte> periodic(test::seeded_random& random, size_t size, size_t period) {
  auto pattern = random.make(period);
  std::vector<std::byte> data(size);
  for (size_t i = 0; i < size; ++i)
    data[i] = pattern[i % period];
  return data;
}

// A buffer without a cut candidate but for what is put into it.
std::vector<std::byte> quiet(size_t size) {
  return std::vector<std::byte>(size);
}

void put_at(std::vector<std::byte>& data, size_t end, const std::vector<std::byte>& trigger) {
  std::copy(trigger.begin(), trigger.end(), data.begin() + static_cast<ptrdiff_t>(end - trigger.size()));
}

} // namespace

TEST_CASE("chunks are those of the definition", "[chunker]") {
  auto limits = GENERATE(small_limits, wide_limits);
  CAPTURE(limits.size_target, test::seed());
  test::seeded_random random{test::seed()};
  for (uint8_t round = 0; round < 6; ++round) {
    auto key = key_of(round);
    chunker cutter{key, limits};
    reference plain{key, limits};
    for (auto& data : {random.make(3'000'001), random.make(40 * limits.size_max / 16), periodic(random, 1'500'000, 1 + random.below(200)),
                       periodic(random, 1'000'000, 5000)}) {
      auto lengths = cutter.cut(data, true);
      REQUIRE(lengths == plain.cut(data));
      REQUIRE(std::accumulate(lengths.begin(), lengths.end(), size_t{0}) == data.size());
    }
  }
}

TEST_CASE("chunks do not depend on how the stream arrives", "[chunker]") {
  auto limits = GENERATE(small_limits, wide_limits);
  CAPTURE(limits.size_target, test::seed());
  test::seeded_random random{test::seed()};
  chunker cutter{key_of(9), limits};
  auto data = random.make(2'000'003);
  auto whole = cutter.cut(data, true);
  for (uint64_t bound : {uint64_t{3000}, uint64_t{100'000}, uint64_t{900'000}}) {
    CAPTURE(bound);
    CHECK(cut_segmented(cutter, data, [&] { return 1 + random.below(bound); }) == whole);
  }
  auto few = byte_view{data}.first(20'000);
  CHECK(cut_segmented(cutter, few, [] { return 1; }) == cutter.cut(few, true));
}

TEST_CASE("every prefix gives the first of the same cuts", "[chunker]") {
  test::seeded_random random{test::seed()};
  chunker cutter{key_of(3), small_limits};
  auto data = random.make(60'000);
  auto whole = cutter.cut(data, true);
  for (size_t size = 0; size <= data.size(); size += 1 + random.below(40)) {
    auto some = cutter.cut(byte_view{data}.first(size), false);
    REQUIRE(some.size() <= whole.size());
    REQUIRE(std::equal(some.begin(), some.end(), whole.begin()));
    // What is complete is told: nothing is held back.
    auto covered = std::accumulate(some.begin(), some.end(), size_t{0});
    REQUIRE((some.size() == whole.size() || covered + whole[some.size()] > size || some.size() + 1 == whole.size()));
  }
}

TEST_CASE("data without a cut candidate makes chunks of the maximum", "[chunker]") {
  for (auto limits : {small_limits, wide_limits, chunk_limits{}}) {
    CAPTURE(limits.size_target);
    chunker cutter{key_of(1), limits};
    auto zeros = quiet(size_t{3} * limits.size_max + 77);
    auto max = limits.size_max;
    CHECK(cutter.cut(zeros, true) == std::vector<uint32_t>{max, max, max, 77});
    CHECK(cutter.cut(zeros, false) == std::vector<uint32_t>{max, max, max});
    CHECK(cutter.cut(byte_view{zeros}.first(max), false) == std::vector<uint32_t>{max});
    CHECK(cutter.cut(byte_view{zeros}.first(max - 1), false).empty());
  }
}

TEST_CASE("short data is one chunk", "[chunker]") {
  test::seeded_random random{test::seed()};
  chunker cutter{key_of(1), small_limits};
  CHECK(cutter.cut({}, true).empty());
  CHECK(cutter.cut({}, false).empty());
  for (uint32_t size : {1u, 2u, 63u, 64u, 65u, 1022u, 1023u, 1024u}) {
    auto data = random.make(size);
    CHECK(cutter.cut(data, true) == std::vector<uint32_t>{size});
  }
  CHECK(cutter.cut(random.make(1023), false).empty());
}

TEST_CASE("minimum and target bound where a chunk may end", "[chunker]") {
  auto limits = GENERATE(small_limits, wide_limits);
  CAPTURE(limits.size_target, test::seed());
  test::seeded_random random{test::seed()};
  auto key = key_of(1);
  chunker cutter{key, limits};
  reference plain{key, limits};
  auto lax = plain.trigger(random, false);
  auto strict = plain.trigger(random, true);
  auto first_cut = [&](size_t end, const std::vector<std::byte>& trigger) {
    auto data = quiet(limits.size_max + 1000);
    put_at(data, end, trigger);
    auto lengths = cutter.cut(data, true);
    CHECK(lengths == plain.cut(data));
    return lengths.at(0);
  };
  CHECK(first_cut(limits.size_min - 1, strict) == limits.size_max);
  CHECK(first_cut(limits.size_min, strict) == limits.size_min);
  CHECK(first_cut(limits.size_min + 1, strict) == limits.size_min + 1);
  CHECK(first_cut(limits.size_min, lax) == limits.size_max);
  CHECK(first_cut(limits.size_target - 1, lax) == limits.size_max);
  CHECK(first_cut(limits.size_target - 1, strict) == limits.size_target - 1);
  CHECK(first_cut(limits.size_target, lax) == limits.size_target);
  CHECK(first_cut(limits.size_target + 1, lax) == limits.size_target + 1);
  CHECK(first_cut(limits.size_max - 1, lax) == limits.size_max - 1);
  CHECK(first_cut(limits.size_max, lax) == limits.size_max);
}

TEST_CASE("the earliest of several candidates in different lanes wins", "[chunker]") {
  CAPTURE(test::seed());
  test::seeded_random random{test::seed()};
  auto key = key_of(1);
  chunker cutter{key, wide_limits};
  reference plain{key, wide_limits};
  auto strict = plain.trigger(random, true);
  for (int round = 0; round < 200; ++round) {
    auto data = quiet(wide_limits.size_max);
    for (auto count = 2 + random.below(4); count > 0; --count)
      put_at(data, wide_limits.size_min + random.below(150'000), strict);
    auto lengths = cutter.cut(data, true);
    REQUIRE(lengths == plain.cut(data));
    REQUIRE(lengths.at(0) < wide_limits.size_max);
  }
}

TEST_CASE("an edit moves only the cuts around it", "[chunker]") {
  test::seeded_random random{test::seed()};
  chunker cutter{key_of(5), small_limits};
  auto data = random.make(1'000'000);
  auto ends = [&](size_t shift) {
    std::vector<size_t> result;
    size_t at = 0;
    for (auto length : cutter.cut(data, true))
      if ((at += length) > 600'000)
        result.push_back(at - shift);
    return result;
  };
  auto before = ends(0);
  auto extra = random.make(777);
  data.insert(data.begin() + 500'000, extra.begin(), extra.end());
  auto after = ends(777);
  std::vector<size_t> shared;
  std::set_intersection(before.begin(), before.end(), after.begin(), after.end(), std::back_inserter(shared));
  CHECK(shared.size() + 5 >= before.size());
}

TEST_CASE("another key cuts elsewhere", "[chunker]") {
  test::seeded_random random{test::seed()};
  auto data = random.make(500'000);
  CHECK(chunker{key_of(1), small_limits}.cut(data, true) != chunker{key_of(2), small_limits}.cut(data, true));
  CHECK(chunker{key_of(1), small_limits}.cut(data, true) == chunker{key_of(1), small_limits}.cut(data, true));
}

TEST_CASE("the default limits give chunks around the target", "[chunker]") {
  CAPTURE(test::seed());
  test::seeded_random random{test::seed()};
  chunker cutter{key_of(1)};
  auto data = random.make(24 << 20);
  auto lengths = cutter.cut(data, true);
  CHECK(lengths == reference(key_of(1), {}).cut(data));
  CHECK(lengths.size() >= 12);
  CHECK(lengths.size() <= 40);
}
