// The bytes of an invite. docs/formats/invite.md.
#pragma once

#include "crypto/secret.hpp"
#include "datamesh/invite.hpp"

namespace datamesh::network {

inline constexpr size_t invite_seeds_max = 16;

/// @param seed of the node's key
[[nodiscard]] result<bytes> sign_invite(const invite& what, const crypto::key256& seed);

} // namespace datamesh::network
