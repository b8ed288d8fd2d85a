#include "node/job_registry.hpp"

namespace datamesh {

std::shared_ptr<storage::job> job_registry::begin(const job_options& options, const environment& env, std::shared_ptr<event_hub> events) {
  auto job = std::make_shared<storage::job>();
  job->number = options.job;
  job->cancel = options.cancel;
  job->time = env.clock;
  job->events = std::move(events);
  job->outside = std::make_shared<storage::outside_watch>(env.clock);
  if (options.timeout)
    job->deadline = env.clock->monotonic() + *options.timeout;
  std::lock_guard guard{mutex_};
  if (closing_)
    return nullptr;
  running_.insert(job);
  return job;
}

void job_registry::end(const std::shared_ptr<storage::job>& job) {
  // Notified under the lock: who waits may destroy us right after.
  std::lock_guard guard{mutex_};
  running_.erase(job);
  changed_.notify_all();
}

bool job_registry::idle() const {
  std::lock_guard guard{mutex_};
  return running_.empty();
}

void job_registry::cancel_and_wait() {
  std::unique_lock lock{mutex_};
  closing_ = true;
  for (const auto& job : running_)
    job->cancel.cancel();
  changed_.wait(lock, [this] { return running_.empty(); });
}

} // namespace datamesh
