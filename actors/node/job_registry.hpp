// The jobs of a vault or a node that run.
//
// Thread rule: any thread.
#pragma once

#include "node/event_hub.hpp"
#include "storage/job.hpp"

#include <condition_variable>
#include <memory>
#include <mutex>
#include <set>

namespace datamesh {

/// Jobs that run, so that closing can cancel and await them.
class job_registry {
public:
  [[nodiscard]] std::shared_ptr<storage::job> begin(const job_options& options, const environment& env, std::shared_ptr<event_hub> events);
  void end(const std::shared_ptr<storage::job>& job);
  void cancel_and_wait();
  /// None runs.
  [[nodiscard]] bool idle() const;

private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::set<std::shared_ptr<storage::job>> running_;
  bool closing_ = false;
};

} // namespace datamesh
