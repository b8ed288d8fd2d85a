// UDP and HTTP to the router of this host, over Boost.Asio and Beast, on the thread of the caller.
#pragma once

#include "datamesh/base/environment.hpp"
#include "network/router_wire.hpp"

#include <memory>

namespace datamesh::network {

/// @param env  clock and files are used: Linux tells its routes in a file
/// @param from the address of this host that is asked from; none for the one that leads to the router
[[nodiscard]] std::unique_ptr<router_wire> make_asio_router_wire(const environment& env, const std::optional<ip_address>& from);

} // namespace datamesh::network
