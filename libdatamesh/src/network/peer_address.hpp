// How a node is reached, and its text: `node-id@/ip4/1.2.3.4/tcp/4433` and the other
// forms of docs/formats/discovery.md.
//
// Thread rule: values; functions are safe to call from any thread.
#pragma once

#include "network/endpoint.hpp"
#include "network/peer_id.hpp"

#include <variant>

namespace datamesh::network {

/// Bytes of the longest text that is read.
inline constexpr size_t peer_text_max = 512;

/// Which addresses of a name are meant.
enum class name_family : uint8_t { any, ip4, ip6 };

struct host_name {
  std::string name; ///< Lower case, without the last dot; at most 253 characters.
  name_family family = name_family::any;

  friend auto operator<=>(const host_name&, const host_name&) = default;
};

struct peer_address {
  std::variant<ip_address, host_name> host;
  uint16_t port = 0; ///< Of TCP; never 0.

  friend auto operator<=>(const peer_address&, const peer_address&) = default;
};

/// What a person writes to name a node.
struct peer_spec {
  std::optional<peer_id> id; ///< Nothing where any node may answer.
  peer_address address;

  friend bool operator==(const peer_spec&, const peer_spec&) = default;
};

/// `invalid_argument` tells which character is wrong, and what would be right.
[[nodiscard]] result<peer_spec> parse_peer_spec(std::string_view text);
/// The same for what must have no node id.
[[nodiscard]] result<peer_address> parse_peer_address(std::string_view text);
/// Where this node is to listen: an IP address without a name or id, where `0.0.0.0` and `[::]`
/// are all of the machine, and port 0 any that is free.
[[nodiscard]] result<endpoint> parse_listen_address(std::string_view text);

/// The one text that stands for it: `/ip4/1.2.3.4/tcp/4433`.
[[nodiscard]] std::string to_string(const peer_address& address);
[[nodiscard]] std::string to_string(const peer_spec& spec);

} // namespace datamesh::network
