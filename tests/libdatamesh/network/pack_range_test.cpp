#include "network/pack_range.hpp"

#include "crypto/hash.hpp"
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

namespace {

struct remembered_ranges {
  remembered_ranges() {
    signatory owner{1};
    for (auto mark : {'\x31', '\x52', '\x73'})
      of.nodes.push_back(peer_id::from(as_view(std::string(peer_id::size, mark))));
    of = owner.sign(roster{owner.owner, 3, clock::wall_time{std::chrono::hours{1}}, std::chrono::hours{1}, of.nodes, {}});
    memory.fit(8 * 64, 64);
    memory.settle(
        1, {crypto::blake3(as_view("1")), {{of.nodes[0], crypto::blake3(as_view("2"))}, {of.nodes[2], crypto::blake3(as_view("3"))}}});
    memory.settle(7, {crypto::blake3(as_view("4")), {}});
  }
  roster of;
  range_memory memory;
};

/// As if it had been written so: with a checksum that holds.
std::vector<std::byte> with_checksum(byte_view content) {
  std::vector<std::byte> all{content.begin(), content.end()};
  auto checksum = crypto::blake3(content);
  all.insert(all.end(), checksum.view().begin(), checksum.view().end());
  return all;
}

} // namespace

TEST_CASE("what is remembered of ranges is read as it was written, with the same roster alone", "[range_memory]") {
  remembered_ranges test;
  CHECK(range_memory::decode(range_memory{}.encode(test.of), test.of).value() == range_memory{});
  auto saved = test.memory.encode(test.of);
  auto read = range_memory::decode(saved, test.of).value();
  CHECK(read == test.memory);
  CHECK(read.encode(test.of) == saved);
  auto later = test.of;
  ++later.number;
  later = signatory{1}.sign(std::move(later));
  CHECK(range_memory::decode(saved, later).error().code() == errc::conflict);
}

TEST_CASE("what is remembered of ranges is refused when it is cut short or changed", "[range_memory]") {
  remembered_ranges test;
  auto saved = test.memory.encode(test.of);
  for (size_t size = 0; size < saved.size(); ++size) {
    INFO(size);
    CHECK_FALSE(range_memory::decode(byte_view{saved}.first(size), test.of));
    auto damaged = saved;
    damaged[size] ^= std::byte{1};
    CHECK_FALSE(range_memory::decode(damaged, test.of));
  }
  auto content = byte_view{saved}.first(saved.size() - digest::size);
  for (size_t size = 8; size < content.size(); ++size) {
    INFO(size);
    CHECK(range_memory::decode(with_checksum(content.first(size)), test.of).error().code() == errc::format_damaged);
  }
  // Of each field what it may not be: a later version, bits, rows, a range's number, how many others, a node.
  auto changed = [&](size_t at, uint8_t value) {
    std::vector<std::byte> other{content.begin(), content.end()};
    other[at] = std::byte{value};
    return range_memory::decode(with_checksum(other), test.of);
  };
  CHECK(changed(8, 2).error().code() == errc::format_newer);
  for (auto [at, value] : std::vector<std::pair<size_t, uint8_t>>{
           {8, 0}, {10, 25}, {11, 1}, {12, 1}, {12, 3}, {13, 1}, {48, 8}, {48, 7}, {84, 1}, {84, 3}, {86, 3}, {86, 2}, {120, 0}}) {
    INFO(at << " " << static_cast<int>(value));
    auto read = changed(at, value);
    REQUIRE_FALSE(read);
    CHECK(read.error().code() == errc::format_damaged);
  }
  auto longer = std::vector<std::byte>{content.begin(), content.end()};
  longer.push_back(std::byte{0});
  CHECK(range_memory::decode(with_checksum(longer), test.of).error().code() == errc::format_damaged);
  auto alien = saved;
  alien[0] = std::byte{0};
  CHECK(range_memory::decode(alien, test.of).error().code() == errc::format_alien);
}
