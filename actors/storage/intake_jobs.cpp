#include "storage/intake_jobs.hpp"

#include <algorithm>

namespace datamesh::storage {

/// What a worker looks up is pinned, and what operations on their way need. So pins go
/// only when neither is there.
void intake_jobs::forget_idle(const std::function<bool(uint64_t, bool)>& busy) {
  for (auto at = jobs_.begin(); at != jobs_.end();) {
    auto& [number, one] = *at;
    if (!one.closed || one.at_workers > 0 || busy(number, one.failure.has_value())) {
      ++at;
      continue;
    }
    auto promise = std::move(*one.closed);
    claims_->release(number);
    at = jobs_.erase(at);
    promise.deliver(v1::Done{});
  }
}

bool intake_jobs::is_closed(uint64_t number) const {
  auto found = jobs_.find(number);
  return found == jobs_.end() || found->second.closed;
}

void intake_jobs::rely_on(uint64_t number, uint64_t serial) {
  if (auto found = jobs_.find(number); found != jobs_.end())
    found->second.last_serial = serial;
}

void intake_jobs::pin(const pack_id& pack) {
  for (const auto& [number, one] : jobs_)
    claims_->pin(pack, number);
}

std::optional<error> intake_jobs::failure_of(uint64_t number) const {
  auto found = jobs_.find(number);
  return found == jobs_.end() ? std::nullopt : found->second.failure;
}

void intake_jobs::fail(uint64_t number, const error& reason) {
  if (auto found = jobs_.find(number); found != jobs_.end() && !found->second.failure)
    found->second.failure = reason;
}

void intake_jobs::fail_those_with(uint64_t serial, const error& reason) {
  for (auto& [number, one] : jobs_)
    if (one.last_serial >= serial && !one.failure)
      one.failure = reason;
}

void intake_jobs::note_shards_short(uint32_t count) {
  for (auto& [number, one] : jobs_)
    one.shards_short = std::max(one.shards_short, count);
}

uint32_t intake_jobs::shards_short(uint64_t number) const {
  auto found = jobs_.find(number);
  return found == jobs_.end() ? 0 : found->second.shards_short;
}

intake_jobs::waits intake_jobs::at_codec() const {
  waits found;
  for (const auto& [number, one] : jobs_)
    if (one.watch)
      found[number] = {one.at_workers > 0 ? transfer_stage::codec : transfer_stage::none};
  return found;
}

void intake_jobs::tell(const waits& found) {
  for (const auto& [number, what] : found)
    if (auto& one = jobs_[number]; one.waits != what) {
      one.waits = what;
      one.watch->pipeline_waits_for(what);
    }
}

} // namespace datamesh::storage
