// Writes a 256-bit secret as pronounceable words: proquints (Wilkerson, "A
// Proposal for Proquints", 2009), 16 bits a five-letter word, 16 words and a
// checksum word, as in "lusab-babad-...". Reading it is forgiving: case, dashes,
// spaces and line breaks do not matter.
#pragma once

#include "crypto/secret.hpp"

namespace datamesh::crypto {

[[nodiscard]] secret_bytes encode_phrase(const key256& entropy);

/// `phrase_invalid` names the first word that can not be one, or says that the
/// checksum differs.
[[nodiscard]] result<key256> decode_phrase(byte_view typed);

/// What the mesh's record for the phrase is found, signed and sealed by (docs/formats/recovery.md).
/// It does not lead back to the phrase, nor open a key file.
[[nodiscard]] key256 recovery_secret(const key256& entropy);

} // namespace datamesh::crypto
