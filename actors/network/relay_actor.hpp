// Passes on between other nodes where its operator lets it, and reaches others through nodes that do so, or is reached: one
// actor for all three. docs/formats/relay.md.
//
// It ends by an exit message. End it before the links.
#pragma once

#include "datamesh/mesh.hpp"
#include "network/link_actor.hpp"
#include "network/relay_table.hpp"
#include "network/relayed_transport.hpp"

#include <functional>

namespace datamesh::network {

/// Nodes through which a node is reached that nobody can dial, at most.
inline constexpr size_t relays_max = 2;
/// Those that it dialed, which are asked in turn whether they pass on; more are not looked at.
inline constexpr size_t relay_candidates_max = 64;
/// How often it is seen to that there are enough; one that refused is asked again after the second, one that was not reached after
/// the third.
inline constexpr auto relays_looked_at = std::chrono::seconds{15};
inline constexpr auto refused_asked_again = std::chrono::minutes{10};
inline constexpr auto lost_dialed_again = std::chrono::minutes{1};
/// How long a piece may take until the other end has taken it.
inline constexpr auto piece_time_max = std::chrono::seconds{45};

using relay_actor = caf::typed_actor<
    // A peer's request of this part: a `peer_handler_actor`, for the router.
    caf::replies_to<v1::PeerRequest, bytes>::with<v1::PeerAnswer, bytes>,
    // What the watch of the links is told.
    caf::reacts_to<v1::LinkUp>, caf::reacts_to<v1::LinkDown>,
    // Where others dial this node; while that is nowhere it asks others to pass on to it.
    caf::reacts_to<v1::TellAddresses>>;

/// What it does now.
struct relay_facts {
  std::optional<relay_report> report; ///< None where it passes on nothing.
  std::vector<endpoint> relays;       ///< Through which this node is reached.
};

struct relay_parts {
  std::shared_ptr<const clock> time;
  peer_id self;
  uint64_t bytes_per_second = 0; ///< That are passed on between others; 0: none.
  ip_rules rules;
  bool dialed = false; ///< Others can dial this node.
  link_actor links;
  std::shared_ptr<const linked_peers> linked;
  std::shared_ptr<relayed_transport> wire; ///< Of the links.
  /// Called on its thread, when that changes.
  std::function<void(const relay_facts&)> changed;
};

[[nodiscard]] relay_actor spawn_relay_actor(caf::actor_system& sys, const relay_parts& parts);

} // namespace datamesh::network
