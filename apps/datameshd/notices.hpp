// Tells others what happens: systemd by its datagrams, people by lines of JSON on
// standard error, and a program of theirs (`notify`) by an event on its standard input.
#pragma once

#include "outbox.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace datamesh::daemon {

/// One datagram to NOTIFY_SOCKET; does nothing where there is none (sd_notify(3)).
void tell_systemd(std::string_view state);

/// A line of JSON on standard error, with its priority before it under systemd.
void log_line(severity level, std::string_view message, std::string_view subject = {});
void log_event(const event& what);

/// An event as others are told of it: a line of JSON with its end.
[[nodiscard]] std::string notice_of(const event& what);

/// Runs the program for each event, for half a minute at most.
class hook {
public:
  explicit hook(std::vector<std::string> command);
  void set_command(std::vector<std::string> command);
  /// Any thread.
  void take(const event& what);

private:
  [[nodiscard]] std::vector<std::string> command();
  std::mutex mutex_;
  std::vector<std::string> command_;
  outbox box_; ///< Last: its thread uses the rest.
};

} // namespace datamesh::daemon
