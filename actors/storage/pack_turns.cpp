#include "storage/pack_turns.hpp"

namespace datamesh::storage {

namespace {

/// How soon who waits sees that the job has ended.
constexpr auto look_interval = std::chrono::milliseconds{20};

} // namespace

pack_turns::turn::~turn() {
  if (of_ == nullptr)
    return;
  std::lock_guard guard{of_->mutex_};
  for (const auto& pack : packs_)
    of_->taken_.erase(pack);
  ++of_->over_;
  of_->changed_.notify_all();
}

result<pack_turns::turn> pack_turns::take(std::span<const pack_id> packs, const job& waiting) {
  turn mine{*this};
  for (const auto& pack : packs) {
    std::unique_lock lock{mutex_};
    while (taken_.count(pack) > 0) {
      if (auto reason = waiting.ended())
        return fail(*reason);
      changed_.wait_for(lock, look_interval);
    }
    taken_.insert(pack);
    mine.packs_.push_back(pack);
  }
  return mine;
}

uint64_t pack_turns::count_over() const {
  std::lock_guard guard{mutex_};
  return over_;
}

} // namespace datamesh::storage
