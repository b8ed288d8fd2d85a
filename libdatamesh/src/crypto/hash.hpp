// BLAKE3 (O'Connor, Aumasson, Neves, Wilcox-O'Hearn, 2020) over upstream's C
// code. 32-byte digests. Thread rule: a `hasher` belongs to one thread.
#pragma once

#include "crypto/secret.hpp"
#include "datamesh/base/ids.hpp"

namespace datamesh::crypto {

class hasher {
public:
  hasher();
  /// Keyed mode.
  explicit hasher(const key256& key);
  ~hasher();
  hasher(const hasher&) = delete;
  hasher& operator=(const hasher&) = delete;

  hasher& update(byte_view data);
  /// Appends the integer as little-endian bytes.
  hasher& update_u32(uint32_t value);
  [[nodiscard]] digest finish() const;

private:
  // Room for upstream's state, whose header stays out of ours.
  alignas(16) std::array<std::byte, 1920> state_;
};

[[nodiscard]] digest blake3(byte_view data);
[[nodiscard]] digest blake3_keyed(const key256& key, byte_view data);

} // namespace datamesh::crypto
