// The test of a line, one way: how much is asked for when, and how fast it was. Requests have
// bytes beside them or in their answers, a few at a time; the faster they are answered, the
// larger they become, so that a slow line is not blocked for long. Sans-IO.
//
// Not thread-safe.
#pragma once

#include "datamesh/base/clock.hpp"
#include "datamesh/mesh.hpp"

#include <optional>

namespace datamesh::network {

/// Bytes of one request: at first, and the bounds within which it goes by how long answers take.
inline constexpr uint32_t line_piece_first = 64 << 10;
inline constexpr uint32_t line_piece_min = 16 << 10;
inline constexpr uint32_t line_piece_max = 1 << 20;
/// Requests under way: with the largest pieces half of what a peer takes at once, so that other
/// work goes on, and as much as a shard has under way that is stored there.
inline constexpr size_t line_pieces_ahead = 4;
/// How long the last answers are waited for when the time is over.
inline constexpr auto line_answers_late = std::chrono::seconds{5};

class line_course {
public:
  using time = clock::monotonic_time;
  using span = std::chrono::nanoseconds;

  /// @param bytes to be moved @param cut whether that is all that the peer has left, and less than was wanted
  /// @param rtt of an empty request
  line_course(uint64_t bytes, bool cut, span lasts, span rtt, time begun)
      : bytes_(bytes), ends_(begun + lasts), rtt_(rtt), begun_(begun), last_(begun),
        full_stop_(cut ? line_stop::budget : line_stop::bytes) {}

  /// The bytes of the next request, which is under way from now on; nothing while there are enough, or
  /// when no more is to be asked.
  [[nodiscard]] std::optional<uint32_t> next(time now);
  /// One of them was answered.
  void answered(uint32_t piece, time asked, time now);
  /// The peer answers no more of them.
  void refused();

  /// Nothing is under way, and no more is to be asked; or the last answers are too late.
  [[nodiscard]] bool is_over(time now) const;
  /// Until when an answer is waited for.
  [[nodiscard]] time waits_until() const noexcept {
    return ends_ + line_answers_late;
  }
  [[nodiscard]] uint64_t moved() const noexcept {
    return moved_;
  }
  /// What came of it; without limits.
  [[nodiscard]] line_flow flow() const;

private:
  uint64_t bytes_;
  time ends_;
  span rtt_;
  time begun_;
  time last_; ///< When an answer came last.
  line_stop full_stop_;
  uint32_t piece_ = line_piece_first;
  uint64_t asked_ = 0;
  uint64_t moved_ = 0;
  size_t under_way_ = 0;
  bool refused_ = false;
};

} // namespace datamesh::network
