// Binary Merkle trees over BLAKE3. A leaf is hashed as BLAKE3(data | 0x00), an
// inner node as BLAKE3(left | right | 0x01); the tag stands behind the data so
// that the data itself stays aligned for the hash's vector code. A level of odd
// length carries its last node up unchanged (the shape of RFC 6962).
#pragma once

#include "datamesh/base/ids.hpp"

#include <span>
#include <vector>

namespace datamesh::crypto {

[[nodiscard]] digest merkle_leaf(byte_view data);
[[nodiscard]] digest merkle_node(const digest& left, const digest& right);

/// The root over *leaves*. @pre `!leaves.empty()`
[[nodiscard]] digest merkle_root(std::span<const digest> leaves);

/// The siblings on the way from leaf *index* to the root, lowest first.
/// @pre `index < leaves.size()`
[[nodiscard]] std::vector<digest> merkle_path(std::span<const digest> leaves, size_t index);

/// True when *leaf* at *index* of *leaf_count* leaves leads to *root* over *path*.
[[nodiscard]] bool merkle_verify(const digest& root, const digest& leaf, size_t index, size_t leaf_count, std::span<const digest> path);

} // namespace datamesh::crypto
