#include "network/republish_sweep.hpp"

#include "network/routing_table.hpp"
#include "tests/libdatamesh/network/mesh_fixture.hpp"
#include "tests/libdatamesh/storage/seed.hpp"

#include <catch2/catch.hpp>

using namespace datamesh;
using namespace datamesh::network;
using namespace datamesh::test;
using namespace std::chrono_literals;

namespace {

point key_at(uint8_t first, uint8_t last = 0) {
  point key;
  key.span()[0] = std::byte{first};
  key.span()[31] = std::byte{last};
  return key;
}

} // namespace

TEST_CASE("a key is due when the sweep comes by, and not before half a round has gone", "[republish_sweep]") {
  mesh_time begin{100h};
  republish_sweep sweep{begin};
  CHECK(sweep.next_due() == mesh_time::max());
  // The sweep is at 0x80 after 6 hours of 12.
  sweep.sent(key_at(0x80), begin);
  CHECK(sweep.next_due() == begin + 6h);
  CHECK_FALSE(sweep.due(begin + 6h - 1ns));
  CHECK(sweep.due(begin + 6h) == key_at(0x80));
  sweep.sent(key_at(0x80), begin + 6h);
  CHECK(sweep.next_due() == begin + 18h);
  sweep.sent(key_at(0x80), begin + 13h);
  CHECK(sweep.next_due() == begin + 30h);
  CHECK(sweep.size() == 1);
  sweep.sent(key_at(0x40), begin + 13h);
  CHECK(sweep.next_due() == begin + 27h);
  sweep.forget(key_at(0x40));
  sweep.forget(key_at(0x80));
  CHECK(sweep.size() == 0);
  CHECK_FALSE(sweep.due(begin + 1000h));
}

TEST_CASE("every key comes up at least once in 18 hours", "[republish_sweep]") {
  CAPTURE(seed());
  seeded_random random{seed()};
  mesh_time begin{};
  republish_sweep sweep{begin};
  for (int i = 0; i < 2000; ++i) {
    auto key = random_id<point>(random).value();
    auto at = begin + std::chrono::minutes{random.below(10'000)};
    sweep.sent(key, at);
    auto wait = sweep.next_due() - at;
    REQUIRE(wait >= 6h);
    REQUIRE(wait <= 18h);
    sweep.forget(key);
  }
}

TEST_CASE("one lookup serves the keys whose nearest nodes it found", "[republish_sweep]") {
  CAPTURE(seed());
  seeded_random random{seed()};
  std::vector<contact> all;
  for (uint32_t i = 0; i < 2000; ++i)
    all.push_back(contact_at(random_id<peer_id>(random).value(), public_ip(i)));
  republish_sweep sweep{mesh_time{}};
  std::vector<point> keys;
  for (int i = 0; i < 4000; ++i)
    sweep.sent(keys.emplace_back(random_id<point>(random).value()), mesh_time{});
  auto nearest_to = [&](const point& target, std::vector<contact> of, size_t count) {
    std::sort(of.begin(), of.end(),
              [&](const contact& a, const contact& b) { return distance_of(target, a.id) < distance_of(target, b.id); });
    of.resize(std::min(count, of.size()));
    return of;
  };
  size_t lookups = 0;
  size_t sent = 0;
  mesh_time now{};
  while (lookups < 40) {
    now = sweep.next_due();
    auto target = sweep.due(now).value();
    auto wide = nearest_to(target, all, sweep_width);
    auto served = sweep.served(target, wide, false);
    ++lookups;
    sent += served.size();
    CHECK(served.front() == target);
    for (const auto& key : served) {
      if (random.below(10) == 0)
        REQUIRE(nearest_to(key, wide, bucket_size) == nearest_to(key, all, bucket_size));
      sweep.sent(key, now);
    }
  }
  // A lookup of 60 of 2,000 nodes covers some 40 of them, and so 80 of 4,000 keys.
  CHECK(sent / lookups >= 20);
}

TEST_CASE("a lookup that found too few nodes near its target serves that alone, unless there are no others", "[republish_sweep]") {
  seeded_random random{seed()};
  republish_sweep sweep{mesh_time{}};
  auto target = key_at(1);
  for (uint8_t i = 0; i < 200; ++i)
    sweep.sent(key_at(1, i), mesh_time{});
  std::vector<contact> nearest;
  for (uint32_t i = 0; i < 19; ++i)
    nearest.push_back(contact_at(id_near(peer_id::from(target.view()), 10, random), public_ip(i)));
  nearest.push_back(contact_at(id_near(peer_id::from(target.view()), 5, random), public_ip(19)));
  CHECK(sweep.served(target, {}, false) == std::vector{target});
  CHECK(sweep.served(target, nearest, false) == std::vector{target});
  CHECK(sweep.served(target, nearest, true).size() == 200);
  nearest.insert(nearest.begin(), contact_at(id_near(peer_id::from(target.view()), 12, random), public_ip(20)));
  CHECK(sweep.served(target, nearest, false).size() == 200);
  for (uint8_t i = 0; i < 200; ++i)
    sweep.sent(key_at(0, i), mesh_time{});
  CHECK(sweep.served(target, nearest, true).size() == sweep_keys_max);
}
