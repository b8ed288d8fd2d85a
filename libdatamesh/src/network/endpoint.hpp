// Where a node is reached over TCP.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <string>

namespace datamesh::network {

struct endpoint {
  /// IPv6, or IPv4 as ::ffff:a.b.c.d (RFC 4291, 2.5.5.2).
  std::array<uint8_t, 16> address{};
  uint16_t port = 0;
  /// The interface that a link-local address is of; 0 for all others.
  uint32_t scope = 0;

  [[nodiscard]] static endpoint v4(std::array<uint8_t, 4> address, uint16_t port) noexcept;
  [[nodiscard]] bool is_v4() const noexcept;
  /// Addresses that are counted as one host, as a number: an IPv4 address, or a /64 of
  /// IPv6, which is what one customer gets at least (RFC 6177).
  [[nodiscard]] uint64_t host() const noexcept;
  /// "192.0.2.1:4001" or "[2001:db8::1]:4001" (RFC 5952).
  [[nodiscard]] std::string text() const;

  auto operator<=>(const endpoint&) const = default;
};

} // namespace datamesh::network
