// How often something may happen: so much a second in the long run, and a burst at
// once. A generic cell rate algorithm (ITU-T I.371): all that is kept is the time at
// which the bucket is full again. Not thread-safe.
#pragma once

#include "datamesh/base/clock.hpp"

#include <algorithm>
#include <cassert>
#include <cstdint>

namespace datamesh::network {

struct rate {
  uint64_t per_second = 0; ///< Not 0.
  uint64_t burst = 0;      ///< Not 0.
};

class token_bucket {
public:
  using time = clock::monotonic_time;

  /// Full.
  explicit token_bucket(const rate& of) : rate_(of) {
    assert(of.per_second > 0 && of.burst > 0);
  }

  /// Takes *count*, also when there are fewer: what is owed has to come in first. Debts
  /// of more than an hour are let off.
  void take(uint64_t count, time now) noexcept {
    full_at_ = std::min(std::max(full_at_, now) + span_of(count), now + span_of(rate_.burst) + std::chrono::hours{1});
  }

  /// Takes *count* if there are so many.
  [[nodiscard]] bool try_take(uint64_t count, time now) noexcept {
    if (std::max(full_at_, now) + span_of(count) > now + span_of(rate_.burst))
      return false;
    take(count, now);
    return true;
  }

  /// How many there are.
  [[nodiscard]] uint64_t count(time now) const noexcept {
    if (is_full(now))
      return rate_.burst;
    auto missing = std::chrono::ceil<std::chrono::nanoseconds>(full_at_ - now);
    auto whole = std::chrono::floor<std::chrono::seconds>(missing);
    auto owed = static_cast<uint64_t>(whole.count()) * rate_.per_second
                + (static_cast<uint64_t>((missing - whole).count()) * rate_.per_second + 999'999'999) / 1'000'000'000;
    return rate_.burst - std::min(owed, rate_.burst);
  }

  /// When there are so many, if none is taken meanwhile; may be in the past. @pre no more than the burst
  [[nodiscard]] time has_at(uint64_t count) const noexcept {
    return full_at_ - span_of(rate_.burst) + span_of(count);
  }
  /// From when on nothing is owed; may be in the past.
  [[nodiscard]] time ready_at() const noexcept {
    return full_at_ - span_of(rate_.burst);
  }
  [[nodiscard]] bool is_full(time now) const noexcept {
    return now >= full_at_;
  }

private:
  /// The time in which so many come in, cut off so that no sum is out of range.
  [[nodiscard]] time::duration span_of(uint64_t count) const noexcept {
    auto most = uint64_t{1} << 32;
    return std::chrono::nanoseconds{std::min(count, most) * 1'000'000'000 / rate_.per_second};
  }

  rate rate_;
  time full_at_{};
};

} // namespace datamesh::network
