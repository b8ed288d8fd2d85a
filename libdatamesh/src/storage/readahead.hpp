// What to open ahead of those who read files in ranges. A range that begins where an
// earlier one of the same version ended goes on with it; from the second such range in a
// row on, what follows is opened ahead. The stretch doubles from one to the next, up to a
// bound, and the next one is due when less than half of the last is left, as with the
// read-ahead of Linux (Fengguang, Hongsheng, Chenfeng: "On the Design of a New Linux
// Readahead Framework", 2008). Who jumps about gets nothing ahead.
//
// Not thread-safe.
#pragma once

#include "datamesh/base/ids.hpp"

#include <list>

namespace datamesh::storage {

class readahead {
public:
  /// Readers told apart; the one that was silent longest goes first.
  static constexpr size_t runs_max = 32;
  /// The first stretch.
  static constexpr uint64_t stretch_min = 1 << 20;
  static constexpr uint64_t stretch_max = 8 << 20;

  struct advice {
    bool goes_on = false; ///< Where an earlier range ended.
    uint64_t first = 0;   ///< Of the file, to be opened ahead.
    uint64_t length = 0;  ///< 0: nothing is due.
  };

  /// Somebody reads [first, first + length). *room*: bytes that may lie ahead of all
  /// readers together.
  [[nodiscard]] advice note(const version_id& version, uint64_t first, uint64_t length, uint64_t room);

private:
  struct run {
    version_id version;
    uint64_t next = 0;      ///< Where the last range ended.
    uint64_t ahead_end = 0; ///< What was advised ends here.
    uint64_t stretch = 0;   ///< The last one.
    uint64_t steps = 0;     ///< Ranges that went on.
    uint64_t seen = 0;      ///< By the count of all ranges.
  };
  [[nodiscard]] uint64_t share_of(uint64_t room) const;

  std::list<run> runs_; ///< Last one first.
  uint64_t seen_ = 0;
};

} // namespace datamesh::storage
