#include "network/sibling_losses.hpp"

#include "crypto/hash.hpp"

#include <algorithm>
#include <array>

namespace datamesh::network {

namespace {

/// Who keeps what of a pack.
struct pack_view {
  std::map<uint8_t, shard_source> kept; ///< The first node that was found with it.
  std::vector<peer_id> nodes;           ///< That keep any of it.
};

/// Another order for each shard, the same for everybody (rendezvous hashing, Thaler and Ravishankar, 1998).
digest weight(const shard_key& shard, const peer_id& node) {
  std::array index{static_cast<std::byte>(shard.index)};
  crypto::hasher hash;
  hash.update(as_view(std::string_view{"dm/sibling/1"})).update(shard.pack.view()).update(index).update(node.view());
  return hash.finish();
}

void sort_by_weight(std::vector<peer_id>& nodes, const shard_key& shard) {
  std::ranges::sort(nodes, {}, [&](const peer_id& node) { return weight(shard, node); });
}

std::map<pack_id, pack_view> view_of(const sibling_view& seen) {
  std::map<pack_id, pack_view> packs;
  auto add = [](pack_view& pack, const peer_id& node, const ticket& by) {
    pack.kept.try_emplace(by.shard.index, shard_source{node, by});
    if (std::ranges::find(pack.nodes, node) == pack.nodes.end())
      pack.nodes.push_back(node);
  };
  for (const auto& by : seen.mine)
    add(packs[by.shard.pack], seen.self, by);
  for (const auto& [node, tickets] : seen.listed)
    for (const auto& by : tickets)
      if (auto found = packs.find(by.shard.pack); found != packs.end())
        add(found->second, node, by);
  return packs;
}

} // namespace

std::vector<peer_id> find_takers(const sibling_view& seen, const shard_key& shard) {
  std::vector<peer_id> takers;
  for (const auto& [node, tickets] : seen.listed) {
    if (std::ranges::find(tickets, shard, &ticket::shard) != tickets.end())
      return {node};
    if (std::ranges::none_of(tickets, [&](const ticket& by) { return by.shard.pack == shard.pack; }))
      takers.push_back(node);
  }
  sort_by_weight(takers, shard);
  return takers;
}

std::vector<shard_loss> find_losses(const sibling_view& seen) {
  auto packs = view_of(seen);
  auto day = static_cast<uint64_t>(std::chrono::floor<std::chrono::days>(seen.now).time_since_epoch().count());
  std::map<shard_key, const ticket*> lost;
  for (const auto& by : seen.remembered)
    if (auto found = packs.find(by.shard.pack);
        found != packs.end() && !found->second.kept.contains(by.shard.index) && !by.has_expired(seen.now)) {
      auto& last = lost[by.shard];
      if (last == nullptr || last->number < by.number)
        last = &by;
    }
  std::vector<shard_loss> losses;
  for (const auto& [shard, by] : lost) {
    const auto& pack = packs.at(shard.pack);
    shard_loss one{*by, {}, {}, 0};
    for (const auto& [index, source] : pack.kept)
      if (source.node != seen.self)
        one.sources.push_back(source);
    auto keepers = pack.nodes;
    sort_by_weight(keepers, shard);
    auto own = static_cast<size_t>(std::ranges::find(keepers, seen.self) - keepers.begin());
    one.turn = (own + keepers.size() - day % keepers.size()) % keepers.size();
    for (const auto& [node, tickets] : seen.listed)
      if (std::ranges::find(pack.nodes, node) == pack.nodes.end())
        one.takers.push_back(node);
    sort_by_weight(one.takers, shard);
    losses.push_back(std::move(one));
  }
  return losses;
}

} // namespace datamesh::network
