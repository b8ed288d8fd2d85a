// A run of operations of one device, sealed for its pack: salt (32) | commitment
// (32) | ciphertext | tag (16), key from HKDF-SHA256(epoch key, salt, "dm/ops/1" |
// device). Content: per operation u32 length and its encoded bytes, kept as they
// were received. Checkpoints travel the same way under "dm/checkpoint/1".
//
//   AAD = domain | suite | vault | space | epoch | device | u64 first | u64 last
#pragma once

#include "crypto/aead.hpp"
#include "crypto/keyring.hpp"
#include "datamesh/base/random_source.hpp"
#include "storage/pack.hpp"

#include <span>
#include <string>
#include <vector>

namespace datamesh::storage {

/// Seals *encoded* operations; fills the entry but for its offset.
/// `invalid_argument` when there are none, `unknown_epoch` when the space lacks
/// the key of its own epoch, `capacity_exceeded` when no pack could hold them.
[[nodiscard]] result<std::pair<operations_entry, bytes>> seal_operations(const vault_id& vault, const crypto::space_keys& space,
                                                                         const device_id& device, uint64_t first_sequence,
                                                                         std::span<const std::string> encoded, crypto::aead& cipher,
                                                                         random_source& random);

/// Seals parts of a checkpoint in the same way; parts are counted as sequence
/// numbers are. The entry says `checkpoint`.
[[nodiscard]] result<std::pair<operations_entry, bytes>> seal_checkpoint(const vault_id& vault, const crypto::space_keys& space,
                                                                         const device_id& device, uint64_t first_part,
                                                                         std::span<const std::string> parts, crypto::aead& cipher,
                                                                         random_source& random);

/// Opens a batch of either kind, as the entry says; checks counts and lengths before it believes them.
[[nodiscard]] result<std::vector<std::string>> open_operations(const vault_id& vault, const space_id& space, const operations_entry& entry,
                                                               byte_view sealed, const crypto::keyring& keys, crypto::aead& cipher);

} // namespace datamesh::storage
