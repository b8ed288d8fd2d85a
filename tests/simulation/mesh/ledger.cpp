#include "tests/simulation/mesh/ledger.hpp"

#include <fmt/format.h>

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

void sim_ledger::check(const sim_place& place, const grants& room) {
  ++checks;
  std::set<shard_name> there;
  for (const auto& [owner, granted] : room) {
    auto listed = place.guests()->list(owner, std::nullopt, SIZE_MAX);
    if (!listed)
      throw violation{fmt::format("node {} can not list what it keeps: {}", place.number(), listed.error().message())};
    for (const auto& by : *listed)
      there.emplace(owner, by.shard);
    if (auto used = place.guests()->usage(owner).bytes; used > granted)
      throw violation{fmt::format("node {} keeps {} bytes for an owner who has {}", place.number(), used, granted)};
  }
  for (const auto& what : kept_[place.id()])
    if (!there.contains(what))
      throw violation{"it was signed for, and is not there: " + text_of(place, what.second)};
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
