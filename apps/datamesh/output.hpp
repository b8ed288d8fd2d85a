// Everything that is printed. Standard output carries results: lines for people, or
// one JSON object a line. Standard error carries progress, warnings and questions.
//
// Thread rule: all members from any thread.
#pragma once

#include "failure.hpp"
#include "json_line.hpp"

#include <atomic>
#include <cerrno>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include <fmt/format.h>

namespace datamesh::cli {

enum class tone : uint8_t { plain, good, warning, bad, faint, strong };

struct output_options {
  bool json = false;
  bool quiet = false;
  bool verbose = false;
  bool exact_bytes = false;
  bool color = false; ///< On standard output.
  bool pager = false; ///< Long lists go through one.
  std::string pager_command;
};

/// What `--color`, NO_COLOR, CLICOLOR_FORCE and the terminal come to.
[[nodiscard]] bool use_color(std::string_view when, bool no_color, bool force, bool terminal);

class output {
public:
  explicit output(output_options options);

  [[nodiscard]] bool json() const noexcept {
    return options_.json;
  }
  [[nodiscard]] bool quiet() const noexcept {
    return options_.quiet;
  }
  [[nodiscard]] bool verbose() const noexcept {
    return options_.verbose;
  }

  /// A line of JSON; nothing without --json.
  void line(const json_line& message);

  /// Results for people on standard output; nothing with --json. A newline is added.
  template <class... Args>
  void print(fmt::format_string<Args...> text, Args&&... args) {
    if (!options_.json)
      write_text(fmt::format(text, std::forward<Args>(args)...) + "\n");
  }

  /// A list for people: as `print`, through the pager when it is longer than the
  /// terminal.
  void page(const std::string& text);

  /// What --quiet leaves out; on standard error.
  template <class... Args>
  void note(fmt::format_string<Args...> text, Args&&... args) {
    if (!options_.json && !options_.quiet)
      write_error(fmt::format(text, std::forward<Args>(args)...) + "\n");
  }

  void warn(const std::string& text);

  /// One item that failed; the command goes on. Told once for each object; for people
  /// as `example`, by its code.
  void item_error(std::string_view object, errc code, std::string_view message);

  /// A line on standard error that is one of a *group*: of many only the first few are
  /// told, unless with --verbose, and how many there were at the end.
  void example(std::string_view group, std::string_view text);

  /// The first item that failed is told with the second, or at the end: a command that
  /// ends with it says it in its own three lines.
  void drop_held_back();

  /// "60 DM-UNSUPPORTED-SOURCE, 3 DM-PERMISSION-DENIED": the items that failed, by code.
  [[nodiscard]] std::string failed_by_code();
  /// Items that `item_error` was told of, each once.
  [[nodiscard]] uint64_t failed_items();

  /// Why the command ends: three lines, or `exit_error`. Answers the exit code.
  int fail(std::string_view command, const failure& reason);

  /// What to tell when something that is printed from here on can not be written,
  /// instead of a general sentence. Empty: the general sentence again.
  void if_lost(std::optional<failure> reason);

  /// Tells what is left to tell, and whether all of standard output was written: when it
  /// was not, the exit code is that of the loss and not *code*. Call it once, at the end.
  int finish(int code);

  /// Bytes as they are. False when they could not be written.
  bool raw(std::string_view data);

  /// A size for people: "1.5 GiB", or exact with --bytes.
  [[nodiscard]] std::string size(uint64_t bytes) const;
  /// A time for people: relative on a terminal, else RFC 3339.
  [[nodiscard]] std::string time(int64_t ns) const;
  [[nodiscard]] std::string paint(tone t, std::string_view text) const;

  /// True when standard output was closed by its reader.
  [[nodiscard]] bool broken() const noexcept {
    return lost_errno_ == EPIPE;
  }
  /// True when something could not be written to standard output. Nothing follows there.
  [[nodiscard]] bool lost() const noexcept {
    return lost_errno_ != 0;
  }

  /// A line on standard error that the next one replaces; "" removes it.
  void show_progress(std::string_view text);

private:
  void write_text(std::string_view text);
  void write_error(std::string_view text);
  bool write_all(int fd, std::string_view data);
  void clear_progress();
  void tell_held_back();
  void tell_rest();

  output_options options_;
  std::mutex mutex_;
  bool progress_shown_ = false;
  std::atomic<int> lost_errno_ = 0;
  std::optional<failure> if_lost_;
  std::set<std::string, std::less<>> failed_objects_;
  std::map<errc, uint64_t> failed_codes_;
  std::optional<std::pair<std::string, std::string>> held_back_; ///< Group and text.
  std::map<std::string, uint64_t, std::less<>> examples_;
};

/// Columns of the terminal behind *fd*; 80 when it does not say.
[[nodiscard]] size_t terminal_columns(int fd);
[[nodiscard]] size_t terminal_rows(int fd);

/// Nanoseconds since 1970.
[[nodiscard]] int64_t wall_now_ns();

} // namespace datamesh::cli
