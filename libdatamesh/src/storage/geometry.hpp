// The shape of a pack on drives: k data and m parity shards of equal length.
#pragma once

#include "datamesh/base/ids.hpp"
#include "datamesh/base/result.hpp"

namespace datamesh::storage {

inline constexpr size_t shard_count_max = 128;         ///< k + m
inline constexpr uint32_t block_size = 64 << 10;       ///< Unit of shard hashing.
inline constexpr uint32_t pack_size_max = 16 << 20;    ///< A pack closes here.
inline constexpr uint32_t shard_alignment = 64;        ///< Of every shard's length.
inline constexpr uint32_t direct_alignment = 4096;     ///< Of O_DIRECT I/O.
inline constexpr uint32_t inline_shard_max = 64 << 10; ///< Shorter ones live in the drive's index.

/// Holds any pack with its padding: make buffers for packs this large.
inline constexpr uint32_t pack_buffer_size = pack_size_max + shard_count_max * direct_alignment;

struct geometry {
  uint8_t k = 0;             ///< Data shards, 1..128.
  uint8_t m = 0;             ///< Parity shards, 0..127; k + m <= 128.
  uint32_t shard_length = 0; ///< Bytes of each shard; > 0.

  [[nodiscard]] size_t shard_count() const noexcept {
    return size_t{k} + m;
  }
  [[nodiscard]] uint64_t data_length() const noexcept {
    return uint64_t{k} * shard_length;
  }
  [[nodiscard]] uint32_t block_count() const noexcept {
    return (shard_length + block_size - 1) / block_size;
  }
  /// True when the shards are files of their own, false when they live in the
  /// drive's index.
  [[nodiscard]] bool shards_are_files() const noexcept {
    return shard_length >= inline_shard_max;
  }
  friend bool operator==(const geometry&, const geometry&) = default;
};

/// The geometry for a pack of *pack_length* bytes: each shard is the k-th part,
/// rounded up to 64 bytes, and to 4096 where it will be a file of its own.
/// @pre `k > 0 && pack_length > 0`
[[nodiscard]] geometry geometry_for(uint8_t k, uint8_t m, uint32_t pack_length) noexcept;

/// `policy_invalid` unless 1 <= k, k + m <= 128; `format_damaged` unless the
/// length is above 0 and k of them are at most `pack_buffer_size`.
[[nodiscard]] result<void> validate(const geometry& g);

} // namespace datamesh::storage
