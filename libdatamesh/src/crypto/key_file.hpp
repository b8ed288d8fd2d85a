// The key file: a keyring sealed under a random root, and the root wrapped once
// per lock (password, recovery phrase, device, recipient). Any one lock opens
// it. Format: docs/formats/key-file.md.
//
// Changing a password wraps the same root anew: what an old copy of the key
// file plus the old password could open, it still can.
#pragma once

#include "crypto/aead.hpp"
#include "crypto/keyring.hpp"
#include "crypto/password.hpp"
#include "datamesh/base/random_source.hpp"

#include <span>
#include <string>
#include <vector>

namespace datamesh::crypto {

inline constexpr size_t password_size_max = 1024;
inline constexpr size_t lock_count_max = 64;
/// Each costs one Argon2id when a password is tried.
inline constexpr size_t password_lock_count_max = 8;
inline constexpr size_t lock_label_size_max = 256;
inline constexpr size_t key_file_size_max = 4u << 20;

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
  /// A new file with a fresh root and no lock yet; add one before it is encoded.
  [[nodiscard]] static result<key_file> create(keyring keys, random_source& source, seal_observer* observer = nullptr);

  /// `wrong_password` when no lock of that kind opens; `key_file_damaged`,
  /// `format_alien` or `format_newer` when the bytes are at fault;
  /// `phrase_invalid` for a typing error; `invalid_argument` for a password
  /// above 1024 bytes or a device secret that is not of 32.
  [[nodiscard]] static result<key_file> open(byte_view encoded, const unlocker& with, seal_observer* observer = nullptr);

  /// What can be told without a secret. It is checked against accidents only:
  /// who opens the file learns whether it was forged.
  struct public_facts {
    vault_id vault;
    uint64_t revision = 0;
    std::vector<lock_facts> locks;
  };
  [[nodiscard]] static result<public_facts> inspect(byte_view encoded);

  [[nodiscard]] const keyring& keys() const noexcept {
    return keys_;
  }
  [[nodiscard]] keyring& keys() noexcept {
    return keys_;
  }

  /// `invalid_argument` when password, cost or label is out of bounds,
  /// `capacity_exceeded` when there are too many locks.
  [[nodiscard]] result<lock_facts> add_password(const secret_bytes& password, std::string label, const password_cost& cost, int64_t now_ns,
                                                random_source& source);
  /// Makes a fresh phrase, adds its lock and recovery key, and answers the phrase. It is not kept.
  [[nodiscard]] result<secret_bytes> add_recovery_phrase(std::string label, int64_t now_ns, random_source& source);
  /// Adds a lock for the device with that X25519 public key.
  [[nodiscard]] result<lock_facts> add_device(const std::array<std::byte, 32>& device_public, std::string label, int64_t now_ns,
                                              random_source& source);
  /// `conflict` when it is the last one, `not_found` when there is none. The recovery key of a phrase
  /// is kept as ended; those that ended 91 days before *now_ns* go.
  [[nodiscard]] result<void> remove_lock(uint32_t number, int64_t now_ns);
  /// Keeps the recovery key of *phrase*, which opened this file; false when it is known already. Files
  /// of version 1 have none.
  [[nodiscard]] result<bool> learn_recovery(const secret_bytes& phrase);
  [[nodiscard]] const std::vector<lock_facts>& locks() const noexcept {
    return facts_;
  }

  /// The bytes to store. Seals the keyring under a key of its own: no two
  /// encodes share a (key, nonce) pair. `invalid_argument` without a lock or
  /// when the keyring is inconsistent, `capacity_exceeded` above 4 MiB.
  [[nodiscard]] result<bytes> encode(random_source& source) const;
  /// The same with fewer locks: those of *numbers*.
  [[nodiscard]] result<bytes> encode_with(std::span<const uint32_t> numbers, random_source& source) const;

private:
  [[nodiscard]] result<bytes> encode_locks(const std::vector<byte_view>& wraps, random_source& source) const;
  struct draft;
  struct contents;

  key_file() = default;
  [[nodiscard]] result<draft> draft_lock(lock_kind kind, std::string label, int64_t now_ns, random_source& source) const;
  [[nodiscard]] result<lock_facts> close_lock(const draft& made, const key256& secret);
  [[nodiscard]] static result<contents> parse(byte_view encoded);
  [[nodiscard]] static result<key256> open_locks(const contents& file, const unlocker& with);

  keyring keys_;
  key256 root_;
  std::vector<lock_facts> facts_;
  std::vector<bytes> wraps_; ///< One encoded lock a row of `facts_`.
  uint32_t next_lock_ = 1;
  seal_observer* observer_ = nullptr;
};

} // namespace datamesh::crypto
