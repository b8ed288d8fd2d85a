// When a vault is to be looked at: quickly once a day, every block once in four weeks,
// in parts that are spread evenly, so that thirty days are kept with room to spare.
// Pure: the caller brings the time. All times are nanoseconds since the epoch.
#pragma once

#include "datamesh/base/ids.hpp"
#include "datamesh/base/result.hpp"

#include <cstdint>
#include <optional>
#include <string>

namespace datamesh::health {

inline constexpr int64_t hour_ns = 3'600'000'000'000;
inline constexpr int64_t day_ns = 24 * hour_ns;
inline constexpr int64_t quick_every_ns = day_ns;
inline constexpr int64_t deep_every_ns = 28 * day_ns;
/// Packs of one part at most: between parts the scrub can be ended.
inline constexpr uint64_t part_max = 64;

/// How far a vault's deep look is. Survives the process.
struct scrub_state {
  int64_t deep_began_ns = 0;         ///< 0: never.
  bool deep_over = false;            ///< The round that began then is finished.
  uint64_t deep_packs = 0;           ///< Looked at in this round.
  std::optional<pack_id> deep_after; ///< The last of them.

  /// Lines of text.
  [[nodiscard]] std::string encode() const;
  /// `format_damaged` when it is not understood: begin anew.
  [[nodiscard]] static result<scrub_state> decode(std::string_view text);
};

struct scrub_step {
  enum class kind : uint8_t { nothing, quick, deep_part };
  kind what = kind::nothing;
  uint64_t packs = 0; ///< Of a deep part.
};

/// What is due at *now*. A clock that was set back makes nothing due for longer than
/// a period: a time in the future counts as never.
[[nodiscard]] scrub_step next_step(const scrub_state& state, std::optional<int64_t> last_quick_ns, uint64_t packs, int64_t now_ns);

/// The state after a deep part of *packs* packs, the last of them *after*; nothing
/// there means that the round is over.
[[nodiscard]] scrub_state after_part(scrub_state state, uint64_t packs, std::optional<pack_id> after, int64_t now_ns);

} // namespace datamesh::health
