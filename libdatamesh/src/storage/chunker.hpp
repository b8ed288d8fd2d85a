// Content-defined chunking: FastCDC (Xia et al., USENIX ATC 2016) with
// normalized chunking, its gear table drawn from the space's chunker key, so
// that chunk lengths tell an outsider nothing about known content.
//
// Cut points depend on content and key alone: never on how the stream was cut
// into segments, on the number of scanning streams or on the CPU.
#pragma once

#include "crypto/secret.hpp"
#include "datamesh/base/bytes.hpp"

#include <array>
#include <vector>

namespace datamesh::storage {

struct chunk_limits {
  uint32_t size_min = 256 << 10;
  uint32_t size_target = 1 << 20; ///< A power of two.
  uint32_t size_max = 4 << 20;
};

/// Immutable after construction; share it between threads.
class chunker {
public:
  explicit chunker(const crypto::key256& chunker_key, chunk_limits limits = {});

  /// The lengths of the chunks that *data* begins with. Unless *at_end*, the
  /// bytes behind the last cut belong to a chunk that is not complete yet: the
  /// caller puts them in front of what follows and calls again. At the end all
  /// bytes are covered. Fast path: several interleaved streams over one buffer.
  [[nodiscard]] std::vector<uint32_t> cut(byte_view data, bool at_end) const;

  [[nodiscard]] const chunk_limits& limits() const noexcept {
    return limits_;
  }

private:
  chunk_limits limits_;
  uint64_t mask_small_; ///< Stricter, before the target size.
  uint64_t mask_large_; ///< Laxer, behind it; its bits are a subset of the other's.
  std::array<uint64_t, 256> gear_;
};

} // namespace datamesh::storage
