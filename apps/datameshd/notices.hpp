// Tells others what happens: systemd by its datagrams, people by lines of JSON on
// standard error, and a program of theirs (`notify`) by an event on its standard input.
#pragma once

#include "datamesh/event.hpp"

#include <condition_variable>
#include <deque>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace datamesh::daemon {

/// One datagram to NOTIFY_SOCKET; does nothing where there is none (sd_notify(3)).
void tell_systemd(std::string_view state);

/// A line of JSON on standard error, with its priority before it under systemd.
void log_line(severity level, std::string_view message, std::string_view subject = {});
void log_event(const event& what);

/// Runs the program for damage, loss and changes of drives, one after another, each
/// for half a minute at most. What comes too fast is dropped, and that is logged.
class hook {
public:
  explicit hook(std::vector<std::string> command);
  ~hook();
  void set_command(std::vector<std::string> command);
  void take(const event& what);

private:
  void run();
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> command_;
  std::deque<event> queue_;
  bool stopping_ = false;
  std::thread thread_;
};

} // namespace datamesh::daemon
