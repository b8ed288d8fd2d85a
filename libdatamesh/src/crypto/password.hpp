// From a password to a key: Argon2id (RFC 9106) through libsodium, always with
// parallelism 1, so that a browser gets the same bytes. Safe to call from any
// thread.
#pragma once

#include "crypto/secret.hpp"

namespace datamesh::crypto {

/// Argon2id cost (RFC 9106), parallelism 1.
struct password_cost {
  uint64_t memory_bytes = 64ull << 20;
  uint32_t passes = 3;
};

inline constexpr uint64_t password_memory_max = 1ull << 30;
inline constexpr uint32_t password_passes_max = 16;

/// True when the memory is a multiple of 1 KiB from 8 KiB to 1 GiB, and the
/// passes are from 1 to 16. What a file asks beyond that is refused before
/// memory is taken.
[[nodiscard]] bool is_acceptable(const password_cost& cost) noexcept;

/// Argon2id, version 0x13, p = 1, 32 bytes out. Slow and memory-hungry by design:
/// callers run at most two at once. `invalid_argument` when the salt is not of
/// 16 bytes or the cost is not acceptable, `capacity_exceeded` without memory.
[[nodiscard]] result<key256> argon2id(byte_view password, byte_view salt16, const password_cost& cost);

} // namespace datamesh::crypto
