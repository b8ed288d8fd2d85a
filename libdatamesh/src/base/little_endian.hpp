// Integers as little-endian bytes, as every format of ours has them.
#pragma once

#include "datamesh/base/bytes.hpp"

#include <cassert>
#include <concepts>

namespace datamesh {

/// @pre `out.size() >= sizeof(T)`
template <std::unsigned_integral T>
void store_le(byte_span out, T value) noexcept {
  assert(out.size() >= sizeof(T));
  for (size_t i = 0; i < sizeof(T); ++i)
    out[i] = static_cast<std::byte>(value >> (8 * i));
}

/// @pre `in.size() >= sizeof(T)`
template <std::unsigned_integral T>
[[nodiscard]] T load_le(byte_view in) noexcept {
  assert(in.size() >= sizeof(T));
  T value = 0;
  for (size_t i = 0; i < sizeof(T); ++i)
    value = static_cast<T>(value | (static_cast<T>(in[i]) << (8 * i)));
  return value;
}

} // namespace datamesh
