// Shards that other nodes keep for owners of this one: stores, reads, challenges, deletes and
// lists, over the links, and checks all that it is told. docs/formats/ticket.md.
//
// It ends by an exit message; end it before the links.
#pragma once

#include "network/link_actor.hpp"
#include "network/remote_shard.hpp"

namespace datamesh::network {

/// Requests with blocks of one shard that are under way at once.
inline constexpr size_t uploads_ahead = 4;

/// There has to be a link with the peer. Every request of it has the timeout that is given;
/// `protocol_violated` when the peer said what can not be.
using remote_shards_actor = caf::typed_actor<
    // Stores a shard, the body beside it; nothing is sent of what is there already. Without a body
    // only the ticket of what is there is renewed: `shard_missing` where it is to be sent.
    caf::replies_to<v1::StoreAtPeer, bytes>::with<v1::StoredAtPeer>,
    // Whole blocks, each checked against the pack id.
    caf::replies_to<v1::ReadAtPeer>::with<v1::ReadFromPeer, bytes>,
    // One block and its way to the pack id; nothing else has to be known.
    caf::replies_to<v1::ProveAtPeer>::with<v1::Done, bytes>, caf::replies_to<v1::DeleteAtPeer>::with<v1::DeletedAtPeer>,
    caf::replies_to<v1::ListAtPeer>::with<v1::ListedAtPeer>, caf::replies_to<v1::RoomAtPeer>::with<v1::RoomOfPeer>,
    caf::replies_to<v1::GiveRoster>::with<v1::Done>, caf::replies_to<v1::CompareAtPeer>::with<v1::ComparedAtPeer>>;

[[nodiscard]] remote_shards_actor spawn_remote_shards(caf::actor_system& sys, link_actor links, const network_id& mesh);

} // namespace datamesh::network
