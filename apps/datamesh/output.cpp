#include "output.hpp"

#include "display.hpp"
#include "units.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>

#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

namespace datamesh::cli {

namespace {

/// At most so many failed objects are remembered to tell each once.
constexpr size_t failed_objects_max = 100'000;
/// So many of a kind show what it is; more only push it off the screen.
constexpr uint64_t examples_max = 5;

std::string_view escape_of(tone t) {
  switch (t) {
  case tone::good:
    return "\x1b[32m";
  case tone::warning:
    return "\x1b[33m";
  case tone::bad:
    return "\x1b[31m";
  case tone::faint:
    return "\x1b[2m";
  case tone::strong:
    return "\x1b[1m";
  case tone::plain:
    break;
  }
  return {};
}

std::string three_lines(const failure& reason) {
  auto& facts = facts_of(reason.code);
  return fmt::format("error: {}\n  why: {} ({})\n  next: {}\n", printable(reason.what), facts.title, facts.name,
                     reason.next.empty() ? facts.suggestion : reason.next);
}

winsize window_of(int fd) {
  winsize size{};
  if (ioctl(fd, TIOCGWINSZ, &size) != 0)
    size = {};
  return size;
}

} // namespace

bool use_color(std::string_view when, bool no_color, bool force, bool terminal) {
  if (when != "auto")
    return when == "always";
  return !no_color && (force || terminal);
}

size_t terminal_columns(int fd) {
  auto columns = window_of(fd).ws_col;
  return columns > 0 ? columns : 80;
}

size_t terminal_rows(int fd) {
  auto rows = window_of(fd).ws_row;
  return rows > 0 ? rows : 24;
}

int64_t wall_now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

output::output(output_options options) : options_(std::move(options)) {}

void output::line(const json_line& message) {
  if (options_.json)
    write_text(message.text() + "\n");
}

void output::page(const std::string& text) {
  if (options_.json)
    return;
  auto lines = static_cast<size_t>(std::count(text.begin(), text.end(), '\n'));
  if (!options_.pager || lines < terminal_rows(STDOUT_FILENO)) {
    write_text(text);
    return;
  }
  std::lock_guard guard{mutex_};
  clear_progress();
  auto* pager = popen(options_.pager_command.c_str(), "w");
  if (pager == nullptr) {
    write_all(STDOUT_FILENO, text);
    return;
  }
  std::fwrite(text.data(), 1, text.size(), pager);
  pclose(pager);
}

void output::warn(const std::string& text) {
  if (options_.json)
    line(json_line{"status"}.add("kind", "warning").add("text", text));
  else
    write_error("warning: " + printable(text) + "\n");
}

void output::item_error(std::string_view object, errc code, std::string_view message) {
  if (lost())
    return;
  {
    std::lock_guard guard{mutex_};
    if (failed_objects_.size() < failed_objects_max && !failed_objects_.emplace(object).second)
      return;
    ++failed_codes_[code];
  }
  auto name = facts_of(code).name;
  if (options_.json)
    return line(json_line{"error"}.name("object", object).add("error", name).add("message", message));
  // Most messages name the object themselves.
  auto named = message.find(object) != std::string_view::npos;
  auto text = fmt::format("{}{} ({})", named ? "" : printable_name(object) + ": ", printable(message), name);
  if (failed_items() == 1) {
    std::lock_guard guard{mutex_};
    held_back_ = {std::string{name}, std::move(text)};
    return;
  }
  tell_held_back();
  example(name, text);
}

void output::tell_held_back() {
  std::optional<std::pair<std::string, std::string>> first;
  {
    std::lock_guard guard{mutex_};
    first.swap(held_back_);
  }
  if (first)
    example(first->first, first->second);
}

void output::drop_held_back() {
  std::lock_guard guard{mutex_};
  held_back_.reset();
}

void output::example(std::string_view group, std::string_view text) {
  {
    std::lock_guard guard{mutex_};
    if (++examples_[std::string{group}] > examples_max && !options_.verbose)
      return;
  }
  write_error(std::string{text} + "\n");
}

void output::tell_rest() {
  tell_held_back();
  std::string text;
  {
    std::lock_guard guard{mutex_};
    for (auto& [group, count] : examples_)
      if (count > examples_max && !options_.verbose)
        text += fmt::format("and {} more: {}; --verbose tells each\n", grouped(count - examples_max), group);
    examples_.clear();
  }
  if (!text.empty() && !options_.json)
    write_error(text);
}

std::string output::failed_by_code() {
  std::lock_guard guard{mutex_};
  std::string text;
  for (auto& [code, count] : failed_codes_)
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", grouped(count), facts_of(code).name);
  return text;
}

uint64_t output::failed_items() {
  std::lock_guard guard{mutex_};
  return failed_objects_.size();
}

int output::fail(std::string_view command, const failure& reason) {
  auto& facts = facts_of(reason.code);
  auto next = reason.next.empty() ? std::string{facts.suggestion} : reason.next;
  // What could not be written is told at the end, and what comes of it is not told twice.
  if (lost())
    return facts.exit_code;
  {
    // The same is not told as an item and as the end.
    std::lock_guard guard{mutex_};
    if (held_back_ && held_back_->second.find(printable(reason.what)) != std::string::npos)
      held_back_.reset();
  }
  tell_rest();
  if (options_.json) {
    line(json_line{"exit_error"}
             .add("command", command)
             .add("exit_code", facts.exit_code)
             .add("error", facts.name)
             .add("message", reason.what)
             .add("reason", facts.title)
             .add("suggestion", next));
  } else {
    write_error(three_lines(reason));
  }
  return facts.exit_code;
}

void output::if_lost(std::optional<failure> reason) {
  std::lock_guard guard{mutex_};
  if_lost_ = std::move(reason);
}

int output::finish(int code) {
  tell_rest();
  // Some file systems tell only at the end that there was no room.
  if (auto copy = lost() ? -1 : ::dup(STDOUT_FILENO); copy >= 0)
    if (::close(copy) != 0 && errno != EINTR)
      lost_errno_ = errno;
  if (!lost())
    return code;
  auto system = from_errno(lost_errno_, "write standard output");
  failure reason{system.code(), system.message(), "run the command again with standard output going elsewhere"};
  if (if_lost_)
    reason = {system.code(), if_lost_->what + ": " + system.message(), if_lost_->next};
  // A reader that has seen enough is no failure, unless what it left was shown only once.
  if (!broken() || if_lost_)
    write_error(three_lines(reason));
  return facts_of(reason.code).exit_code;
}

bool output::raw(std::string_view data) {
  std::lock_guard guard{mutex_};
  return write_all(STDOUT_FILENO, data);
}

std::string output::size(uint64_t bytes) const {
  return options_.exact_bytes ? std::to_string(bytes) : human_size(bytes);
}

std::string output::time(int64_t ns) const {
  return isatty(STDOUT_FILENO) == 1 ? relative_time(ns, wall_now_ns()) : rfc3339_seconds(ns);
}

std::string output::paint(tone t, std::string_view text) const {
  auto escape = escape_of(t);
  if (!options_.color || escape.empty())
    return std::string{text};
  return fmt::format("{}{}\x1b[0m", escape, text);
}

void output::show_progress(std::string_view text) {
  std::lock_guard guard{mutex_};
  clear_progress();
  if (text.empty())
    return;
  write_all(STDERR_FILENO, text);
  progress_shown_ = true;
}

void output::clear_progress() {
  if (progress_shown_)
    write_all(STDERR_FILENO, "\r\x1b[K");
  progress_shown_ = false;
}

void output::write_text(std::string_view text) {
  std::lock_guard guard{mutex_};
  clear_progress();
  write_all(STDOUT_FILENO, text);
}

void output::write_error(std::string_view text) {
  std::lock_guard guard{mutex_};
  clear_progress();
  write_all(STDERR_FILENO, text);
}

bool output::write_all(int fd, std::string_view data) {
  // What follows a gap is not what it seems to be.
  if (fd == STDOUT_FILENO && lost())
    return false;
  while (!data.empty()) {
    auto written = ::write(fd, data.data(), data.size());
    if (written >= 0) {
      data.remove_prefix(static_cast<size_t>(written));
    } else if (errno == EAGAIN) {
      // Whoever shares the pipe made it non-blocking.
      pollfd ready{fd, POLLOUT, 0};
      (void) poll(&ready, 1, -1);
    } else if (errno != EINTR) {
      if (fd == STDOUT_FILENO)
        lost_errno_ = errno;
      return false;
    }
  }
  return true;
}

} // namespace datamesh::cli
