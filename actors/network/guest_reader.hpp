// Reads what a node keeps for others, on a thread of its own.
#pragma once

#include "network/guest_store.hpp"
#include "network/link_actor.hpp"
#include "storage/workplace.hpp"

namespace datamesh::network {

/// Answers requests to read, prove and list, as a peer sends them. @pre what is signed in them
/// was verified
[[nodiscard]] peer_handler_actor spawn_guest_reader(caf::actor_system& sys, std::shared_ptr<const guest_store> guests,
                                                    const std::shared_ptr<storage::workplace>& place = nullptr);

} // namespace datamesh::network
