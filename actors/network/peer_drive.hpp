// Room that another node gives the vaults of this one, as a drive: an index of what lies there, in
// this node's home, and the node itself, which is asked over the mesh. What is stored goes by
// tickets that the vault signs, so it must be open. docs/formats/ticket.md, docs/formats/home.md.
//
// The node keeps what it was given until the ticket's end. A ticket is renewed when the shard is
// looked at in the second half of its life, so a vault on other nodes is verified every few weeks.
//
// Thread rule: as `shard_place`; calls wait for the node, but for `usage`, `state`, `list`, `find`
// and `is_in_place`.
#pragma once

#include "network/peer_access.hpp"
#include "storage/shard_place.hpp"

namespace datamesh::network {

/// What stands for the path of such a drive: "node:" and the node's id, 64 hexadecimal digits.
[[nodiscard]] std::string peer_folder(const peer_id& peer);
/// Nothing where it is a path.
[[nodiscard]] std::optional<peer_id> peer_of(std::string_view folder);
/// The same on every machine: BLAKE3("dm/peer-drive/1" | node id), its first bytes.
[[nodiscard]] drive_id peer_drive_id(const peer_id& peer);

/// How long a ticket is valid. A node remembers a deletion for longer.
inline constexpr auto ticket_life = std::chrono::hours{24 * 60};
/// How long the node may take for an answer. What waits for its turn on a slow line takes its time; that a node is
/// gone is found out sooner, by its silence (`silence_max`).
inline constexpr auto peer_answers_in = std::chrono::seconds{120};

struct peer_drive_options {
  std::string index_folder; ///< Made where there is none.
  peer_id peer;
  std::shared_ptr<peer_access> access;
};

/// What `shard_index` answers. Begins to look for the node.
[[nodiscard]] result<std::unique_ptr<storage::shard_place>> open_peer_drive(caf::actor_system& sys, const environment& env,
                                                                            peer_drive_options options);

} // namespace datamesh::network
