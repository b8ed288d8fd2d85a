// Keeps a link with a node: with one on which shards of this one lie, and then knows how much room
// is left there, or with one that keeps shards of the same packs for others.
//
// It ends by an exit message.
#pragma once

#include "network/peer_access.hpp"

namespace datamesh::network {

/// How often it is seen to that there is a link, and for how long what the node said of its room
/// is taken for so.
inline constexpr auto link_looked_at = std::chrono::seconds{2};
/// One that is not found is looked for again after 2, 4, 8 ... seconds, up to this.
inline constexpr auto looked_for_at_least = std::chrono::minutes{1};
inline constexpr auto room_known_for = std::chrono::seconds{30};

using peer_watch_actor = caf::typed_actor<caf::reacts_to<v1::ShardWake>>;

/// @param standing of a node that is a drive, which is brought up to date; null for one that is told nothing of
/// the vaults of this node
[[nodiscard]] peer_watch_actor spawn_peer_watch(caf::actor_system& sys, std::shared_ptr<const clock> time,
                                                std::shared_ptr<const peer_access> access, const peer_id& peer,
                                                std::shared_ptr<peer_standing> standing = nullptr);

} // namespace datamesh::network
