#include "storage/drive_table.hpp"

#include "storage/placement_rule.hpp"

namespace datamesh::storage {

namespace {

bool in_service(const drive_entry& drive) {
  return drive.is_there() && drive.store->state() != drive_state::failed;
}

} // namespace

void drive_table::look() const {
  auto drives = all();
  for (const auto& drive : *drives)
    if (drive.store)
      *drive.away = !drive.store->is_in_place();
}

bool drive_table::complete() const {
  auto drives = all();
  return std::all_of(drives->begin(), drives->end(), in_service);
}

bool drive_table::can_read(const pack_record& pack) const {
  auto drives = all();
  auto good = std::count_if(pack.drives.begin(), pack.drives.end(), [&](const drive_id& id) {
    const auto* drive = id.is_zero() ? nullptr : find(*drives, id);
    return drive != nullptr && in_service(*drive);
  });
  return good >= pack.seal.shape.k;
}

void drive_table::set_rule(placement_rule rule) {
  std::lock_guard guard{rule_mutex_};
  rule_ = std::move(rule);
}

placement_rule drive_table::rule() const {
  std::lock_guard guard{rule_mutex_};
  return rule_;
}

bool drive_table::allows(const drive_entry& drive) const {
  return datamesh::allows(rule(), drive.labels);
}

std::set<drive_id> drive_table::outside_rule() const {
  auto within = rule();
  std::set<drive_id> ids;
  for (const auto& drive : *all())
    if (!datamesh::allows(within, drive.labels))
      ids.insert(drive.id);
  return ids;
}

std::vector<drive_candidate> drive_table::candidates(const list& drives, room_for what) const {
  auto within = rule();
  std::vector<drive_candidate> result;
  for (const auto& drive : drives) {
    drive_candidate candidate{drive.id, drive.store ? drive.state() : drive_state::failed};
    candidate.domains = drive.domains();
    candidate.allowed = datamesh::allows(within, drive.labels);
    if (auto usage = drive.store ? drive.store->usage() : fail(errc::drive_missing, "measure drive", drive.folder)) {
      candidate.bytes_free = usage->room(what);
      candidate.read_only = usage->read_only;
      candidate.trust = drive.store->trust();
    }
    result.push_back(candidate);
  }
  return result;
}

} // namespace datamesh::storage
