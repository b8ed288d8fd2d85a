// What another node has shown of itself as a drive: docs/formats/ticket.md, "Audits".
#pragma once

#include "datamesh/base/ids.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace datamesh {

/// Something that a node did when it was asked to prove what it keeps.
struct audit_event {
  int64_t when_ns = 0; ///< Nanoseconds since the epoch.
  std::string what;    ///< "lost", "wrong", "unanswered"
  pack_id pack;
  uint8_t shard = 0;  ///< Of the pack,
  uint32_t block = 0; ///< and of the shard.
  double score = 1;   ///< Afterwards.
};

/// What a node that is a drive has shown of itself: it is asked for blocks by chance, and proves that it has them
/// (docs/formats/ticket.md, "Audits").
struct audit_report {
  double score = 1;    ///< From 0 to 1, of one that never failed. What happened last counts most.
  bool lies = false;   ///< It sent what it was not given, and not by accident: nothing is left to it any more.
  uint64_t passed = 0; ///< How often it proved a block,
  uint64_t lost = 0;   ///< had lost it, or did not answer three times,
  uint64_t wrong = 0;  ///< or sent something else.
  uint64_t unanswered = 0;
  std::optional<int64_t> last_passed_ns{}; ///< Nanoseconds since the epoch.
  std::vector<audit_event> events{};       ///< What it did not pass, the latest first; at most 64.
};

} // namespace datamesh
