#include "interruption.hpp"

#include <csignal>
#include <cstdlib>

#include <sys/prctl.h>
#include <sys/resource.h>
#include <termios.h>
#include <unistd.h>

namespace datamesh::cli {

namespace {

// Read by handlers: set once before they are installed, and never destroyed.
cancel_token* token_of_process = nullptr;
std::atomic<int> interrupts = 0;
std::atomic<bool> wants_status = false;
std::atomic<int> quiet_terminal = -1;
termios loud_terminal;

static_assert(std::atomic<bool>::is_always_lock_free && std::atomic<int>::is_always_lock_free);

void restore_terminal() noexcept {
  auto fd = quiet_terminal.exchange(-1);
  if (fd >= 0)
    tcsetattr(fd, TCSANOW, &loud_terminal);
}

void on_interrupt(int) {
  auto saved = errno;
  if (interrupts.fetch_add(1) == 0) {
    token_of_process->cancel();
    if (isatty(STDERR_FILENO) == 1) {
      static constexpr char text[] = "\nStopping. Press ^C once more to end at once.\n";
      [[maybe_unused]] auto written = write(STDERR_FILENO, text, sizeof(text) - 1);
    }
    errno = saved;
    return;
  }
  restore_terminal();
  _exit(130);
}

void on_status_request(int) {
  wants_status.store(true);
}

/// A handler and not SIG_IGN: programs that we start shall have the default again.
void on_broken_pipe(int) {}

void install(int signal, void (*handler)(int), int flags) {
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = flags;
  sigemptyset(&action.sa_mask);
  sigaction(signal, &action, nullptr);
}

} // namespace

void watch_signals(cancel_token token) {
  token_of_process = new cancel_token(std::move(token));
  // Without SA_RESTART, so that ^C ends a read from a terminal or a pipe.
  install(SIGINT, on_interrupt, 0);
  install(SIGTERM, on_interrupt, 0);
  install(SIGUSR1, on_status_request, SA_RESTART);
  install(SIGPIPE, on_broken_pipe, SA_RESTART);
}

bool status_requested() noexcept {
  return wants_status.exchange(false);
}

void keep_memory_private() noexcept {
  rlimit none{0, 0};
  setrlimit(RLIMIT_CORE, &none);
#ifndef __SANITIZE_ADDRESS__
  // The leak checker attaches to its own process.
  prctl(PR_SET_DUMPABLE, 0);
#endif
}

echo_off::echo_off(int fd) noexcept : fd_(-1) {
  termios now{};
  if (tcgetattr(fd, &now) != 0)
    return;
  loud_terminal = now;
  fd_ = fd;
  quiet_terminal.store(fd);
  now.c_lflag &= ~static_cast<tcflag_t>(ECHO);
  tcsetattr(fd, TCSAFLUSH, &now);
}

echo_off::~echo_off() {
  if (fd_ >= 0)
    restore_terminal();
}

void end_by_broken_pipe() {
  std::signal(SIGPIPE, SIG_DFL);
  raise(SIGPIPE);
  _exit(141);
}

} // namespace datamesh::cli
