// When something is opened ahead of a reader, and how much.
#include "storage/readahead.hpp"
#include "tests/libdatamesh/storage/seed.hpp"

#include <catch2/catch.hpp>

#include <random>

namespace datamesh::storage {

namespace {

constexpr uint64_t kib = 1 << 10;
constexpr uint64_t mib = 1 << 20;

version_id version(uint8_t number) {
  version_id made;
  made.span()[0] = std::byte{number};
  return made;
}

} // namespace

TEST_CASE("nothing is opened ahead before two ranges in a row went on where the last ended", "[readahead]") {
  readahead ahead;
  auto first = ahead.note(version(1), 0, 64 * kib, 64 * mib);
  CHECK_FALSE(first.goes_on);
  CHECK(first.length == 0);
  auto second = ahead.note(version(1), 64 * kib, 64 * kib, 64 * mib);
  CHECK(second.goes_on);
  CHECK(second.length == 0);
  auto third = ahead.note(version(1), 128 * kib, 64 * kib, 64 * mib);
  CHECK(third.goes_on);
  CHECK(third.first == 192 * kib);
  CHECK(third.length == readahead::stretch_min);
}

TEST_CASE("who jumps about gets nothing ahead", "[readahead]") {
  CAPTURE(datamesh::test::seed());
  std::mt19937_64 chance{datamesh::test::seed()};
  readahead ahead;
  for (int i = 0; i < 10'000; ++i)
    CHECK(ahead.note(version(1), chance() % 1'000'000 * 64 * kib + chance() % 1000, 64 * kib, 64 * mib).length == 0);
}

TEST_CASE("the same range again, and a range of another version, do not go on", "[readahead]") {
  readahead ahead;
  for (int i = 0; i < 5; ++i)
    CHECK_FALSE(ahead.note(version(1), 0, 64 * kib, 64 * mib).goes_on);
  CHECK_FALSE(ahead.note(version(2), 64 * kib, 64 * kib, 64 * mib).goes_on);
  CHECK(ahead.note(version(1), 64 * kib, 64 * kib, 64 * mib).goes_on);
}

TEST_CASE("the stretches follow one another without gap or overlap, and double up to the bound", "[readahead]") {
  readahead ahead;
  uint64_t end = 0;
  uint64_t last = 0;
  for (uint64_t at = 0; at < 256 * mib; at += 64 * kib) {
    auto due = ahead.note(version(1), at, 64 * kib, 64 * mib);
    if (due.length == 0)
      continue;
    if (end > 0)
      REQUIRE(due.first == end);
    REQUIRE(due.first >= at + 64 * kib);
    REQUIRE(due.length == std::min(readahead::stretch_max, last == 0 ? readahead::stretch_min : 2 * last));
    // No more than half of the last is left.
    REQUIRE(due.first - at - 64 * kib <= last / 2);
    end = due.first + due.length;
    last = due.length;
  }
  CHECK(last == readahead::stretch_max);
  CHECK(end >= 256 * mib);
}

TEST_CASE("what lies ahead of all readers together stays within the room", "[readahead]") {
  readahead ahead;
  constexpr uint64_t room = 12 * mib;
  std::array<uint64_t, 3> ends{};
  for (uint64_t at = 0; at < 64 * mib; at += 64 * kib) {
    uint64_t lies_ahead = 0;
    for (uint8_t reader = 0; reader < 3; ++reader) {
      auto due = ahead.note(version(reader), at, 64 * kib, room);
      if (due.length > 0)
        ends[reader] = due.first + due.length;
      lies_ahead += ends[reader] > at + 64 * kib ? ends[reader] - at - 64 * kib : 0;
    }
    if (at > 16 * mib)
      REQUIRE(lies_ahead <= room);
  }
  CHECK(ahead.note(version(9), 0, 64 * kib, 0).length == 0);
  for (uint64_t at = 64 * kib; at < mib; at += 64 * kib)
    CHECK(ahead.note(version(9), at, 64 * kib, 0).length == 0);
}

TEST_CASE("two readers of one file are told apart, and the one longest silent is forgotten", "[readahead]") {
  readahead ahead;
  for (uint64_t i = 0; i < 4; ++i) {
    (void) ahead.note(version(1), i * 64 * kib, 64 * kib, 64 * mib);
    CHECK(ahead.note(version(1), 100 * mib + i * 64 * kib, 64 * kib, 64 * mib).goes_on == (i > 0));
  }
  for (uint64_t i = 0; i < readahead::runs_max; ++i)
    (void) ahead.note(version(2), i * 10 * mib, 64 * kib, 64 * mib);
  CHECK_FALSE(ahead.note(version(1), 4 * 64 * kib, 64 * kib, 64 * mib).goes_on);
}

} // namespace datamesh::storage
