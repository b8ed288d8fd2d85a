#include "storage/readahead.hpp"

#include <algorithm>

namespace datamesh::storage {

namespace {

constexpr uint64_t steps_min = 2;
/// Who was not seen among so many ranges does not share any more.
constexpr uint64_t silent_after = 64;

} // namespace

uint64_t readahead::share_of(uint64_t room) const {
  auto readers =
      std::count_if(runs_.begin(), runs_.end(), [&](const auto& one) { return one.steps >= steps_min && one.seen + silent_after > seen_; });
  // Half a stretch is left when the next one is asked for.
  return room / 2 / std::max<uint64_t>(1, static_cast<uint64_t>(readers));
}

readahead::advice readahead::note(const version_id& version, uint64_t first, uint64_t length, uint64_t room) {
  ++seen_;
  auto found = std::find_if(runs_.begin(), runs_.end(), [&](const auto& one) { return one.version == version && one.next == first; });
  auto goes_on = found != runs_.end() && length > 0;
  if (!goes_on) {
    runs_.push_front({version, first + length, first + length, 0, 0, seen_});
    if (runs_.size() > runs_max)
      runs_.pop_back();
    return {};
  }
  runs_.splice(runs_.begin(), runs_, found);
  auto& reader = runs_.front();
  reader.next = first + length;
  reader.ahead_end = std::max(reader.ahead_end, reader.next);
  reader.seen = seen_;
  if (++reader.steps < steps_min || reader.ahead_end - reader.next > reader.stretch / 2)
    return {true, 0, 0};
  auto stretch = std::min({std::max(stretch_min, 2 * reader.stretch), stretch_max, share_of(room)});
  if (stretch == 0)
    return {true, 0, 0};
  reader.stretch = stretch;
  auto from = reader.ahead_end;
  reader.ahead_end += stretch;
  return {true, from, stretch};
}

} // namespace datamesh::storage
