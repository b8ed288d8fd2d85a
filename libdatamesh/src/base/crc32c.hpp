// CRC-32C (Castagnoli, RFC 3720 appendix B.4): finds torn and damaged records.
// No defence against somebody who changes bytes on purpose.
#pragma once

#include "datamesh/base/bytes.hpp"

#include <array>
#include <cstdint>

namespace datamesh {

namespace detail {

constexpr std::array<uint32_t, 256> make_crc32c_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    auto value = i;
    for (int bit = 0; bit < 8; ++bit)
      value = (value >> 1) ^ (value & 1 ? 0x82F63B78u : 0u);
    table[i] = value;
  }
  return table;
}

inline constexpr auto crc32c_table = make_crc32c_table();

} // namespace detail

/// The checksum of *data*; pass an earlier result to go on where it ended.
[[nodiscard]] inline uint32_t crc32c(byte_view data, uint32_t before = 0) noexcept {
  auto value = ~before;
  for (auto one : data)
    value = (value >> 8) ^ detail::crc32c_table[(value ^ static_cast<uint32_t>(one)) & 0xff];
  return ~value;
}

} // namespace datamesh
