#include "storage/chunk_claims.hpp"

#include <algorithm>

namespace datamesh::storage {

result<chunk_claims::standing> chunk_claims::look_up(const chunk_id& id, uint64_t intake, uint64_t job) {
  auto is_pending = [&] {
    auto rows = pending_.find(intake);
    return rows != pending_.end() && rows->second.count(id) > 0;
  };
  {
    std::lock_guard guard{mutex_};
    if (is_pending())
      return standing::pending;
  }
  auto found = names_.find_chunk(id);
  if (!found)
    return fail(found.error().within("look up chunk", id.brief()));
  auto readable = *found && (!readable_ || readable_((*found)->pack));
  std::lock_guard guard{mutex_};
  // Between the two looks the chunk may have become pending, or its pack condemned.
  if (is_pending())
    return standing::pending;
  if (!readable || condemned_.count((*found)->pack) > 0)
    return standing::fresh;
  pins_[(*found)->pack].insert(job);
  return standing::known;
}

void chunk_claims::settle(place which) {
  std::lock_guard guard{mutex_};
  auto rows = pending_.find(which.intake);
  if (rows != pending_.end())
    std::erase_if(rows->second, [&](const auto& row) { return row.second == which.serial; });
}

void chunk_claims::pin(const pack_id& pack, uint64_t job) {
  std::lock_guard guard{mutex_};
  pins_[pack].insert(job);
}

void chunk_claims::release(uint64_t job) {
  std::lock_guard guard{mutex_};
  for (auto row = pins_.begin(); row != pins_.end();) {
    row->second.erase(job);
    row = row->second.empty() ? pins_.erase(row) : std::next(row);
  }
}

std::vector<pack_id> chunk_claims::condemn(const std::vector<pack_id>& packs) {
  std::lock_guard guard{mutex_};
  std::vector<pack_id> free;
  std::copy_if(packs.begin(), packs.end(), std::back_inserter(free), [this](const auto& pack) { return pins_.count(pack) == 0; });
  condemned_.insert(free.begin(), free.end());
  return free;
}

void chunk_claims::spare(const std::vector<pack_id>& packs) {
  std::lock_guard guard{mutex_};
  for (const auto& pack : packs)
    condemned_.erase(pack);
}

} // namespace datamesh::storage
