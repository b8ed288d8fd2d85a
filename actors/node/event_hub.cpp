#include "node/event_hub.hpp"

namespace datamesh {

namespace {

/// Progress is dropped, and only progress, when the host is slower than this.
constexpr size_t queue_max = 10'000;

} // namespace

event_hub::event_hub(std::shared_ptr<clock> time, std::function<void(const event&)> on_event)
    : time_(std::move(time)), on_event_(std::move(on_event)) {
  if (on_event_)
    thread_ = std::thread{[this] {
      run();
    }};
}

event_hub::~event_hub() {
  {
    std::lock_guard guard{mutex_};
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable())
    thread_.join();
}

void event_hub::publish(event what) {
  if (!on_event_)
    return;
  {
    std::lock_guard guard{mutex_};
    if (what.kind == event_kind::job_progress && queue_.size() >= queue_max)
      return;
    what.sequence = ++sequence_;
    what.wall_ns = time_->wall().time_since_epoch().count();
    queue_.push_back(std::move(what));
  }
  changed_.notify_all();
}

void event_hub::wait_delivered() {
  if (!on_event_ || std::this_thread::get_id() == thread_.get_id())
    return;
  std::unique_lock lock{mutex_};
  changed_.wait(lock, [this, last = sequence_] { return delivered_ >= last; });
}

void event_hub::run() {
  std::unique_lock lock{mutex_};
  for (;;) {
    changed_.wait(lock, [this] { return !queue_.empty() || stopping_; });
    if (queue_.empty())
      return;
    auto next = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    on_event_(next);
    lock.lock();
    delivered_ = next.sequence;
    changed_.notify_all();
  }
}

} // namespace datamesh
