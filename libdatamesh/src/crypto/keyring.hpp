// What a vault's owner holds: the vault's identity, and per space an id key, a
// chunker key and numbered epoch keys. All are random; none derives from another.
#pragma once

#include "crypto/secret.hpp"
#include "datamesh/base/ids.hpp"

#include <map>
#include <string>
#include <vector>

namespace datamesh::crypto {

inline constexpr size_t space_count_max = 1024;
inline constexpr size_t space_name_size_max = 256;

struct space_keys {
  space_id id;
  std::string name;                      ///< For people; "main" for the first.
  key256 id_key;                         ///< Keys chunk ids; never rotates.
  key256 chunker_key;                    ///< Makes the chunker's gear table.
  uint32_t epoch = 0;                    ///< The epoch that new data is sealed under.
  std::map<uint32_t, key256> epoch_keys; ///< Old ones stay for reading.
};

/// By which the mesh's record for a recovery phrase is made (docs/formats/recovery.md). Derived from
/// the phrase, which it does not tell.
struct recovery_key {
  uint32_t lock = 0; ///< The phrase's.
  key256 secret;
  int64_t ended_ns = 0; ///< When the lock was removed; 0 while it is there.
};

/// Those of phrases that were removed are kept for a while, so that their records are withdrawn.
inline constexpr size_t recovery_key_count_max = 128;

struct keyring {
  vault_id vault;                 ///< = the public key of `identity_seed`.
  key256 identity_seed;           ///< Ed25519.
  key256 catalog_key;             ///< Encrypts the local catalog.
  std::vector<space_keys> spaces; ///< The first is the default.
  std::vector<recovery_key> recoveries;
  uint64_t revision = 1; ///< Grows with every change of the keyring.

  [[nodiscard]] const space_keys* find(const space_id& id) const noexcept;
};

/// True when the vault is the seed's public key, there are 1 to 1024 spaces with
/// distinct ids and names of at most 256 bytes, each has its current epoch's key and
/// no epoch 0, and at most 128 recovery keys are each of another lock.
[[nodiscard]] bool is_consistent(const keyring& keys);

/// A fresh vault with one space, epoch 1.
[[nodiscard]] result<keyring> make_keyring(random_source& source);

/// Adds a new epoch key to *space* and makes it current. The caller then owes
/// its keyring a higher revision.
[[nodiscard]] result<void> rotate(space_keys& space, random_source& source);

/// The same for the space with that id, revision included; `not_found` when the
/// keyring has none such.
[[nodiscard]] result<void> rotate(keyring& keys, const space_id& space, random_source& source);

} // namespace datamesh::crypto
