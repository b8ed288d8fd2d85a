// The facade's structures as protobuf and back. Whatever comes in is checked: ids have
// their size, enumerations their bounds.
#pragma once

#include "datamesh/node.hpp"

#include "datamesh/v1/control.pb.h"

namespace datamesh::control {

void write(v1::Failure& to, const error& from);
[[nodiscard]] error read(const v1::Failure& from);

void write(v1::PutTrees& to, const put_request& from);
[[nodiscard]] result<put_request> read(const v1::PutTrees& from);
void write(v1::PutStream& to, const put_stream_request& from);
[[nodiscard]] result<put_stream_request> read(const v1::PutStream& from);
void write(v1::GetTrees& to, const get_request& from);
[[nodiscard]] result<get_request> read(const v1::GetTrees& from);
void write(v1::ListPart& to, const list_request& from);
[[nodiscard]] list_request read(const v1::ListPart& from);
void write(v1::Verify& to, const verify_request& from);
[[nodiscard]] result<verify_request> read(const v1::Verify& from);
void write(v1::Cleanup& to, const cleanup_request& from);
[[nodiscard]] cleanup_request read(const v1::Cleanup& from);

void write(v1::DriveLabelling& to, const drive_label_change& from);
[[nodiscard]] drive_label_change read(const v1::DriveLabelling& from);
void write(v1::PlacementRule& to, const placement_rule& from);
/// `format_damaged` for a kind of label that this version does not know.
[[nodiscard]] result<placement_rule> read(const v1::PlacementRule& from);
void write(v1::DriveReport& to, const drive_report& from);
[[nodiscard]] result<drive_report> read(const v1::DriveReport& from);
void write(v1::MeshReply& to, const std::optional<mesh_report>& from);
[[nodiscard]] result<std::optional<mesh_report>> read(const v1::MeshReply& from);
void write(v1::PeerReports& to, const std::vector<peer_report>& from);
[[nodiscard]] result<std::vector<peer_report>> read(const v1::PeerReports& from);
/// `invalid_argument` for a number that stands for nothing.
[[nodiscard]] result<hosting> read_hosting(uint32_t from);
void write(v1::RatePlan& to, const rate_plan& from);
/// What can not be is for the node to refuse, but for a minute that has no room: `invalid_argument`.
[[nodiscard]] result<rate_plan> read(const v1::RatePlan& from);
/// Without the peer; what can not be is for the node to refuse.
[[nodiscard]] line_test read(const v1::LineTest& from);
void write(v1::LineReport& to, const line_report& from);
[[nodiscard]] result<line_report> read(const v1::LineReport& from);
void write(v1::NeighbourReports& to, const std::vector<neighbour_report>& from);
[[nodiscard]] result<std::vector<neighbour_report>> read(const v1::NeighbourReports& from);
void write(v1::RoomReports& to, const std::vector<room_report>& from);
[[nodiscard]] result<std::vector<room_report>> read(const v1::RoomReports& from);
void write(v1::KeyLocks& to, const std::vector<key_lock>& from);
[[nodiscard]] std::vector<key_lock> read(const v1::KeyLocks& from);
void write(v1::Vaults::Facts& to, const vault_facts& from);
[[nodiscard]] result<vault_facts> read(const v1::Vaults::Facts& from);
void write(v1::TransferWaits& to, const transfer_waits& from);
[[nodiscard]] transfer_waits read(const v1::TransferWaits& from);
void write(v1::DestroySummary& to, const destroy_summary& from);
[[nodiscard]] destroy_summary read(const v1::DestroySummary& from);
void write(v1::RebuildSummary& to, const rebuild_summary& from);
[[nodiscard]] rebuild_summary read(const v1::RebuildSummary& from);
void write(v1::RecoverSummary& to, const recover_summary& from);
[[nodiscard]] result<recover_summary> read(const v1::RecoverSummary& from);
void write(v1::PutSummary& to, const put_summary& from);
[[nodiscard]] put_summary read(const v1::PutSummary& from);
void write(v1::GetSummary& to, const get_summary& from);
[[nodiscard]] get_summary read(const v1::GetSummary& from);
void write(v1::Entry& to, const entry& from);
[[nodiscard]] result<entry> read(const v1::Entry& from);
void write(v1::Versions& to, const std::vector<version_entry>& from);
[[nodiscard]] result<std::vector<version_entry>> read(const v1::Versions& from);
void write(v1::VaultStats& to, const vault_stats& from);
[[nodiscard]] vault_stats read(const v1::VaultStats& from);
void write(v1::RecoveryReport& to, const recovery_report& from);
[[nodiscard]] result<recovery_report> read(const v1::RecoveryReport& from);
void write(v1::StatusReport& to, const status_report& from);
[[nodiscard]] result<status_report> read(const v1::StatusReport& from);
void write(v1::VerifySummary& to, const verify_summary& from);
[[nodiscard]] result<verify_summary> read(const v1::VerifySummary& from);
void write(v1::CleanupSummary& to, const cleanup_summary& from);
[[nodiscard]] cleanup_summary read(const v1::CleanupSummary& from);
void write(v1::RebalanceSummary& to, const rebalance_summary& from);
[[nodiscard]] rebalance_summary read(const v1::RebalanceSummary& from);
void write(v1::DriveIds& to, const std::vector<drive_id>& from);
[[nodiscard]] result<std::vector<drive_id>> read(const v1::DriveIds& from);
void write(v1::LossReport& to, const loss_report& from);
[[nodiscard]] result<loss_report> read(const v1::LossReport& from);
void write(v1::Distribution& to, const distribution_request& from);
[[nodiscard]] distribution_request read(const v1::Distribution& from);
void write(v1::DistributionReport& to, const distribution_report& from);
[[nodiscard]] result<distribution_report> read(const v1::DistributionReport& from);
void write(v1::Event& to, const event& from);
[[nodiscard]] event read(const v1::Event& from);
void write(v1::ControlAnswer::Status& to, const file_status& from);
[[nodiscard]] result<file_status> read(const v1::ControlAnswer::Status& from);

[[nodiscard]] result<if_exists> read_conflict(uint32_t raw);

/// `format_damaged` unless *raw* has the id's size.
template <class Id>
[[nodiscard]] result<Id> read_id(const std::string& raw) {
  if (raw.size() != Id::size)
    return fail(errc::format_damaged, "read an id");
  return Id::from(as_view(raw));
}

} // namespace datamesh::control
