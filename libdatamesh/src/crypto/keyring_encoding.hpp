// A keyring as bytes: the protobuf that is sealed inside a key file. Vault id
// and revision are not among them; they stand in the open, authenticated.
#pragma once

#include "crypto/keyring.hpp"

namespace datamesh::crypto {

/// @pre `is_consistent(keys)`
[[nodiscard]] secret_bytes encode_keyring(const keyring& keys);

/// `key_file_damaged` when the bytes are no consistent keyring of that vault.
[[nodiscard]] result<keyring> decode_keyring(byte_view plain, const vault_id& vault, uint64_t revision);

} // namespace datamesh::crypto
