#include "storage/pack_line.hpp"

#include <algorithm>

namespace datamesh::storage {

bool pack_line::open(uint32_t operation_bytes) {
  if (buffers_are_out() || runs_.size() >= packs_max_ + stored_max)
    return false;
  auto run = std::make_shared<pack_run>();
  run->serial = ++last_serial_;
  run->pack = std::make_shared<open_pack>(run->serial, pool_->take(), pack_limit_);
  run->pack->set_operation_bytes(operation_bytes);
  runs_.push_back(run);
  current_ = std::move(run);
  return true;
}

void pack_line::close(const run_ptr& run) {
  run->closing = true;
  if (current_ == run)
    current_ = nullptr;
}

void pack_line::drop_current() {
  runs_.pop_back();
  current_ = nullptr;
}

std::vector<run_ptr> pack_line::cut(const run_ptr& run) {
  auto first = std::find(runs_.begin(), runs_.end(), run);
  std::vector<run_ptr> gone{first, runs_.end()};
  runs_.erase(first, runs_.end());
  current_ = nullptr;
  return gone;
}

run_ptr pack_line::before(const run_ptr& run) const {
  auto at = std::find(runs_.begin(), runs_.end(), run);
  return at == runs_.begin() ? nullptr : *std::prev(at);
}

bool pack_line::buffers_are_out() const {
  auto buffers = std::count_if(runs_.begin(), runs_.end(), [](const run_ptr& run) { return run->pack != nullptr; });
  return static_cast<size_t>(buffers) >= packs_max_;
}

bool pack_line::carries_for(uint64_t job) const {
  return std::any_of(runs_.begin(), runs_.end(), [&](const run_ptr& run) {
    return std::any_of(run->submissions.begin(), run->submissions.end(), [&](const submission& one) { return one.job == job; });
  });
}

stage_wait pack_line::stage_before_next() const {
  auto out = buffers_are_out();
  for (const auto& run : runs_)
    if (auto waits = stage_of(*run); waits != stage_wait{} && (!out || run->pack))
      return waits;
  return {};
}

} // namespace datamesh::storage
