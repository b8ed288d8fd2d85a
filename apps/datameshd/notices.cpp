#include "notices.hpp"

#include "json_line.hpp"

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

extern char** environ;

namespace datamesh::daemon {

namespace {

constexpr int hook_limit_ms = 30'000;

const char* name_of(severity level) {
  switch (level) {
  case severity::info:
    return "info";
  case severity::warning:
    return "warning";
  case severity::error:
    return "error";
  case severity::critical:
    return "critical";
  }
  return "error";
}

/// syslog(3)'s numbers.
int priority_of(severity level) {
  return level == severity::info ? 6 : level == severity::warning ? 4 : level == severity::error ? 3 : 2;
}

int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

cli::json_line line_of(const event& what) {
  cli::json_line line;
  line.time("ts", what.wall_ns).add("level", name_of(what.level)).add("event", to_string(what.kind)).name("subject", what.subject);
  if (!what.detail.empty())
    line.add("msg", what.detail);
  if (what.code)
    line.add("code", facts_of(*what.code).name);
  return line;
}

void put_line(severity level, const cli::json_line& line) {
  static const bool journal = std::getenv("JOURNAL_STREAM") != nullptr;
  auto text = line.text() + "\n";
  if (journal)
    text = "<" + std::to_string(priority_of(level)) + ">" + text;
  // One call, so that lines of several threads do not mix.
  (void) !::write(STDERR_FILENO, text.data(), text.size());
}

/// Starts the program with *input* on its standard input; its process, or -1.
pid_t start(const std::vector<std::string>& command, const std::string& input) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) < 0)
    return -1;
  // An event is far smaller than what a pipe holds: writing it never waits.
  auto written = ::write(ends[1], input.data(), input.size());
  ::close(ends[1]);
  std::vector<char*> words;
  for (const auto& word : command)
    words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ends[0], STDIN_FILENO);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none;
  sigset_t all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  pid_t child = -1;
  auto failed = written < 0 || posix_spawn(&child, words[0], &actions, &attributes, words.data(), environ) != 0;
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  ::close(ends[0]);
  return failed ? -1 : child;
}

/// Exit code, or -1 when it had to be killed.
int await(pid_t child) {
  auto watched = static_cast<int>(::syscall(SYS_pidfd_open, child, 0));
  pollfd polled{watched, POLLIN, 0};
  auto late = watched >= 0 && ::poll(&polled, 1, hook_limit_ms) == 0;
  if (late)
    ::kill(child, SIGKILL);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (watched >= 0)
    ::close(watched);
  return !late && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

} // namespace

void tell_systemd(std::string_view state) {
  const auto* path = std::getenv("NOTIFY_SOCKET");
  sockaddr_un address{};
  if (path == nullptr || (path[0] != '/' && path[0] != '@') || std::strlen(path) >= sizeof(address.sun_path))
    return;
  address.sun_family = AF_UNIX;
  auto length = std::strlen(path);
  std::memcpy(address.sun_path, path, length);
  // A leading '@' stands for the abstract name space.
  if (address.sun_path[0] == '@')
    address.sun_path[0] = '\0';
  auto raw = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (raw < 0)
    return;
  auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + length);
  (void) !::sendto(raw, state.data(), state.size(), MSG_NOSIGNAL, reinterpret_cast<const sockaddr*>(&address), size);
  ::close(raw);
}

void log_line(severity level, std::string_view message, std::string_view subject) {
  cli::json_line line;
  line.time("ts", now_ns()).add("level", name_of(level)).add("msg", message);
  if (!subject.empty())
    line.name("subject", subject);
  put_line(level, line);
}

void log_event(const event& what) {
  put_line(what.level, line_of(what));
}

std::string notice_of(const event& what) {
  return line_of(what).text() + "\n";
}

hook::hook(std::vector<std::string> command)
    : command_(std::move(command)), box_("notify program", [this](outbox&, const event& what) {
        auto now = this->command();
        if (now.empty())
          return;
        auto child = start(now, notice_of(what));
        if (child < 0 || await(child) != 0)
          log_line(severity::warning, "the notify program failed", now.front());
      }) {}

void hook::set_command(std::vector<std::string> command) {
  std::lock_guard guard{mutex_};
  command_ = std::move(command);
}

std::vector<std::string> hook::command() {
  std::lock_guard guard{mutex_};
  return command_;
}

void hook::take(const event& what) {
  if (!command().empty())
    box_.take(what);
}

} // namespace datamesh::daemon
