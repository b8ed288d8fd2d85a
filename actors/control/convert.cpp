#include "control/convert.hpp"

#include <algorithm>

namespace datamesh::control {

namespace {

constexpr int causes_max = 8;

void write_failure(v1::Failure& to, const error& from, int depth) {
  to.set_code(static_cast<uint32_t>(from.code()));
  to.set_attempted(from.attempted());
  to.set_object(from.object());
  if (from.cause() != nullptr && depth < causes_max)
    write_failure(*to.mutable_cause(), *from.cause(), depth + 1);
}

errc read_code(uint32_t raw) {
  for (const auto& facts : all_error_facts())
    if (static_cast<uint32_t>(facts.code) == raw)
      return facts.code;
  return errc::internal;
}

void write_failures(google::protobuf::RepeatedPtrField<v1::ItemFailure>& to, const std::vector<item_failure>& from) {
  for (const auto& failure : from) {
    auto* row = to.Add();
    row->set_path(failure.path);
    write(*row->mutable_reason(), failure.reason);
  }
}

std::vector<item_failure> read_failures(const google::protobuf::RepeatedPtrField<v1::ItemFailure>& from) {
  std::vector<item_failure> failures;
  for (const auto& row : from)
    failures.push_back({row.path(), read(row.reason())});
  return failures;
}

std::vector<std::string> read_texts(const google::protobuf::RepeatedPtrField<std::string>& from) {
  return {from.begin(), from.end()};
}

} // namespace

// A structure's plain fields are listed once; both ways are made from the list.
#define DATAMESH_SET(field) to.set_##field(from.field);
#define DATAMESH_GET(field) to.field = from.field();
#define DATAMESH_CONVERT(message, structure, fields)                                                                                       \
  void write(message& to, const structure& from){fields(DATAMESH_SET)} structure read(const message& from) {                               \
    structure to;                                                                                                                          \
    fields(DATAMESH_GET) return to;                                                                                                        \
  }

#define REBUILD_FIELDS(F)                                                                                                                  \
  F(packs) F(packs_unreadable) F(packs_newer) F(operations) F(files) F(operations_missing) F(drives_unseen) F(packs_incomplete)
#define RECOVER_FIELDS(F) F(made_ns) F(nodes_left_out)
#define RECOVERY_FIELDS(F) F(copies) F(nodes) F(nodes_left_out)
#define CLEANUP_FIELDS(F)                                                                                                                  \
  F(nodes_forgotten) F(versions_forgotten) F(packs_deleted) F(packs_copied) F(bytes_copied) F(bytes_freed) F(shards_waiting)
#define PEER_FIELDS(F) F(known) F(links_dialed) F(links_accepted)
#define REBALANCE_FIELDS(F) F(shards_moved) F(bytes_moved) F(shards_left)
#define STATS_FIELDS(F)                                                                                                                    \
  F(files)                                                                                                                                 \
  F(folders)                                                                                                                               \
  F(symlinks)                                                                                                                              \
  F(versions)                                                                                                                              \
  F(logical_bytes)                                                                                                                         \
  F(chunks)                                                                                                                                \
  F(chunk_plain_bytes)                                                                                                                     \
  F(chunk_sealed_bytes)                                                                                                                    \
  F(packs) F(pack_bytes) F(shard_bytes) F(operations) F(catalog_bytes) F(last_checkpoint_ns) F(operations_since_checkpoint)
#define PUT_FIELDS(F)                                                                                                                      \
  F(files)                                                                                                                                 \
  F(folders)                                                                                                                               \
  F(symlinks)                                                                                                                              \
  F(bytes)                                                                                                                                 \
  F(hole_bytes)                                                                                                                            \
  F(chunks)                                                                                                                                \
  F(chunks_known)                                                                                                                          \
  F(files_unread)                                                                                                                          \
  F(bytes_unread) F(bytes_known) F(bytes_new_plain) F(bytes_new_sealed) F(bytes_written) F(packs) F(shards_short) F(failure_count)
#define GET_FIELDS(F) F(files) F(folders) F(symlinks) F(bytes) F(bytes_resumed) F(shards_bad) F(reads_hedged) F(failure_count)
#define WAITS_FIELDS(F) F(elapsed_ns) F(memory_ns) F(source_ns) F(codec_ns) F(drives_ns) F(catalog_ns) F(target_ns) F(drive)
#define VERIFY_FIELDS(F)                                                                                                                   \
  F(packs) F(shards) F(bytes) F(shards_missing) F(shards_damaged) F(shards_repaired) F(shards_unplaced) F(packs_lost) F(packs_unread)
#define LIST_FIELDS(F) F(path) F(recursive) F(health) F(cursor) F(limit)
#define DRIVE_FIELDS(F) F(folder) F(state) F(shards) F(shard_bytes) F(disk_total) F(disk_free) F(outside_rule) F(held)
#define AUDIT_FIELDS(F) F(score) F(lies) F(passed) F(lost) F(wrong) F(unanswered)
#define AUDIT_EVENT_FIELDS(F) F(when_ns) F(what) F(shard) F(block) F(score)
#define LABEL_FIELDS(F) F(region) F(zone) F(operated_by)
#define RATE_FIELDS(F) F(up) F(down)
#define STANDING_FIELDS(F) F(full) F(below_full) F(at_margin) F(lost)
#define LOSS_FIELDS(F) F(packs) F(shards_gone) F(bytes_gone) F(shards_to_repair) F(bytes_to_write) F(bytes_to_read) F(shards_unplaced)
#define SHARE_FIELDS(F) F(name) F(labelled) F(packs) F(shards) F(shards_bad) F(bytes) F(packs_needed)
#define DISTRIBUTION_FIELDS(F) F(files) F(packs) F(shards) F(shards_bad) F(shards_outside)
#define LOCK_FIELDS(F) F(number) F(kind) F(label) F(created_ns)
#define ENTRY_FIELDS(F) F(path) F(name) F(size) F(mode) F(modified_ns) F(symlink_target) F(version_count)
#define VERSION_FIELDS(F) F(stored_ns) F(modified_ns) F(size) F(current)
#define STATUS_FIELDS(F)                                                                                                                   \
  F(sentence) F(policy) F(policy_level) F(packs) F(packs_degraded) F(packs_lost) F(packs_weaker) F(margin_min) F(shards_outside)
#define EVENT_FIELDS(F) F(sequence) F(wall_ns) F(job) F(subject) F(detail) F(items_done) F(items_total) F(bytes_done) F(bytes_total)
#define FILE_FIELDS(F) F(size) F(allocated) F(mode) F(modified_ns) F(changed_ns) F(device) F(inode)

DATAMESH_CONVERT(v1::RebuildSummary, rebuild_summary, REBUILD_FIELDS)
DATAMESH_CONVERT(v1::TransferWaits, transfer_waits, WAITS_FIELDS)
DATAMESH_CONVERT(v1::CleanupSummary, cleanup_summary, CLEANUP_FIELDS)
DATAMESH_CONVERT(v1::RebalanceSummary, rebalance_summary, REBALANCE_FIELDS)
DATAMESH_CONVERT(v1::VaultStats, vault_stats, STATS_FIELDS)
DATAMESH_CONVERT(v1::ListPart, list_request, LIST_FIELDS)

namespace {
DATAMESH_CONVERT(v1::DriveLabels, drive_labels, LABEL_FIELDS)
DATAMESH_CONVERT(v1::RateLimits, rate_limits, RATE_FIELDS)
DATAMESH_CONVERT(v1::PackStanding, pack_standing, STANDING_FIELDS)
} // namespace

// -- failures ---------------------------------------------------------------------

void write(v1::Failure& to, const error& from) {
  write_failure(to, from, 0);
}

error read(const v1::Failure& from) {
  if (!from.has_cause())
    return error{read_code(from.code()), from.attempted(), from.object()};
  return read(from.cause()).as(read_code(from.code()), from.attempted(), from.object());
}

// -- requests ----------------------------------------------------------------------------

result<if_exists> read_conflict(uint32_t raw) {
  if (raw > static_cast<uint32_t>(if_exists::rename))
    return fail(errc::format_damaged, "read a conflict policy");
  return static_cast<if_exists>(raw);
}

void write(v1::DestroySummary& to, const destroy_summary& from) {
  to.set_packs(from.packs);
  to.set_shards_removed(from.shards_removed);
  to.set_bytes_freed(from.bytes_freed);
  for (const auto& folder : from.drives_left)
    to.add_drives_left(folder);
}

destroy_summary read(const v1::DestroySummary& from) {
  return {from.packs(), from.shards_removed(), from.bytes_freed(), {from.drives_left().begin(), from.drives_left().end()}};
}

void write(v1::PutTrees& to, const put_request& from) {
  for (const auto& item : from.sources) {
    auto* row = to.add_sources();
    row->set_source_path(item.source_path);
    row->set_target_path(item.target_path);
  }
  to.set_conflict(static_cast<uint32_t>(from.conflict));
  to.set_policy(from.policy);
  for (const auto& pattern : from.exclude)
    to.add_exclude(pattern);
  to.set_dry_run(from.dry_run);
  to.set_compare_contents(from.compare_contents);
}

result<put_request> read(const v1::PutTrees& from) {
  auto conflict = read_conflict(from.conflict());
  if (!conflict)
    return fail(conflict.error());
  put_request to;
  for (const auto& row : from.sources())
    to.sources.push_back({row.source_path(), row.target_path()});
  to.conflict = *conflict;
  to.policy = from.policy();
  to.exclude = read_texts(from.exclude());
  to.dry_run = from.dry_run();
  to.compare_contents = from.compare_contents();
  return to;
}

void write(v1::PutStream& to, const put_stream_request& from) {
  to.set_target_path(from.target_path);
  to.set_conflict(static_cast<uint32_t>(from.conflict));
  to.set_policy(from.policy);
  to.set_mode(from.mode);
  if (from.modified_ns)
    to.set_modified_ns(*from.modified_ns);
}

result<put_stream_request> read(const v1::PutStream& from) {
  auto conflict = read_conflict(from.conflict());
  if (!conflict)
    return fail(conflict.error());
  put_stream_request to;
  to.target_path = from.target_path();
  to.conflict = *conflict;
  to.policy = from.policy();
  to.mode = from.mode();
  if (from.has_modified_ns())
    to.modified_ns = from.modified_ns();
  return to;
}

void write(v1::GetTrees& to, const get_request& from) {
  for (const auto& path : from.paths)
    to.add_paths(path);
  to.set_target_folder(from.target_folder);
  to.set_target_name(from.target_name);
  to.set_overwrite(from.overwrite);
  if (from.version)
    to.set_version(std::string{from.version->text()});
}

result<get_request> read(const v1::GetTrees& from) {
  get_request to;
  to.paths = read_texts(from.paths());
  to.target_folder = from.target_folder();
  to.target_name = from.target_name();
  to.overwrite = from.overwrite();
  if (from.has_version()) {
    auto version = read_id<version_id>(from.version());
    if (!version)
      return fail(version.error());
    to.version = *version;
  }
  return to;
}

void write(v1::Verify& to, const verify_request& from) {
  to.set_deep(from.deep);
  to.set_repair(from.repair);
  for (const auto& path : from.paths)
    to.add_paths(path);
  to.set_dry_run(from.dry_run);
  to.set_packs_max(from.packs_max);
  to.set_background(from.background);
  if (from.after)
    to.set_after(std::string{from.after->text()});
}

result<verify_request> read(const v1::Verify& from) {
  verify_request to;
  to.packs_max = from.packs_max();
  to.background = from.background();
  if (from.has_after()) {
    auto after = read_id<pack_id>(from.after());
    if (!after)
      return fail(after.error());
    to.after = *after;
  }
  to.deep = from.deep();
  to.repair = from.repair();
  to.paths = read_texts(from.paths());
  to.dry_run = from.dry_run();
  return to;
}

void write(v1::Cleanup& to, const cleanup_request& from) {
  to.set_dry_run(from.dry_run);
  if (from.trash_age)
    to.set_trash_age_s(from.trash_age->count());
  to.set_keep_versions(from.keep_versions);
  to.set_policy(from.policy);
  to.set_give_up_unread(from.give_up_unread);
}

cleanup_request read(const v1::Cleanup& from) {
  cleanup_request to;
  to.dry_run = from.dry_run();
  // What a duration of nanoseconds holds, and no more.
  constexpr int64_t age_max = 9'000'000'000;
  if (from.has_trash_age_s())
    to.trash_age = std::chrono::seconds{std::clamp<int64_t>(from.trash_age_s(), 0, age_max)};
  to.keep_versions = from.keep_versions();
  to.policy = from.policy();
  to.give_up_unread = from.give_up_unread();
  return to;
}

// -- replies -----------------------------------------------------------------------------------

void write(v1::DriveLabelling& to, const drive_label_change& from) {
  if (from.region)
    to.set_region(*from.region);
  if (from.zone)
    to.set_zone(*from.zone);
  if (from.operated_by)
    to.set_operated_by(*from.operated_by);
}

drive_label_change read(const v1::DriveLabelling& from) {
  drive_label_change to;
  if (from.has_region())
    to.region = from.region();
  if (from.has_zone())
    to.zone = from.zone();
  if (from.has_operated_by())
    to.operated_by = from.operated_by();
  return to;
}

namespace {

void write(v1::DriveLabel& to, const drive_label& from) {
  to.set_kind(static_cast<uint32_t>(from.kind));
  to.set_value(from.value);
}

result<drive_label> read(const v1::DriveLabel& from) {
  if (from.kind() > static_cast<uint32_t>(label_kind::operated_by))
    return fail(errc::format_damaged, "read a label");
  return drive_label{static_cast<label_kind>(from.kind()), from.value()};
}

} // namespace

void write(v1::PlacementRule& to, const placement_rule& from) {
  for (const auto& one : from.only)
    write(*to.add_only(), one);
  for (const auto& one : from.never)
    write(*to.add_never(), one);
}

result<placement_rule> read(const v1::PlacementRule& from) {
  placement_rule to;
  auto take = [](const auto& rows, std::vector<drive_label>& labels) -> result<void> {
    for (const auto& row : rows) {
      auto one = read(row);
      if (!one)
        return fail(one.error());
      labels.push_back(std::move(*one));
    }
    return {};
  };
  if (auto taken = take(from.only(), to.only).and_then([&] { return take(from.never(), to.never); }); !taken)
    return fail(taken.error());
  return to;
}

namespace {

void write(v1::AuditEvent& to, const audit_event& from) {
  AUDIT_EVENT_FIELDS(DATAMESH_SET)
  to.set_pack(std::string{from.pack.text()});
}

void write(v1::AuditReport& to, const audit_report& from) {
  AUDIT_FIELDS(DATAMESH_SET)
  if (from.last_passed_ns)
    to.set_last_passed_ns(*from.last_passed_ns);
  for (const auto& one : from.events)
    write(*to.add_events(), one);
}

result<audit_event> read(const v1::AuditEvent& from) {
  auto pack = read_id<pack_id>(from.pack());
  if (!pack)
    return fail(pack.error());
  audit_event to;
  AUDIT_EVENT_FIELDS(DATAMESH_GET)
  to.pack = *pack;
  return to;
}

result<audit_report> read(const v1::AuditReport& from) {
  audit_report to;
  AUDIT_FIELDS(DATAMESH_GET)
  if (from.has_last_passed_ns())
    to.last_passed_ns = from.last_passed_ns();
  for (const auto& one : from.events()) {
    auto event = read(one);
    if (!event)
      return fail(event.error());
    to.events.push_back(std::move(*event));
  }
  return to;
}

} // namespace

void write(v1::DriveReport& to, const drive_report& from) {
  to.set_id(std::string{from.id.text()});
  DRIVE_FIELDS(DATAMESH_SET)
  if (from.reason)
    write(*to.mutable_reason(), *from.reason);
  if (from.labels != drive_labels{})
    write(*to.mutable_labels(), from.labels);
  if (from.audits)
    write(*to.mutable_audits(), *from.audits);
}

result<drive_report> read(const v1::DriveReport& from) {
  auto id = read_id<drive_id>(from.id());
  if (!id)
    return fail(id.error());
  drive_report to;
  to.id = *id;
  DRIVE_FIELDS(DATAMESH_GET)
  if (from.has_reason())
    to.reason = read(from.reason());
  to.labels = read(from.labels());
  if (from.has_audits()) {
    auto audits = read(from.audits());
    if (!audits)
      return fail(audits.error());
    to.audits = std::move(*audits);
  }
  return to;
}

namespace {

void write(v1::PortMappingReport& to, const port_mapping_report& from) {
  to.set_gateway(from.gateway);
  to.set_address(from.address);
  to.set_protocol(from.protocol);
  if (from.until_ns)
    to.set_until_ns(*from.until_ns);
  if (from.failure)
    control::write(*to.mutable_failure(), *from.failure);
}

void write(v1::RelayReport& to, const relay_report& from) {
  to.set_limit(from.limit);
  to.set_bytes(from.bytes);
  to.set_streams(from.streams);
  to.set_served(from.served);
}

} // namespace

void write(v1::MeshReply& to, const std::optional<mesh_report>& report) {
  if (!report)
    return;
  auto& row = *to.mutable_report();
  row.set_self(std::string{report->self.text()});
  if (report->network)
    row.set_network(std::string{report->network->text()});
  row.set_local(report->local);
  for (const auto& at : report->listens)
    row.add_listens(at);
  for (const auto& at : report->announces)
    row.add_announces(at);
  row.set_links(report->links);
  row.set_nodes_known(report->nodes_known);
  row.set_nodes_alive(report->nodes_alive);
  if (report->file_failure)
    write(*row.mutable_file_failure(), *report->file_failure);
  if (report->lan) {
    auto& lan = *row.mutable_lan();
    for (const auto& one : report->lan->interfaces)
      lan.add_interfaces(one);
    if (report->lan->failure)
      write(*lan.mutable_failure(), *report->lan->failure);
  }
  if (report->port_mapping)
    write(*row.mutable_port_mapping(), *report->port_mapping);
  if (report->relay)
    write(*row.mutable_relay(), *report->relay);
  for (const auto& at : report->relayed_by)
    row.add_relayed_by(at);
  auto& traffic = *row.mutable_traffic();
  traffic.set_sent(report->traffic.sent);
  traffic.set_received(report->traffic.received);
  write(*traffic.mutable_limits(), report->traffic.limits);
  if (!report->members)
    return;
  const auto& from = *report->members;
  auto& members = *row.mutable_members();
  members.set_number(from.number);
  members.set_members(from.members);
  members.set_operators(from.operators);
  members.set_threshold(from.threshold);
  if (from.expires_ns)
    members.set_expires_ns(*from.expires_ns);
  members.set_has_us(from.has_us);
  if (from.failure)
    write(*members.mutable_failure(), *from.failure);
}

namespace {

members_report read_members_report(const v1::MembersReport& from) {
  members_report to;
  to.number = from.number();
  to.members = from.members();
  to.operators = from.operators();
  to.threshold = from.threshold();
  if (from.has_expires_ns())
    to.expires_ns = from.expires_ns();
  to.has_us = from.has_us();
  if (from.has_failure())
    to.failure = control::read(from.failure());
  return to;
}

port_mapping_report read_port_mapping_report(const v1::PortMappingReport& from) {
  port_mapping_report to;
  to.gateway = from.gateway();
  to.address = from.address();
  to.protocol = from.protocol();
  if (from.has_until_ns())
    to.until_ns = from.until_ns();
  if (from.has_failure())
    to.failure = control::read(from.failure());
  return to;
}

} // namespace

result<std::optional<mesh_report>> read(const v1::MeshReply& from) {
  if (!from.has_report())
    return std::optional<mesh_report>{};
  const auto& row = from.report();
  auto self = read_id<peer_id>(row.self());
  if (!self)
    return fail(self.error());
  mesh_report to;
  to.self = *self;
  if (row.has_network()) {
    auto network = read_id<network_id>(row.network());
    if (!network)
      return fail(network.error());
    to.network = *network;
  }
  to.local = row.local();
  to.listens = read_texts(row.listens());
  to.announces = read_texts(row.announces());
  to.links = row.links();
  to.nodes_known = row.nodes_known();
  to.nodes_alive = row.nodes_alive();
  if (row.has_file_failure())
    to.file_failure = read(row.file_failure());
  if (row.has_members())
    to.members = read_members_report(row.members());
  if (row.has_lan()) {
    to.lan = lan_report{read_texts(row.lan().interfaces()), {}};
    if (row.lan().has_failure())
      to.lan->failure = read(row.lan().failure());
  }
  if (row.has_port_mapping())
    to.port_mapping = read_port_mapping_report(row.port_mapping());
  if (row.has_relay())
    to.relay = relay_report{row.relay().limit(), row.relay().bytes(), row.relay().streams(), row.relay().served()};
  to.relayed_by = read_texts(row.relayed_by());
  to.traffic = {row.traffic().sent(), row.traffic().received(), read(row.traffic().limits())};
  return to;
}

void write(v1::PeerReports& list, const std::vector<peer_report>& peers) {
  for (const auto& from : peers) {
    auto& to = *list.add_peers();
    to.set_id(std::string{from.id.text()});
    for (const auto& at : from.addresses)
      to.add_addresses(at);
    PEER_FIELDS(DATAMESH_SET)
    if (from.linked_since_ns)
      to.set_linked_since_ns(*from.linked_since_ns);
    if (from.through)
      to.set_through(std::string{from.through->text()});
  }
}

result<std::vector<peer_report>> read(const v1::PeerReports& list) {
  std::vector<peer_report> peers;
  for (const auto& from : list.peers()) {
    auto id = read_id<peer_id>(from.id());
    if (!id)
      return fail(id.error());
    peer_report to;
    to.id = *id;
    to.addresses = read_texts(from.addresses());
    PEER_FIELDS(DATAMESH_GET)
    if (from.has_linked_since_ns())
      to.linked_since_ns = from.linked_since_ns();
    if (from.has_through()) {
      auto through = read_id<peer_id>(from.through());
      if (!through)
        return fail(through.error());
      to.through = *through;
    }
    peers.push_back(std::move(to));
  }
  return peers;
}

result<hosting> read_hosting(uint32_t from) {
  if (from > static_cast<uint32_t>(hosting::draining))
    return fail(errc::invalid_argument, "read how a node serves others", std::to_string(from));
  return static_cast<hosting>(from);
}

void write(v1::RatePlan& to, const rate_plan& from) {
  write(*to.mutable_always(), from.always);
  for (const auto& one : from.windows) {
    auto& window = *to.add_windows();
    window.set_from(one.from);
    window.set_until(one.until);
    write(*window.mutable_limits(), one.limits);
  }
}

result<rate_plan> read(const v1::RatePlan& from) {
  rate_plan to{read(from.always()), {}};
  for (const auto& one : from.windows()) {
    if (one.from() > UINT16_MAX || one.until() > UINT16_MAX)
      return fail(errc::invalid_argument, "limit the line", "at a time that is none");
    to.windows.push_back({static_cast<uint16_t>(one.from()), static_cast<uint16_t>(one.until()), read(one.limits())});
  }
  return to;
}

line_test read(const v1::LineTest& from) {
  // More is refused, whatever it is.
  auto most = static_cast<uint64_t>(line_test_time_max.count()) + 1;
  return {from.bytes(), std::chrono::milliseconds{static_cast<int64_t>(std::min(from.time_ms(), most))}};
}

namespace {

void write(v1::LineFlow& to, const line_flow& from) {
  to.set_bytes(from.bytes);
  to.set_elapsed_ns(from.elapsed_ns);
  to.set_stop(static_cast<uint32_t>(from.stop));
  to.set_own_limit(from.own_limit);
  to.set_their_limit(from.their_limit);
}

result<line_flow> read(const v1::LineFlow& from) {
  if (from.stop() > static_cast<uint32_t>(line_stop::budget))
    return fail(errc::format_damaged, "read how the test of a line ended");
  return line_flow{from.bytes(), from.elapsed_ns(), static_cast<line_stop>(from.stop()), from.own_limit(), from.their_limit()};
}

} // namespace

void write(v1::LineReport& to, const line_report& from) {
  to.set_peer(std::string{from.peer.text()});
  to.set_address(from.address);
  to.set_rtt_min_ns(from.rtt_min_ns);
  to.set_rtt_median_ns(from.rtt_median_ns);
  write(*to.mutable_up(), from.up);
  write(*to.mutable_down(), from.down);
  if (from.refilled_in)
    to.set_refilled_in_ms(static_cast<uint64_t>(from.refilled_in->count()));
}

result<line_report> read(const v1::LineReport& from) {
  auto peer = read_id<peer_id>(from.peer());
  auto up = read(from.up());
  auto down = read(from.down());
  if (!peer || !up || !down)
    return fail(!peer ? peer.error() : !up ? up.error() : down.error());
  line_report to{*peer, from.address(), from.rtt_min_ns(), from.rtt_median_ns(), *up, *down, {}};
  if (from.has_refilled_in_ms())
    to.refilled_in = std::chrono::milliseconds{static_cast<int64_t>(from.refilled_in_ms())};
  return to;
}

void write(v1::NeighbourReports& list, const std::vector<neighbour_report>& neighbours) {
  for (const auto& from : neighbours) {
    auto& to = *list.add_neighbours();
    if (from.id)
      to.set_id(std::string{from.id->text()});
    for (const auto& at : from.addresses)
      to.add_addresses(at);
    to.set_heard_ns(from.heard_ns);
  }
}

result<std::vector<neighbour_report>> read(const v1::NeighbourReports& list) {
  std::vector<neighbour_report> neighbours;
  for (const auto& from : list.neighbours()) {
    neighbour_report to;
    if (from.has_id()) {
      auto id = read_id<peer_id>(from.id());
      if (!id)
        return fail(id.error());
      to.id = *id;
    }
    to.addresses = read_texts(from.addresses());
    to.heard_ns = from.heard_ns();
    neighbours.push_back(std::move(to));
  }
  return neighbours;
}

void write(v1::RoomReports& list, const std::vector<room_report>& rooms) {
  for (const auto& from : rooms) {
    auto& to = *list.add_rooms();
    to.set_owner(std::string{from.owner.text()});
    to.set_granted(from.granted);
    if (from.used)
      to.set_used(*from.used);
    if (from.shards)
      to.set_shards(*from.shards);
    if (from.compared_ns)
      to.set_compared_ns(*from.compared_ns);
    if (from.stuck)
      to.set_stuck(*from.stuck);
  }
}

result<std::vector<room_report>> read(const v1::RoomReports& list) {
  std::vector<room_report> rooms;
  for (const auto& from : list.rooms()) {
    auto owner = read_id<vault_id>(from.owner());
    if (!owner)
      return fail(owner.error());
    room_report to{*owner, from.granted(), {}, {}, {}, {}};
    if (from.has_used())
      to.used = from.used();
    if (from.has_shards())
      to.shards = from.shards();
    if (from.has_compared_ns())
      to.compared_ns = from.compared_ns();
    if (from.has_stuck())
      to.stuck = from.stuck();
    rooms.push_back(to);
  }
  return rooms;
}

void write(v1::KeyLocks& list, const std::vector<key_lock>& locks) {
  for (const auto& from : locks) {
    auto& to = *list.add_locks();
    LOCK_FIELDS(DATAMESH_SET)
  }
}

std::vector<key_lock> read(const v1::KeyLocks& list) {
  std::vector<key_lock> locks;
  for (const auto& from : list.locks()) {
    key_lock to;
    LOCK_FIELDS(DATAMESH_GET)
    locks.push_back(std::move(to));
  }
  return locks;
}

void write(v1::Vaults::Facts& to, const vault_facts& from) {
  to.set_name(from.name);
  if (from.id)
    to.set_id(std::string{from.id->text()});
  write(*to.mutable_locks(), from.locks);
}

result<vault_facts> read(const v1::Vaults::Facts& from) {
  vault_facts to;
  to.name = from.name();
  if (from.has_id()) {
    auto id = read_id<vault_id>(from.id());
    if (!id)
      return fail(id.error());
    to.id = *id;
  }
  to.locks = read(from.locks());
  return to;
}

void write(v1::PutSummary& to, const put_summary& from) {
  PUT_FIELDS(DATAMESH_SET)
  for (const auto& path : from.stored_as)
    to.add_stored_as(path);
  write_failures(*to.mutable_failures(), from.failures);
  write(*to.mutable_waits(), from.waits);
}

put_summary read(const v1::PutSummary& from) {
  put_summary to;
  PUT_FIELDS(DATAMESH_GET)
  to.stored_as = read_texts(from.stored_as());
  to.failures = read_failures(from.failures());
  to.waits = read(from.waits());
  return to;
}

void write(v1::GetSummary& to, const get_summary& from) {
  GET_FIELDS(DATAMESH_SET)
  write_failures(*to.mutable_failures(), from.failures);
  write(*to.mutable_waits(), from.waits);
}

get_summary read(const v1::GetSummary& from) {
  get_summary to;
  GET_FIELDS(DATAMESH_GET)
  to.failures = read_failures(from.failures());
  to.waits = read(from.waits());
  return to;
}

void write(v1::Entry& to, const entry& from) {
  ENTRY_FIELDS(DATAMESH_SET)
  to.set_kind(static_cast<uint32_t>(from.kind));
  to.set_node(std::string{from.node.text()});
  for (const auto& [key, value] : from.tags) {
    auto* tag = to.add_tags();
    tag->set_key(key);
    tag->set_value(value);
  }
  if (from.margin)
    to.set_margin(*from.margin);
}

result<entry> read(const v1::Entry& from) {
  auto node = read_id<node_id>(from.node());
  if (!node)
    return fail(node.error());
  if (from.kind() < static_cast<uint32_t>(entry_kind::file) || from.kind() > static_cast<uint32_t>(entry_kind::symlink))
    return fail(errc::format_damaged, "read an entry");
  entry to;
  ENTRY_FIELDS(DATAMESH_GET)
  to.kind = static_cast<entry_kind>(from.kind());
  to.node = *node;
  for (const auto& tag : from.tags())
    to.tags.emplace_back(tag.key(), tag.value());
  if (from.has_margin())
    to.margin = from.margin();
  return to;
}

void write(v1::Versions& list, const std::vector<version_entry>& versions) {
  for (const auto& from : versions) {
    auto& to = *list.add_versions();
    to.set_id(std::string{from.id.text()});
    VERSION_FIELDS(DATAMESH_SET)
  }
}

result<std::vector<version_entry>> read(const v1::Versions& list) {
  std::vector<version_entry> versions;
  for (const auto& from : list.versions()) {
    auto id = read_id<version_id>(from.id());
    if (!id)
      return fail(id.error());
    version_entry to;
    to.id = *id;
    VERSION_FIELDS(DATAMESH_GET)
    versions.push_back(to);
  }
  return versions;
}

void write(v1::RecoverSummary& to, const recover_summary& from) {
  RECOVER_FIELDS(DATAMESH_SET)
  to.set_id(std::string{from.id.text()});
  write(*to.mutable_rebuilt(), from.rebuilt);
  for (const auto& node : from.nodes)
    to.add_nodes(node);
  for (const auto& node : from.nodes_away)
    to.add_nodes_away(node);
}

result<recover_summary> read(const v1::RecoverSummary& from) {
  auto id = read_id<vault_id>(from.id());
  if (!id)
    return fail(id.error());
  recover_summary to;
  RECOVER_FIELDS(DATAMESH_GET)
  to.id = *id;
  to.rebuilt = read(from.rebuilt());
  to.nodes = read_texts(from.nodes());
  to.nodes_away = read_texts(from.nodes_away());
  return to;
}

void write(v1::RecoveryReport& to, const recovery_report& from) {
  RECOVERY_FIELDS(DATAMESH_SET)
  to.set_state(static_cast<uint32_t>(from.now));
  if (from.until_ns)
    to.set_until_ns(*from.until_ns);
}

result<recovery_report> read(const v1::RecoveryReport& from) {
  if (from.state() > static_cast<uint32_t>(recovery_report::state::too_large))
    return fail(errc::format_damaged, "read what the mesh keeps of a vault");
  recovery_report to;
  RECOVERY_FIELDS(DATAMESH_GET)
  to.now = static_cast<recovery_report::state>(from.state());
  if (from.has_until_ns())
    to.until_ns = from.until_ns();
  return to;
}

void write(v1::StatusReport& to, const status_report& from) {
  write(*to.mutable_recovery(), from.recovery);
  STATUS_FIELDS(DATAMESH_SET)
  to.set_overall(static_cast<uint32_t>(from.overall));
  for (const auto& drive : from.drives)
    write(*to.mutable_drives()->add_drives(), drive);
  if (from.last_quick_verify_ns)
    to.set_last_quick_verify_ns(*from.last_quick_verify_ns);
  if (from.last_deep_verify_ns)
    to.set_last_deep_verify_ns(*from.last_deep_verify_ns);
}

result<status_report> read(const v1::StatusReport& from) {
  if (from.overall() > static_cast<uint32_t>(status_report::answer::unknown))
    return fail(errc::format_damaged, "read a status");
  status_report to;
  STATUS_FIELDS(DATAMESH_GET)
  to.overall = static_cast<status_report::answer>(from.overall());
  for (const auto& row : from.drives().drives()) {
    auto drive = read(row);
    if (!drive)
      return fail(drive.error());
    to.drives.push_back(std::move(*drive));
  }
  auto recovery = read(from.recovery());
  if (!recovery)
    return fail(recovery.error());
  to.recovery = *recovery;
  if (from.has_last_quick_verify_ns())
    to.last_quick_verify_ns = from.last_quick_verify_ns();
  if (from.has_last_deep_verify_ns())
    to.last_deep_verify_ns = from.last_deep_verify_ns();
  return to;
}

void write(v1::VerifySummary& to, const verify_summary& from) {
  VERIFY_FIELDS(DATAMESH_SET)
  for (const auto& path : from.files_lost)
    to.add_files_lost(path);
  if (from.next_after)
    to.set_next_after(std::string{from.next_after->text()});
}

result<verify_summary> read(const v1::VerifySummary& from) {
  verify_summary to;
  if (from.has_next_after()) {
    auto after = read_id<pack_id>(from.next_after());
    if (!after)
      return fail(after.error());
    to.next_after = *after;
  }
  VERIFY_FIELDS(DATAMESH_GET)
  to.files_lost = read_texts(from.files_lost());
  return to;
}

void write(v1::DriveIds& to, const std::vector<drive_id>& from) {
  for (const auto& id : from)
    to.add_drives(std::string{id.text()});
}

result<std::vector<drive_id>> read(const v1::DriveIds& from) {
  std::vector<drive_id> to;
  for (const auto& raw : from.drives()) {
    auto id = read_id<drive_id>(raw);
    if (!id)
      return fail(id.error());
    to.push_back(*id);
  }
  return to;
}

void write(v1::LossReport& to, const loss_report& from) {
  LOSS_FIELDS(DATAMESH_SET)
  for (const auto& drive : from.drives)
    write(*to.mutable_drives()->add_drives(), drive);
  write(*to.mutable_now(), from.now);
  write(*to.mutable_then(), from.then);
}

result<loss_report> read(const v1::LossReport& from) {
  loss_report to;
  LOSS_FIELDS(DATAMESH_GET)
  for (const auto& row : from.drives().drives()) {
    auto drive = read(row);
    if (!drive)
      return fail(drive.error());
    to.drives.push_back(std::move(*drive));
  }
  to.now = read(from.now());
  to.then = read(from.then());
  return to;
}

void write(v1::Distribution& to, const distribution_request& from) {
  for (const auto& path : from.paths)
    to.add_paths(path);
  to.set_tag_key(from.tag_key);
  if (from.tag)
    to.set_tag(*from.tag);
}

distribution_request read(const v1::Distribution& from) {
  distribution_request to;
  to.paths.assign(from.paths().begin(), from.paths().end());
  to.tag_key = from.tag_key();
  if (from.has_tag())
    to.tag = from.tag();
  return to;
}

namespace {

void write(v1::DistributionReport::Share& to, const domain_share& from) {
  SHARE_FIELDS(DATAMESH_SET)
  to.set_level(static_cast<uint32_t>(from.of));
}

result<domain_share> read(const v1::DistributionReport::Share& from) {
  if (from.level() > static_cast<uint32_t>(domain_share::level::drive))
    return fail(errc::format_damaged, "read where data is");
  domain_share to;
  SHARE_FIELDS(DATAMESH_GET)
  to.of = static_cast<domain_share::level>(from.level());
  return to;
}

} // namespace

void write(v1::DistributionReport& to, const distribution_report& from) {
  DISTRIBUTION_FIELDS(DATAMESH_SET)
  write(*to.mutable_standing(), from.standing);
  if (from.margin)
    to.set_margin(*from.margin);
  for (auto margin : from.margins)
    to.add_margins(margin);
  for (const auto& share : from.shares)
    write(*to.add_shares(), share);
}

result<distribution_report> read(const v1::DistributionReport& from) {
  distribution_report to;
  DISTRIBUTION_FIELDS(DATAMESH_GET)
  to.standing = read(from.standing());
  if (from.has_margin())
    to.margin = from.margin();
  to.margins.assign(from.margins().begin(), from.margins().end());
  for (const auto& row : from.shares()) {
    auto share = read(row);
    if (!share)
      return fail(share.error());
    to.shares.push_back(std::move(*share));
  }
  return to;
}

void write(v1::Event& to, const event& from) {
  EVENT_FIELDS(DATAMESH_SET)
  to.set_kind(static_cast<uint32_t>(from.kind));
  to.set_level(static_cast<uint32_t>(from.level));
  to.set_code(from.code ? static_cast<uint32_t>(*from.code) : 0);
}

event read(const v1::Event& from) {
  event to;
  EVENT_FIELDS(DATAMESH_GET)
  to.kind = static_cast<event_kind>(std::clamp<uint32_t>(from.kind(), 1, static_cast<uint32_t>(event_kind::node_changed)));
  to.level = static_cast<severity>(std::min<uint32_t>(from.level(), static_cast<uint32_t>(severity::critical)));
  if (from.code() != 0)
    to.code = read_code(from.code());
  return to;
}

void write(v1::ControlAnswer::Status& to, const file_status& from) {
  FILE_FIELDS(DATAMESH_SET)
  to.set_kind(static_cast<uint32_t>(from.kind));
}

result<file_status> read(const v1::ControlAnswer::Status& from) {
  if (from.kind() > static_cast<uint32_t>(file_kind::other))
    return fail(errc::format_damaged, "read a file's status");
  file_status to;
  FILE_FIELDS(DATAMESH_GET)
  to.kind = static_cast<file_kind>(from.kind());
  return to;
}

} // namespace datamesh::control
