// What a person says of a mesh, read and checked: which one, where to listen, what to tell
// others, and whom to ask first.
//
// Thread rule: values; functions are safe to call from any thread.
#pragma once

#include "datamesh/mesh.hpp"
#include "network/contact.hpp"
#include "network/lan_wire.hpp"
#include "network/network_id.hpp"
#include "network/peer_address.hpp"

namespace datamesh::network {

inline constexpr size_t listen_max = 16;
inline constexpr size_t seeds_max = 16;
/// Bytes of a mesh's name; a shorter one is guessed.
inline constexpr size_t mesh_name_min = 16;
inline constexpr size_t mesh_name_max = 128;

struct mesh_settings {
  network_id mesh;
  bool local = false;
  bool lan = false;      ///< It says on the local network that it is there, and hears who else is.
  bool map_port = false; ///< The router is asked for a port.
  uint64_t relay = 0;    ///< Bytes a second that are passed on between others; 0: none.
  std::vector<endpoint> listen;
  std::vector<endpoint> announce; ///< Empty where that is where it listens.
  std::vector<peer_spec> seeds;   ///< By IP address or name.

  [[nodiscard]] ip_rules rules() const;
  /// Of where it listens, *at*, what a router can lead to: the first IPv4 address that is not loopback. Null where
  /// there is none.
  [[nodiscard]] static const endpoint* behind_router(const std::vector<endpoint>& at) noexcept;
  /// What others are told when the node listens at *at*. In place of all addresses of the machine, those of
  /// *interfaces* but loopback.
  [[nodiscard]] std::vector<endpoint> told(const std::vector<endpoint>& at, const std::vector<lan_interface>& interfaces) const;
};

/// The id of the mesh that *text* names. `invalid_argument` tells what would be right.
[[nodiscard]] result<network_id> parse_network(std::string_view text);

/// What of `mesh_options` a mistake is in.
enum class mesh_part : uint8_t { network, listen, announce, seeds, map_port, relay };

struct mesh_mistake {
  mesh_part where{};
  error reason; ///< `invalid_argument`; names the value, and tells what would be right.
};

[[nodiscard]] tl::expected<mesh_settings, mesh_mistake> read_mesh_options(const mesh_options& from);

} // namespace datamesh::network
