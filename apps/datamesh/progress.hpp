// Shows how far a job is: one line on a terminal, `status` lines with --json, and one
// line for each SIGUSR1 elsewhere.
#pragma once

#include "datamesh/event.hpp"
#include "output.hpp"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <optional>
#include <thread>

namespace datamesh::cli {

/// Bytes a second over the last ten seconds, as measured.
class rate_meter {
public:
  using instant = std::chrono::steady_clock::time_point;

  void add(instant now, uint64_t bytes_done);
  /// Empty until half a second was seen.
  [[nodiscard]] std::optional<double> rate() const;
  /// Seconds to *bytes_total*; empty while there is no rate.
  [[nodiscard]] std::optional<uint64_t> seconds_left(uint64_t bytes_total) const;

private:
  std::deque<std::pair<instant, uint64_t>> samples_;
};

struct progress_state {
  std::string title;   ///< "put"
  std::string subject; ///< The file that is worked on.
  uint64_t items_done = 0;
  uint64_t items_total = 0; ///< 0 while unknown.
  uint64_t bytes_done = 0;
  uint64_t bytes_total = 0; ///< 0 while unknown.
  std::optional<double> rate;
  std::optional<uint64_t> seconds_left;
};

/// One line of at most *columns*.
[[nodiscard]] std::string render_progress(const progress_state& state, size_t columns);

/// Counts the bytes that a job will have done in the end; 0 when it can not tell. Ends
/// soon when it is to stop.
using total_counter = std::function<uint64_t(const std::atomic<bool>& stop)>;

class progress {
public:
  /// @param shown false with --quiet and --no-progress
  progress(output& out, std::string title, bool shown);
  ~progress();

  /// Counts on a thread of its own, for a job that does not tell its total. Once.
  void count(total_counter total);

  /// Takes an event of the node, from its thread. What comes after `finish` is ignored.
  void take(const event& what);

  /// Removes the line. The result of the job comes next.
  void finish();

private:
  void run();
  void take_progress(const event& what);
  void repaint();
  [[nodiscard]] json_line json_status() const;

  output& out_;
  bool on_terminal_;
  bool in_json_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool finished_ = false;
  bool changed_ = false;
  progress_state state_;
  rate_meter meter_;
  rate_meter::instant last_json_{};
  uint64_t counted_total_ = 0;
  std::atomic<bool> stop_counting_ = false;
  std::thread counter_;
  std::thread ticker_;
};

} // namespace datamesh::cli
