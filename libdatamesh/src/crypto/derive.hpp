// HKDF-SHA256 (RFC 5869) and HMAC-SHA256 (RFC 2104).
#pragma once

#include "crypto/secret.hpp"

namespace datamesh::crypto {

/// Extract-and-expand. @pre `out.size() <= 255 * 32`
void hkdf_sha256(byte_view key_material, byte_view salt, byte_view info, byte_span out);

/// One 32-byte key.
[[nodiscard]] key256 derive_key(byte_view key_material, byte_view salt, byte_view info);

} // namespace datamesh::crypto
