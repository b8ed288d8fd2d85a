// Ranges of packs by the first bits of their ids, which are hashes: so each has about as many, and one that comes or goes
// changes its own range alone. What is kept of a range is compared by a digest. docs/formats/ticket.md, "Siblings".
//
// Thread rule: values; functions are safe to call from any thread.
#pragma once

#include "network/shard_ticket.hpp"

#include <optional>
#include <span>

namespace datamesh::network {

inline constexpr uint32_t range_bits_max = 24;
/// Ranges of which one request asks.
inline constexpr size_t ranges_at_once = 16;

/// Packs whose ids begin with these bits.
struct pack_range {
  uint32_t bits = 0;   ///< How many; up to `range_bits_max`.
  uint32_t number = 0; ///< Which: below 2^bits.

  friend bool operator==(const pack_range&, const pack_range&) = default;
};

/// What comes before all shards of it; none for the first of all.
[[nodiscard]] std::optional<shard_key> before(const pack_range& range);
/// The greatest id of a pack in it.
[[nodiscard]] pack_id last_of(const pack_range& range);

/// BLAKE3 of `dm/range/1` and the tickets, each as it was signed.
/// @pre in order of packs and indexes
[[nodiscard]] digest digest_of(std::span<const ticket> tickets);

} // namespace datamesh::network
