#include "network/guest_store.hpp"

#include "storage/drive_marker.hpp"
#include "storage/shard_store.hpp"
#include "tests/libdatamesh/network/guest_fixture.hpp"
#include "tests/libdatamesh/storage/seed.hpp"

#include <catch2/catch.hpp>

#include <set>

using namespace datamesh;
using namespace datamesh::network;
using namespace datamesh::test;
using namespace std::chrono_literals;

namespace {

constexpr uint64_t plenty = 1 << 30;

struct store_test {
  explicit store_test(size_t drives = 1) : house(drives) {
    REQUIRE(house.open());
  }

  seeded_random random{seed()};
  guest_house house;
  signatory owner{1};
  signatory other{2};

  [[nodiscard]] guest_store& guests() const {
    return *house.guests;
  }
  [[nodiscard]] ticket by(const storage::shard_write& shard, uint64_t number = 1) const {
    return owner.ticket_for(shard, number, house.later());
  }
  result<kept_guest> store(const storage::shard_write& shard, uint64_t number = 1, uint64_t room = plenty) const {
    return guests().store(guest_of(shard, by(shard, number)), room);
  }
  [[nodiscard]] bool is_whole(const storage::shard_write& shard, const ticket& shown) const {
    auto blocks = guests().read_blocks(shown, 0, shard.header.pack.shape.block_count());
    return blocks && std::ranges::equal(blocks->view(), shard.body.view());
  }
};

guest_usage used(uint64_t shards, uint64_t deletions, uint64_t bytes) {
  return {shards, deletions, bytes};
}

} // namespace

TEST_CASE("a shard is given back by its ticket, also after a restart", "[guest_store]") {
  auto shape = GENERATE(as<storage::geometry>{}, small_guest, large_guest);
  store_test test;
  auto pack = make_pack(test.random, shape);
  auto by = test.by(pack[1]);
  CHECK_FALSE(test.guests().renew(by).value());
  auto kept = test.store(pack[1]);
  REQUIRE(kept);
  CHECK(kept->stored == test.house.now());
  CHECK(test.guests().usage(test.owner.owner) == used(1, 0, charge_of(shape)));
  for (auto restarted : {false, true}) {
    if (restarted)
      REQUIRE(test.house.open());
    CHECK(test.is_whole(pack[1], by));
    CHECK(test.guests().read_header(by)->block_hashes == pack[1].header.block_hashes);
    CHECK(test.guests().usage(test.owner.owner) == used(1, 0, charge_of(shape)));
    CHECK(refusal(test.guests().read_header(test.by(pack[0]))) == errc::shard_missing);
    CHECK(refusal(test.guests().read_blocks(by, shape.block_count(), 1)) == errc::range_invalid);
    CHECK(refusal(test.guests().read_blocks(by, 0, shape.block_count() + 1)) == errc::range_invalid);
    CHECK(refusal(test.guests().read_blocks(by, 0, 0)) == errc::range_invalid);
  }
}

TEST_CASE("the same shard again costs nothing more and changes nothing", "[guest_store]") {
  store_test test;
  auto pack = make_pack(test.random, small_guest);
  REQUIRE(test.store(pack[0]));
  auto stored = test.house.now();
  test.house.time->advance(1h);
  auto by = test.owner.ticket_for(pack[0], 1, stored + 24h * 30);
  auto again = test.guests().renew(by).value();
  REQUIRE(again);
  CHECK(again->stored == stored);
  CHECK(test.guests().store(guest_of(pack[0], by), plenty));
  // Not even where there is no room any more.
  CHECK(test.guests().store(guest_of(pack[0], by), 0));
  CHECK(test.guests().usage(test.owner.owner) == used(1, 0, charge_of(small_guest)));
}

TEST_CASE("room that is gone is refused, to the byte", "[guest_store]") {
  store_test test;
  auto pack = make_pack(test.random, small_guest);
  auto one = charge_of(small_guest);
  CHECK(refusal(test.store(pack[0], 1, one - 1)) == errc::no_space);
  CHECK(refusal(test.store(pack[0], 1, 0)) == errc::no_space);
  CHECK(test.store(pack[0], 1, one));
  CHECK(refusal(test.store(pack[1], 1, 2 * one - 1)) == errc::no_space);
  // Another owner has room of his own.
  CHECK(test.guests().store(guest_of(pack[1], test.other.ticket_for(pack[1], 1, test.house.later())), one));
  REQUIRE(test.house.open());
  CHECK(refusal(test.store(pack[1], 1, 2 * one - 1)) == errc::no_space);
  CHECK(test.store(pack[1], 1, 2 * one));
  // Less was granted than there is.
  CHECK(refusal(test.store(pack[2], 1, one)) == errc::no_space);
}

TEST_CASE("a ticket that has run out, is older than another or for another shard keeps nothing", "[guest_store]") {
  store_test test;
  auto pack = make_pack(test.random, small_guest);
  auto expired = test.owner.ticket_for(pack[0], 1, test.house.now());
  CHECK(refusal(test.guests().store(guest_of(pack[0], expired), plenty)) == errc::invalid_argument);
  CHECK(refusal(test.guests().renew(expired)) == errc::invalid_argument);
  CHECK(refusal(test.guests().store(guest_of(pack[0], test.by(pack[1])), plenty)) == errc::invalid_argument);
  REQUIRE(test.store(pack[0], 5));
  CHECK(refusal(test.store(pack[0], 4)) == errc::conflict);
  auto twice = test.owner.ticket_for(pack[0], 5, test.house.later() + 1h);
  CHECK(refusal(test.guests().renew(twice)) == errc::conflict);
  CHECK(refusal(test.guests().store(guest_of(pack[0], twice), plenty)) == errc::conflict);
  CHECK(test.guests().usage(test.owner.owner).shards == 1);
}

TEST_CASE("a later ticket takes the place of one before, without the shard being sent", "[guest_store]") {
  store_test test;
  auto pack = make_pack(test.random, large_guest);
  REQUIRE(test.store(pack[0], 1));
  auto longer = test.owner.ticket_for(pack[0], 2, test.house.later() + 24h * 30);
  REQUIRE(test.guests().renew(longer).value());
  REQUIRE(test.house.open());
  auto listed = test.guests().list(test.owner.owner, {}, 10).value();
  REQUIRE(listed.size() == 1);
  CHECK(listed[0].name() == longer.name());
  CHECK(test.guests().usage(test.owner.owner).shards == 1);
  // The earlier one is in the manifests of others, and good as long as it is valid.
  CHECK(test.is_whole(pack[0], test.by(pack[0], 1)));
  test.house.time->advance(24h * 31);
  CHECK(refusal(test.guests().read_header(test.owner.ticket_for(pack[0], 1, test.house.now() - 24h))) == errc::invalid_argument);
  CHECK(test.is_whole(pack[0], longer));
}

TEST_CASE("a shard that is damaged is not claimed, and is whole again when it was sent", "[guest_store]") {
  store_test test;
  auto pack = make_pack(test.random, large_guest);
  auto by = test.by(pack[0]);
  REQUIRE(test.store(pack[0]));
  auto path = storage::shard_path(test.house.options.folders[0], key_of(pack[0]));
  REQUIRE(test.house.disk->flip_bit(path, (4096 + storage::block_size + 17) * 8));
  CHECK_FALSE(test.guests().renew(by).value());
  CHECK(refusal(test.guests().read_blocks(by, 1, 1)) == errc::shard_damaged);
  CHECK(test.guests().read_blocks(by, 0, 1));
  REQUIRE(test.store(pack[0]));
  CHECK(test.guests().renew(by).value());
  CHECK(test.is_whole(pack[0], by));
}

TEST_CASE("a deletion removes a pack's shards, is remembered, and refuses the tickets before it", "[guest_store]") {
  auto drives = GENERATE(size_t{1}, size_t{3});
  store_test test{drives};
  auto pack = make_pack(test.random, large_guest);
  auto rest = make_pack(test.random, small_guest);
  for (size_t i = 0; i < 3; ++i)
    REQUIRE(test.store(pack[i], 3));
  REQUIRE(test.store(rest[0]));
  auto gone = test.owner.deletion_of(pack[0].header.pack.id, 3, test.house.now());
  // One that is older touches nothing.
  CHECK(test.guests().remove(test.owner.deletion_of(gone.pack, 2, test.house.now()), plenty).value() == 0);
  CHECK(test.is_whole(pack[0], test.by(pack[0], 3)));
  CHECK(test.guests().remove(gone, 0).value() == 3);
  for (auto restarted : {false, true}) {
    if (restarted)
      REQUIRE(test.house.open());
    CHECK(test.guests().usage(test.owner.owner) == used(1, 1, charge_of(small_guest) + row_charge));
    CHECK(refusal(test.guests().read_header(test.by(pack[0], 3))) == errc::shard_missing);
    CHECK(refusal(test.store(pack[0], 3)) == errc::conflict);
    CHECK(refusal(test.guests().renew(test.by(pack[0], 1))) == errc::conflict);
    CHECK(test.guests().remove(gone, 0).value() == 0);
    CHECK(test.is_whole(rest[0], test.by(rest[0])));
  }
  for (const auto& listed : test.house.disk->list_all())
    CHECK(listed.path.find(gone.pack.hex()) == std::string::npos);
}

TEST_CASE("what was let go of is gone, its room is free, and it may come back", "[guest_store]") {
  store_test test;
  auto pack = make_pack(test.random, small_guest);
  auto by = test.by(pack[0]);
  REQUIRE(test.store(pack[0]));
  REQUIRE(test.store(pack[1]));
  // Another ticket than that by which it is here, or a shard that is not: nothing is done.
  CHECK(test.guests().let_go(test.by(pack[0], 2)));
  CHECK(test.guests().let_go(test.by(pack[2])));
  CHECK(test.guests().let_go(test.other.ticket_for(pack[0], 1, test.house.later())));
  CHECK(test.guests().usage(test.owner.owner) == used(2, 0, 2 * charge_of(small_guest)));
  CHECK(test.guests().let_go(by));
  CHECK(test.guests().let_go(by));
  for (auto restarted : {false, true}) {
    if (restarted)
      REQUIRE(test.house.open());
    CHECK(test.guests().usage(test.owner.owner) == used(1, 0, charge_of(small_guest)));
    CHECK(refusal(test.guests().read_header(by)) == errc::shard_missing);
  }
  CHECK(test.store(pack[0]));
  CHECK(test.is_whole(pack[0], by));
}

TEST_CASE("a shard of two owners stays for the one when the other's is let go of", "[guest_store]") {
  store_test test;
  auto pack = make_pack(test.random, small_guest);
  auto others = test.other.ticket_for(pack[0], 1, test.house.later());
  REQUIRE(test.store(pack[0]));
  REQUIRE(test.guests().store(guest_of(pack[0], others), plenty));
  CHECK(test.guests().let_go(test.by(pack[0])));
  CHECK(test.is_whole(pack[0], others));
}

TEST_CASE("an old deletion that is sent again removes nothing of what was stored since", "[guest_store]") {
  store_test test;
  auto pack = make_pack(test.random, small_guest);
  REQUIRE(test.store(pack[0], 1));
  auto gone = test.owner.deletion_of(pack[0].header.pack.id, 1, test.house.now());
  REQUIRE(test.guests().remove(gone, plenty));
  REQUIRE(test.store(pack[0], 2));
  CHECK(test.guests().remove(gone, plenty).value() == 0);
  REQUIRE(test.house.open());
  CHECK(test.guests().remove(gone, plenty).value() == 0);
  CHECK(test.is_whole(pack[0], test.by(pack[0], 2)));
  CHECK(test.guests().usage(test.owner.owner) == used(1, 1, charge_of(small_guest) + row_charge));
}

TEST_CASE("deletions of what is not here are remembered only while there is room", "[guest_store]") {
  store_test test;
  auto unknown = [&](uint64_t i) {
    return test.owner.deletion_of(make_pack(test.random, small_guest)[0].header.pack.id, i, test.house.now());
  };
  CHECK(refusal(test.guests().remove(unknown(1), 0)) == errc::permission_denied);
  CHECK(refusal(test.guests().remove(unknown(1), row_charge - 1)) == errc::no_space);
  CHECK(test.guests().remove(unknown(1), row_charge).value() == 0);
  CHECK(refusal(test.guests().remove(unknown(1), 2 * row_charge - 1)) == errc::no_space);
  CHECK(test.guests().usage(test.owner.owner) == used(0, 1, row_charge));
}

TEST_CASE("two owners of one shard do not know of each other", "[guest_store]") {
  store_test test;
  auto pack = make_pack(test.random, large_guest);
  auto mine = test.by(pack[0]);
  auto theirs = test.other.ticket_for(pack[0], 1, test.house.later());
  REQUIRE(test.store(pack[0]));
  CHECK(refusal(test.guests().read_header(theirs)) == errc::shard_missing);
  CHECK_FALSE(test.guests().renew(theirs).value());
  REQUIRE(test.guests().store(guest_of(pack[0], theirs), plenty));
  CHECK(test.guests().usage(test.other.owner) == used(1, 0, charge_of(large_guest)));
  REQUIRE(test.guests().remove(test.owner.deletion_of(mine.shard.pack, 1, test.house.now()), plenty));
  REQUIRE(test.house.open());
  CHECK(refusal(test.guests().read_header(mine)) == errc::shard_missing);
  CHECK(test.is_whole(pack[0], theirs));
  CHECK(test.guests().usage(test.other.owner) == used(1, 0, charge_of(large_guest)));
}

TEST_CASE("a deletion that the drive with the shard does not take is remembered on no other, and costs nothing", "[guest_store]") {
  store_test test{2};
  auto pack = make_pack(test.random, small_guest);
  auto room = charge_of(small_guest);
  REQUIRE(test.store(pack[0], 1, room));
  const auto& folders = test.house.options.folders;
  auto with = test.guests().shards_in(folders[0]).value() == 1 ? folders[0] : folders[1];
  test.house.disk->end_drive(1, with, drive_end::read_only);
  auto gone = test.owner.deletion_of(pack[0].header.pack.id, 1, test.house.now());
  CHECK_FALSE(test.guests().remove(gone, room));
  CHECK_FALSE(test.guests().remove(gone, room));
  CHECK(test.guests().usage(test.owner.owner) == used(1, 0, room));
}

TEST_CASE("a deletion that comes after a newer ticket is remembered only while there is room", "[guest_store]") {
  store_test test;
  auto pack = make_pack(test.random, small_guest);
  auto room = charge_of(small_guest);
  REQUIRE(test.store(pack[0], 3, room));
  auto late = test.owner.deletion_of(pack[0].header.pack.id, 2, test.house.now());
  CHECK(refusal(test.guests().remove(late, room)) == errc::no_space);
  CHECK(test.guests().usage(test.owner.owner) == used(1, 0, room));
  CHECK(test.guests().remove(late, room + row_charge).value() == 0);
  CHECK(test.guests().usage(test.owner.owner) == used(1, 1, room + row_charge));
}

TEST_CASE("what runs out goes a day later, and its room is free", "[guest_store]") {
  store_test test;
  auto pack = make_pack(test.random, small_guest);
  auto brief = test.owner.ticket_for(pack[0], 1, test.house.now() + 1h);
  auto both = test.other.ticket_for(pack[0], 1, test.house.now() + 1h);
  REQUIRE(test.guests().store(guest_of(pack[0], brief), plenty));
  REQUIRE(test.guests().store(guest_of(pack[0], both), plenty));
  REQUIRE(test.store(pack[1]));
  REQUIRE(test.guests().remove(test.owner.deletion_of(pack_id{}, 1, test.house.now()), plenty));
  test.house.time->advance(24h);
  CHECK(test.guests().expire().value() == 0);
  // Whose clock is behind reads it to the end.
  CHECK(test.is_whole(pack[0], brief));
  test.house.time->advance(1h);
  CHECK(test.guests().expire().value() == 2);
  CHECK(refusal(test.guests().read_header(brief)) == errc::shard_missing);
  CHECK(test.guests().usage(test.owner.owner) == used(1, 1, charge_of(small_guest) + row_charge));
  CHECK(test.guests().usage(test.other.owner) == guest_usage{});
  test.house.time->advance(24h * 89);
  REQUIRE(test.guests().expire());
  CHECK(test.guests().usage(test.owner.owner) == guest_usage{});
  REQUIRE(test.house.open());
  CHECK(test.guests().usage(test.owner.owner) == guest_usage{});
}

TEST_CASE("the roster with the highest number counts, also after a restart and from any drive", "[guest_store]") {
  store_test test{2};
  auto of = [&](uint64_t number, std::chrono::seconds patience = 24h) {
    return test.owner.sign(roster{test.owner.owner, number, test.house.now(), patience, {peer_id::from(test.owner.owner.view())}, {}});
  };
  CHECK_FALSE(test.guests().roster_of(test.owner.owner));
  CHECK(test.guests().keep(of(5)).value());
  CHECK_FALSE(test.guests().keep(of(5)).value());
  CHECK(refusal(test.guests().keep(of(4))) == errc::conflict);
  CHECK(refusal(test.guests().keep(of(5, 1h))) == errc::conflict);
  CHECK(test.guests().keep(of(6, 2h)).value());
  std::swap(test.house.options.folders[0], test.house.options.folders[1]);
  test.house.options.folders.pop_back();
  REQUIRE(test.house.open());
  REQUIRE(test.guests().roster_of(test.owner.owner));
  CHECK(test.guests().roster_of(test.owner.owner)->patience == 2h);
  CHECK(test.guests().rosters().size() == 1);
}

TEST_CASE("tickets of other nodes are remembered for packs that are here, and go with these or with their time", "[guest_store]") {
  store_test test{2};
  auto pack = make_pack(test.random, small_guest);
  auto elsewhere = make_pack(test.random, small_guest);
  REQUIRE(test.store(pack[0]));
  auto brief = test.owner.ticket_for(pack[1], 1, test.house.now() + 1h);
  std::vector told{brief, test.by(pack[2], 4), test.by(elsewhere[1])};
  REQUIRE(test.guests().remember(told));
  auto indexes = [&](const storage::shard_write& of) {
    std::vector<int> found;
    auto kept = test.guests().siblings(test.owner.owner, of.header.pack.id);
    REQUIRE(kept);
    for (const auto& one : *kept)
      found.push_back(one.shard.index);
    return found;
  };
  CHECK(indexes(pack[0]) == std::vector{1, 2});
  CHECK(indexes(elsewhere[0]).empty());
  CHECK(test.guests().siblings(test.other.owner, pack[0].header.pack.id)->empty());
  // An older one changes nothing, a later one does.
  REQUIRE(test.guests().remember(std::vector{test.by(pack[2], 3)}));
  CHECK(test.guests().siblings(test.owner.owner, pack[0].header.pack.id).value().at(1).number == 4);
  REQUIRE(test.guests().remember(std::vector{test.by(pack[2], 5)}));
  CHECK(test.guests().siblings(test.owner.owner, pack[0].header.pack.id).value().at(1).number == 5);
  REQUIRE(test.house.open());
  test.house.time->advance(2h);
  REQUIRE(test.guests().expire());
  CHECK(indexes(pack[0]) == std::vector{2});
  REQUIRE(test.guests().remove(test.owner.deletion_of(pack[0].header.pack.id, 9, test.house.now()), plenty));
  REQUIRE(test.store(pack[0], 10));
  CHECK(indexes(pack[0]).empty());
}

TEST_CASE("an owner's shards are listed in order, a page at a time, from all drives", "[guest_store]") {
  store_test test{3};
  std::set<shard_key> due;
  for (int i = 0; i < 8; ++i)
    for (const auto& shard : make_pack(test.random, small_guest)) {
      REQUIRE(test.store(shard));
      due.insert(key_of(shard));
    }
  auto others = make_pack(test.random, small_guest)[0];
  REQUIRE(test.guests().store(guest_of(others, test.other.ticket_for(others, 1, test.house.later())), plenty));
  std::vector<shard_key> found;
  std::optional<shard_key> after;
  for (;;) {
    auto part = test.guests().list(test.owner.owner, after, 5).value();
    for (const auto& one : part)
      found.push_back(one.shard);
    if (part.size() < 5)
      break;
    after = part.back().shard;
  }
  CHECK(found == std::vector<shard_key>{due.begin(), due.end()});
}

TEST_CASE("a drive that is full or gone is passed over, and what is on it is missed only there", "[guest_store]") {
  store_test test{2};
  auto how = GENERATE(drive_end::full, drive_end::read_only, drive_end::unplugged);
  auto pack = make_pack(test.random, large_guest);
  REQUIRE(test.store(pack[0]));
  auto on_first = test.house.disk->status(storage::shard_path(test.house.options.folders[0], key_of(pack[0]))).has_value();
  auto ended = test.house.options.folders[on_first ? 1 : 0];
  test.house.disk->end_drive(1, ended, how);
  REQUIRE(test.store(pack[1]));
  REQUIRE(test.store(pack[2]));
  CHECK(test.is_whole(pack[2], test.by(pack[2])));
  CHECK(test.guests().usage(test.owner.owner) == used(3, 0, 3 * charge_of(large_guest)));
}

TEST_CASE("of a shard that two drives keep for an owner one that is whole stays, by the latest ticket", "[guest_store]") {
  auto rotten = GENERATE(as<size_t>{}, 0, 1, 2); // 2: none is.
  auto later = GENERATE(as<size_t>{}, 0, 1);
  store_test test{2};
  auto pack = make_pack(test.random, large_guest);
  auto both = test.house.options.folders;
  for (size_t i = 0; i < 2; ++i) {
    test.house.options.folders = {both[i]}; // The other drive is away.
    REQUIRE(test.house.open());
    REQUIRE(test.store(pack[0], i == later ? 2 : 1));
    REQUIRE(test.store(pack[1 + i])); // This one is nowhere else.
    if (i == rotten)
      REQUIRE(test.house.disk->flip_bit(storage::shard_path(both[i], key_of(pack[0])), (4096 + 17) * 8));
  }
  test.house.options.folders = both;
  REQUIRE(test.house.open());
  CHECK(test.guests().usage(test.owner.owner) == used(3, 0, 3 * charge_of(large_guest)));
  CHECK(test.is_whole(pack[0], test.by(pack[0], 2)));
  CHECK(refusal(test.guests().renew(test.by(pack[0], 1))) == errc::conflict);
  CHECK(test.guests().renew(test.by(pack[0], 2)).value());
  CHECK(test.guests().shards_in(both[0]).value() + test.guests().shards_in(both[1]).value() == 3);
  CHECK(test.is_whole(pack[1], test.by(pack[1])));
  CHECK(test.is_whole(pack[2], test.by(pack[2])));
}

TEST_CASE("what was deleted while a drive was away does not come back with it", "[guest_store]") {
  auto number = GENERATE(as<uint64_t>{}, 1, 2); // Of the ticket; the deletion is for the first.
  auto away = GENERATE(as<size_t>{}, 0, 1);
  store_test test{2};
  auto pack = make_pack(test.random, GENERATE(small_guest, large_guest));
  auto both = test.house.options.folders;
  test.house.options.folders = {both[away]};
  REQUIRE(test.house.open());
  REQUIRE(test.store(pack[0], number));
  REQUIRE(test.guests().usage(test.owner.owner).shards == 1);
  auto charged = test.guests().usage(test.owner.owner).bytes;
  test.house.options.folders = {both[1 - away]};
  REQUIRE(test.house.open());
  auto gone = test.owner.deletion_of(pack[0].header.pack.id, 1, test.house.now());
  CHECK(test.guests().remove(gone, plenty).value() == 0);
  test.house.options.folders = both;
  for (auto start : {1, 2}) {
    INFO(start);
    REQUIRE(test.house.open());
    CHECK(test.guests().list(test.owner.owner, std::nullopt, SIZE_MAX).value().size() == number - 1);
    CHECK(test.guests().usage(test.owner.owner) == used(number - 1, 1, row_charge + (number - 1) * charged));
    CHECK(test.guests().shards_in(both[away]).value() == number - 1);
  }
  // Also when the other one is away in its turn.
  test.house.options.folders = {both[away]};
  REQUIRE(test.house.open());
  CHECK(test.guests().list(test.owner.owner, std::nullopt, SIZE_MAX).value().size() == number - 1);
}

TEST_CASE("what comes back with a full drive goes as soon as that takes it", "[guest_store]") {
  constexpr size_t packs = 40; // So many deletions do not fit into a page that is written already.
  store_test test{2};
  auto both = test.house.options.folders;
  test.house.options.folders = {both[0]};
  REQUIRE(test.house.open());
  std::vector<pack_id> all;
  for (size_t i = 0; i < packs; ++i) {
    auto pack = make_pack(test.random, small_guest);
    REQUIRE(test.store(pack[0]));
    all.push_back(pack[0].header.pack.id);
  }
  test.house.options.folders = {both[1]};
  REQUIRE(test.house.open());
  for (const auto& pack : all)
    REQUIRE(test.guests().remove(test.owner.deletion_of(pack, 1, test.house.now()), plenty));
  test.house.options.folders = both;
  test.house.disk->set_capacity(test.house.disk->used());
  REQUIRE(test.house.open());
  CHECK(test.guests().usage(test.owner.owner).shards > 0);
  test.house.disk->set_capacity(UINT64_MAX);
  REQUIRE(test.guests().expire());
  CHECK(test.guests().usage(test.owner.owner) == used(0, packs, packs * row_charge));
  CHECK(test.guests().list(test.owner.owner, std::nullopt, SIZE_MAX).value().empty());
}

TEST_CASE("of two owners' shard each keeps his own, on whatever drive it is", "[guest_store]") {
  store_test test{2};
  auto pack = make_pack(test.random, small_guest);
  auto both = test.house.options.folders;
  auto others = test.other.ticket_for(pack[0], 1, test.house.later());
  test.house.options.folders = {both[0]};
  REQUIRE(test.house.open());
  REQUIRE(test.store(pack[0]));
  REQUIRE(test.guests().store(guest_of(pack[0], others), plenty));
  test.house.options.folders = {both[1]};
  REQUIRE(test.house.open());
  REQUIRE(test.store(pack[0]));
  test.house.options.folders = both;
  for (auto opened : {1, 2}) {
    INFO(opened);
    REQUIRE(test.house.open());
    CHECK(test.guests().usage(test.owner.owner).shards == 1);
    CHECK(test.guests().usage(test.other.owner).shards == 1);
    CHECK(test.is_whole(pack[0], test.by(pack[0])));
    CHECK(test.is_whole(pack[0], others));
  }
}

TEST_CASE("what a drive in service keeps is read, and not what one that failed does", "[guest_store]") {
  store_test test{2};
  auto pack = make_pack(test.random, large_guest);
  auto both = test.house.options.folders;
  for (const auto& folder : both) {
    test.house.options.folders = {folder};
    REQUIRE(test.house.open());
    REQUIRE(test.store(pack[0]));
  }
  REQUIRE(test.house.disk->flip_bit(storage::shard_path(both[0], key_of(pack[0])), (4096 + 17) * 8));
  storage::shard_store_options first;
  first.folder = both[0];
  REQUIRE(storage::shard_store::open(test.house.env, first).value()->set_state(storage::drive_state::failed));
  test.house.options.folders = both;
  REQUIRE(test.house.open());
  CHECK(test.is_whole(pack[0], test.by(pack[0])));
}

TEST_CASE("shards whose tickets are gone are left alone", "[guest_store]") {
  store_test test;
  auto pack = make_pack(test.random, large_guest);
  REQUIRE(test.store(pack[0]));
  test.house.guests.reset();
  REQUIRE(test.house.env.stores->destroy(test.house.options.folders[0] + "/tickets"));
  CHECK(refusal(test.house.open()) == errc::store_corrupt);
  CHECK(test.house.disk->status(storage::shard_path(test.house.options.folders[0], key_of(pack[0]))));
}

TEST_CASE("a folder that does not open is left out where that is told, and what is on others is there", "[guest_store]") {
  store_test test{2};
  auto pack = make_pack(test.random, large_guest);
  REQUIRE(test.store(pack[0]));
  auto on_first = test.house.disk->status(storage::shard_path(test.house.options.folders[0], key_of(pack[0]))).has_value();
  const auto& with = test.house.options.folders[on_first ? 0 : 1];
  const auto& without = test.house.options.folders[on_first ? 1 : 0];
  CHECK(test.guests().folders() == test.house.options.folders);
  CHECK(test.guests().shards_in(with).value() == 1);
  CHECK(test.guests().shards_in(without).value() == 0);
  CHECK(refusal(test.guests().shards_in("/drive0")) == errc::not_found);
  auto broken = GENERATE(true, false);
  test.house.guests.reset();
  REQUIRE(test.house.env.stores->destroy((broken ? with : without) + "/tickets"));
  if (!broken)
    REQUIRE(test.house.disk->remove(storage::marker_path(without)));
  CHECK(refusal(test.house.open()) == (broken ? errc::store_corrupt : errc::drive_alien));
  std::vector<std::pair<std::string, errc>> told;
  test.house.options.left_out = [&](const std::string& folder, const error& why) {
    told.emplace_back(folder, why.code());
  };
  REQUIRE(test.house.open());
  REQUIRE(told.size() == 1);
  CHECK(told[0] == std::pair{broken ? with : without, broken ? errc::store_corrupt : errc::drive_alien});
  CHECK(test.guests().folders() == std::vector{broken ? without : with});
  CHECK(test.guests().usages().size() == (broken ? 0 : 1));
  CHECK(test.is_whole(pack[0], test.by(pack[0])) != broken);
  CHECK(test.store(pack[1]));
}

TEST_CASE("what is new goes to no folder that takes nothing, though the shard be there for another", "[guest_store]") {
  store_test test{2};
  auto pack = make_pack(test.random, small_guest);
  REQUIRE(test.store(pack[0]));
  auto closed =
      test.guests().shards_in(test.house.options.folders[0]).value() == 1 ? test.house.options.folders[0] : test.house.options.folders[1];
  auto both = false;
  test.house.options.takes_new = [&](const std::string& folder) {
    return folder != closed && !both;
  };
  REQUIRE(test.house.open());
  REQUIRE(test.store(pack[1]));
  auto of_other = test.other.ticket_for(pack[0], 1, test.house.later());
  REQUIRE(test.guests().store(guest_of(pack[0], of_other), plenty));
  CHECK(test.guests().shards_in(closed).value() == 1);
  CHECK(test.is_whole(pack[0], test.by(pack[0])));
  CHECK(test.is_whole(pack[0], of_other));
  // What is there has its ticket renewed, and is removed.
  CHECK(test.guests().renew(test.by(pack[0], 2)).value());
  both = true;
  CHECK(refusal(test.store(pack[2])) == errc::drive_full);
  CHECK(test.guests().usage(test.owner.owner) == used(2, 0, 2 * charge_of(small_guest)));
  CHECK(test.guests().remove(test.owner.deletion_of(pack[0].header.pack.id, 2, test.house.now()), plenty).value() == 2);
  CHECK(test.guests().shards_in(closed).value() == 0);
}

TEST_CASE("without any folder there is nothing, and nothing is kept", "[guest_store]") {
  store_test test;
  test.house.options.folders.clear();
  REQUIRE(test.house.open());
  auto pack = make_pack(test.random, small_guest);
  CHECK_FALSE(test.guests().renew(test.by(pack[0])).value());
  CHECK(refusal(test.store(pack[0])) == errc::drive_full);
  CHECK(refusal(test.guests().read_header(test.by(pack[0]))) == errc::shard_missing);
  CHECK(test.guests().expire().value() == 0);
  CHECK(test.guests().usages().empty());
}

namespace {

constexpr uint64_t mebi = 1ull << 20;

/// A node that set 4 MiB aside, on one disk of 256 MiB that nothing is left of.
struct full_disk : store_test {
  full_disk() {
    house.options.reserve_bytes = 64 * mebi;
    house.options.capacity = 4 * mebi;
    house.disk->set_capacity(256 * mebi);
    REQUIRE(house.open());
    fill();
  }
  void fill() {
    auto name = "/filler" + std::to_string(++fillers);
    auto file = house.disk->create(name);
    REQUIRE(file);
    REQUIRE((*file)->allocate(house.disk->space("/").value().available));
  }
  /// Shards of packs that are new, until one is refused; answers the packs, and why.
  std::pair<std::vector<storage::shard_write>, errc> store_all() {
    std::vector<storage::shard_write> stored;
    for (;;) {
      auto pack = make_pack(random, large_guest);
      for (const auto& shard : pack) {
        if (auto kept = store(shard); !kept)
          return {stored, kept.error().code()};
        stored.push_back(shard);
      }
    }
  }

  size_t fillers = 0;
};

} // namespace

TEST_CASE("what was set aside is there for owners though others filled the disk, also after a restart", "[guest_store]") {
  full_disk test;
  CHECK(test.guests().held() == 4 * mebi);
  auto restarted = GENERATE(false, true);
  if (restarted)
    REQUIRE(test.house.open());
  auto [stored, why] = test.store_all();
  CHECK(why == errc::drive_full);
  CHECK(stored.size() == 4 * mebi / charge_of(large_guest));
  for (const auto& shard : stored)
    CHECK(test.is_whole(shard, test.by(shard)));
  CHECK(test.guests().lacking() < charge_of(large_guest));
}

TEST_CASE("what a deletion frees is held again before anybody else has it", "[guest_store]") {
  full_disk test;
  auto [stored, why] = test.store_all();
  REQUIRE(stored.size() > 6);
  // Somebody leaves as much free as a drive leaves alone, as this node's own data does.
  REQUIRE(test.house.disk->remove("/filler1"));
  auto file = test.house.disk->create("/own");
  REQUIRE(file);
  REQUIRE((*file)->allocate(test.house.disk->space("/").value().available - 64 * mebi));
  std::set<pack_id> packs;
  for (const auto& shard : stored)
    packs.insert(shard.header.pack.id);
  for (const auto& pack : packs)
    REQUIRE(test.guests().remove(test.owner.deletion_of(pack, 1, test.house.now()), plenty));
  CHECK(test.house.disk->space("/").value().available < 65 * mebi);
  auto used = test.guests().usage(test.owner.owner).bytes;
  CHECK(used == packs.size() * row_charge);
  CHECK(test.guests().lacking() < mebi);
  CHECK(test.guests().held() + test.guests().lacking() == 4 * mebi - used);
}

TEST_CASE("what is set aside no more goes at once, and what is said anew is held", "[guest_store]") {
  full_disk test;
  test.guests().set_aside(0);
  REQUIRE(test.guests().settle());
  CHECK(test.guests().held_in(test.house.options.folders[0]) == 0);
  CHECK_FALSE(test.guests().needs_settling());
  REQUIRE(test.house.disk->remove("/filler1"));
  test.guests().set_aside(8 * mebi);
  REQUIRE(test.guests().settle());
  CHECK(test.guests().held() == 8 * mebi);
  CHECK(test.guests().held_in("/elsewhere") == 0);
}
