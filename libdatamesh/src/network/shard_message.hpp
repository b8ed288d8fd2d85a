// What nodes ask each other about shards that one keeps for others, and how it is written:
// proto/datamesh/v1/shards.proto, docs/formats/ticket.md. Blocks ride beside a message.
//
// Thread rule: values; functions are safe to call from any thread.
#pragma once

#include "network/pack_range.hpp"

#include <variant>

namespace datamesh::network {

/// Bytes of a message, at most: of a request and of an answer.
inline constexpr size_t shard_request_max = 20 << 10;
inline constexpr size_t shard_answer_max = 48 << 10;
/// Blocks of one request or answer, and their bytes.
inline constexpr uint32_t blocks_at_once = 16;
inline constexpr size_t blocks_bytes_max = size_t{blocks_at_once} * storage::block_size;
inline constexpr uint32_t listed_at_once = 256;

/// Signed words are as they came: who reads a message has not verified them.
struct begin_upload {
  uint64_t upload = 0;
  bytes ticket;
  bytes header;
};
struct upload_blocks {
  uint64_t upload = 0;
  uint32_t first = 0;
};
struct end_upload {
  uint64_t upload = 0;
};
struct find_header {
  bytes ticket;
};
struct find_blocks {
  bytes ticket;
  uint32_t first = 0;
  uint32_t count = 0; ///< 1 to `blocks_at_once`.
};
struct prove_block {
  bytes ticket;
  uint32_t block = 0;
};
struct delete_pack {
  bytes deletion;
};
struct list_shards {
  bytes permit; ///< Or none, and *owner*: who asks is on his roster.
  std::optional<shard_key> after;
  uint32_t limit = 0; ///< 1 to `listed_at_once`.
  vault_id owner{};
};
/// By whom the owner's roster names.
struct compare_shards {
  vault_id owner;
  uint32_t bits = 0;           ///< Of `pack_range`.
  uint32_t first = 0;          ///< The first range; the others follow it.
  std::vector<digest> digests; ///< What is thought of each; 1 to `ranges_at_once`.
};
struct find_room {
  bytes permit;
};
struct keep_roster {
  bytes roster;
};
using shard_request = std::variant<begin_upload, upload_blocks, end_upload, find_header, find_blocks, prove_block, delete_pack, list_shards,
                                   find_room, keep_roster, compare_shards>;

struct upload_begun {
  bytes receipt; ///< None: the shard is to be sent.
};
struct blocks_taken {};
struct shard_kept {
  bytes receipt;
};
struct header_found {
  bytes header;
};
struct blocks_found {};
/// One block of a shard with what leads from it to the pack id.
struct block_proof {
  storage::geometry shape;
  std::vector<digest> roots; ///< Of all shards of the pack.
  std::vector<digest> path;  ///< From the block to its shard's root, lowest first.
};
struct pack_deleted {
  bytes removal;
};
struct shards_listed {
  std::vector<bytes> tickets; ///< In order of pack and index.
  bool more = false;
};
/// What an owner may have, and has of it.
struct room_found {
  uint64_t granted = 0; ///< Bytes.
  uint64_t used = 0;
};
struct roster_kept {};
struct shards_compared {
  std::vector<bool> same; ///< One for each range that was asked for.
};
using shard_answer = std::variant<upload_begun, blocks_taken, shard_kept, header_found, blocks_found, block_proof, pack_deleted,
                                  shards_listed, room_found, roster_kept, shards_compared>;

[[nodiscard]] std::string encode(const shard_request& message);
[[nodiscard]] std::string encode(const shard_answer& message);
/// `protocol_violated` for what is too long or is none.
[[nodiscard]] result<shard_request> decode_shard_request(byte_view message);
[[nodiscard]] result<shard_answer> decode_shard_answer(byte_view message);

/// @pre `block < header.pack.shape.block_count()`
[[nodiscard]] block_proof prove(const storage::shard_header& header, uint32_t block);
/// `protocol_violated` unless *content* is block *number* of that shard, without anything but
/// the shard's name and length being known.
[[nodiscard]] result<void> check_proof(const shard_key& shard, uint32_t shard_length, uint32_t number, byte_view content,
                                       const block_proof& proof);

} // namespace datamesh::network
