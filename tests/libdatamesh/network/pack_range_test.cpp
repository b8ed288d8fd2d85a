#include "network/pack_range.hpp"

#include "network/guest_ranges.hpp"
#include "network/range_memory.hpp"
#include "tests/libdatamesh/network/guest_fixture.hpp"
#include "tests/libdatamesh/storage/seed.hpp"

#include <catch2/catch.hpp>

using namespace datamesh;
using namespace datamesh::network;
using namespace datamesh::test;

namespace {

constexpr uint64_t plenty = 1 << 30;

} // namespace

TEST_CASE("ranges follow one another, and each pack is in the one that its first bits name", "[pack_range]") {
  auto bits = GENERATE(as<uint32_t>{}, 0, 1, 5, 8, 13, range_bits_max);
  seeded_random random{seed()};
  auto id = pack_id::from(random.make(pack_id::size));
  uint32_t number = 0;
  for (uint32_t i = 0; i < bits; ++i)
    number = number << 1 | (std::to_integer<uint32_t>(id.view()[i / 8]) >> (7 - i % 8) & 1);
  pack_range mine{bits, number};
  CHECK(id <= last_of(mine));
  auto after = before(mine);
  CHECK(after.has_value() == (number > 0));
  if (after)
    CHECK(*after < shard_key{id, 0});
  if (after)
    CHECK(after->pack == last_of({bits, number - 1}));
  CHECK(last_of({bits, (uint32_t{1} << bits) - 1}).hex() == std::string(2 * pack_id::size, 'f'));
}

TEST_CASE("a digest tells which tickets there are, and changes with each", "[pack_range]") {
  seeded_random random{seed()};
  signatory owner{1};
  std::vector<ticket> tickets;
  for (int i = 0; i < 3; ++i)
    tickets.push_back(owner.ticket_for(make_pack(random, small_guest)[0], 1, clock::wall_time{} + std::chrono::hours{1}));
  auto all = digest_of(tickets);
  CHECK(all == digest_of(tickets));
  CHECK(digest_of({}) != all);
  CHECK(digest_of(std::span{tickets}.first(2)) != all);
  tickets[1] = owner.sign(ticket{tickets[1].owner, tickets[1].shard, tickets[1].size, 2, tickets[1].expiry, {}});
  CHECK(digest_of(tickets) != all);
}

TEST_CASE("the digests of ranges are those of their lists, over all drives", "[pack_range]") {
  auto drives = GENERATE(as<size_t>{}, 1, 3);
  auto bits = GENERATE(as<uint32_t>{}, 0, 2, 4);
  seeded_random random{seed()};
  guest_house house{drives};
  REQUIRE(house.open());
  signatory owner{1};
  signatory other{2};
  constexpr size_t count = 300;
  for (size_t i = 0; i < count; ++i) {
    auto pack = make_pack(random, small_guest);
    REQUIRE(house.guests->store(guest_of(pack[1], owner.ticket_for(pack[1], 1, house.later())), plenty));
    if (i % 3 == 0)
      REQUIRE(house.guests->store(guest_of(pack[2], other.ticket_for(pack[2], 1, house.later())), plenty));
  }
  auto ranges = size_t{1} << bits;
  auto digests = digest_ranges(*house.guests, owner.owner, {bits, 0}, ranges, count).value();
  REQUIRE(digests.size() == ranges);
  size_t found = 0;
  for (uint32_t number = 0; number < ranges; ++number) {
    auto listed = list_range(*house.guests, owner.owner, {bits, number}).value();
    found += listed.size();
    REQUIRE(digests[number]);
    CHECK(*digests[number] == digest_of(listed));
    CHECK(digest_ranges(*house.guests, owner.owner, {bits, number}, 1, count).value()[0] == digests[number]);
  }
  CHECK(found == count);
  // What comes behind the most that is read has none.
  auto some = digest_ranges(*house.guests, owner.owner, {bits, 0}, ranges, count - 1).value();
  CHECK_FALSE(some.back());
  CHECK((ranges == 1 || some.front() == digests.front()));
  CHECK(digest_ranges(*house.guests, signatory{3}.owner, {bits, 0}, 1, 0).value()[0] == digest_of({}));
}

TEST_CASE("ranges fit the shards, and what was settled is kept while they still do", "[range_memory]") {
  range_memory ranges;
  auto bits = [&](uint64_t shards) {
    ranges.fit(shards, 64);
    return ranges.bits();
  };
  CHECK(bits(0) == 0);
  CHECK(bits(511) == 0);
  CHECK(bits(512) == 3);
  ranges.settle(2, {});
  CHECK(ranges.find(2) != nullptr);
  CHECK(bits(8 * 512 - 1) == 3);
  CHECK(bits(8 * 32) == 3);
  CHECK(ranges.find(2) != nullptr);
  CHECK(ranges.find(1) == nullptr);
  CHECK(bits(8 * 32 - 1) == 1);
  CHECK(ranges.find(2) == nullptr);
  CHECK(bits(UINT64_MAX >> 30) == range_bits_max);
  CHECK(ranges.count() == uint32_t{1} << range_bits_max);
  ranges.settle(7, {});
  CHECK(bits(UINT64_MAX >> 30) == range_bits_max);
  CHECK(ranges.find(7) != nullptr);
  ranges.forget(7);
  CHECK(ranges.find(7) == nullptr);
}
