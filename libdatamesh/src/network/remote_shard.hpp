// What is done with a shard that another node keeps: nothing of what that says is believed
// before it is checked here. docs/formats/ticket.md.
//
// Thread rule: functions are safe to call from any thread.
#pragma once

#include "network/shard_message.hpp"

namespace datamesh::network {

/// The number under which a shard is sent: a part of its ticket's name, so an upload that
/// begins again goes on.
[[nodiscard]] uint64_t upload_number(const ticket& of);

// `peer_lies` for whatever is not what it should be: an honest node checks what it
// reads from its own drives, so who sends it lies.

/// The receipt of *holder* for that ticket.
[[nodiscard]] result<receipt> check_receipt(const network_id& mesh, byte_view raw, const ticket& of, const peer_id& holder);
/// That of *holder* for that deletion.
[[nodiscard]] result<removal> check_removal(const network_id& mesh, byte_view raw, const deletion& of, const peer_id& holder);
/// The header of the ticket's shard.
[[nodiscard]] result<storage::shard_header> check_header_from(byte_view raw, const ticket& of);
/// Exactly those blocks.
[[nodiscard]] result<void> check_blocks(const storage::shard_header& header, uint32_t first, uint32_t count, byte_view blocks);
/// Tickets of that owner, in order behind *after*, and no more than were asked for.
[[nodiscard]] result<std::vector<ticket>> check_listed(const network_id& mesh, const shards_listed& listed, const vault_id& owner,
                                                       const std::optional<shard_key>& after, uint32_t limit);

} // namespace datamesh::network
