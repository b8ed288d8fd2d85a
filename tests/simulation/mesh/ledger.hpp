// What was promised in a simulated mesh: written down outside of all its disks, and compared with what these have.
//
// Thread rule: as the stage's.
#pragma once

#include "tests/simulation/mesh/place.hpp"

namespace datamesh::test {

/// A shard, as the one who stores it knows it.
using shard_name = std::pair<vault_id, network::shard_key>;

class sim_ledger {
public:
  /// Somebody sent it there; what a node has that nobody sent was brought by another node.
  void sent(const peer_id& node, const shard_name& what) {
    sent_[node].insert(what);
  }
  /// The node signed that it keeps it.
  void kept(const peer_id& node, const shard_name& what) {
    kept_[node].insert(what);
    damaged_[node].erase(what);
  }
  /// The owner wants it no more: it may be anywhere or nowhere.
  void unwanted(const vault_id& owner, const pack_id& pack);
  /// The node signed that it keeps nothing of it.
  void gone(const peer_id& node, const vault_id& owner, const pack_id& pack) {
    gone_[node].emplace(owner, pack);
  }
  /// The node is drained from now on, or was a moment ago: it may let go of what another one has.
  void drained(const peer_id& node) {
    drained_.insert(node);
  }
  /// The node's drives are others now.
  void destroyed(const peer_id& node) {
    ++lives_[node];
    kept_.erase(node);
    gone_.erase(node);
    sent_.erase(node);
    drained_.erase(node);
    damaged_.erase(node);
  }
  /// How often that was so.
  [[nodiscard]] uint64_t lives(const peer_id& node) const {
    auto found = lives_.find(node);
    return found == lives_.end() ? 0 : found->second;
  }
  /// That one may not be whole there any more.
  void damaged(const peer_id& node, const shard_name& what) {
    kept_[node].erase(what);
    damaged_[node].insert(what);
  }
  [[nodiscard]] bool is_kept(const peer_id& node, const shard_name& what) const {
    auto found = kept_.find(node);
    return found != kept_.end() && found->second.contains(what);
  }

  [[nodiscard]] bool keeps_any(const peer_id& node) const {
    auto found = kept_.find(node);
    return found != kept_.end() && !found->second.empty();
  }

  /// Throws a `violation` where a node that is up has not what it signed for, and was not drained while another one took it, has
  /// again what it signed away, or has more than *room* of an owner.
  void check(const sim_place& place, const std::vector<std::unique_ptr<sim_place>>& all, const network::grants& room);

  /// Shards that came to a node from another one and not from their owner.
  [[nodiscard]] uint64_t repairs() const {
    return repairs_ - std::min(repairs_, handed_over_);
  }
  /// Shards that nodes which were drained let go of.
  [[nodiscard]] uint64_t handed_over() const {
    return handed_over_;
  }
  uint64_t checks = 0;

private:
  void check_room(const sim_place& place, const vault_id& owner, std::span<const network::ticket> kept, uint64_t granted) const;
  /// Whether another node has it, or may have: one that is away says nothing.
  [[nodiscard]] bool was_handed_over(const sim_place& from, const std::vector<std::unique_ptr<sim_place>>& all, const shard_name& what);

  std::map<peer_id, uint64_t> lives_;
  std::map<peer_id, std::set<shard_name>> sent_;
  std::map<peer_id, std::set<shard_name>> kept_;
  std::map<peer_id, std::set<std::pair<vault_id, pack_id>>> gone_;
  std::map<peer_id, std::set<shard_name>> damaged_;
  std::set<peer_id> drained_;
  uint64_t repairs_ = 0;
  uint64_t handed_over_ = 0;
};

} // namespace datamesh::test
