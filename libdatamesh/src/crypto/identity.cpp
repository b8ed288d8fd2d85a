#include "crypto/identity.hpp"

#include <sodium.h>

namespace datamesh::crypto {

namespace {

const unsigned char* raw(byte_view data) noexcept {
  return reinterpret_cast<const unsigned char*>(data.data());
}

unsigned char* raw(byte_span data) noexcept {
  return reinterpret_cast<unsigned char*>(data.data());
}

// Picks the implementation for this CPU; once, before any other thread reads the choice.
result<void> make_ready(const char* attempted) {
  static const auto ready = sodium_init() >= 0;
  if (!ready)
    return fail(errc::internal, attempted, "libsodium does not start");
  return {};
}

struct ed25519_pair {
  public_key open;
  secret<crypto_sign_ed25519_SECRETKEYBYTES> closed;
};

result<ed25519_pair> expand(const key256& seed) {
  if (auto ready = make_ready("make an Ed25519 key"); !ready)
    return fail(ready.error());
  ed25519_pair pair;
  if (crypto_sign_ed25519_seed_keypair(raw(byte_span{pair.open}), raw(pair.closed.span()), raw(seed.view())) != 0)
    return fail(errc::internal, "make an Ed25519 key");
  return pair;
}

} // namespace

result<public_key> ed25519_public(const key256& seed) {
  return expand(seed).map([](const ed25519_pair& pair) { return pair.open; });
}

result<signature> ed25519_sign(const key256& seed, byte_view message) {
  auto pair = expand(seed);
  if (!pair)
    return fail(pair.error().within("sign"));
  signature sig;
  if (crypto_sign_ed25519_detached(raw(byte_span{sig}), nullptr, raw(message), message.size(), raw(pair->closed.view())) != 0)
    return fail(errc::internal, "sign");
  return sig;
}

bool ed25519_verify(const public_key& key, byte_view message, const signature& sig) {
  return make_ready("verify a signature")
         && crypto_sign_ed25519_verify_detached(raw(byte_view{sig}), raw(message), message.size(), raw(byte_view{key})) == 0;
}

result<public_key> x25519_public(const key256& secret) {
  if (auto ready = make_ready("make an X25519 key"); !ready)
    return fail(ready.error());
  public_key open;
  if (crypto_scalarmult_curve25519_base(raw(byte_span{open}), raw(secret.view())) != 0)
    return fail(errc::internal, "make an X25519 key");
  return open;
}

result<key256> x25519_shared(const key256& secret, const public_key& peer) {
  if (auto ready = make_ready("agree on a key"); !ready)
    return fail(ready.error());
  key256 shared;
  if (crypto_scalarmult_curve25519(raw(shared.span()), raw(secret.view()), raw(byte_view{peer})) != 0)
    return fail(errc::authentication_failed, "agree on a key", "the other side's X25519 key has small order");
  return shared;
}

} // namespace datamesh::crypto
