// An opened vault as an actor, for programs that run CAF themselves: they spawn it in
// their own actor system, send it the messages of `datamesh/v1/control.proto`, and get
// answers, or a `caf::error` that `from_caf` turns into ours. What the calls mean is
// said at `datamesh::vault`. Link `datamesh::actors`, and tell CAF the messages:
//
//   config.add_message_types<caf::id_block::datamesh_vault>();
//   auto vault = datamesh::spawn_vault(system, std::move(opened));
//   self->request(vault, limit, put, datamesh::slices{content}).receive(...);
//
// Jobs (put, get, verify, cleanup, rebalance) each run in a short-lived actor with a
// thread of its own, all else on the vault actor's thread: the host's scheduler never
// waits for a disk. When the vault actor ends, its jobs are cancelled; the vault closes
// with the last of them, and the node outlives all of these actors.
//
// CAF's network protocol can not carry these messages: bytes ride as references.
#pragma once

#include "datamesh/base/message_actor.hpp"
#include "datamesh/node.hpp"
#include "datamesh/v1/control.pb.h"

namespace datamesh {

inline constexpr caf::type_id_t vault_actor_first_type_id = caf::first_custom_type_id + 1000;

} // namespace datamesh

// Type ids 1200 to 1299, so that a host's own may begin at CAF's first.
CAF_BEGIN_TYPE_ID_BLOCK(datamesh_vault, ::datamesh::vault_actor_first_type_id)
CAF_ADD_TYPE_ID(datamesh_vault, (datamesh::bytes))
CAF_ADD_TYPE_ID(datamesh_vault, (datamesh::slices))
CAF_ADD_TYPE_ID(datamesh_vault, (datamesh::v1::ChangeResult))
CAF_ADD_TYPE_ID(datamesh_vault, (datamesh::v1::Cleanup))
CAF_ADD_TYPE_ID(datamesh_vault, (datamesh::v1::CleanupSummary))
CAF_ADD_TYPE_ID(datamesh_vault, (datamesh::v1::Entry))
CAF_ADD_TYPE_ID(datamesh_vault, (datamesh::v1::EntryPage))
CAF_ADD_TYPE_ID(datamesh_vault, (datamesh::v1::Event))
CAF_ADD_TYPE_ID(datamesh_vault, (datamesh::v1::GetStream))
CAF_ADD_TYPE_ID(datamesh_vault, (datamesh::v1::GetSummary))
CAF_ADD_TYPE_ID(datamesh_vault, (datamesh::v1::GetTrees))
CAF_ADD_TYPE_ID(datamesh_vault, (datamesh::v1::ListPart))
CAF_ADD_TYPE_ID(datamesh_vault, (datamesh::v1::Nothing))
CAF_ADD_TYPE_ID(datamesh_vault, (datamesh::v1::OnPath))
CAF_ADD_TYPE_ID(datamesh_vault, (datamesh::v1::PutStream))
CAF_ADD_TYPE_ID(datamesh_vault, (datamesh::v1::PutSummary))
CAF_ADD_TYPE_ID(datamesh_vault, (datamesh::v1::PutTrees))
CAF_ADD_TYPE_ID(datamesh_vault, (datamesh::v1::Rebalance))
CAF_ADD_TYPE_ID(datamesh_vault, (datamesh::v1::RebalanceSummary))
CAF_ADD_TYPE_ID(datamesh_vault, (datamesh::v1::StatusReport))
CAF_ADD_TYPE_ID(datamesh_vault, (datamesh::v1::VaultStats))
CAF_ADD_TYPE_ID(datamesh_vault, (datamesh::v1::Verify))
CAF_ADD_TYPE_ID(datamesh_vault, (datamesh::v1::VerifySummary))
CAF_ADD_TYPE_ID(datamesh_vault, (datamesh::v1::Versions))
CAF_ADD_ATOM(datamesh_vault, datamesh, cancel_atom, "cancel")
CAF_ADD_ATOM(datamesh_vault, datamesh, copy_atom, "copy")
CAF_ADD_ATOM(datamesh_vault, datamesh, folder_atom, "folder")
CAF_ADD_ATOM(datamesh_vault, datamesh, info_atom, "info")
CAF_ADD_ATOM(datamesh_vault, datamesh, move_atom, "move")
CAF_ADD_ATOM(datamesh_vault, datamesh, remove_atom, "remove")
CAF_ADD_ATOM(datamesh_vault, datamesh, revert_atom, "revert")
CAF_ADD_ATOM(datamesh_vault, datamesh, stats_atom, "stats")
CAF_ADD_ATOM(datamesh_vault, datamesh, status_atom, "status")
CAF_ADD_ATOM(datamesh_vault, datamesh, tag_atom, "tag")
CAF_ADD_ATOM(datamesh_vault, datamesh, versions_atom, "versions")
CAF_END_TYPE_ID_BLOCK(datamesh_vault)

namespace datamesh {

using vault_actor = caf::typed_actor<
    // Files and folders of the vault's environment, in and out. Answered when durable.
    caf::replies_to<v1::PutTrees>::with<v1::PutSummary>, caf::replies_to<v1::GetTrees>::with<v1::GetSummary>,
    // One file whose content is the slices, one behind the other.
    caf::replies_to<v1::PutStream, slices>::with<v1::PutSummary>,
    // A range of a file; `capacity_exceeded` where it is longer than `fetch_max`.
    caf::replies_to<v1::GetStream>::with<bytes>,
    // Names. Each uses the fields of OnPath that it needs.
    caf::replies_to<v1::ListPart>::with<v1::EntryPage>, caf::replies_to<info_atom, v1::OnPath>::with<v1::Entry>,
    caf::replies_to<versions_atom, v1::OnPath>::with<v1::Versions>, caf::replies_to<remove_atom, v1::OnPath>::with<v1::ChangeResult>,
    caf::replies_to<move_atom, v1::OnPath>::with<v1::ChangeResult>, caf::replies_to<copy_atom, v1::OnPath>::with<v1::ChangeResult>,
    caf::replies_to<folder_atom, v1::OnPath>::with<v1::ChangeResult>, caf::replies_to<tag_atom, v1::OnPath>::with<v1::ChangeResult>,
    caf::replies_to<revert_atom, v1::OnPath>::with<v1::ChangeResult>,
    // Puts changes that are only in the catalog into packs.
    caf::replies_to<caf::flush_atom>::with<v1::Nothing>,
    // Care.
    caf::replies_to<stats_atom>::with<v1::VaultStats>, caf::replies_to<status_atom>::with<v1::StatusReport>,
    caf::replies_to<v1::Verify>::with<v1::VerifySummary>, caf::replies_to<v1::Cleanup>::with<v1::CleanupSummary>,
    caf::replies_to<v1::Rebalance>::with<v1::RebalanceSummary>,
    // Cancels the jobs that the sender asked for: each answers `cancelled`.
    caf::reacts_to<cancel_atom>>;

struct vault_actor_options {
  /// Jobs at once; more are answered with `capacity_exceeded`.
  size_t jobs_max = 16;
  /// A job ends with `timed_out` after this.
  std::chrono::milliseconds job_timeout = std::chrono::hours{24};
  /// Bytes that a GetStream may answer.
  uint64_t fetch_max = 64ull << 20;
};

[[nodiscard]] vault_actor spawn_vault(caf::actor_system& sys, vault opened, vault_actor_options options = {});

/// Takes the events of a node.
using event_listener_actor = caf::typed_actor<caf::reacts_to<v1::Event>>;

/// For `node_options::on_event`: sends each event to *whom*, and never waits for it.
[[nodiscard]] std::function<void(const event&)> tell(event_listener_actor whom);

} // namespace datamesh
