// A node and where it says that it is reached.
#pragma once

#include "datamesh/base/clock.hpp"
#include "network/ip_address.hpp"
#include "network/key_space.hpp"

namespace datamesh::network {

using mesh_time = clock::monotonic_time;

struct endpoint {
  ip_address ip;
  uint16_t port = 0; ///< Of TCP; never 0.

  friend auto operator<=>(const endpoint&, const endpoint&) = default;
};

/// Addresses of one node that are told and kept, at most.
inline constexpr size_t contact_addresses_max = 4;

struct contact {
  peer_id id;
  std::vector<endpoint> addresses; ///< 1 to `contact_addresses_max`, the best first.

  friend bool operator==(const contact&, const contact&) = default;
};

} // namespace datamesh::network
