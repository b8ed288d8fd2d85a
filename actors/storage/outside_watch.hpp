// Since when a job waits for somebody outside of the node: for its source to give something,
// or for its target to take something. A wait for a drive or for an actor of ours is none.
// Where others want the memory that the job holds, one that waits for too long gives way.
//
// Thread rule: any thread.
#pragma once

#include "datamesh/base/clock.hpp"
#include "datamesh/base/error.hpp"

#include <atomic>
#include <mutex>
#include <optional>

namespace datamesh::storage {

/// After so long who keeps others from memory gives way.
inline constexpr auto outside_wait_max = std::chrono::seconds{30};

class outside_watch {
public:
  enum class side : uint8_t { source, target };

  explicit outside_watch(std::shared_ptr<datamesh::clock> time) : time_(std::move(time)) {}

  /// While it lives, some thread of the job waits.
  class wait {
  public:
    wait(outside_watch& of, side whom) : of_(of) {
      of_.change(1, whom);
    }
    ~wait() {
      of_.change(-1, std::nullopt);
    }
    wait(const wait&) = delete;
    wait& operator=(const wait&) = delete;

  private:
    outside_watch& of_;
  };

  /// The job gives way when it waits, and did so at *then* and ever since, for the same
  /// answers: what came meanwhile shows that the other side lives.
  void give_way_if_stalled(clock::monotonic_time then) {
    std::lock_guard guard{mutex_};
    if (waits_ > 0 && since_ <= then)
      gives_way_ = true;
  }

  /// Why the job must end, or nothing.
  [[nodiscard]] std::optional<error> ended() const {
    if (!gives_way_)
      return std::nullopt;
    std::lock_guard guard{mutex_};
    return error{errc::timed_out, whom_ == side::source ? "read a source that gave nothing for 30 s while others waited for memory"
                                                        : "write to a target that took nothing for 30 s while others waited for memory"};
  }

private:
  void change(int by, std::optional<side> whom) {
    std::lock_guard guard{mutex_};
    waits_ += by;
    since_ = time_->monotonic();
    whom_ = whom.value_or(whom_);
  }

  const std::shared_ptr<datamesh::clock> time_;
  mutable std::mutex mutex_;
  int waits_ = 0; ///< A get may write with several threads.
  clock::monotonic_time since_{};
  side whom_ = side::source;
  std::atomic<bool> gives_way_ = false;
};

} // namespace datamesh::storage
