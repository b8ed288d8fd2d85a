// UPnP (Internet Gateway Device, WANIPConnection and WANPPPConnection): how the router in front of a host is found, and
// asked for a TCP port that leads to the host. What is sent and what comes back, as text. No socket, no clock.
//
// Whoever is on the local network may answer, so nothing leads further than to the router that answered for itself:
// addresses in what it says have to be its own, and only the three kinds of service are known.
//
// Thread rule: values; functions are safe to call from any thread.
#pragma once

#include "network/endpoint.hpp"

#include <span>

namespace datamesh::network {

/// Bytes of a datagram, of a description, of an answer, and of what an address leads to, at most.
inline constexpr size_t upnp_datagram_max = 2048;
inline constexpr size_t upnp_body_max = 64 << 10;
inline constexpr size_t upnp_target_max = 512;
/// Services of one router that are tried, at most.
inline constexpr size_t upnp_services_max = 4;

/// What "http://192.168.1.1:5000/desc.xml" names.
struct http_place {
  endpoint at;
  std::string target; ///< Begins with '/'; printable, without blanks.

  friend bool operator==(const http_place&, const http_place&) = default;
};

/// `invalid_argument` for a name of a host, another scheme, and what can not stand in a request.
[[nodiscard]] result<http_place> parse_http_place(std::string_view url);

/// Where a search is sent to.
[[nodiscard]] endpoint upnp_group() noexcept;
/// The datagram that asks for routers.
[[nodiscard]] std::string upnp_search();
/// Where the description is of the router that answers. `format_alien` where it is something else that answers,
/// `protocol_violated` where it leads elsewhere than to *router*.
[[nodiscard]] result<http_place> upnp_read_found(byte_view datagram, const ip_address& router);

struct upnp_service {
  std::string_view type; ///< One of those that are known; lives for ever.
  http_place control;
};

/// Of a description that came from there, those that give ports, at most `upnp_services_max`. `protocol_violated` where
/// one of them is elsewhere than at the same host, `not_found` where there is none.
[[nodiscard]] result<std::vector<upnp_service>> upnp_read_description(std::string_view xml, const http_place& from);

/// What is sent to a service, by POST.
struct upnp_call {
  std::string action; ///< The header `SOAPAction`, with its quotes.
  std::string body;
};
struct upnp_argument {
  std::string_view name;
  std::string value; ///< Of digits, dots and letters.
};
[[nodiscard]] upnp_call upnp_ask(std::string_view type, std::string_view action, std::span<const upnp_argument> arguments);

/// Of what a service answers, the text of the first element with that name; nothing where there is none.
[[nodiscard]] std::optional<std::string_view> upnp_element(std::string_view xml, std::string_view name);
/// The number of the error that it tells.
[[nodiscard]] std::optional<uint32_t> upnp_error(std::string_view xml);

} // namespace datamesh::network
