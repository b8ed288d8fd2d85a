#include "storage/envelope.hpp"

#include "crypto/derive.hpp"

#include <cassert>

namespace datamesh::storage {

namespace {

// The key is the first half, the commitment the second.
using derived = crypto::secret<crypto::key256::size + seal_commitment_size>;

derived derive(const crypto::key256& epoch_key, byte_view salt, byte_view info) {
  derived both;
  crypto::hkdf_sha256(epoch_key.view(), salt, info, both.span());
  return both;
}

crypto::key256 key_of(const derived& both) {
  return crypto::key256::from(both.view().first(crypto::key256::size));
}

byte_view commitment_of(const derived& both) {
  return both.view().subspan(crypto::key256::size);
}

} // namespace

result<void> seal_envelope(crypto::aead& cipher, crypto::aead_suite suite, const crypto::key256& epoch_key, byte_view info, byte_view aad,
                           byte_view plain, random_source& random, byte_span out) {
  assert(out.size() == plain.size() + seal_overhead);
  auto salt = out.first(seal_salt_size);
  if (auto filled = random.fill(salt); !filled)
    return fail(filled.error().within("draw a salt"));
  auto both = derive(epoch_key, salt, info);
  std::ranges::copy(commitment_of(both), out.begin() + seal_salt_size);
  return cipher.seal(suite, key_of(both), crypto::nonce{}, aad, plain, out.subspan(seal_prefix_size));
}

result<void> open_envelope(crypto::aead& cipher, crypto::aead_suite suite, const crypto::key256& epoch_key, byte_view info, byte_view aad,
                           byte_view sealed, byte_span plain) {
  if (sealed.size() < seal_overhead)
    return fail(errc::authentication_failed, "open sealed bytes", "truncated");
  assert(plain.size() == sealed.size() - seal_overhead);
  auto both = derive(epoch_key, sealed.first(seal_salt_size), info);
  if (!crypto::equal_in_constant_time(commitment_of(both), sealed.subspan(seal_salt_size, seal_commitment_size)))
    return fail(errc::authentication_failed, "open sealed bytes", "another key's commitment");
  return cipher.open(suite, key_of(both), crypto::nonce{}, aad, sealed.subspan(seal_prefix_size), plain);
}

} // namespace datamesh::storage
