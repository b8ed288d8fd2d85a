// The key file: a keyring sealed under a random root, and the root wrapped once
// per lock (password, recovery phrase, device, recipient). Any one lock opens
// it. Format: docs/formats/key-file.md.
//
// Changing a password wraps the same root anew: what an old copy of the key
// file plus the old password could open, it still can.
#pragma once

#include "crypto/keyring.hpp"
#include "datamesh/base/random_source.hpp"

#include <optional>
#include <variant>

namespace datamesh::crypto {

/// Argon2id cost (RFC 9106), parallelism 1. Bounded when read from a file:
/// at most 1 GiB and 16 passes.
struct password_cost {
  uint64_t memory_bytes = 64ull << 20;
  uint32_t passes = 3;
};

enum class lock_kind : uint8_t { password = 1, recovery_phrase = 2, device = 3 };

/// What is known of a lock without opening it.
struct lock_facts {
  uint32_t number = 0; ///< Unique within the file, never reused.
  lock_kind kind = lock_kind::password;
  std::string label; ///< Host name, person; no secret.
  int64_t created_ns = 0;
};

/// Opens a lock: exactly one of the three is used.
struct unlocker {
  lock_kind kind = lock_kind::password;
  /// The password (at most 1024 bytes), the phrase as typed, or the 32-byte
  /// X25519 secret of a device.
  secret_bytes value;
};

/// An opened key file. Not thread-safe; the vault serializes its changes.
class key_file {
public:
  /// A new file with no lock yet; add one before it is encoded.
  [[nodiscard]] static result<key_file> create(keyring keys, random_source& source);

  /// `wrong_password` when no lock of that kind opens; `key_file_damaged`,
  /// `format_alien` or `format_newer` when the bytes are at fault.
  [[nodiscard]] static result<key_file> open(byte_view encoded, const unlocker& with);

  /// The locks and the vault id, without any secret.
  struct public_facts {
    vault_id vault;
    std::vector<lock_facts> locks;
  };
  [[nodiscard]] static result<public_facts> inspect(byte_view encoded);

  [[nodiscard]] const keyring& keys() const noexcept {
    return keys_;
  }
  [[nodiscard]] keyring& keys() noexcept {
    return keys_;
  }

  [[nodiscard]] result<lock_facts> add_password(const secret_bytes& password, std::string label, const password_cost& cost, int64_t now_ns,
                                                random_source& source);
  /// Makes a fresh phrase, adds its lock and answers the phrase. It is not kept.
  [[nodiscard]] result<secret_bytes> add_recovery_phrase(std::string label, int64_t now_ns, random_source& source);
  /// Adds a lock for the device with that X25519 public key.
  [[nodiscard]] result<lock_facts> add_device(const std::array<std::byte, 32>& device_public, std::string label, int64_t now_ns,
                                              random_source& source);
  /// `conflict` when it is the last one, `not_found` when there is none.
  [[nodiscard]] result<void> remove_lock(uint32_t number);
  [[nodiscard]] const std::vector<lock_facts>& locks() const noexcept {
    return facts_;
  }

  /// The bytes to store. Seals the keyring anew with a fresh nonce salt.
  [[nodiscard]] result<bytes> encode(random_source& source) const;

private:
  key_file() = default;
  keyring keys_;
  key256 root_;
  std::vector<lock_facts> facts_;
  std::vector<bytes> wraps_; ///< One encoded lock a row of `facts_`.
};

/// Argon2id, version 0x13, p = 1, 32 bytes out. Slow and memory-hungry by design:
/// callers run at most two at once.
[[nodiscard]] result<key256> argon2id(byte_view password, byte_view salt16, const password_cost& cost);

} // namespace datamesh::crypto
