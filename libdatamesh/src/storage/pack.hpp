// A pack: header | sealed chunks | sealed operation batches | sealed table of
// contents | zero padding up to k equal shards. Format: docs/formats/pack.md.
//
// Header (128 bytes, plain): magic "DMPACK\0\1", u16 version, u8 suite of the
// table, u8 flags, u32 epoch, u32 length in use, u32 table offset, u32 table
// sealed length, u32 table plain length, u64 created (ns), space id (16), vault
// id (32), zero reserve, first 8 bytes of BLAKE3 over all before as checksum.
#pragma once

#include "crypto/aead.hpp"
#include "crypto/keyring.hpp"
#include "datamesh/base/ids.hpp"
#include "storage/compressor.hpp"
#include "storage/geometry.hpp"

#include <vector>

namespace datamesh::storage {

inline constexpr size_t pack_header_size = 128;
inline constexpr uint32_t chunk_plain_max = 4 << 20; ///< Bytes of a chunk.
inline constexpr size_t pack_chunks_max = 32768;     ///< Chunks in one pack.
inline constexpr size_t pack_operations_max = 4096;  ///< Operation batches in one pack.
inline constexpr uint32_t pack_table_max = 2 << 20;  ///< Bytes of a plain table.

/// Where a sealed chunk lies in its pack, and what is needed to open it.
struct chunk_entry {
  chunk_id id;
  uint32_t offset = 0;
  uint32_t sealed_length = 0;
  uint32_t plain_length = 0;
  uint32_t epoch = 0; ///< May be older than the pack's after a verbatim copy.
  codec method = codec::none;
  crypto::aead_suite suite = crypto::aead_suite::aes_256_gcm;
};

/// A sealed batch of operations in a pack.
struct operations_entry {
  uint32_t offset = 0;
  uint32_t sealed_length = 0;
  uint32_t epoch = 0;
  crypto::aead_suite suite = crypto::aead_suite::aes_256_gcm;
  device_id device;
  uint64_t first_sequence = 0;
  uint64_t last_sequence = 0;
  bool checkpoint = false; ///< Holds a checkpoint part, not operations.
};

struct pack_table {
  space_id space;
  uint32_t epoch = 0;
  int64_t created_ns = 0;
  std::vector<chunk_entry> chunks;
  std::vector<operations_entry> operations;
};

struct pack_header {
  vault_id vault;
  space_id space;
  uint32_t epoch = 0;
  crypto::aead_suite suite = crypto::aead_suite::aes_256_gcm;
  uint32_t used_length = 0; ///< Header to end of table, without padding.
  uint32_t table_offset = 0;
  uint32_t table_sealed_length = 0;
  uint32_t table_plain_length = 0;
  int64_t created_ns = 0;
  bool checkpoints = false; ///< Has parts of checkpoints: version 2, see pack.md.
};

/// Lays out one pack in a buffer. Space is handed out first and filled later,
/// by other threads if the caller so likes; the layout itself is one thread's.
class pack_builder {
public:
  /// *buffer* should hold `pack_buffer_size` bytes; of a shorter one the builder
  /// keeps back what padding may take. *size_limit* is soft: a pack may exceed it
  /// by its first chunk, or by operations for which `fits` kept no room.
  explicit pack_builder(byte_span buffer, uint32_t size_limit = pack_size_max);

  /// True when a sealed chunk of that length still fits, with room kept for the
  /// table and *operation_bytes* more of sealed batches. The first chunk of a pack
  /// always fits when the buffer can hold it.
  [[nodiscard]] bool fits(uint32_t sealed_length, uint32_t operation_bytes = 0) const noexcept;

  /// Takes the next `entry.sealed_length` bytes and sets `entry.offset`; the
  /// caller writes the sealed chunk there before `finish`.
  /// @pre `fits(entry.sealed_length)`
  [[nodiscard]] byte_span add_chunk(chunk_entry& entry);

  /// Appends an operation batch that is already sealed (see operation_batch.hpp).
  /// `capacity_exceeded` when the buffer can not hold it.
  [[nodiscard]] result<void> add_operations(operations_entry entry, byte_view sealed);

  [[nodiscard]] bool empty() const noexcept;
  [[nodiscard]] uint32_t used() const noexcept;
  [[nodiscard]] const pack_table& table() const noexcept {
    return table_;
  }

  /// Seals the table, writes the header, zeroes the padding for k data shards
  /// and answers the geometry. The buffer then begins with the k data shards.
  /// `unknown_epoch` when *space* has no key of its own epoch, `invalid_argument`
  /// when the pack is empty. Call it once.
  [[nodiscard]] result<geometry> finish(const vault_id& vault, const crypto::space_keys& space, int64_t now_ns, uint8_t k, uint8_t m,
                                        crypto::aead& cipher, random_source& random);

private:
  [[nodiscard]] uint64_t table_bound() const noexcept;

  byte_span buffer_;
  uint32_t size_limit_;
  uint32_t hard_limit_; ///< No pack that ends here outgrows the buffer by padding.
  uint32_t used_ = pack_header_size;
  pack_table table_;
};

/// Parses the first 128 bytes of a pack; *header* may be longer. Every length is
/// checked against *pack_length*, that of all data shards, before it is believed.
/// The checksum finds accidents; only the sealed table tells of forgery.
/// `format_alien` for another magic, `format_newer` for a later version whose
/// checksum is right, else `format_damaged`.
[[nodiscard]] result<pack_header> parse_pack_header(byte_view header, uint64_t pack_length);

/// Opens and parses the sealed table; entries are checked against the header:
/// they lie between header and table, none overlaps another, and lengths, codecs
/// and suites are possible. `unknown_epoch` when *keys* has no key for it,
/// `authentication_failed` when table or header were changed.
[[nodiscard]] result<pack_table> open_pack_table(const pack_header& header, byte_view sealed_table, const crypto::keyring& keys,
                                                 crypto::aead& cipher);

} // namespace datamesh::storage
