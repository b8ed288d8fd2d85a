// IP addresses (RFC 791, RFC 4291) as values, their text (RFC 5952), and the groups by
// which a mesh counts them: ids cost nothing, addresses do.
//
// Thread rule: values; functions are safe to call from any thread.
#pragma once

#include "datamesh/base/bytes.hpp"
#include "datamesh/base/result.hpp"

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace datamesh::network {

struct ip_address {
  std::array<uint8_t, 16> raw{}; ///< Of IPv4 the first four, the others zero.
  bool v6 = false;

  friend auto operator<=>(const ip_address&, const ip_address&) = default;

  [[nodiscard]] byte_view view() const noexcept {
    return std::as_bytes(std::span{raw.data(), v6 ? raw.size() : 4});
  }
};

/// From 4 or 16 bytes in network order; nothing for another number. An IPv6 address that
/// stands for one of IPv4 (`::ffff:1.2.3.4`) becomes that one.
[[nodiscard]] std::optional<ip_address> ip_from(byte_view raw) noexcept;

/// Why a text is no IP address, and at which of its characters, from 0.
struct text_problem {
  size_t at = 0;
  std::string what;
};
[[nodiscard]] tl::expected<ip_address, text_problem> parse_ip4(std::string_view text);
[[nodiscard]] tl::expected<ip_address, text_problem> parse_ip6(std::string_view text);
[[nodiscard]] std::string to_string(const ip_address& ip);

/// True for what one host can have: not unspecified, not multicast, not broadcast.
[[nodiscard]] bool is_host(const ip_address& ip) noexcept;
/// True for what is reached from anywhere: not loopback, private, link-local, of
/// documentation, or reserved (RFC 6890).
[[nodiscard]] bool is_public(const ip_address& ip) noexcept;

[[nodiscard]] bool is_loopback(const ip_address& ip) noexcept;

struct ip_prefix {
  ip_address base;
  unsigned bits = 0;

  [[nodiscard]] bool covers(const ip_address& ip) const noexcept;
};

/// What is likely to be in one hand: a /24 of IPv4, a /48 of IPv6.
enum class ip_group : uint64_t {};

/// How a mesh counts addresses.
struct ip_rules {
  unsigned per_bucket = 2;
  unsigned per_table = 3;
  /// Not counted, and accepted though they may not be public.
  std::vector<ip_prefix> spared;

  /// Loopback, link-local and private addresses are spared.
  [[nodiscard]] static ip_rules local();

  [[nodiscard]] bool spares(const ip_address& ip) const noexcept;
  /// False for what no other node can make us dial.
  [[nodiscard]] bool admits(const ip_address& ip) const noexcept;
  /// Nothing for what is not counted.
  [[nodiscard]] std::optional<ip_group> group_of(const ip_address& ip) const noexcept;
};

} // namespace datamesh::network
