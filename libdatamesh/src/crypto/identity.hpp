// Ed25519 signatures (RFC 8032) and X25519 key agreement (RFC 7748) through
// libsodium, which is stricter than RFC 8032 asks: it refuses keys of small
// order, too. Functions are safe to call from any thread.
#pragma once

#include "crypto/secret.hpp"
#include "datamesh/base/ids.hpp"

namespace datamesh::crypto {

using signature = std::array<std::byte, 64>;
using public_key = std::array<std::byte, 32>;

/// The Ed25519 public key of the 32-byte seed.
[[nodiscard]] result<public_key> ed25519_public(const key256& seed);
[[nodiscard]] result<signature> ed25519_sign(const key256& seed, byte_view message);
/// False for a wrong signature, a malformed or small-order key and a
/// non-canonical S alike.
[[nodiscard]] bool ed25519_verify(const public_key& key, byte_view message, const signature& sig);

/// The X25519 public key of the 32-byte secret.
[[nodiscard]] result<public_key> x25519_public(const key256& secret);
/// The shared secret; `authentication_failed` when it is all zero (RFC 7748, 6.1).
[[nodiscard]] result<key256> x25519_shared(const key256& secret, const public_key& peer);

} // namespace datamesh::crypto
