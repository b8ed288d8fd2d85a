// A node and where it says that it is reached.
#pragma once

#include "datamesh/base/clock.hpp"
#include "network/endpoint.hpp"
#include "network/key_space.hpp"

namespace datamesh::network {

using mesh_time = clock::monotonic_time;

/// Addresses of one node that are told and kept, at most.
inline constexpr size_t contact_addresses_max = 4;

struct contact {
  peer_id id;
  std::vector<endpoint> addresses; ///< 1 to `contact_addresses_max`, the best first; ports are not 0.

  friend bool operator==(const contact&, const contact&) = default;
};

} // namespace datamesh::network
