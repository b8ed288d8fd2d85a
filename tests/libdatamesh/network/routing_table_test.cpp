#include "network/routing_table.hpp"

#include "base/little_endian.hpp"
#include "crypto/hash.hpp"
#include "tests/libdatamesh/network/mesh_fixture.hpp"
#include "tests/libdatamesh/storage/seed.hpp"

#include <catch2/catch.hpp>

#include <set>

using namespace datamesh;
using namespace datamesh::network;
using namespace datamesh::test;
using namespace std::chrono_literals;

namespace {

struct table_under_test {
  seeded_random random{seed()};
  peer_id self = random_id<peer_id>(random).value();
  ip_rules rules;
  routing_table table{self, rules};
  mesh_time now{1h};
  uint32_t next_group = 0;

  contact make(unsigned bits) {
    return contact_at(id_near(self, bits, random), public_ip(next_group++));
  }
  seen_node see(const contact& who) {
    return table.seen(who, who.addresses.front().ip, now);
  }
  std::vector<contact> fill(unsigned bits, size_t count = bucket_size) {
    std::vector<contact> all;
    for (size_t i = 0; i < count; ++i) {
      all.push_back(make(bits));
      CHECK(see(all.back()).how == table_place::added);
      now += 1s;
    }
    return all;
  }
};

std::vector<std::byte> with_checksum(byte_view saved) {
  auto content = saved.first(saved.size() - digest::size);
  std::vector<std::byte> out{content.begin(), content.end()};
  auto sum = crypto::blake3(content);
  out.insert(out.end(), sum.view().begin(), sum.view().end());
  return out;
}

} // namespace

TEST_CASE("distance is the exclusive or, and the first bits that are shared are counted", "[key_space]") {
  point zero;
  auto one = zero;
  one.span()[31] = std::byte{1};
  auto high = zero;
  high.span()[0] = std::byte{0x80};
  CHECK(shared_bits(zero.view(), zero.view()) == 256);
  CHECK(shared_bits(zero.view(), one.view()) == 255);
  CHECK(shared_bits(zero.view(), high.view()) == 0);
  CHECK(distance_of(zero.view(), one.view()) < distance_of(zero.view(), high.view()));
  CHECK(distance_of(high.view(), one.view()) > distance_of(zero.view(), high.view()));
  CHECK(distance_of(one.view(), high.view()) == distance_of(high.view(), one.view()));
}

TEST_CASE("the nearest nodes are those of a sort of all", "[routing_table]") {
  CAPTURE(seed());
  table_under_test under;
  std::vector<peer_id> all;
  for (int i = 0; i < 400; ++i) {
    auto who = under.make(static_cast<unsigned>(under.random.below(12)));
    if (under.see(who).how == table_place::added)
      all.push_back(who.id);
  }
  CHECK(all.size() == under.table.size());
  for (int i = 0; i < 300; ++i) {
    auto target =
        i == 0 ? point_of(under.self) : point_of(id_near(under.self, static_cast<unsigned>(under.random.below(16)), under.random));
    auto count = 1 + under.random.below(50);
    auto nearest = under.table.closest(target, count);
    std::sort(all.begin(), all.end(), [&](const peer_id& a, const peer_id& b) { return distance_of(target, a) < distance_of(target, b); });
    REQUIRE(nearest.size() == std::min<size_t>(count, all.size()));
    for (size_t at = 0; at < nearest.size(); ++at)
      REQUIRE(nearest[at].id == all[at]);
    for (const auto& one : under.table.nearer(target, count))
      REQUIRE(distance_of(target, one.id) < distance_of(target, under.self));
  }
}

TEST_CASE("a node is in the table once, and never itself", "[routing_table]") {
  table_under_test under;
  auto who = under.make(3);
  CHECK(under.see(who).how == table_place::added);
  CHECK(under.see(who).how == table_place::refreshed);
  CHECK(under.see(contact_at(under.self, public_ip(9))).how == table_place::refused);
  CHECK(under.table.size() == 1);
}

TEST_CASE("a full bucket keeps who is in it and asks the one not heard of for longest for a sign of life", "[routing_table]") {
  table_under_test under;
  auto old = under.fill(2);
  under.now += 1h;
  auto fresh = under.make(2);
  auto first = under.see(fresh);
  CHECK(first.how == table_place::waiting);
  REQUIRE(first.doubted == old.front());
  CHECK_FALSE(under.table.contains(fresh.id));
  CHECK(under.table.contains(old.front().id));
  // Nobody is asked twice at once.
  CHECK_FALSE(under.see(under.make(2)).doubted);

  SECTION("who answers stays, and the next is doubted then") {
    CHECK(under.see(old.front()).how == table_place::refreshed);
    CHECK(under.table.contains(old.front().id));
    CHECK_FALSE(under.table.contains(fresh.id));
    CHECK(under.see(under.make(2)).doubted == old[1]);
  }
  SECTION("who does not answer twice gives its place to the newest that waits") {
    auto newest = under.make(2);
    under.see(newest);
    under.table.failed(old.front().id);
    CHECK(under.table.contains(old.front().id));
    CHECK(under.see(under.make(2)).doubted == old.front());
    under.see(newest);
    under.table.failed(old.front().id);
    CHECK_FALSE(under.table.contains(old.front().id));
    CHECK(under.table.contains(newest.id));
    CHECK_FALSE(under.table.contains(fresh.id));
    CHECK(under.table.size() == bucket_size);
  }
}

TEST_CASE("a full bucket whose nodes were heard of lately doubts none", "[routing_table]") {
  table_under_test under;
  under.fill(2);
  auto outcome = under.see(under.make(2));
  CHECK(outcome.how == table_place::waiting);
  CHECK_FALSE(outcome.doubted);
}

TEST_CASE("a node that fails is no longer named to others, and goes in the end", "[routing_table]") {
  table_under_test under;
  auto who = under.make(0);
  under.see(who);
  auto target = point_of(who.id);
  CHECK(under.table.nearer(target, 20).size() == 1);
  under.table.failed(who.id);
  CHECK(under.table.nearer(target, 20).empty());
  CHECK(under.table.closest(target, 20).size() == 1);
  under.table.failed(who.id);
  CHECK(under.table.closest(target, 20).empty());
  CHECK(under.table.contains(who.id));
  SECTION("unless it answers again") {
    CHECK(under.see(who).how == table_place::refreshed);
    CHECK(under.table.nearer(target, 20).size() == 1);
  }
  SECTION("at the fifth request") {
    for (int i = 0; i < 3; ++i)
      under.table.failed(who.id);
    CHECK(under.table.size() == 0);
    CHECK(under.table.count_of(*under.rules.group_of(who.addresses.front().ip)) == 0);
  }
}

TEST_CASE("who is asked where a liar said that it is loses nothing by its silence", "[routing_table]") {
  table_under_test under;
  auto who = under.make(0);
  under.see(who);
  auto named = who;
  named.addresses = {{public_ip(9999), 4433}};
  under.table.failed(named);
  CHECK(under.table.alive() == 1);
  named.addresses.push_back(who.addresses.front());
  under.table.failed(named);
  CHECK(under.table.alive() == 0);
}

TEST_CASE("one group of addresses gets two places of a bucket and three of the table", "[routing_table]") {
  table_under_test under;
  auto group = *under.rules.group_of(public_ip(7));
  auto see = [&](unsigned bits, uint8_t host) {
    return under.see(contact_at(id_near(under.self, bits, under.random), public_ip(7, host))).how;
  };
  CHECK(see(0, 1) == table_place::added);
  CHECK(see(0, 2) == table_place::added);
  CHECK(see(0, 3) == table_place::refused);
  CHECK(see(1, 4) == table_place::added);
  CHECK(see(2, 5) == table_place::refused);
  CHECK(under.table.count_of(group) == 3);
}

TEST_CASE("an attacker with 64 ids from 4 subnets gets 12 places", "[routing_table]") {
  table_under_test under;
  size_t places = 0;
  for (uint8_t i = 0; i < 64; ++i)
    if (under.see(contact_at(id_near(under.self, i % 16U, under.random), public_ip(i % 4U, i))).how == table_place::added)
      ++places;
  CHECK(places == 12);
  CHECK(under.table.size() == 12);
}

TEST_CASE("addresses that the mesh spares are not counted", "[routing_table]") {
  seeded_random random{seed()};
  auto self = random_id<peer_id>(random).value();
  routing_table table{self, ip_rules::local()};
  for (uint16_t i = 0; i < 12; ++i) {
    auto who = contact_at(id_near(self, 0, random), *parse_ip4("127.0.0.1"), static_cast<uint16_t>(4000 + i));
    CHECK(table.seen(who, who.addresses.front().ip, mesh_time{}).how == table_place::added);
  }
}

TEST_CASE("one group can not fill the queue for a place, and gets no more places from there", "[routing_table]") {
  table_under_test under;
  auto old = under.fill(1);
  auto honest = under.make(1);
  CHECK(under.see(honest).how == table_place::waiting);
  size_t waiting = 0;
  for (uint8_t i = 0; i < 40; ++i)
    waiting += under.see(contact_at(id_near(under.self, 1, under.random), public_ip(70'000, i))).how == table_place::waiting;
  CHECK(waiting == 2);
  for (size_t i = 0; i < 4; ++i)
    under.table.remove(old[i].id);
  CHECK(under.table.contains(honest.id));
  CHECK(under.table.count_of(*under.rules.group_of(public_ip(70'000))) == 2);
  CHECK(under.table.size() == bucket_size - 1);
}

TEST_CASE("a node that moves is counted where it is, and not let into a full group", "[routing_table]") {
  table_under_test under;
  auto who = under.make(4);
  under.see(who);
  auto moved = contact_at(who.id, public_ip(500));
  CHECK(under.see(moved).how == table_place::refreshed);
  CHECK(under.table.count_of(*under.rules.group_of(who.addresses.front().ip)) == 0);
  CHECK(under.table.closest(point_of(who.id), 1).front() == moved);
  for (uint8_t i = 0; i < 3; ++i)
    under.see(contact_at(id_near(under.self, 5U + i, under.random), public_ip(600, i)));
  CHECK(under.see(contact_at(who.id, public_ip(600, 9))).how == table_place::refused);
  CHECK(under.table.closest(point_of(who.id), 1).front() == moved);
  CHECK(under.table.count_of(*under.rules.group_of(public_ip(500))) == 1);
}

TEST_CASE("each part of the table is looked up once an hour", "[routing_table]") {
  table_under_test under;
  for (unsigned bits = 0; bits < 3; ++bits)
    under.fill(bits);
  under.fill(6, 5);
  std::set<unsigned> parts;
  auto sweep = [&] {
    parts.clear();
    while (auto target = under.table.refresh_due(under.random, under.now).value()) {
      CHECK(parts.insert(shared_bits(target->view(), under.self.view())).second);
      under.table.looked_up(*target, under.now);
    }
  };
  sweep();
  // Buckets 3 to 6 have five nodes, which a lookup of ourselves (256) finds.
  CHECK(parts == std::set<unsigned>{0, 1, 2, 256});
  under.now += 59min;
  sweep();
  CHECK(parts.empty());
  CHECK(under.table.next_refresh() == under.now + 1min);
  under.now += 1min;
  sweep();
  CHECK(parts.size() == 4);
}

TEST_CASE("a saved table comes back with its nodes in their places, which are named when they have answered", "[routing_table]") {
  table_under_test under;
  auto old = under.fill(0);
  under.fill(3, 7);
  auto two = contact{id_near(under.self, 5, under.random), {{*parse_ip6("2600::7"), 80}, {public_ip(900), 443}}};
  under.table.seen(two, two.addresses[1].ip, under.now);
  auto saved = under.table.save();
  auto again = routing_table::restore(under.self, under.rules, saved);
  REQUIRE(again);
  CHECK(again->save() == saved);
  CHECK(again->size() == 28);
  CHECK(again->count_of(*under.rules.group_of(public_ip(900))) == 1);
  auto target = point_of(two.id);
  CHECK(again->closest(target, 28) == under.table.closest(target, 28));
  CHECK(again->nearer(target, 28).empty());
  again->seen(two, two.addresses[1].ip, under.now);
  CHECK(again->nearer(target, 28).size() == 1);
  // The order within a bucket is kept: the oldest is doubted first.
  CHECK(again->seen(under.make(0), public_ip(1000), under.now).doubted == old.front());
}

TEST_CASE("a saved table that is truncated, changed, alien or newer is refused", "[routing_table]") {
  table_under_test under;
  under.fill(0, 3);
  auto saved = under.table.save();
  auto code_of = [&](byte_view bytes) {
    auto table = routing_table::restore(under.self, under.rules, bytes);
    return table ? errc{} : table.error().code();
  };
  CHECK(code_of(saved) == errc{});
  for (size_t size = 0; size < saved.size(); ++size)
    REQUIRE(code_of(byte_view{saved}.first(size)) == (size < 8 ? errc::format_alien : errc::format_damaged));
  for (size_t at = 0; at < saved.size(); ++at) {
    auto changed = saved;
    changed[at] ^= std::byte{4};
    REQUIRE(code_of(changed) == (at < 8 ? errc::format_alien : errc::format_damaged));
  }
  auto longer = saved;
  longer.insert(longer.end() - digest::size, std::byte{0});
  CHECK(code_of(with_checksum(longer)) == errc::format_damaged);
  auto newer = saved;
  newer[8] = std::byte{2};
  CHECK(code_of(with_checksum(newer)) == errc::format_newer);
  auto more = saved;
  more[12] = std::byte{4};
  CHECK(code_of(with_checksum(more)) == errc::format_damaged);
  auto huge = saved;
  store_le<uint32_t>(byte_span{huge}.subspan(12), UINT32_MAX);
  CHECK(code_of(with_checksum(huge)) == errc::format_damaged);
  auto family = saved;
  family[16 + 32] = std::byte{5};
  CHECK(code_of(with_checksum(family)) == errc::format_damaged);
}

TEST_CASE("nodes that the rules no longer admit are left out of a saved table", "[routing_table]") {
  seeded_random random{seed()};
  auto self = random_id<peer_id>(random).value();
  routing_table table{self, ip_rules::local()};
  for (uint8_t i = 0; i < 5; ++i) {
    auto who = contact_at(id_near(self, 0, random), {{127, 0, 0, static_cast<uint8_t>(i + 1)}, false});
    table.seen(who, who.addresses.front().ip, mesh_time{});
    auto other = contact_at(id_near(self, 1, random), public_ip(1, i));
    table.seen(other, other.addresses.front().ip, mesh_time{});
  }
  CHECK(table.size() == 7);
  CHECK(routing_table::restore(self, ip_rules::local(), table.save())->size() == 7);
  CHECK(routing_table::restore(self, {}, table.save())->size() == 2);
}
