#include "network/sibling_losses.hpp"

#include "tests/libdatamesh/network/guest_fixture.hpp"
#include "tests/libdatamesh/storage/seed.hpp"

#include <catch2/catch.hpp>

#include <set>

using namespace datamesh;
using namespace datamesh::network;
using namespace datamesh::test;
using namespace std::chrono_literals;

namespace {

constexpr clock::wall_time day{std::chrono::seconds{1'767'225'600}};

/// A pack of four shards, one on each of four nodes, and two nodes without one.
struct neighbours {
  neighbours() {
    auto pack = make_pack(random, {2, 2, 320});
    for (const auto& shard : pack)
      tickets.push_back(owner.ticket_for(shard, 1, day + 24h * 30));
    for (uint8_t i = 0; i < 6; ++i)
      nodes.push_back(peer_id::from(as_view(std::string(peer_id::size, static_cast<char>('a' + i)))));
  }

  /// As that node sees it, where these answer.
  [[nodiscard]] sibling_view seen_by(size_t who, const std::set<size_t>& answer, clock::wall_time now = day) const {
    sibling_view seen;
    seen.self = nodes[who];
    seen.mine = {tickets[who]};
    for (auto other : answer)
      if (other != who)
        seen.listed[nodes[other]] = other < tickets.size() ? std::vector{tickets[other]} : std::vector<ticket>{};
    seen.remembered = tickets;
    seen.now = now;
    return seen;
  }

  seeded_random random{seed()};
  signatory owner{1};
  std::vector<ticket> tickets;
  std::vector<peer_id> nodes;
};

} // namespace

TEST_CASE("nothing is lost while every shard is listed by somebody", "[sibling_losses]") {
  neighbours n;
  CHECK(find_losses(n.seen_by(0, {1, 2, 3, 4, 5})).empty());
  // Two may list the same one, and another pack is none of ours.
  auto seen = n.seen_by(0, {1, 2, 3, 4, 5});
  seen.listed[n.nodes[4]] = {n.tickets[3]};
  auto alien = n.owner.ticket_for(make_pack(n.random, {2, 2, 320})[0], 1, day + 24h);
  seen.listed[n.nodes[5]] = {alien};
  CHECK(find_losses(seen).empty());
}

TEST_CASE("a shard that nobody lists is lost, with those from which it is made and those that may take it", "[sibling_losses]") {
  neighbours n;
  auto losses = find_losses(n.seen_by(0, {1, 2, 4, 5}));
  REQUIRE(losses.size() == 1);
  CHECK(losses[0].lost.shard == n.tickets[3].shard);
  REQUIRE(losses[0].sources.size() == 2);
  CHECK(losses[0].sources[0].node == n.nodes[1]);
  CHECK(losses[0].sources[1].by.shard.index == 2);
  CHECK(std::set<peer_id>{losses[0].takers.begin(), losses[0].takers.end()} == std::set<peer_id>{n.nodes[4], n.nodes[5]});
}

TEST_CASE("it is one node's turn, which all who keep the pack agree on, and another one's the next day", "[sibling_losses]") {
  neighbours n;
  std::set<size_t> first;
  for (int later = 0; later < 3; ++later) {
    std::set<size_t> turns;
    std::vector<peer_id> takers;
    for (size_t who : {0, 1, 2}) {
      auto losses = find_losses(n.seen_by(who, {0, 1, 2, 4, 5}, day + later * 24h));
      REQUIRE(losses.size() == 1);
      turns.insert(losses[0].turn);
      if (losses[0].turn == 0)
        first.insert(who);
      if (takers.empty())
        takers = losses[0].takers;
      CHECK(losses[0].takers == takers);
    }
    CHECK(turns == std::set<size_t>{0, 1, 2});
  }
  CHECK(first == std::set<size_t>{0, 1, 2});
}

TEST_CASE("what nobody could keep any more, or nobody remembers, is no loss", "[sibling_losses]") {
  neighbours n;
  CHECK(find_losses(n.seen_by(0, {1, 2, 4}, day + 24h * 31)).empty());
  auto seen = n.seen_by(0, {1, 2, 4});
  seen.remembered = {n.tickets[1]};
  CHECK(find_losses(seen).empty());
  seen.remembered.clear();
  CHECK(find_losses(seen).empty());
}

TEST_CASE("a shard is given to a node that has it already, or else to one without any of the pack", "[sibling_losses]") {
  neighbours n;
  auto seen = n.seen_by(0, {1, 2, 4, 5});
  auto takers = find_takers(seen, n.tickets[0].shard);
  CHECK(std::set<peer_id>{takers.begin(), takers.end()} == std::set<peer_id>{n.nodes[4], n.nodes[5]});
  // In the same order as for whoever would make it again.
  seen.listed[n.nodes[5]] = {n.tickets[0]};
  CHECK(find_takers(seen, n.tickets[0].shard) == std::vector{n.nodes[5]});
  CHECK(find_takers(n.seen_by(0, {1, 2, 3}), n.tickets[0].shard).empty());
  CHECK(find_takers(n.seen_by(0, {}), n.tickets[0].shard).empty());
}

TEST_CASE("of several tickets for a lost shard the latest is used", "[sibling_losses]") {
  neighbours n;
  auto seen = n.seen_by(0, {1, 2, 4});
  auto later = n.tickets[3];
  later.number = 7;
  later = n.owner.sign(later);
  seen.remembered.insert(seen.remembered.begin(), later);
  auto losses = find_losses(seen);
  REQUIRE(losses.size() == 1);
  CHECK(losses[0].lost.number == 7);
}
