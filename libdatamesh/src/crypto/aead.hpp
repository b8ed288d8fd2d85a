// AES-256-GCM (NIST SP 800-38D) and ChaCha20-Poly1305 (RFC 8439) through
// OpenSSL. 32-byte keys, 12-byte nonces, 16-byte tags behind the ciphertext.
// Thread rule: an `aead` belongs to one thread; make one a worker.
#pragma once

#include "crypto/secret.hpp"

#include <memory>

namespace datamesh::crypto {

/// Stored in formats; never renumbered.
enum class aead_suite : uint8_t { aes_256_gcm = 1, chacha20_poly1305 = 2 };

inline constexpr size_t aead_tag_size = 16;
inline constexpr size_t aead_nonce_size = 12;
using nonce = std::array<std::byte, aead_nonce_size>;

/// AES-256-GCM where the CPU has AES instructions, else ChaCha20-Poly1305.
[[nodiscard]] aead_suite preferred_suite() noexcept;

/// Sees every (key, nonce) pair that seals something; the tests' tracer
/// fails when one repeats. Null in production.
class seal_observer {
public:
  virtual ~seal_observer() = default;
  virtual void sealed(aead_suite suite, const key256& key, const nonce& n) = 0;
};

class aead {
public:
  explicit aead(seal_observer* observer = nullptr);
  ~aead();
  aead(aead&&) noexcept;
  aead& operator=(aead&&) noexcept;

  /// Writes `plain.size() + 16` bytes to *out*, which may begin where *plain*
  /// does (in place) but must not overlap it otherwise.
  /// @pre `out.size() == plain.size() + aead_tag_size`
  [[nodiscard]] result<void> seal(aead_suite suite, const key256& key, const nonce& n, byte_view aad, byte_view plain, byte_span out);

  /// Writes `sealed.size() - 16` bytes to *out*, or fails with
  /// `authentication_failed` and wipes *out*.
  [[nodiscard]] result<void> open(aead_suite suite, const key256& key, const nonce& n, byte_view aad, byte_view sealed, byte_span out);

private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

} // namespace datamesh::crypto
