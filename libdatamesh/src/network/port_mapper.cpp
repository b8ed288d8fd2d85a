#include "network/port_mapper.hpp"

#include "network/nat_pmp.hpp"

#include <fmt/format.h>

namespace datamesh::network {

namespace {

constexpr auto attempted = "ask the router for a port";
constexpr auto by_hand = "turn on NAT-PMP or UPnP in the router, or forward the port there by hand and announce the address";

/// Error codes of WANIPConnection.
constexpr uint32_t not_authorized = 606;
constexpr uint32_t taken_by_another = 718;
constexpr uint32_t only_for_ever = 725;

/// Where ports are that nobody is known to use.
constexpr uint16_t free_ports_first = 20'000;
constexpr uint16_t free_ports_count = 40'000;

error not_reached(const ip_address& gateway, const ip_address& outside) {
  if (!is_host(outside))
    return error{errc::unavailable, attempted, "it has no address outside now"};
  return error{errc::unavailable, attempted,
               fmt::format("double NAT: the router {} has the address {} outside, which is not reached from everywhere, so another router "
                           "stands before it, perhaps the provider's; ask for a public address, or announce one that leads here",
                           to_string(gateway), to_string(outside))};
}

/// What a router did, without what was tried.
std::string short_of(const error& why) {
  if (why.code() == errc::timed_out)
    return "no answer";
  return why.object().empty() ? why.message() : why.object();
}

std::string text_of_code(uint32_t code) {
  switch (code) {
  case not_authorized:
    return "it does not allow it";
  case taken_by_another:
    return "the ports that were asked for are taken";
  default:
    return fmt::format("it refuses with code {}", code);
  }
}

} // namespace

std::string_view name_of(port_protocol which) noexcept {
  return which == port_protocol::nat_pmp ? "NAT-PMP" : "UPnP";
}

result<given_port> port_mapper::map(const port_wish& wish, const ip_rules& rules) {
  gateway_.reset();
  auto router = wire_.gateway();
  if (!router)
    return fail(router.error());
  gateway_ = *router;
  auto first = by_nat_pmp(wish, rules);
  if (first)
    return *first;
  if (first.error().is_last)
    return fail(first.error().why);
  auto second = by_upnp(wish, rules);
  if (second)
    return *second;
  if (second.error().is_last)
    return fail(second.error().why);
  return fail(errc::unavailable, attempted,
              fmt::format("the router {} gives none: NAT-PMP: {}; UPnP: {}; {}", to_string(*router), short_of(first.error().why),
                          short_of(second.error().why), by_hand));
}

result<void> port_mapper::unmap(const port_wish& wish, const given_port& what) {
  if (what.by == port_protocol::nat_pmp) {
    auto request = nat_pmp_ask_port(wish.inside, 0, std::chrono::seconds{0});
    result<void> answer;
    auto sent = wire_.exchange({what.gateway, nat_pmp_port}, request, [&](byte_view datagram) {
      answer = nat_pmp_read_end(datagram, wish.inside);
      return answer || answer.error().code() != errc::format_alien;
    });
    return sent ? answer : sent;
  }
  if (!service_)
    return {};
  std::array<upnp_argument, 3> which{
      {{"NewRemoteHost", ""}, {"NewExternalPort", fmt::to_string(what.outside.port)}, {"NewProtocol", "TCP"}}};
  auto answer = call(*service_, "DeletePortMapping", which);
  if (!answer)
    return fail(answer.error());
  return answer->code ? fail(errc::unavailable, attempted, text_of_code(*answer->code)) : result<void>{};
}

// -- NAT-PMP -----------------------------------------------------------------------------------

port_mapper::asked<given_port> port_mapper::by_nat_pmp(const port_wish& wish, const ip_rules& rules) {
  const endpoint router{*gateway_, nat_pmp_port};
  auto refuse = [](const error& why, bool is_last = false) {
    return tl::unexpected{refusal{why, is_last || why.code() == errc::cancelled}};
  };
  result<ip_address> outside = ip_address{};
  auto sent = wire_.exchange(router, nat_pmp_ask_address(), [&](byte_view datagram) {
    outside = nat_pmp_read_address(datagram);
    return outside || outside.error().code() != errc::format_alien;
  });
  if (!sent)
    return refuse(sent.error());
  if (!outside)
    return refuse(outside.error());
  if (!rules.admits(*outside))
    return refuse(not_reached(*gateway_, *outside), is_host(*outside));
  result<nat_pmp_given> given = nat_pmp_given{};
  auto request = nat_pmp_ask_port(wish.inside, wish.outside, port_lifetime);
  sent = wire_.exchange(router, request, [&](byte_view datagram) {
    given = nat_pmp_read_port(datagram, wish.inside);
    return given || given.error().code() != errc::format_alien;
  });
  if (!sent)
    return refuse(sent.error());
  if (!given)
    return refuse(given.error());
  return given_port{port_protocol::nat_pmp, *gateway_, {*outside, given->outside}, given->lifetime};
}

// -- UPnP --------------------------------------------------------------------------------------

port_mapper::asked<given_port> port_mapper::by_upnp(const port_wish& wish, const ip_rules& rules) {
  auto services = find_services();
  if (!services)
    return tl::unexpected{refusal{services.error(), services.error().code() == errc::cancelled}};
  // Of several only one is connected, as a rule.
  asked<given_port> last = tl::unexpected{refusal{error{errc::not_found, attempted}, false}};
  for (const auto& service : *services) {
    last = by_service(service, wish, rules);
    if (last)
      service_ = service;
    if (last || last.error().is_last)
      break;
  }
  return last;
}

result<std::vector<upnp_service>> port_mapper::find_services() {
  result<http_place> at = http_place{};
  auto sent = wire_.search(upnp_group(), as_view(upnp_search()), *gateway_, [&](byte_view datagram) {
    at = upnp_read_found(datagram, *gateway_);
    return at || at.error().code() != errc::format_alien;
  });
  if (!sent)
    return fail(sent.error());
  if (!at)
    return fail(at.error());
  auto description = wire_.http(*at, nullptr);
  if (!description)
    return fail(description.error());
  if (description->status != 200)
    return fail(errc::unavailable, attempted, fmt::format("its description is answered with {}", description->status));
  return upnp_read_description(description->body, *at);
}

port_mapper::asked<given_port> port_mapper::by_service(const upnp_service& service, const port_wish& wish, const ip_rules& rules) {
  auto refuse = [](const error& why, bool is_last = false) {
    return tl::unexpected{refusal{why, is_last || why.code() == errc::cancelled}};
  };
  auto at = outside_of(service);
  if (!at)
    return refuse(at.error());
  if (!rules.admits(at->ip))
    return refuse(not_reached(*gateway_, at->ip), is_host(at->ip));
  auto given = add_port(service, wish, *at);
  return given ? asked<given_port>{*given} : refuse(given.error());
}

result<port_mapper::upnp_answer> port_mapper::call(const upnp_service& service, std::string_view action,
                                                   std::span<const upnp_argument> arguments) {
  auto what = upnp_ask(service.type, action, arguments);
  auto answer = wire_.http(service.control, &what);
  if (!answer)
    return fail(answer.error());
  if (answer->status == 200)
    return upnp_answer{std::move(*answer), std::nullopt};
  auto code = upnp_error(answer->body);
  if (!code)
    return fail(errc::protocol_violated, attempted, fmt::format("it answers with {} and no reason", answer->status));
  return upnp_answer{std::move(*answer), code};
}

result<port_mapper::upnp_outside> port_mapper::outside_of(const upnp_service& service) {
  auto answer = call(service, "GetExternalIPAddress", {});
  if (!answer)
    return fail(answer.error());
  if (answer->code)
    return fail(errc::unavailable, attempted, text_of_code(*answer->code));
  auto ip = parse_ip4(upnp_element(answer->what.body, "NewExternalIPAddress").value_or(""));
  if (!ip)
    return fail(errc::unavailable, attempted, "it tells no address outside");
  return upnp_outside{*ip, answer->what.own};
}

// The same port outside as here is what every router can do; one is free at the latest after some by chance.
result<given_port> port_mapper::add_port(const upnp_service& service, const port_wish& wish, const upnp_outside& at) {
  auto port = wish.outside;
  auto lifetime = std::chrono::duration_cast<std::chrono::seconds>(port_lifetime);
  std::optional<uint32_t> code;
  for (int tries = 0; tries < port_tries_max;) {
    std::array<upnp_argument, 8> arguments{{{"NewRemoteHost", ""},
                                            {"NewExternalPort", fmt::to_string(port)},
                                            {"NewProtocol", "TCP"},
                                            {"NewInternalPort", fmt::to_string(wish.inside)},
                                            {"NewInternalClient", to_string(wish.to.value_or(at.own))},
                                            {"NewEnabled", "1"},
                                            {"NewPortMappingDescription", "DataMesh"},
                                            {"NewLeaseDuration", fmt::to_string(lifetime.count())}}};
    auto answer = call(service, "AddPortMapping", arguments);
    if (!answer)
      return fail(answer.error());
    code = answer->code;
    if (!code)
      return given_port{port_protocol::upnp, *gateway_, {at.ip, port}, lifetime};
    if (*code == only_for_ever && lifetime.count() > 0) {
      lifetime = {};
      continue;
    }
    if (*code != taken_by_another)
      break;
    auto next = any_port();
    if (!next)
      return fail(next.error());
    port = *next;
    ++tries;
  }
  return fail(errc::unavailable, attempted, text_of_code(*code));
}

result<uint16_t> port_mapper::any_port() {
  std::array<std::byte, 2> raw{};
  if (auto filled = random_.fill(raw); !filled)
    return fail(filled.error());
  auto number = std::to_integer<unsigned>(raw[0]) << 8 | std::to_integer<unsigned>(raw[1]);
  return static_cast<uint16_t>(free_ports_first + number % free_ports_count);
}

} // namespace datamesh::network
