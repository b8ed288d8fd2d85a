// One chunk under its own key. Layout: salt (32) | key commitment (32) |
// ciphertext | tag (16). Format and reasons: docs/formats/pack.md.
//
//   key | commitment = HKDF-SHA256(epoch key, salt, "dm/chunk/1" | chunk id), 64 bytes
//   nonce = 0 (each key seals one message)
//   AAD = "dm/chunk/1" | suite | vault | space | epoch | chunk id | codec | plain length
//
// The AAD never names a pack, so cleanup copies sealed chunks verbatim.
#pragma once

#include "crypto/aead.hpp"
#include "crypto/keyring.hpp"
#include "datamesh/base/ids.hpp"
#include "storage/compressor.hpp"
#include "storage/envelope.hpp"

namespace datamesh::storage {

/// All that is authenticated beside the content.
struct chunk_facts {
  vault_id vault;
  space_id space;
  uint32_t epoch = 0;
  crypto::aead_suite suite = crypto::aead_suite::aes_256_gcm;
  chunk_id id;
  codec method = codec::none;
  uint32_t plain_length = 0;
};

/// BLAKE3 of the plaintext keyed with the space's id key.
[[nodiscard]] chunk_id chunk_id_of(const crypto::key256& id_key, byte_view plain);

/// Seals *payload* (compressed or not, as `facts.method` says).
/// *payload* may lie in place, where the ciphertext will: 64 bytes behind the
/// start of *out*. @pre `out.size() == payload.size() + seal_overhead`
[[nodiscard]] result<void> seal_chunk(crypto::aead& cipher, const crypto::key256& epoch_key, const chunk_facts& facts, byte_view payload,
                                      random_source& random, byte_span out);

/// Opens into *payload*; compares the commitment in constant time first. Fails
/// with `authentication_failed`. The caller decompresses and then holds the
/// plaintext to `facts.id`: the seal alone does not show that they belong together.
/// @pre `payload.size() == sealed.size() - seal_overhead`
[[nodiscard]] result<void> open_chunk(crypto::aead& cipher, const crypto::key256& epoch_key, const chunk_facts& facts, byte_view sealed,
                                      byte_span payload);

} // namespace datamesh::storage
