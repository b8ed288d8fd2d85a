// Whether a node may have a link with this one, beyond knowing the mesh.
#pragma once

#include "network/peer_id.hpp"

#include <cstdint>

namespace datamesh::network {

/// Why one node refuses another. On the wire; never renumbered.
enum class link_refusal : uint8_t {
  none = 0,
  other_mesh = 1,
  no_member = 2,       ///< It is not on the list of members.
  members_expired = 3, ///< The list that the refusing node has ran out.
};

class peer_gate {
public:
  virtual ~peer_gate() = default;
  /// Called on any thread; returns soon.
  [[nodiscard]] virtual link_refusal refuses(const peer_id& peer) const = 0;
};

} // namespace datamesh::network
