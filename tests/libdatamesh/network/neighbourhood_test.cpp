#include "network/neighbourhood.hpp"

#include "tests/libdatamesh/network/node.hpp"
#include "tests/libdatamesh/storage/seed.hpp"

#include <catch2/catch.hpp>

using namespace datamesh;
using namespace datamesh::network;
using namespace datamesh::test;
using namespace std::chrono_literals;

namespace {

const auto mesh = network_id::from(as_view("a mesh for the tests of beacons."));
const auto other_mesh = network_id::from(as_view("a mesh of somebody else entirely"));

ip_address ip(const std::string& text) {
  return parse_ip4(text).value();
}

/// Time as both clocks tell it.
struct world {
  discovery_time now{mesh_time{} + 1h, clock::wall_time{1'767'225'600s}};

  void pass(std::chrono::milliseconds time) {
    now.now += time;
    now.wall += time;
  }
  [[nodiscard]] uint64_t sequence() const {
    return static_cast<uint64_t>(std::chrono::floor<std::chrono::milliseconds>(now.wall).time_since_epoch().count());
  }
};

struct voice {
  explicit voice(uint64_t number) : node(seed() * 1000 + number), at{ip("192.168.1.7"), 7000} {}

  [[nodiscard]] bytes say(const world& w, const network_id& of = mesh) {
    return say_as(std::max(w.sequence(), last + 1), of);
  }
  [[nodiscard]] bytes say_as(uint64_t sequence, const network_id& of = mesh) {
    last = sequence;
    beacon what{node.id(), node.tls.key(), sequence, {at}};
    return seal_beacon(
               of, what, [this](byte_view message) { return node.tls.sign(message); }, node.chance)
        .value();
  }

  test_node node;
  endpoint at;
  uint64_t last = 0;
};

struct listening {
  world w;
  seeded_random chance{seed()};
  neighbourhood ear{{mesh, peer_id{}, ip_rules::local(), true}, chance, w.now.now};

  beacon_verdict hear(byte_view datagram, const std::string& from = "192.168.1.7") {
    return ear.heard(datagram, ip(from), w.now);
  }
};

} // namespace

TEST_CASE("who is heard is listed, and named to discovery once", "[neighbourhood]") {
  listening l;
  voice other{1};
  CHECK(l.hear(other.say(l.w)) == beacon_verdict::taken);
  auto named = l.ear.take_contact();
  REQUIRE(named);
  CHECK(*named == contact{other.node.id(), {other.at}});
  l.w.pass(10s);
  CHECK(l.hear(other.say(l.w)) == beacon_verdict::taken);
  CHECK_FALSE(l.ear.take_contact());
  auto list = l.ear.of_late(l.w.now.now);
  REQUIRE(list.size() == 1);
  CHECK(list[0].id == other.node.id());
  CHECK(list[0].addresses == std::vector{other.at});
}

TEST_CASE("who goes on saying that it is there is named again once a minute", "[neighbourhood]") {
  listening l;
  voice other{1};
  size_t named = 0;
  for (int i = 0; i < 60; ++i) {
    CHECK(l.hear(other.say(l.w)) == beacon_verdict::taken);
    while (l.ear.take_contact())
      ++named;
    l.w.pass(10s);
  }
  CHECK(named == 10);
}

TEST_CASE("a node with another address is named sooner, and not more often than each five seconds", "[neighbourhood]") {
  listening l;
  voice other{1};
  CHECK(l.hear(other.say(l.w)) == beacon_verdict::taken);
  REQUIRE(l.ear.take_contact());
  size_t named = 0;
  for (int i = 0; i < 20; ++i) {
    l.w.pass(1s);
    other.at.port = static_cast<uint16_t>(8000 + i);
    CHECK(l.hear(other.say(l.w)) == beacon_verdict::taken);
    while (auto who = l.ear.take_contact()) {
      CHECK(who->addresses.front() == other.at);
      CHECK(who->addresses.size() <= contact_addresses_max);
      ++named;
    }
  }
  CHECK(named == 4);
}

TEST_CASE("a beacon that is heard twice, or later than the next one, is dropped", "[neighbourhood]") {
  listening l;
  voice other{1};
  auto first = other.say(l.w);
  CHECK(l.hear(first) == beacon_verdict::taken);
  CHECK(l.hear(first) == beacon_verdict::repeated);
  l.w.pass(10s);
  auto second = other.say(l.w);
  CHECK(l.hear(second) == beacon_verdict::taken);
  CHECK(l.hear(first) == beacon_verdict::repeated);
  // A replay keeps nobody on the list.
  l.w.pass(heard_of_late);
  CHECK(l.hear(second) == beacon_verdict::repeated);
  CHECK(l.ear.of_late(l.w.now.now).empty());
}

TEST_CASE("a beacon of more than a day ago, or of later than in a day, is dropped", "[neighbourhood]") {
  listening l;
  voice other{1};
  auto sequence = l.w.sequence();
  constexpr uint64_t day = 24 * 3600 * 1000;
  CHECK(l.hear(other.say_as(sequence - day - 1)) == beacon_verdict::out_of_time);
  CHECK(l.hear(other.say_as(sequence + day + 1)) == beacon_verdict::out_of_time);
  CHECK(l.hear(other.say_as(UINT64_MAX)) == beacon_verdict::out_of_time);
  CHECK(l.hear(other.say_as(sequence - day)) == beacon_verdict::taken);
  CHECK(l.hear(other.say_as(sequence + day)) == beacon_verdict::taken);
}

TEST_CASE("a node whose clock was ahead is heard again once it was silent for a while", "[neighbourhood]") {
  listening l;
  voice other{1};
  CHECK(l.hear(other.say_as(l.w.sequence() + 3'600'000)) == beacon_verdict::taken);
  CHECK(l.hear(other.say_as(l.w.sequence())) == beacon_verdict::repeated);
  l.w.pass(forgotten_after);
  CHECK(l.hear(other.say_as(l.w.sequence())) == beacon_verdict::taken);
}

TEST_CASE("a forged beacon changes nothing", "[neighbourhood]") {
  listening l;
  voice honest{1};
  voice liar{2};
  CHECK(l.hear(honest.say(l.w)) == beacon_verdict::taken);
  l.w.pass(1s);
  beacon what{honest.node.id(), honest.node.tls.key(), l.w.sequence(), {endpoint{ip("192.168.1.66"), 1}}};
  auto forged = seal_beacon(
                    mesh, what, [&](byte_view message) { return liar.node.tls.sign(message); }, liar.node.chance)
                    .value();
  CHECK(l.hear(forged) == beacon_verdict::forged);
  CHECK(l.ear.of_late(l.w.now.now).at(0).addresses == std::vector{honest.at});
  // What was forged does not count as the last that the node said.
  CHECK(l.hear(honest.say(l.w)) == beacon_verdict::taken);
}

TEST_CASE("a node of another mesh is no more than an address", "[neighbourhood]") {
  listening l;
  voice other{1};
  CHECK(l.hear(other.say(l.w, other_mesh)) == beacon_verdict::stranger);
  CHECK_FALSE(l.ear.take_contact());
  auto list = l.ear.of_late(l.w.now.now);
  REQUIRE(list.size() == 1);
  CHECK_FALSE(list[0].id);
  CHECK(list[0].addresses == std::vector{endpoint{ip("192.168.1.7"), 0}});
  l.w.pass(heard_of_late);
  CHECK(l.ear.of_late(l.w.now.now).empty());
}

TEST_CASE("who knows no mesh hears strangers alone", "[neighbourhood]") {
  world w;
  seeded_random chance{seed()};
  neighbourhood ear{{std::nullopt, {}, {}, false}, chance, w.now.now};
  voice other{1};
  CHECK(ear.heard(other.say(w), ip("192.168.1.7"), w.now) == beacon_verdict::stranger);
  CHECK(ear.of_late(w.now.now).size() == 1);
  CHECK_FALSE(ear.take_saying(w.now.now));
}

TEST_CASE("a node does not hear itself", "[neighbourhood]") {
  voice self{1};
  world w;
  seeded_random chance{seed()};
  neighbourhood ear{{mesh, self.node.id(), ip_rules::local(), true}, chance, w.now.now};
  CHECK(ear.heard(self.say(w), ip("192.168.1.7"), w.now) == beacon_verdict::own);
  CHECK(ear.size() == 0);
}

TEST_CASE("an address that the mesh does not admit is listed, and not named to discovery", "[neighbourhood]") {
  world w;
  seeded_random chance{seed()};
  neighbourhood ear{{mesh, peer_id{}, ip_rules{}, true}, chance, w.now.now};
  voice other{1};
  CHECK(ear.heard(other.say(w), ip("192.168.1.7"), w.now) == beacon_verdict::taken);
  CHECK_FALSE(ear.take_contact());
  CHECK(ear.of_late(w.now.now).size() == 1);
}

TEST_CASE("a host has no more nodes than it may, and all together no more than there is room for", "[neighbourhood]") {
  listening l;
  uint64_t number = 0;
  auto hear_new = [&](const std::string& from) {
    voice other{++number};
    return l.hear(other.say(l.w), from);
  };
  for (size_t i = 0; i < neighbours_of_host_max; ++i)
    REQUIRE(hear_new("192.168.1.1") == beacon_verdict::taken);
  CHECK(hear_new("192.168.1.1") == beacon_verdict::full);
  for (size_t host = 2; l.ear.size() < neighbours_max; ++host)
    for (size_t i = 0; i < 32 && l.ear.size() < neighbours_max; ++i)
      REQUIRE(hear_new("192.168.1." + std::to_string(host)) == beacon_verdict::taken);
  CHECK(hear_new("192.168.2.1") == beacon_verdict::full);
  // Who is not heard any more makes room.
  l.w.pass(heard_of_late);
  CHECK(hear_new("192.168.2.1") == beacon_verdict::taken);
  CHECK(l.ear.size() == neighbours_max);
}

TEST_CASE("many new nodes are not all named at once", "[neighbourhood]") {
  listening l;
  size_t named = 0;
  for (uint64_t i = 0; i < 200; ++i) {
    voice other{i + 1};
    CHECK(l.hear(other.say(l.w), "192.168.1." + std::to_string(1 + i / 50)) == beacon_verdict::taken);
    while (l.ear.take_contact())
      ++named;
  }
  CHECK(named == named_rate.burst);
}

TEST_CASE("a node says that it is there at once, soon again, and then each ten seconds or little more", "[neighbourhood]") {
  listening l;
  std::vector<mesh_time> said;
  for (int i = 0; i < 100'000; ++i) {
    if (auto what = l.ear.take_saying(l.w.now.now)) {
      CHECK(what->here);
      CHECK(what->question == (said.size() < static_cast<size_t>(beacons_at_start)));
      said.push_back(l.w.now.now);
    }
    l.w.pass(10ms);
  }
  REQUIRE(said.size() > 70);
  CHECK(said[1] - said[0] == 1s);
  CHECK(said[2] - said[1] == 2s);
  CHECK(said[3] - said[2] == 4s);
  for (size_t i = 4; i < said.size(); ++i) {
    CHECK(said[i] - said[i - 1] >= beacon_every);
    CHECK(said[i] - said[i - 1] <= 12510ms);
  }
}

TEST_CASE("who is new, or asks, is answered soon, and nobody makes a node speak more than once a second", "[neighbourhood]") {
  listening l;
  while (l.ear.next_saying() < l.w.now.now + 9s) {
    (void) l.ear.take_saying(l.w.now.now);
    l.w.pass(100ms);
  }
  CHECK_FALSE(l.ear.take_saying(l.w.now.now));
  l.w.pass(1s);
  voice other{1};
  CHECK(l.hear(other.say(l.w)) == beacon_verdict::taken);
  CHECK(l.ear.next_saying() <= l.w.now.now + answer_within);
  size_t said = 0;
  seeded_random asks{seed() + 1};
  for (int i = 0; i < 1000; ++i) {
    CHECK(l.hear(seal_question(mesh, asks).value()) == beacon_verdict::question);
    said += l.ear.take_saying(l.w.now.now) ? 1 : 0;
    l.w.pass(10ms);
  }
  CHECK(said >= 5);
  CHECK(said <= 10);
}

TEST_CASE("a node that nobody can dial asks and says nothing of itself", "[neighbourhood]") {
  world w;
  seeded_random chance{seed()};
  neighbourhood ear{{mesh, peer_id{}, ip_rules::local(), false}, chance, w.now.now};
  auto first = ear.take_saying(w.now.now);
  REQUIRE(first);
  CHECK_FALSE(first->here);
  CHECK(first->question);
}

TEST_CASE("datagrams of one host, and those of all, are looked into no more often than they may", "[neighbourhood]") {
  listening l;
  voice other{1};
  auto datagram = other.say(l.w);
  datagram_limits limits;
  auto admitted = [&](const std::string& from, int count) {
    size_t all = 0;
    for (int i = 0; i < count; ++i)
      all += limits.admits(datagram, ip(from), l.w.now.now) ? 1 : 0;
    return all;
  };
  CHECK(admitted("192.168.1.1", 1000) == heard_rate_of_host.burst);
  l.w.pass(1s);
  CHECK(admitted("192.168.1.1", 1000) == heard_rate_of_host.per_second);
  // One that is loud silences no other.
  CHECK(admitted("192.168.1.2", 10) == 10);
  size_t all = 0;
  for (int host = 0; host < 200; ++host)
    all += admitted("10.0.0." + std::to_string(host), 10);
  CHECK(all <= heard_rate.burst);
  CHECK(all >= heard_rate.burst - 100);
}

TEST_CASE("what is no beacon counts for nobody's limit, and hosts beyond the limit are not heard", "[neighbourhood]") {
  listening l;
  datagram_limits limits;
  std::vector<std::byte> alien(500);
  for (int i = 0; i < 1000; ++i)
    CHECK_FALSE(limits.admits(alien, ip("192.168.1.1"), l.w.now.now));
  CHECK_FALSE(limits.admits({}, ip("192.168.1.1"), l.w.now.now));
  voice other{1};
  auto datagram = other.say(l.w);
  for (size_t host = 0; host < hosts_max; ++host)
    CHECK(limits.admits(datagram, ip("10.0." + std::to_string(host / 250) + "." + std::to_string(1 + host % 250)), l.w.now.now));
  CHECK_FALSE(limits.admits(datagram, ip("10.1.1.1"), l.w.now.now));
  l.w.pass(1s);
  CHECK(limits.admits(datagram, ip("10.1.1.1"), l.w.now.now));
}

TEST_CASE("a node is reached at what it has on an interface", "[neighbourhood]") {
  lan_interface loopback{1, "lo", true, {ip("127.0.0.1")}};
  lan_interface wire{2, "eth0", false, {ip("192.168.1.7"), parse_ip6("fd00::7").value()}};
  endpoint any{ip_address{}, 7000};
  endpoint there{ip("192.168.1.7"), 7000};
  endpoint elsewhere{ip("10.0.0.1"), 7000};
  endpoint here{ip("127.0.0.2"), 7000};
  CHECK(told_on(wire, {any}, {}) == std::vector{there});
  CHECK(told_on(loopback, {any}, {}).empty());
  CHECK(told_on(wire, {there, elsewhere}, {}) == std::vector{there});
  CHECK(told_on(loopback, {here}, {}) == std::vector{here});
  CHECK(told_on(wire, {here}, {}).empty());
  CHECK(told_on(wire, {there, there}, {elsewhere}) == std::vector{there, elsewhere});
  CHECK(told_on(wire, {}, {elsewhere}).empty());
  CHECK(told_on(loopback, {here}, {elsewhere}) == std::vector{here});
}

TEST_CASE("whatever comes in, in whatever order, the table keeps to its limits", "[neighbourhood]") {
  listening l;
  seeded_random choice{seed() + 7};
  std::deque<voice> voices;
  for (uint64_t i = 0; i < 12; ++i)
    voices.emplace_back(i + 1);
  std::vector<bytes> heard;
  for (int i = 0; i < 2000; ++i) {
    auto& who = voices[choice.below(voices.size())];
    std::vector<std::byte> datagram;
    auto which = choice.below(5);
    if (which == 0 && !heard.empty()) {
      auto old = heard[choice.below(heard.size())];
      datagram.assign(old.view().begin(), old.view().end());
    } else {
      auto fresh = who.say(l.w);
      heard.push_back(fresh);
      datagram.assign(fresh.view().begin(), fresh.view().end());
      if (which == 1)
        datagram.resize(choice.below(datagram.size()));
      else if (which == 2)
        datagram[choice.below(datagram.size())] ^= std::byte{0x10};
    }
    auto before = l.ear.of_late(l.w.now.now);
    auto verdict = l.hear(datagram);
    if (which == 1 || which == 2)
      CHECK(verdict != beacon_verdict::taken);
    if (verdict != beacon_verdict::taken && verdict != beacon_verdict::stranger)
      CHECK(l.ear.of_late(l.w.now.now).size() == before.size());
    CHECK(l.ear.size() <= voices.size());
    l.w.pass(std::chrono::milliseconds{choice.below(2000)});
  }
}
