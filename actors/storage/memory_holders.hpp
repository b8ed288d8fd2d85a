// The jobs that were given a share of the node's memory, for those who wait for theirs.
//
// Thread rule: any thread.
#pragma once

#include "storage/outside_watch.hpp"

#include <memory>
#include <mutex>
#include <vector>

namespace datamesh::storage {

class memory_holders {
public:
  /// Until it is gone.
  void add(const std::shared_ptr<outside_watch>& holder) {
    std::lock_guard guard{mutex_};
    std::erase_if(list_, [](const auto& one) { return one.expired(); });
    list_.push_back(holder);
  }

  /// Ends the jobs that have waited for somebody outside of the node since *then*.
  void end_stalled(clock::monotonic_time then) {
    std::lock_guard guard{mutex_};
    for (const auto& one : list_)
      if (auto holder = one.lock())
        holder->give_way_if_stalled(then);
  }

private:
  std::mutex mutex_;
  std::vector<std::weak_ptr<outside_watch>> list_;
};

} // namespace datamesh::storage
