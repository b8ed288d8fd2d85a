// The links of a node, for the rest of it. One actor for all links: they are data of a
// `link_hub` on the transport's thread, where bytes are opened and sealed; what crosses
// to the actor are whole requests and answers.
//
// It ends by `close_atom` or an exit message, not by being forgotten.
#pragma once

#include "network/link_hub.hpp"
#include "network/link_messages.hpp"
#include "network/linked_peers.hpp"

namespace datamesh::network {

/// Answers what peers ask; an error becomes the code of the answer.
using peer_handler_actor = caf::typed_actor<caf::replies_to<v1::PeerRequest, bytes>::with<v1::PeerAnswer, bytes>>;

/// Is told of each link, once when it is up and once when it is down, and of each that one of both
/// refused before.
using link_watch_actor = caf::typed_actor<caf::reacts_to<v1::LinkUp>, caf::reacts_to<v1::LinkDown>, caf::reacts_to<v1::LinkRefused>>;

using link_actor = caf::typed_actor<
    // A link with that node, dialed where there is none, or where it is not yet known that
    // the node is reached there, if that is asked for. Ends within `handshake_time_max`.
    caf::replies_to<v1::ConnectPeer>::with<v1::PeerConnected>,
    // Asks a node with which there is a link; waits for its credit. Ends in time.
    caf::replies_to<v1::AskPeer, bytes>::with<v1::PeerAnswer, bytes>,
    // Closes the links with that node.
    caf::replies_to<v1::DropPeer>::with<v1::Done>,
    // Closes the links with whom the gate of its options lets in no more.
    caf::reacts_to<v1::CheckPeers>, caf::replies_to<v1::ListLinks>::with<v1::LinkList>,
    // Tells all peers, closes all, and ends.
    caf::replies_to<caf::close_atom>::with<v1::Done>>;

struct link_parts {
  std::shared_ptr<transport> wire; ///< Not started.
  std::shared_ptr<const clock> time;
  std::shared_ptr<const tls_identity> identity;
  hub_options options;
  peer_handler_actor handler;                     ///< Or none: peers are answered `unavailable`.
  link_watch_actor watch;                         ///< Or none.
  std::shared_ptr<linked_peers> linked = nullptr; ///< Is kept up to date, before the watch is told; or none.
};

[[nodiscard]] link_actor spawn_link_actor(caf::actor_system& sys, const link_parts& parts);

[[nodiscard]] v1::PeerAddress to_proto(const endpoint& from);
[[nodiscard]] result<endpoint> from_proto(const v1::PeerAddress& from);

} // namespace datamesh::network
