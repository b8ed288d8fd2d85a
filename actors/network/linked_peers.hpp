// With which nodes there are links, as soon as one is up or down.
//
// Thread rule: any thread.
#pragma once

#include "datamesh/mesh.hpp"

#include <algorithm>
#include <map>
#include <mutex>
#include <set>

namespace datamesh::network {

class linked_peers {
public:
  /// There are so many links with it now.
  void note(const peer_id& peer, size_t links) {
    std::lock_guard guard{mutex_};
    if (links > 0)
      peers_.insert(peer);
    else
      peers_.erase(peer);
  }
  /// A link that another node passes on is up.
  void note_relayed(uint64_t link, const peer_id& peer) {
    std::lock_guard guard{mutex_};
    relayed_[link] = peer;
  }
  /// A link of any kind is down.
  void note_ended(uint64_t link) {
    std::lock_guard guard{mutex_};
    relayed_.erase(link);
  }
  /// Whether there are links with it, and none that another node passes on.
  [[nodiscard]] bool is_direct(const peer_id& peer) const {
    std::lock_guard guard{mutex_};
    return peers_.contains(peer) && std::ranges::none_of(relayed_, [&](const auto& one) { return one.second == peer; });
  }
  [[nodiscard]] bool has(const peer_id& peer) const {
    std::lock_guard guard{mutex_};
    return peers_.contains(peer);
  }

private:
  mutable std::mutex mutex_;
  std::set<peer_id> peers_;
  std::map<uint64_t, peer_id> relayed_; ///< By the number of the link.
};

} // namespace datamesh::network
