// A node that a daemon holds, behind the facade.
#pragma once

#include "node/door.hpp"

namespace datamesh::control {

/// See `node::connect`.
[[nodiscard]] result<std::unique_ptr<node_door>> connect(const std::string& socket, node_options options);

} // namespace datamesh::control
