// What waits to be told to one receiver: damage, loss and changes of drives, one after
// another, on a thread of its own. What comes too fast is dropped, and that is logged.
#pragma once

#include "datamesh/event.hpp"

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

namespace datamesh::daemon {

class outbox {
public:
  /// Tells one event; may rest on the box between tries.
  using teller = std::function<void(outbox& of, const event& what)>;

  /// @param receiver what it is called in the log
  outbox(std::string receiver, teller tell);
  /// Drops what waits, and waits for what is being told.
  ~outbox();

  /// Any thread.
  void take(const event& what);

  /// For the teller: waits, and answers false at once when the box is to end.
  [[nodiscard]] bool rest(std::chrono::milliseconds time);
  [[nodiscard]] bool stopping();

private:
  void run();
  std::string receiver_;
  teller tell_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<event> queue_;
  bool stopping_ = false;
  std::thread thread_;
};

} // namespace datamesh::daemon
