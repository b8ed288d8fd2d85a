// The name of a mesh.
#pragma once

#include "datamesh/mesh.hpp"

namespace datamesh::network {

/// Random, or made from a name; see `mesh_settings`.
using datamesh::network_id;

} // namespace datamesh::network
