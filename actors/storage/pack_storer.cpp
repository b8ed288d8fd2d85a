#include "storage/pack_storer.hpp"

#include "storage/convert.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>

namespace datamesh::storage {

namespace {

constexpr auto answer_timeout = std::chrono::minutes{5};
/// Who failed waits no longer for a drive to make room again.
constexpr auto removal_timeout = std::chrono::seconds{10};

error closed_drives(const std::vector<std::string>& folders) {
  return error{errc::read_only, folders.size() == 1 ? "store on the drive" : "store on drives",
               fmt::format("{}", fmt::join(folders, ", "))};
}

} // namespace

pack_storer::pack_storer(packer_actor::pointer self, std::shared_ptr<drive_table> drives, const policy& how, listener tell)
    : self_(self), drives_(std::move(drives)), how_(how), tell_(std::move(tell)) {}

void pack_storer::store(const run_ptr& run) {
  auto drives = drives_->all();
  auto candidates = drives_->candidates(*drives, run->upkeep ? room_for::upkeep : room_for::data);
  for (auto& drive : candidates)
    if (run->refused.count(drive.id) > 0)
      drive.state = drive_state::failed;
  auto shard_bytes = uint64_t{run->record.seal.shape.shard_length} + shard_header_length(run->record.seal.shape, true);
  auto first_round = std::none_of(run->stored.begin(), run->stored.end(), [](bool is) { return is; });
  std::map<drive_id, std::vector<size_t>> by_drive;
  if (first_round && run->refused.empty()) {
    auto placed = place(candidates, how_, run->record.seal.id.view(), shard_bytes);
    if (!placed)
      return tell_.settled(run, fail(placed.error().code() == errc::read_only ? closed_drives(closed_folders(run)) : placed.error()));
    for (size_t i = 0; i < placed->size(); ++i)
      if ((*placed)[i])
        by_drive[*(*placed)[i]].push_back(i);
  } else {
    std::vector<drive_id> taken;
    for (size_t i = 0; i < run->stored.size(); ++i)
      if (run->stored[i])
        taken.push_back(run->record.drives[i]);
    for (size_t i = 0; i < run->stored.size(); ++i) {
      if (run->stored[i])
        continue;
      auto chosen = place_one(candidates, taken, how_, run->record.seal.id.view(), shard_bytes);
      if (!chosen)
        continue;
      taken.push_back(*chosen);
      by_drive[*chosen].push_back(i);
    }
  }
  if (by_drive.empty())
    return all_answered(run, false);
  for (const auto& [id, indexes] : by_drive)
    run->answers_due.insert(id);
  for (const auto& [id, indexes] : by_drive)
    store_on(run, *drives, id, indexes);
}

void pack_storer::store_on(const run_ptr& run, const drive_table::list& drives, const drive_id& id, const std::vector<size_t>& indexes) {
  const auto* drive = drive_table::find(drives, id);
  if (drive == nullptr) {
    run->refused.insert(id);
    return settle_one(run, id);
  }
  v1::StoreShards request;
  request.set_upkeep(run->upkeep);
  request.set_work(static_cast<uint32_t>(run->upkeep ? work_kind::repair : work_kind::client));
  request.set_vault(run->finished.vault());
  slices bodies;
  for (auto index : indexes) {
    run->asked[id].insert(static_cast<uint8_t>(index));
    request.add_headers(run->finished.shard_headers(static_cast<int>(index)));
    bodies.push_back(run->bodies[index]);
  }
  self_->request(drive->writer, answer_timeout, std::move(request), std::move(bodies))
      .then(
          [this, run, id, indexes](v1::Done&) {
            for (auto index : indexes) {
              run->stored[index] = true;
              run->record.drives[index] = id;
            }
            settle_one(run, id);
          },
          [this, run, id](caf::error& reason) {
            run->refused.insert(id);
            auto code = from_caf(reason).code();
            run->full = run->full || code == errc::drive_full;
            if (code == errc::read_only)
              run->closed.insert(id);
            if (code == errc::drive_missing)
              drives_->look();
            settle_one(run, id);
          });
}

void pack_storer::settle_one(const run_ptr& run, const drive_id& drive) {
  run->answers_due.erase(drive);
  if (run->answers_due.empty())
    all_answered(run, true);
  else if (run->answers_due.size() == 1)
    tell_.one_left(run);
}

void pack_storer::all_answered(const run_ptr& run, bool try_others) {
  if (run->dead)
    return remove_all(run);
  auto stored = static_cast<size_t>(std::count(run->stored.begin(), run->stored.end(), true));
  if (try_others && stored < run->stored.size())
    return store(run);
  if (stored < how_.shards_min()) {
    remove_all(run);
    if (auto closed = closed_folders(run); enough_if_written(how_, stored, closed.size()))
      return tell_.settled(run, fail(closed_drives(closed)));
    auto why = run->full ? errc::drive_full : barred_by_rule() ? errc::rule_leaves_too_few : errc::too_few_drives;
    return tell_.settled(run, fail(why, "store a pack", run->record.seal.id.brief()));
  }
  tell_.settled(run, {});
}

/// Whether drives are at work that the rule leaves out.
bool pack_storer::barred_by_rule() const {
  auto drives = drives_->all();
  return std::ranges::any_of(
      *drives, [&](const auto& drive) { return drive.is_there() && drive.state() == drive_state::ok && !drives_->allows(drive); });
}

std::vector<std::string> pack_storer::closed_folders(const run_ptr& run) const {
  auto drives = drives_->all();
  std::vector<std::string> folders;
  for (const auto& candidate : drives_->candidates(*drives, room_for::data))
    if (candidate.state == drive_state::ok && candidate.allowed && (candidate.read_only || run->closed.count(candidate.id) > 0))
      folders.push_back(drive_table::find(*drives, candidate.id)->folder);
  return folders;
}

/// Those that refused may have stored it all the same, or store it later: the request to
/// remove it stands behind that.
void pack_storer::remove_all(const run_ptr& run) {
  auto drives = drives_->all();
  for (const auto& [id, indexes] : run->asked) {
    const auto* drive = drive_table::find(*drives, id);
    if (drive == nullptr)
      continue;
    v1::RemoveShards request;
    request.set_vault(run->finished.vault());
    for (auto index : indexes)
      *request.add_shards() = to_proto(shard_key{run->record.seal.id, index});
    auto answered = [this, run] {
      if (--run->removals_due == 0)
        tell_.gone(run);
    };
    ++run->removals_due;
    self_->request(drive->writer, removal_timeout, std::move(request))
        .then([answered](v1::Done&) { answered(); }, [answered](caf::error&) { answered(); });
  }
  if (run->removals_due == 0)
    tell_.gone(run);
}

} // namespace datamesh::storage
