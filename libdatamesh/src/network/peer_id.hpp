// The name of a node of the mesh. (A `node_id` is a file or folder of a catalog.)
#pragma once

#include "datamesh/mesh.hpp"

namespace datamesh::network {

/// SHA-256 of the node's Ed25519 key as SubjectPublicKeyInfo in DER (RFC 8410): 44
/// bytes, of which the last 32 are the key.
using datamesh::peer_id;

} // namespace datamesh::network
