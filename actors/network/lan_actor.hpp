// Says on the local network that this node is there, hears who else is, and names those to discovery, which dials
// them as any other contact. docs/formats/beacon.md.
//
// It ends by an exit message. Close it before discovery.
#pragma once

#include "datamesh/base/environment.hpp"
#include "network/discovery_actor.hpp"
#include "network/neighbourhood.hpp"
#include "network/peer_gate.hpp"

#include <functional>

namespace datamesh::network {

/// How often it is looked which interfaces there are.
inline constexpr auto interfaces_looked_at = std::chrono::seconds{5};

using lan_actor = caf::typed_actor<
    // From the thread of the sockets.
    caf::reacts_to<v1::LanHeard>, caf::reacts_to<v1::LanWake>, caf::replies_to<v1::ListNeighbours>::with<v1::NeighbourList>>;

struct lan_parts {
  environment env; ///< Clock and random are used.
  std::shared_ptr<const tls_identity> identity;
  network_id mesh;
  ip_rules rules;
  std::vector<endpoint> listens;   ///< With the ports that there are.
  std::vector<endpoint> announces; ///< What an operator says beyond that.
  discovery_actor discovery;
  std::shared_ptr<const peer_gate> gate; ///< Who is not let in is not dialed either. None in an open mesh.
  std::shared_ptr<lan_wire> wire;        ///< Not started yet.
  /// Told why it hears nobody, and with none that it does again; called on its thread.
  std::function<void(std::optional<error>)> failed;
};

[[nodiscard]] lan_actor spawn_lan_actor(caf::actor_system& sys, const lan_parts& parts);

} // namespace datamesh::network
