// Writes what a node keeps for others, on a thread of its own, and signs for it when it is
// durable.
#pragma once

#include "network/guest_store.hpp"
#include "network/link_messages.hpp"
#include "network/tls_link.hpp"
#include "storage/workplace.hpp"

namespace datamesh::network {

using guest_keeper_actor = caf::typed_actor<
    // A receipt for what is here already, or none where it is to be sent. No bytes are beside
    // any answer: it is what the peer is told.
    caf::replies_to<v1::ClaimGuest>::with<v1::PeerAnswer, bytes>,
    // A shard that came whole: a receipt.
    caf::replies_to<v1::KeepGuest, bytes>::with<v1::PeerAnswer, bytes>, caf::replies_to<v1::RemoveGuests>::with<v1::PeerAnswer, bytes>,
    caf::replies_to<v1::KeepRoster>::with<v1::PeerAnswer, bytes>, caf::replies_to<v1::RememberSiblings>::with<v1::Done>,
    caf::replies_to<v1::LetGoOfGuest>::with<v1::Done>, caf::replies_to<v1::ExpireGuests>::with<v1::Done>,
    // Some of what is to be done for the room that is held for others.
    caf::replies_to<v1::SettleGuests>::with<v1::GuestsSettled>,
    // Writes what indexes hold in memory, before it ends.
    caf::replies_to<caf::close_atom>::with<v1::Done>>;

struct keeper_parts {
  std::shared_ptr<const clock> time;
  std::shared_ptr<guest_store> guests;
  std::shared_ptr<const tls_identity> identity;
  network_id mesh;
  std::shared_ptr<storage::workplace> place = nullptr;
};

[[nodiscard]] guest_keeper_actor spawn_guest_keeper(caf::actor_system& sys, const keeper_parts& parts);

} // namespace datamesh::network
