// Content-defined chunking: FastCDC (Xia et al., USENIX ATC 2016) with
// normalized chunking, its gear table drawn from the space's chunker key, so
// that chunk lengths tell an outsider nothing about known content.
//
// A chunk ends behind the first of its bytes, from byte `size_min` on, at which
// the gear hash of the 64 bytes up to there has all bits of the mask clear (the
// strict mask before `size_target`, the lax one from it on), or at `size_max`,
// or with the stream. The window lies inside the chunk, so cut points depend on
// the chunk's own bytes and the key alone: never on how the stream was cut into
// segments, on the number of scanning streams or on the CPU.
#pragma once

#include "crypto/secret.hpp"
#include "datamesh/base/bytes.hpp"

#include <array>
#include <vector>

namespace datamesh::storage {

/// @pre `64 <= size_min < size_target < size_max <= 2^30`
struct chunk_limits {
  uint32_t size_min = 256 << 10;
  uint32_t size_target = 1 << 20; ///< A power of two.
  uint32_t size_max = 4 << 20;
};

/// Immutable after construction; share it between threads.
class chunker {
public:
  explicit chunker(const crypto::key256& chunker_key, chunk_limits limits = {});
  chunker(const chunker&) = default;
  chunker& operator=(const chunker&) = default;
  ~chunker();

  /// The lengths of the chunks that *data* begins with. Unless *at_end*, the
  /// bytes behind the last cut belong to a chunk that is not complete yet: the
  /// caller puts them in front of what follows and calls again; they are then
  /// scanned again, so let *data* be several times `size_max`. At the end all
  /// bytes are covered. Any way of segmenting gives the same chunks.
  [[nodiscard]] std::vector<uint32_t> cut(byte_view data, bool at_end) const;

  [[nodiscard]] const chunk_limits& limits() const noexcept {
    return limits_;
  }

private:
  // The length of the first chunk of *data*, or 0 when more data must decide.
  [[nodiscard]] uint32_t first_length(byte_view data, bool at_end) const;
  // The first position in [from, to) that a chunk may end with, or *to*.
  [[nodiscard]] size_t find(byte_view data, size_t from, size_t to, uint64_t mask) const;
  [[nodiscard]] size_t find_plain(byte_view data, size_t from, size_t to, uint64_t mask) const;

  chunk_limits limits_;
  uint64_t mask_small_; ///< Stricter, before the target size.
  uint64_t mask_large_; ///< Laxer, behind it; its bits are a subset of the other's.
  std::array<uint64_t, 256> gear_;
};

} // namespace datamesh::storage
