#include "tests/simulation/mesh/ledger.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace datamesh::test {

using namespace network;

namespace {

std::string text_of(const sim_place& place, const shard_key& shard) {
  return fmt::format("node {}, pack {}, shard {}", place.number(), shard.pack.brief(), shard.index);
}

} // namespace

void sim_ledger::unwanted(const vault_id& owner, const pack_id& pack) {
  for (auto& [node, shards] : kept_)
    std::erase_if(shards, [&](const shard_name& one) { return one.first == owner && one.second.pack == pack; });
}

/// What the node counts itself, and what anyone can count without it: the bodies alone.
void sim_ledger::check_room(const sim_place& place, const vault_id& owner, std::span<const ticket> kept, uint64_t granted) const {
  uint64_t bodies = 0;
  for (const auto& by : kept)
    bodies += by.size;
  if (auto used = std::max(bodies, place.guests()->usage(owner).bytes); used > granted)
    throw violation{fmt::format("node {} keeps {} bytes for an owner who has {}", place.number(), used, granted)};
}

bool sim_ledger::was_handed_over(const sim_place& from, const std::vector<std::unique_ptr<sim_place>>& all, const shard_name& what) {
  auto away = false;
  for (const auto& other : all) {
    if (other.get() == &from)
      continue;
    if (other->guests() == nullptr || !other->disk->powered()) {
      away = true;
      continue;
    }
    auto listed = other->guests()->list(what.first, std::nullopt, SIZE_MAX);
    if (listed && std::ranges::find(*listed, what.second, &ticket::shard) != listed->end()) {
      // Who let go of it saw that it is there, and not that each bit of it is.
      if (!damaged_[other->id()].contains(what))
        kept(other->id(), what);
      return true;
    }
  }
  return away;
}

void sim_ledger::check(const sim_place& place, const std::vector<std::unique_ptr<sim_place>>& all, const grants& room) {
  ++checks;
  std::set<shard_name> there;
  for (const auto& [owner, granted] : room) {
    auto listed = place.guests()->list(owner, std::nullopt, SIZE_MAX);
    if (!listed)
      throw violation{fmt::format("node {} can not list what it keeps: {}", place.number(), listed.error().message())};
    for (const auto& by : *listed)
      there.emplace(owner, by.shard);
    check_room(place, owner, *listed, granted);
  }
  auto& kept = kept_[place.id()];
  for (auto what = kept.begin(); what != kept.end();) {
    if (there.contains(*what)) {
      ++what;
      continue;
    }
    if (!drained_.contains(place.id()) || !was_handed_over(place, all, *what))
      throw violation{"it was signed for, and is not there: " + text_of(place, what->second)};
    ++handed_over_;
    sent_[place.id()].erase(*what);
    what = kept.erase(what);
  }
  const auto& gone = gone_[place.id()];
  auto& sent = sent_[place.id()];
  for (const auto& what : there) {
    if (gone.contains({what.first, what.second.pack}))
      throw violation{"it was deleted, and is there again: " + text_of(place, what.second)};
    if (sent.insert(what).second)
      ++repairs_;
  }
}

} // namespace datamesh::test
