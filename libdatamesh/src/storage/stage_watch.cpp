#include "storage/stage_watch.hpp"

#include <algorithm>
#include <utility>

namespace datamesh::storage {

namespace {

uint64_t count(std::chrono::nanoseconds time) {
  return static_cast<uint64_t>(time.count());
}

} // namespace

stage_watch::stage_watch(std::shared_ptr<datamesh::clock> time) : time_(std::move(time)), began_(time_->monotonic()), since_(began_) {}

void stage_watch::wait_for(transfer_stage stage) {
  std::lock_guard guard{mutex_};
  follows_ = false;
  turn_to({stage, {}});
}

void stage_watch::wait_for_pipeline() {
  std::lock_guard guard{mutex_};
  follows_ = true;
  turn_to(behind_);
}

void stage_watch::pipeline_waits_for(const stage_wait& what) {
  std::lock_guard guard{mutex_};
  behind_ = what;
  if (follows_)
    turn_to(behind_);
}

void stage_watch::turn_to(const stage_wait& next) {
  if (next == current_)
    return;
  settle();
  current_ = next;
}

void stage_watch::settle() {
  auto now = time_->monotonic();
  auto passed = std::chrono::nanoseconds{now - std::exchange(since_, now)};
  waited_[static_cast<size_t>(current_.stage)] += passed;
  if (current_.stage == transfer_stage::drives && !current_.drive.is_zero())
    alone_[current_.drive] += passed;
}

stage_watch::figures stage_watch::read() {
  std::lock_guard guard{mutex_};
  settle();
  auto of = [this](transfer_stage stage) {
    return count(waited_[static_cast<size_t>(stage)]);
  };
  figures found;
  auto& waits = found.waits;
  waits.elapsed_ns = count(since_ - began_);
  waits.memory_ns = of(transfer_stage::memory);
  waits.source_ns = of(transfer_stage::source);
  waits.codec_ns = of(transfer_stage::codec);
  waits.drives_ns = of(transfer_stage::drives);
  waits.catalog_ns = of(transfer_stage::catalog);
  waits.target_ns = of(transfer_stage::target);
  auto slowest = std::max_element(alone_.begin(), alone_.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  if (slowest != alone_.end() && slowest->second.count() > 0 && 2 * count(slowest->second) >= waits.drives_ns)
    found.drive = slowest->first;
  return found;
}

} // namespace datamesh::storage
