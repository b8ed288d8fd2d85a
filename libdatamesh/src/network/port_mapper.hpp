// Asks the router in front of a host for a TCP port that leads to it: by NAT-PMP, which takes one datagram, and where
// that gives none by UPnP. docs/mesh.md.
//
// What a router says is not believed beyond what it is: an address that others may try to dial.
//
// Not thread-safe.
#pragma once

#include "datamesh/base/random_source.hpp"
#include "network/router_wire.hpp"

namespace datamesh::network {

/// What is asked for; many a router keeps a port for no longer.
inline constexpr auto port_lifetime = std::chrono::hours{1};
/// Ports that UPnP is asked for when the one that is wished for is another host's, at most.
inline constexpr int port_tries_max = 4;

enum class port_protocol : uint8_t { nat_pmp, upnp };
/// "NAT-PMP", "UPnP"
[[nodiscard]] std::string_view name_of(port_protocol which) noexcept;

struct given_port {
  port_protocol by{};
  ip_address gateway;
  endpoint outside;
  std::chrono::seconds lifetime; ///< 0 where it stays until it is given back.

  friend bool operator==(const given_port&, const given_port&) = default;
};

struct port_wish {
  uint16_t inside = 0;
  uint16_t outside = 0;         ///< The best, if it is free.
  std::optional<ip_address> to; ///< The address of this host that is listened at; none for all of them.
};

class port_mapper {
public:
  /// @pre *wire* and *random* outlive it
  port_mapper(router_wire& wire, random_source& random) : wire_(wire), random_(random) {}

  /// Asks for the port, or for the same one again. `not_found` without a router; `unavailable` says what each protocol
  /// met with, and what can be done about it, also where the address that the router has outside is none that *rules*
  /// take: then another router stands before it.
  [[nodiscard]] result<given_port> map(const port_wish& wish, const ip_rules& rules);
  /// Gives it back, or tries to.
  [[nodiscard]] result<void> unmap(const port_wish& wish, const given_port& what);
  /// The router that was asked last.
  [[nodiscard]] const std::optional<ip_address>& gateway() const noexcept {
    return gateway_;
  }

private:
  /// Whether it makes sense to ask in another way.
  struct refusal {
    error why;
    bool is_last = false;
  };
  template <class T>
  using asked = tl::expected<T, refusal>;

  [[nodiscard]] asked<given_port> by_nat_pmp(const port_wish& wish, const ip_rules& rules);
  [[nodiscard]] asked<given_port> by_upnp(const port_wish& wish, const ip_rules& rules);
  [[nodiscard]] result<std::vector<upnp_service>> find_services();
  [[nodiscard]] asked<given_port> by_service(const upnp_service& service, const port_wish& wish, const ip_rules& rules);
  struct upnp_answer {
    http_answer what;
    std::optional<uint32_t> code; ///< Of the error that it tells.
  };
  [[nodiscard]] result<upnp_answer> call(const upnp_service& service, std::string_view action, std::span<const upnp_argument> arguments);
  struct upnp_outside {
    ip_address ip;
    ip_address own;
  };
  [[nodiscard]] result<upnp_outside> outside_of(const upnp_service& service);
  [[nodiscard]] result<given_port> add_port(const upnp_service& service, const port_wish& wish, const upnp_outside& at);
  [[nodiscard]] result<uint16_t> any_port();

  router_wire& wire_;
  random_source& random_;
  std::optional<ip_address> gateway_;
  std::optional<upnp_service> service_; ///< That gave the port.
};

} // namespace datamesh::network
