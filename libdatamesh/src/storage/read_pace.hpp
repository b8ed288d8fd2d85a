// How long the drives of a node take to answer a read, and so when an answer is late:
// what was asked is then rebuilt from other drives, and the late answer is dropped.
//
// A hedged request as in Dean and Barroso, "The Tail at Scale" (CACM 56/2, 2013): a
// second one goes out when the first has been under way for longer than most. There
// they wait for the 95th percentile of expected latency, which keeps the additional
// load at some 5 %. Storj asks 39 nodes for 29 pieces from the start, Sia's renter
// "overdrives" late workers, HDFS waits 500 ms; a drive of one machine is late so
// rarely that a request in advance would cost more than it saves.
//
// Each drive has a running 95th percentile of the time per unit of work, kept as in
// "Frugal Streaming" (Ma, Muthukrishnan, Sandler 2013): up by a factor when a read took
// longer, down by a 19th of that when not. What is late is measured by the median over
// the drives, so that one that is always slow does not set its own standard.
//
// Hedges are paid from a bucket that each read fills by 1/20 (as the retry throttling
// of gRPC, proposal A6): a store that is slow throughout is asked for little more than
// without them. A drive that has not answered for `hanging_after` is read around free
// of charge, like one that is missing, until it answers.
//
// What a repair reads gives way to what clients read, on the links between nodes: how long it
// takes says nothing of a drive to them, and a read more is a read too much. So repairs have a
// pace of their own that pays for nothing.
//
// Thread rule: any thread.
#pragma once

#include "datamesh/base/clock.hpp"
#include "datamesh/base/ids.hpp"

#include <map>
#include <memory>
#include <mutex>
#include <optional>

namespace datamesh::storage {

/// Nobody notices a fifth of a second, and a healthy disk's read with a short queue
/// before it takes less; rebuilding for the sake of less would only cost.
inline constexpr std::chrono::milliseconds late_floor{200};
/// What is late while nothing has been measured: a cold store answers slowly at first.
inline constexpr std::chrono::milliseconds late_unmeasured{1000};
/// So many times the percentile are late; never more than a drive that hangs.
inline constexpr int late_factor = 3;
/// A disk that sleeps needs up to ten seconds to spin up, and no other healthy one is
/// silent for as long.
inline constexpr std::chrono::seconds hanging_after{10};
/// Then a read counts as failed. Linux gives a disk's command 30 seconds and tries it
/// again: what has not answered by then will hardly do so.
inline constexpr std::chrono::seconds read_deadline{60};
/// Reads that pay for one more.
inline constexpr unsigned reads_per_hedge = 20;
/// What may be paid at once; enough to rebuild what was asked of a drive when it fell silent.
inline constexpr unsigned hedges_at_once = 32;

class read_pace : public std::enable_shared_from_this<read_pace> {
public:
  using duration = std::chrono::nanoseconds;

  enum class standing : uint8_t {
    answers,
    late,    ///< Some read has been under way for longer than `patience`.
    hanging, ///< ... for longer than `hanging_after`.
  };

  /// @param hedges that are paid at once, at most; 0: none is ever
  explicit read_pace(std::shared_ptr<clock> time, unsigned hedges = hedges_at_once)
      : time_(std::move(time)), funds_max_(hedges * reads_per_hedge), funds_(funds_max_) {}
  read_pace(const read_pace&) = delete;
  read_pace& operator=(const read_pace&) = delete;

  /// A read of *size* bytes is on its way to *drive*, until what is answered is let go.
  /// It belongs with the request, so that it counts for as long as the drive has that,
  /// whether anybody waits for the answer or not.
  [[nodiscard]] std::shared_ptr<const void> begin(const drive_id& drive, size_t size);

  /// After so long a read of *size* bytes is late.
  [[nodiscard]] duration patience(size_t size) const;

  [[nodiscard]] standing of(const drive_id& drive) const;

  /// Pays for *count* more reads than are needed; false when that is too much by now.
  [[nodiscard]] bool pay(size_t count);

  /// True when *drive* hangs and nobody was told since it last answered.
  [[nodiscard]] bool is_news(const drive_id& drive);

  [[nodiscard]] clock::monotonic_time now() const {
    return time_->monotonic();
  }

private:
  struct under_way {
    clock::monotonic_time begun;
    size_t size;
  };
  struct drive_pace {
    std::optional<double> slow_ns; ///< 95th percentile of a unit of work.
    std::map<uint64_t, under_way> reads;
    bool told = false;
  };
  class read;
  void end(const drive_id& drive, uint64_t number);
  [[nodiscard]] duration patience_locked(size_t size) const;
  [[nodiscard]] standing standing_locked(const drive_pace& pace) const;

  const std::shared_ptr<clock> time_;
  const unsigned funds_max_; ///< In reads.
  unsigned funds_;
  mutable std::mutex mutex_;
  std::map<drive_id, drive_pace> drives_;
  uint64_t next_ = 0;
};

} // namespace datamesh::storage
