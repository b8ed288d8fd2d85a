// zstd (RFC 8878) per chunk, before sealing. A probe of a few samples skips
// what will not shrink.
// Thread rule: a `compressor` belongs to one thread; make one a worker.
#pragma once

#include "datamesh/base/bytes.hpp"
#include "datamesh/base/result.hpp"

#include <memory>
#include <optional>

namespace datamesh::storage {

/// Stored in formats; never renumbered.
enum class codec : uint8_t { none = 0, zstd = 1 };

class compressor {
public:
  /// *level* as zstd counts, 1..19; 0 switches compression off. Working memory
  /// for chunks of 4 MiB: see docs/formats/pack.md; it is taken at first use.
  explicit compressor(int level = 1);
  ~compressor();
  compressor(compressor&&) noexcept;
  compressor& operator=(compressor&&) noexcept;

  /// Compresses *plain* into *scratch* and answers how many bytes it took, or
  /// nothing when the probe or the outcome says that it does not pay (less than
  /// 3 % saved). @pre `scratch.size() >= plain.size()`
  [[nodiscard]] std::optional<size_t> compress(byte_view plain, byte_span scratch);

  /// Expands *packed* to exactly `out.size()` bytes, the authenticated plain
  /// length; `format_damaged` when it holds more, less or nonsense. Never
  /// writes past *out* and never trusts a length in the frame.
  [[nodiscard]] result<void> decompress(codec method, byte_view packed, byte_span out);

private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

} // namespace datamesh::storage
