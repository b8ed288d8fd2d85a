// Systematic Reed-Solomon over GF(2^8) with a Cauchy matrix, through Intel
// ISA-L. Any k of the k+m shards give back all. Code words are as in
// docs/formats/pack.md; a plain implementation in the tests holds ISA-L to it.
#pragma once

#include "datamesh/base/bytes.hpp"
#include "datamesh/base/result.hpp"

#include <span>
#include <vector>

namespace datamesh::storage {

/// Immutable after construction; share it between threads.
class erasure_code {
public:
  /// @pre 1 <= k, k + m <= 128
  erasure_code(uint8_t k, uint8_t m);

  /// Fills the m parity shards from the k data shards. All have equal length.
  void encode(std::span<const byte_view> data, std::span<const byte_span> parity) const;

  /// Rebuilds the shards numbered *wanted* into *out* from exactly k others:
  /// `present[i]` is the content of shard `present_index[i]`. Indexes are
  /// distinct and below k+m. Fails with `damaged` when fewer than k are given and
  /// with `invalid_argument` when the lists do not fit together.
  [[nodiscard]] result<void> reconstruct(std::span<const uint8_t> present_index, std::span<const byte_view> present,
                                         std::span<const uint8_t> wanted, std::span<const byte_span> out) const;

  /// Bytes of each of so many shards that go through ISA-L at once.
  [[nodiscard]] static size_t slice_of(size_t shards) noexcept;

  [[nodiscard]] uint8_t k() const noexcept {
    return k_;
  }
  [[nodiscard]] uint8_t m() const noexcept {
    return m_;
  }

private:
  uint8_t k_;
  uint8_t m_;
  std::vector<unsigned char> matrix_; ///< (k+m) x k, identity on top.
  std::vector<unsigned char> tables_; ///< ISA-L's expanded parity rows.
};

} // namespace datamesh::storage
