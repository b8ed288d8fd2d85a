// For whom something is done, in the order in which it goes first.
#pragma once

#include <cstddef>
#include <cstdint>

namespace datamesh {

/// Numbers are in messages between actors.
enum class work_kind : uint8_t {
  client = 0, ///< Somebody waits for it: put, get.
  repair = 1, ///< Shards are made up for, or moved.
  scrub = 2,  ///< What is stored is checked.
};
inline constexpr size_t work_kinds = 3;

/// As it is in messages; what is none counts as the last.
[[nodiscard]] constexpr work_kind work_kind_of(uint32_t number) noexcept {
  return number < work_kinds ? static_cast<work_kind>(number) : work_kind::scrub;
}

} // namespace datamesh
