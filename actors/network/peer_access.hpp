// How drives that are other nodes' room reach these: over the mesh while this node is a member,
// and with the keys of the vaults that are open, which sign what is asked.
//
// Thread rule: any thread.
#pragma once

#include "network/discovery_actor.hpp"
#include "network/linked_peers.hpp"
#include "network/remote_shards_actor.hpp"

#include <algorithm>
#include <atomic>
#include <map>
#include <memory>
#include <mutex>

namespace datamesh::network {

/// What is known of a node. From any thread.
struct peer_standing {
  std::atomic<bool> told = false;    ///< It said how much room there is.
  std::atomic<uint64_t> granted = 0; ///< Bytes, to the owner who has the most left of those whose vaults are open.
  std::atomic<uint64_t> used = 0;    ///< Of these.
};

/// What a node has that did not answer for so long, the others make again.
inline constexpr auto sibling_patience = std::chrono::hours{24};

class peer_access {
public:
  struct way {
    network_id mesh;
    peer_id self;
    remote_shards_actor shards;
    link_actor links;
    discovery_actor discovery;
    std::shared_ptr<const linked_peers> linked; ///< Not null.
  };

  void open(way through) {
    std::lock_guard guard{mutex_};
    way_ = std::move(through);
  }
  /// Who asks from now on is told `unavailable`.
  void close() {
    std::lock_guard guard{mutex_};
    way_.reset();
  }
  /// The nodes that are drives, which are told of each other, and a number above all before.
  void name_nodes(std::vector<peer_id> nodes, uint64_t number) {
    std::lock_guard guard{mutex_};
    std::ranges::sort(nodes);
    if (nodes == nodes_)
      return;
    nodes_ = std::move(nodes);
    number_ = std::max(number, number_ + 1);
  }
  /// What *owner* is to sign of them.
  [[nodiscard]] roster draft_roster(const vault_id& owner) const {
    std::lock_guard guard{mutex_};
    roster what;
    what.owner = owner;
    what.number = number_;
    what.patience = sibling_patience;
    what.nodes = nodes_;
    return what;
  }
  [[nodiscard]] std::optional<way> now() const {
    std::lock_guard guard{mutex_};
    return way_;
  }

  /// Whether there is a link with it.
  [[nodiscard]] bool is_linked(const peer_id& peer) const {
    std::lock_guard guard{mutex_};
    return way_ && way_->linked->has(peer);
  }

  /// From now on what is known of the node is that.
  void watch(const peer_id& peer, std::shared_ptr<const peer_standing> standing) {
    std::lock_guard guard{mutex_};
    standings_[peer] = std::move(standing);
  }
  /// Whether a node that is a drive said how much room there is.
  [[nodiscard]] bool has_told(const peer_id& peer) const {
    std::lock_guard guard{mutex_};
    auto found = standings_.find(peer);
    return found != standings_.end() && found->second->told;
  }

  void add_owner(const vault_id& vault, word_signer signer) {
    std::lock_guard guard{mutex_};
    signers_[vault] = std::move(signer);
  }
  void drop_owner(const vault_id& vault) {
    std::lock_guard guard{mutex_};
    signers_.erase(vault);
  }
  /// Those whose vaults are open.
  [[nodiscard]] std::map<vault_id, word_signer> owners() const {
    std::lock_guard guard{mutex_};
    return signers_;
  }
  /// `locked` where its vault is not open.
  [[nodiscard]] result<word_signer> signer_of(const vault_id& vault) const {
    std::lock_guard guard{mutex_};
    auto found = signers_.find(vault);
    if (found == signers_.end())
      return fail(errc::locked, "sign for a vault that is not open", vault.brief());
    return found->second;
  }

private:
  mutable std::mutex mutex_;
  std::optional<way> way_;
  std::map<vault_id, word_signer> signers_;
  std::map<peer_id, std::shared_ptr<const peer_standing>> standings_;
  std::vector<peer_id> nodes_;
  uint64_t number_ = 0;
};

/// Lets this node ask *holder* for the next half hour what that keeps for *owner*.
[[nodiscard]] inline result<permit> sign_permit(const peer_access::way& through, const vault_id& owner, const word_signer& signer,
                                                const peer_id& holder, clock::wall_time now) {
  permit what;
  what.owner = owner;
  what.holder = holder;
  what.asker = through.self;
  what.expiry = std::chrono::floor<std::chrono::seconds>(now) + std::chrono::minutes{30};
  return sign(through.mesh, std::move(what), signer);
}

} // namespace datamesh::network
