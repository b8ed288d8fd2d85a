// One call of the facade while it runs: how it is cancelled, when it is late, what
// it reports, and whom it answers. Shared by the actors that work on it.
#pragma once

#include "datamesh/base/clock.hpp"
#include "datamesh/node.hpp"
#include "node/event_hub.hpp"
#include "storage/outside_watch.hpp"
#include "storage/stage_watch.hpp"

#include <atomic>
#include <functional>

namespace datamesh::storage {

struct job {
  uint64_t number = 0;
  cancel_token cancel;
  std::optional<clock::monotonic_time> deadline;
  std::shared_ptr<datamesh::clock> time;
  std::shared_ptr<event_hub> events;
  std::shared_ptr<stage_watch> waits; ///< Of puts and gets; else null.
  std::shared_ptr<outside_watch> outside;
  std::atomic<int64_t> last_progress_ns{-1'000'000'000};

  /// Why the job must end now, or nothing.
  [[nodiscard]] std::optional<error> ended() const {
    if (cancel.cancelled())
      return error{errc::cancelled, "run a job"};
    if (deadline && time->monotonic() > *deadline)
      return error{errc::timed_out, "run a job"};
    return outside ? outside->ended() : std::nullopt;
  }

  /// At most ten a second, unless *force*.
  void progress(uint64_t items_done, uint64_t items_total, uint64_t bytes_done, uint64_t bytes_total, bool force = false) {
    auto now = std::chrono::nanoseconds{time->monotonic().time_since_epoch()}.count();
    if (!force && now - last_progress_ns.load() < 100'000'000)
      return;
    last_progress_ns = now;
    event what;
    what.kind = event_kind::job_progress;
    what.job = number;
    what.items_done = items_done;
    what.items_total = items_total;
    what.bytes_done = bytes_done;
    what.bytes_total = bytes_total;
    events->publish(std::move(what));
  }

  void item(event_kind kind, std::string subject, uint64_t bytes, const error* reason = nullptr) {
    event what;
    what.kind = kind;
    what.job = number;
    what.subject = std::move(subject);
    what.bytes_done = bytes;
    if (reason != nullptr) {
      what.level = severity::error;
      what.code = reason->code();
      what.detail = reason->message();
    }
    events->publish(std::move(what));
  }

  /// A folder of the store itself is not stored in it.
  void left_out(std::string folder) {
    event what;
    what.kind = event_kind::item_done;
    what.level = severity::warning;
    what.job = number;
    what.subject = std::move(folder);
    what.detail = "left out: it belongs to this store";
    events->publish(std::move(what));
  }
};

} // namespace datamesh::storage
