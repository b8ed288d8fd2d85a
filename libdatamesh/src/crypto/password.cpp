#include "crypto/password.hpp"

#include <sodium.h>

#include <cerrno>

namespace datamesh::crypto {

bool is_acceptable(const password_cost& cost) noexcept {
  return cost.memory_bytes >= crypto_pwhash_argon2id_MEMLIMIT_MIN && cost.memory_bytes <= password_memory_max
         && cost.memory_bytes % 1024 == 0 && cost.passes >= 1 && cost.passes <= password_passes_max;
}

result<key256> argon2id(byte_view password, byte_view salt16, const password_cost& cost) {
  if (salt16.size() != crypto_pwhash_argon2id_SALTBYTES || !is_acceptable(cost))
    return fail(errc::invalid_argument, "stretch a password");
  static const auto ready = sodium_init() >= 0;
  if (!ready)
    return fail(errc::internal, "stretch a password", "libsodium does not start");
  // libsodium wants a pointer even to no password at all.
  const auto* text = password.empty() ? "" : as_text(password).data();
  key256 stretched;
  errno = 0;
  if (crypto_pwhash_argon2id(reinterpret_cast<unsigned char*>(stretched.span().data()), key256::size, text, password.size(),
                             reinterpret_cast<const unsigned char*>(salt16.data()), cost.passes, cost.memory_bytes,
                             crypto_pwhash_argon2id_ALG_ARGON2ID13)
      != 0)
    return fail(errno == ENOMEM ? errc::capacity_exceeded : errc::internal, "stretch a password", "Argon2id gets no memory");
  return stretched;
}

} // namespace datamesh::crypto
