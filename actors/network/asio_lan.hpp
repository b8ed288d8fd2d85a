// Multicast on every interface that can, by IPv4 and IPv6, over Boost.Asio on a thread of its own. Several
// programs of one machine may do so side by side. docs/formats/beacon.md.
#pragma once

#include "network/lan_wire.hpp"

#include <memory>

namespace datamesh::network {

/// Those that are up and can be used, at most `lan_interfaces_max`.
[[nodiscard]] result<std::vector<lan_interface>> interfaces_of_machine();

[[nodiscard]] std::unique_ptr<lan_wire> make_asio_lan();

} // namespace datamesh::network
