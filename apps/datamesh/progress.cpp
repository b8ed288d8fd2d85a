#include "progress.hpp"

#include "display.hpp"
#include "interruption.hpp"
#include "units.hpp"

#include <cmath>

#include <unistd.h>

namespace datamesh::cli {

using namespace std::chrono_literals;

namespace {

std::string_view name_of(severity level) {
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
  return "info";
}

/// Figures first, so that a short line still says them.
std::string figures_of(const progress_state& s) {
  auto text = s.title;
  if (s.bytes_total > 0)
    text += fmt::format(
        "  {:3.0f}%", std::floor(100.0 * static_cast<double>(std::min(s.bytes_done, s.bytes_total)) / static_cast<double>(s.bytes_total)));
  text += "  " + human_size(s.bytes_done);
  if (s.bytes_total > 0)
    text += " of " + human_size(s.bytes_total);
  if (s.items_total > 1)
    text += fmt::format("  {}/{}", s.items_done, s.items_total);
  if (s.rate)
    text += fmt::format("  {}/s", human_size(static_cast<uint64_t>(std::max(0.0, *s.rate))));
  if (s.seconds_left)
    text += "  " + human_span(*s.seconds_left) + " left";
  return text;
}

} // namespace

void rate_meter::add(instant now, uint64_t bytes_done) {
  // A figure that runs back belongs to another job.
  if (!samples_.empty() && bytes_done < samples_.back().second)
    samples_.clear();
  samples_.emplace_back(now, bytes_done);
  while (samples_.size() > 2 && now - samples_.front().first > 10s)
    samples_.pop_front();
}

std::optional<double> rate_meter::rate() const {
  if (samples_.size() < 2)
    return std::nullopt;
  auto span = std::chrono::duration<double>(samples_.back().first - samples_.front().first).count();
  if (span < 0.5)
    return std::nullopt;
  return static_cast<double>(samples_.back().second - samples_.front().second) / span;
}

std::optional<uint64_t> rate_meter::seconds_left(uint64_t bytes_total) const {
  auto now = rate();
  if (!now || *now < 1 || bytes_total < samples_.back().second)
    return std::nullopt;
  return static_cast<uint64_t>(std::ceil(static_cast<double>(bytes_total - samples_.back().second) / *now));
}

std::string render_progress(const progress_state& state, size_t columns) {
  auto text = figures_of(state);
  auto width = display_width(text);
  if (width > columns)
    return shortened(text, columns);
  auto subject = printable(state.subject);
  if (!subject.empty() && columns > width + 12)
    text += "  " + shortened(subject, columns - width - 2);
  return text;
}

progress::progress(output& out, std::string title, bool shown)
    : out_(out), on_terminal_(shown && !out.json() && isatty(STDERR_FILENO) == 1), in_json_(shown && out.json()) {
  state_.title = std::move(title);
  ticker_ = std::thread([this] { run(); });
}

progress::~progress() {
  finish();
}

void progress::finish() {
  {
    std::lock_guard guard{mutex_};
    if (finished_)
      return;
    finished_ = true;
  }
  stop_counting_ = true;
  wake_.notify_all();
  ticker_.join();
  if (counter_.joinable())
    counter_.join();
  if (on_terminal_)
    out_.show_progress("");
}

void progress::count(total_counter total) {
  counter_ = std::thread([this, total = std::move(total)] {
    auto bytes = total(stop_counting_);
    std::lock_guard guard{mutex_};
    counted_total_ = bytes;
  });
}

void progress::take(const event& what) {
  std::lock_guard guard{mutex_};
  if (finished_)
    return;
  switch (what.kind) {
  case event_kind::job_progress:
    take_progress(what);
    break;
  case event_kind::item_done:
    if (what.level == severity::warning)
      out_.warn(fmt::format("{}: {}", printable(what.subject), printable(what.detail)));
    else if (out_.json())
      out_.line(json_line{"item"}.add("action", state_.title).name("path", what.subject).add("size", what.bytes_done));
    else if (out_.verbose())
      out_.print("{}", printable_name(what.subject));
    break;
  case event_kind::item_failed:
    out_.item_error(what.subject, what.code.value_or(errc::internal), what.detail);
    break;
  case event_kind::node_changed:
    break;
  default:
    if (out_.json()) {
      auto line = json_line{"status"};
      line.add("kind", to_string(what.kind)).add("level", name_of(what.level)).name("subject", what.subject).add("text", what.detail);
      if (what.code)
        line.add("error", facts_of(*what.code).name);
      out_.line(line.time("time", what.wall_ns));
    } else if (what.kind == event_kind::data_lost || what.kind == event_kind::drive_changed || out_.verbose()) {
      // Shards that are read around or rebuilt are counted in the summary.
      if (!out_.quiet())
        out_.example(what.code ? facts_of(*what.code).name : to_string(what.kind),
                     fmt::format("{}: {}", printable(what.subject), printable(what.detail)));
    }
  }
}

void progress::take_progress(const event& what) {
  auto now = std::chrono::steady_clock::now();
  meter_.add(now, what.bytes_done);
  state_.subject = what.subject;
  state_.items_done = what.items_done;
  state_.items_total = what.items_total;
  state_.bytes_done = what.bytes_done;
  // What was counted may be less than what is there by now.
  state_.bytes_total = what.bytes_total > 0 ? what.bytes_total : counted_total_ >= what.bytes_done ? counted_total_ : 0;
  state_.rate = meter_.rate();
  state_.seconds_left = state_.bytes_total > 0 ? meter_.seconds_left(state_.bytes_total) : std::nullopt;
  changed_ = true;
  if (in_json_ && now - last_json_ >= 1s) {
    last_json_ = now;
    out_.line(json_status());
  }
}

json_line progress::json_status() const {
  json_line line{"status"};
  line.add("kind", "progress").name("subject", state_.subject).add("items_done", state_.items_done).add("bytes_done", state_.bytes_done);
  if (state_.items_total > 0)
    line.add("items_total", state_.items_total);
  if (state_.bytes_total > 0)
    line.add("bytes_total", state_.bytes_total);
  return line.add("bytes_per_second", state_.rate).add("seconds_left", state_.seconds_left);
}

void progress::run() {
  std::unique_lock lock{mutex_};
  while (!finished_) {
    wake_.wait_for(lock, 100ms, [this] { return finished_; });
    if (finished_)
      break;
    if (status_requested()) {
      if (out_.json())
        out_.line(json_status());
      else if (!on_terminal_)
        out_.note("{}", render_progress(state_, 1000));
      else
        changed_ = true;
    }
    if (on_terminal_ && changed_)
      repaint();
  }
}

void progress::repaint() {
  changed_ = false;
  // The last column stays free: some terminals wrap when it is written.
  out_.show_progress(render_progress(state_, terminal_columns(STDERR_FILENO) - 1));
}

} // namespace datamesh::cli
