// The router that packets for everywhere go to, as Linux tells it.
#pragma once

#include "network/ip_address.hpp"

namespace datamesh::network {

/// Where the system tells its IPv4 routes, and the most of it that is read.
inline constexpr auto routes_file = "/proc/self/net/route";
inline constexpr size_t routes_size_max = 1 << 20;

/// Of that file's text: the router of the default route that is taken, which has the least metric. Nothing where there
/// is no such route. Lines that are not understood are passed over.
[[nodiscard]] std::optional<ip_address> default_gateway(std::string_view routes);

} // namespace datamesh::network
