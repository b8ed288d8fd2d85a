// A shard as it lies on a drive: header | body. The header carries the hash of
// every 64 KiB block and the roots of all shards of its pack, so that anyone can
// check the shard, or one block of it, against the pack id, without a key.
// Format: docs/formats/shard.md.
//
// Header, little-endian: magic "DMSHARD\1", u16 version, u16 reserved, u32 header
// length (a multiple of 4096 for a file, exact for an inline shard), u8 k, u8 m,
// u8 index, u8 reserved, u32 shard length, pack id (32), (k+m) shard roots of
// 32, block hashes of 32 each, BLAKE3 over all before (32), zero padding.
#pragma once

#include "datamesh/base/ids.hpp"
#include "datamesh/base/result.hpp"
#include "storage/geometry.hpp"

#include <span>
#include <vector>

namespace datamesh::storage {

/// A pack's public description: all that is needed to check its shards.
struct pack_seal {
  pack_id id;
  geometry shape;
  std::vector<digest> shard_roots; ///< k+m of them.
};

struct shard_header {
  pack_seal pack;
  uint8_t index = 0;
  std::vector<digest> block_hashes; ///< Of this shard; `shape.block_count()` of them.
};

/// Hashes of the 64 KiB blocks of *body* (the last may be shorter).
[[nodiscard]] std::vector<digest> hash_blocks(byte_view body);

/// BLAKE3("dm/pack/1" | u8 k | u8 m | u32 shard length | Merkle root of the shard roots).
[[nodiscard]] pack_id pack_id_of(const geometry& shape, std::span<const digest> shard_roots);

/// Length of the encoded header: exact, or rounded up to 4096 for a file.
[[nodiscard]] uint32_t shard_header_length(const geometry& shape, bool as_file);

[[nodiscard]] bytes encode_shard_header(const shard_header& header, bool as_file);

/// Parses and checks a header: its checksum, its lengths, that block hashes lead
/// to this shard's root and the roots to the pack id. *data* may be longer.
/// `format_alien` for another magic, `format_newer` for a later version whose
/// checksum is right, else `format_damaged`.
[[nodiscard]] result<shard_header> parse_shard_header(byte_view data);

/// The header length a header claims, from its first 16 bytes, bounded.
[[nodiscard]] result<uint32_t> peek_shard_header_length(byte_view first16);

/// `shard_damaged` unless *block* is block number *number* of the shard.
[[nodiscard]] result<void> check_block(const shard_header& header, uint32_t number, byte_view block);

} // namespace datamesh::storage
