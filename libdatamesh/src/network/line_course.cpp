#include "network/line_course.hpp"

#include <algorithm>

namespace datamesh::network {

namespace {

/// Beyond the round trip.
constexpr auto answered_soon = std::chrono::milliseconds{200};
constexpr auto answered_late = std::chrono::milliseconds{800};

} // namespace

std::optional<uint32_t> line_course::next(time now) {
  if (refused_ || now >= ends_ || asked_ == bytes_ || under_way_ == line_pieces_ahead)
    return std::nullopt;
  auto piece = static_cast<uint32_t>(std::min<uint64_t>(piece_, bytes_ - asked_));
  asked_ += piece;
  ++under_way_;
  return piece;
}

void line_course::answered(uint32_t piece, time asked, time now) {
  --under_way_;
  moved_ += piece;
  last_ = now;
  auto took = now - asked - rtt_;
  if (took < answered_soon)
    piece_ = std::min(std::max(piece_, 2 * piece), line_piece_max);
  else if (took > answered_late)
    piece_ = std::max(piece / 2, line_piece_min);
}

void line_course::refused() {
  --under_way_;
  refused_ = true;
}

bool line_course::is_over(time now) const {
  if (under_way_ > 0)
    return now >= waits_until();
  return refused_ || asked_ == bytes_ || now >= ends_;
}

line_flow line_course::flow() const {
  line_flow what;
  what.bytes = moved_;
  what.stop = refused_ ? line_stop::budget : asked_ == bytes_ && under_way_ == 0 ? full_stop_ : line_stop::time;
  if (moved_ == 0)
    return what;
  // The last answer takes a round trip in which its bytes had moved already; on a line that is faster than that
  // can be told, the time of the answers stays.
  auto took = last_ - begun_;
  what.elapsed_ns = static_cast<uint64_t>(std::max({took - rtt_, took / 2, span{1}}).count());
  return what;
}

} // namespace datamesh::network
