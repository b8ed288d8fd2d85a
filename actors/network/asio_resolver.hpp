// The system's name servers, through Asio.
#pragma once

#include "network/name_resolver.hpp"

#include <memory>

namespace datamesh::network {

/// With a thread of its own, so that a name server that does not answer holds nobody up, also not who
/// lets the resolver go.
[[nodiscard]] std::unique_ptr<name_resolver> make_asio_resolver();

} // namespace datamesh::network
