// What every sealed part of a pack has in common: a key of its own, made from
// the epoch key and a random salt, and a commitment to that key in front of the
// ciphertext. Layout: salt (32) | key commitment (32) | ciphertext | tag (16).
//
//   key | commitment = HKDF-SHA256(epoch key, salt, info), 64 bytes
//   nonce = 0 (each key seals one message)
//
// Neither GCM nor Poly1305 commits to its key: without the commitment one
// ciphertext could be made that opens under two keys.
#pragma once

#include "crypto/aead.hpp"

namespace datamesh::storage {

inline constexpr size_t seal_salt_size = 32;
inline constexpr size_t seal_commitment_size = 32;
inline constexpr size_t seal_prefix_size = seal_salt_size + seal_commitment_size;
inline constexpr size_t seal_overhead = seal_prefix_size + crypto::aead_tag_size;

/// *plain* may lie in place, `seal_prefix_size` behind the start of *out*.
/// @pre `out.size() == plain.size() + seal_overhead`
[[nodiscard]] result<void> seal_envelope(crypto::aead& cipher, crypto::aead_suite suite, const crypto::key256& epoch_key, byte_view info,
                                         byte_view aad, byte_view plain, random_source& random, byte_span out);

/// Compares the commitment in constant time before it opens anything.
/// `authentication_failed` when *sealed* is not what `seal_envelope` made of the
/// same key, *info* and *aad*; *plain* then holds nothing of it.
/// @pre `plain.size() == sealed.size() - seal_overhead`, or *sealed* is too short
[[nodiscard]] result<void> open_envelope(crypto::aead& cipher, crypto::aead_suite suite, const crypto::key256& epoch_key, byte_view info,
                                         byte_view aad, byte_view sealed, byte_span plain);

} // namespace datamesh::storage
