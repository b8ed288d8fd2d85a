// Packs for tests of the drive, whose code never looks into them: of random bytes or of
// those that are given.
#pragma once

#include "crypto/merkle.hpp"
#include "storage/shard_store.hpp"
#include "tests/support/seeded_random.hpp"

#include <algorithm>
#include <vector>

namespace datamesh::test {

/// The shards of a pack, with headers that check out.
inline std::vector<storage::shard_write> pack_of(storage::geometry shape, std::vector<std::vector<std::byte>> contents) {
  std::vector<bytes> bodies;
  std::vector<std::vector<digest>> hashes;
  storage::pack_seal seal;
  seal.shape = shape;
  for (auto& content : contents) {
    bodies.push_back(bytes::take(std::move(content)));
    hashes.push_back(storage::hash_blocks(bodies.back()));
    seal.shard_roots.push_back(crypto::merkle_root(hashes.back()));
  }
  seal.id = storage::pack_id_of(shape, seal.shard_roots);
  std::vector<storage::shard_write> pack;
  for (size_t i = 0; i < shape.shard_count(); ++i)
    pack.push_back({{seal, static_cast<uint8_t>(i), hashes[i]}, bodies[i]});
  return pack;
}

/// All shards of a pack of random bytes.
inline std::vector<storage::shard_write> make_pack(seeded_random& random, storage::geometry shape) {
  std::vector<std::vector<std::byte>> contents;
  for (size_t i = 0; i < shape.shard_count(); ++i)
    contents.push_back(random.make(shape.shard_length));
  return pack_of(shape, std::move(contents));
}

inline storage::shard_key key_of(const storage::shard_write& write) {
  return {write.header.pack.id, write.header.index};
}

inline std::vector<storage::shard_key> keys_of(const std::vector<storage::shard_write>& writes) {
  std::vector<storage::shard_key> keys;
  for (const auto& write : writes)
    keys.push_back(key_of(write));
  return keys;
}

} // namespace datamesh::test
