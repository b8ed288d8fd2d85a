// Hands each request of a peer to the part of the node that it is for.
#pragma once

#include "network/link_actor.hpp"
#include "network/peer_part.hpp"

namespace datamesh::network {

/// The handler that `link_actor` wants. The code of the answer is `format_newer` for a part
/// that this version does not know of, `unavailable` for one that nobody serves or that has
/// ended, `protocol_violated` for a request to none. It keeps no request, so what waits is
/// bounded by what links grant.
using peer_router_actor = caf::typed_actor<caf::replies_to<v1::PeerRequest, bytes>::with<v1::PeerAnswer, bytes>,
                                           // From now on requests to that part, without the part's number, go to that actor, which
                                           // is a `peer_handler_actor`. The last one counts.
                                           caf::replies_to<v1::ServePart, caf::actor>::with<v1::Done>>;

[[nodiscard]] peer_router_actor spawn_peer_router(caf::actor_system& sys);

[[nodiscard]] v1::ServePart serve_part(peer_part part);

} // namespace datamesh::network
