// What reaches the process from outside: ^C, SIGTERM, SIGUSR1, a closed pipe. Signals
// belong to the process, so these are functions over one state, set up once by main.
#pragma once

#include "datamesh/node.hpp"

namespace datamesh::cli {

/// First SIGINT or SIGTERM cancels *token* and says so on a terminal, the second
/// restores the terminal and ends the process with 130. SIGPIPE does nothing: a write
/// that fails with EPIPE ends the command. SIGUSR1 asks for a line of status.
void watch_signals(cancel_token token);

/// True once for each SIGUSR1.
[[nodiscard]] bool status_requested() noexcept;

/// No core file, no debugger: memory holds keys.
void keep_memory_private() noexcept;

/// Turns echo off on the terminal *fd* while it lives; a second ^C turns it on again,
/// too.
class echo_off {
public:
  explicit echo_off(int fd) noexcept;
  ~echo_off();
  echo_off(const echo_off&) = delete;
  echo_off& operator=(const echo_off&) = delete;

private:
  int fd_;
};

/// Ends the process as if SIGPIPE had been left alone.
[[noreturn]] void end_by_broken_pipe();

} // namespace datamesh::cli
