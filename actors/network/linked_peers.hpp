// With which nodes there are links, as soon as one is up or down.
//
// Thread rule: any thread.
#pragma once

#include "datamesh/mesh.hpp"

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
  [[nodiscard]] bool has(const peer_id& peer) const {
    std::lock_guard guard{mutex_};
    return peers_.contains(peer);
  }

private:
  mutable std::mutex mutex_;
  std::set<peer_id> peers_;
};

} // namespace datamesh::network
