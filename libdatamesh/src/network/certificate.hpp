// X.509 certificates (RFC 5280) of nodes: self-signed with Ed25519 (RFC 8410), used
// by TLS alone. What counts is the key; a node makes a new certificate at each start, and in time.
#pragma once

#include "crypto/identity.hpp"
#include "datamesh/base/clock.hpp"
#include "network/peer_id.hpp"

#include <memory>

typedef struct evp_pkey_st EVP_PKEY;
typedef struct x509_st X509;

namespace datamesh::network {

/// How long a certificate is valid, and by how much it may be from a clock that is ahead.
inline constexpr auto certificate_lifetime = std::chrono::hours{24 * 90};
inline constexpr auto clock_error_max = std::chrono::hours{24};

struct free_key {
  void operator()(EVP_PKEY* x) const noexcept;
};
struct free_certificate {
  void operator()(X509* x) const noexcept;
};
using key_ptr = std::unique_ptr<EVP_PKEY, free_key>;
using certificate_ptr = std::unique_ptr<X509, free_certificate>;

struct peer_identity {
  peer_id id;
  crypto::public_key key;
};

/// The node with that Ed25519 key.
[[nodiscard]] result<peer_id> peer_of(const crypto::public_key& key);

/// For OpenSSL, from the Ed25519 seed.
[[nodiscard]] result<key_ptr> private_key(const crypto::key256& seed);

/// A certificate of *key*, valid from `clock_error_max` before *now* on for
/// `certificate_lifetime`. Its serial number comes from *random*.
[[nodiscard]] result<certificate_ptr> make_certificate(EVP_PKEY& key, clock::wall_time now, random_source& random);

/// Who the certificate stands for. `peer_refused` for a key that is not Ed25519, a
/// signature that is not its own, a date that *now* is not within, a version before 3
/// or a critical extension.
[[nodiscard]] result<peer_identity> check_certificate(X509& from, clock::wall_time now);

} // namespace datamesh::network
