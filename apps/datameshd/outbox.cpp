#include "outbox.hpp"

#include "notices.hpp"

namespace datamesh::daemon {

namespace {

constexpr size_t queue_max = 64;

bool is_news(event_kind kind) {
  return kind == event_kind::damage_found || kind == event_kind::damage_healed || kind == event_kind::data_lost
         || kind == event_kind::drive_changed;
}

} // namespace

outbox::outbox(std::string receiver, teller tell) : receiver_(std::move(receiver)), tell_(std::move(tell)) {
  thread_ = std::thread{[this] {
    run();
  }};
}

outbox::~outbox() {
  {
    std::lock_guard guard{mutex_};
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
  if (!queue_.empty())
    log_line(severity::warning, std::to_string(queue_.size()) + " events were not told to the " + receiver_ + " before the end");
}

void outbox::take(const event& what) {
  if (!is_news(what.kind))
    return;
  {
    std::lock_guard guard{mutex_};
    if (queue_.size() >= queue_max)
      return log_line(severity::warning, "an event was not told to the " + receiver_ + ": too many wait", what.subject);
    queue_.push_back(what);
  }
  changed_.notify_all();
}

bool outbox::rest(std::chrono::milliseconds time) {
  std::unique_lock lock{mutex_};
  return !changed_.wait_for(lock, time, [this] { return stopping_; });
}

bool outbox::stopping() {
  std::lock_guard guard{mutex_};
  return stopping_;
}

void outbox::run() {
  std::unique_lock lock{mutex_};
  for (;;) {
    changed_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
    if (stopping_)
      return;
    auto what = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    tell_(*this, what);
    lock.lock();
  }
}

} // namespace datamesh::daemon
