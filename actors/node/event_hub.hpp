// The one event stream of a node: numbers events, stamps their time and hands them
// to the host's callback, in order, on one thread.
//
// Thread rule: `publish` from any thread.
#pragma once

#include "datamesh/base/clock.hpp"
#include "datamesh/event.hpp"

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

namespace datamesh {

class event_hub {
public:
  event_hub(std::shared_ptr<clock> time, std::function<void(const event&)> on_event);
  /// Delivers what is queued, then ends.
  ~event_hub();

  void publish(event what);

  /// Waits until everything published so far was handed over. From the callback itself
  /// it returns at once.
  void wait_delivered();

private:
  void run();

  std::shared_ptr<clock> time_;
  std::function<void(const event&)> on_event_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<event> queue_;
  uint64_t sequence_ = 0;  ///< Of the last event published.
  uint64_t delivered_ = 0; ///< Of the last one that the callback is done with.
  bool stopping_ = false;
  std::thread thread_;
};

} // namespace datamesh
