// Where a node is reached over TCP.
#pragma once

#include "network/ip_address.hpp"
#include "network/peer_id.hpp"

namespace datamesh::network {

/// Another node passes on to the one that is meant: docs/formats/relay.md.
struct relay_way {
  peer_id relay; ///< That is reached where the endpoint says.
  peer_id to;

  friend auto operator<=>(const relay_way&, const relay_way&) = default;
};

struct endpoint {
  ip_address ip;
  uint16_t port = 0;
  /// The interface that a link-local address is of, on this machine; 0 for all others.
  uint32_t scope = 0;
  std::optional<relay_way> through{}; ///< None where the node itself is there.

  [[nodiscard]] static endpoint v4(std::array<uint8_t, 4> address, uint16_t port) noexcept;
  /// Addresses that are counted as one host, as a number: an IPv4 address, or a /64 of
  /// IPv6, which is what one customer gets at least (RFC 6177). Behind another node each node is one.
  [[nodiscard]] uint64_t host() const noexcept;
  /// "192.0.2.1:4001" or "[2001:db8::1]:4001" (RFC 5952); "through ID@192.0.2.1:4001" where another node passes on.
  [[nodiscard]] std::string text() const;

  friend auto operator<=>(const endpoint&, const endpoint&) = default;
};

} // namespace datamesh::network
