// The name of a mesh.
#pragma once

#include "datamesh/base/ids.hpp"

namespace datamesh::network {

/// Random; who does not know it is not let in, and nothing signed for one mesh holds in another.
using network_id = id<struct network_tag, 32>;

} // namespace datamesh::network
