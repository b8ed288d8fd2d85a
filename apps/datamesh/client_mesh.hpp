// The mesh in which a command takes part by itself, where no daemon holds the node: it dials other nodes for as long as
// it runs, and nobody dials it.
#pragma once

#include "datamesh/node.hpp"

#include "failure.hpp"

#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace datamesh::cli {

/// The mesh of the daemon's settings, without a place to listen. Nothing where these settings can not be read, are about
/// another home than *home*, or name no mesh. `config_invalid`.
[[nodiscard]] outcome<std::optional<mesh_options>> client_mesh(const std::string& home);

/// Waits until every node that is a drive of *of* answers; answers those that still do not after *limit*, or when *stop*
/// is cancelled.
[[nodiscard]] std::vector<std::string> await_nodes(const node& of, std::chrono::milliseconds limit, const cancel_token& stop);

} // namespace datamesh::cli
