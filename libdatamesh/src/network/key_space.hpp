// Where nodes and records lie: numbers of 256 bits, big-endian, whose distance is their
// exclusive or (Maymounkov and Mazières, "Kademlia", 2002).
#pragma once

#include "network/peer_id.hpp"

#include <bit>

namespace datamesh::network {

/// A node's id or a record's key as a place in the key space.
using point = id<struct point_tag, 32>;

[[nodiscard]] inline point point_of(const peer_id& node) noexcept {
  return point::from(node.view());
}

struct xor_distance {
  std::array<uint64_t, 4> words{}; ///< The most significant first.

  friend auto operator<=>(const xor_distance& a, const xor_distance& b) noexcept {
    return a.words <=> b.words;
  }
  friend bool operator==(const xor_distance&, const xor_distance&) = default;
};

/// @pre both have 32 bytes
[[nodiscard]] inline xor_distance distance_of(byte_view a, byte_view b) noexcept {
  xor_distance result;
  for (size_t i = 0; i < 4; ++i) {
    uint64_t left = 0;
    uint64_t right = 0;
    std::memcpy(&left, a.data() + 8 * i, 8);
    std::memcpy(&right, b.data() + 8 * i, 8);
    auto apart = left ^ right;
    result.words[i] = std::endian::native == std::endian::little ? __builtin_bswap64(apart) : apart;
  }
  return result;
}

[[nodiscard]] inline xor_distance distance_of(const point& a, const peer_id& b) noexcept {
  return distance_of(a.view(), b.view());
}

/// How many of the first bits are the same; 256 for one and the same point.
[[nodiscard]] inline unsigned shared_bits(byte_view a, byte_view b) noexcept {
  auto apart = distance_of(a, b);
  for (unsigned i = 0; i < 4; ++i)
    if (apart.words[i] != 0)
      return 64 * i + static_cast<unsigned>(std::countl_zero(apart.words[i]));
  return 256;
}

[[nodiscard]] inline bool bit_of(byte_view of, unsigned number) noexcept {
  return (std::to_integer<unsigned>(of[number / 8]) >> (7 - number % 8) & 1) != 0;
}

} // namespace datamesh::network
