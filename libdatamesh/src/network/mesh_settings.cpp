#include "network/mesh_settings.hpp"

#include "crypto/hash.hpp"
#include "network/neighbourhood.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace datamesh::network {

namespace {

constexpr auto attempted = "be a member of a mesh";

tl::unexpected<error> wrong(std::string what) {
  return fail(errc::invalid_argument, attempted, std::move(what));
}

bool is_hex(char c) noexcept {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

bool is_any(const ip_address& ip) noexcept {
  return ip.raw == ip_address{}.raw;
}

bool is_beyond_loopback(const endpoint& at) noexcept {
  return !is_loopback(at.ip);
}

constexpr auto not_public = "is not reached from everywhere; in a mesh within one house, say that it is local";

/// Of an address that others are to dial.
result<endpoint> read_reached(const std::string& text, const ip_rules& rules) {
  auto address = parse_peer_address(text);
  if (!address)
    return fail(address.error());
  auto ip = std::get_if<ip_address>(&address->host);
  if (ip == nullptr)
    return wrong(fmt::format("'{}' is a name; others are told an IP address", to_string(*address)));
  if (!rules.admits(*ip))
    return wrong(fmt::format("{} {}", to_string(*ip), not_public));
  return endpoint{*ip, address->port};
}

result<peer_spec> read_seed(const std::string& text, const ip_rules& rules) {
  auto seed = parse_peer_spec(text);
  if (!seed)
    return seed;
  // What a name stands for is looked at when it is dialed.
  if (auto ip = std::get_if<ip_address>(&seed->address.host); ip != nullptr && !rules.admits(*ip))
    return wrong(fmt::format("the seed {} {}", to_string(*ip), not_public));
  return seed;
}

/// Nobody said what others are to be told: then it must follow from where it listens.
result<void> check_told(const mesh_settings& settings) {
  if (!settings.announce.empty() || settings.map_port)
    return {};
  auto rules = settings.rules();
  for (const auto& at : settings.listen) {
    // Then its addresses are those of its interfaces, which are as good as any other in a local mesh.
    if (is_any(at.ip) && settings.local && settings.lan)
      continue;
    if (is_any(at.ip))
      return wrong(fmt::format("{} is every address of the machine: announce the one that others reach it at", at.text()));
    if (!rules.admits(at.ip))
      return wrong(fmt::format("{} {}, or announce the address that others reach it at", to_string(at.ip), not_public));
  }
  return {};
}

/// The router can be asked for a port, and what it gives can be told.
result<void> check_port(const mesh_settings& settings) {
  if (!settings.map_port)
    return {};
  if (settings.local)
    return wrong("a mesh within one house is not dialed from outside: leave it out, or 'mesh_local'");
  if (mesh_settings::behind_router(settings.listen) == nullptr)
    return wrong("a router leads to an IPv4 address alone: listen at one that is not loopback, as at 0.0.0.0:7000");
  if (settings.announce.size() >= contact_addresses_max)
    return wrong(fmt::format("others are told at most {} addresses, and one of them is the router's: announce at most {}",
                             contact_addresses_max, contact_addresses_max - 1));
  return {};
}

template <class T, class Read>
tl::expected<void, mesh_mistake> read_all(mesh_part where, const std::vector<std::string>& from, std::vector<T>& to, size_t most,
                                          Read read) {
  if (from.size() > most)
    return tl::unexpected{mesh_mistake{
        where, error{errc::invalid_argument, attempted, fmt::format("{} addresses, where at most {} may be", from.size(), most)}}};
  for (const auto& text : from) {
    auto one = read(text);
    if (!one)
      return tl::unexpected{mesh_mistake{where, one.error()}};
    to.push_back(std::move(*one));
  }
  return {};
}

} // namespace

ip_rules mesh_settings::rules() const {
  return local ? ip_rules::local() : ip_rules{};
}

std::vector<endpoint> mesh_settings::told(const std::vector<endpoint>& at, const std::vector<lan_interface>& interfaces) const {
  auto all = announce;
  if (announce.empty())
    for (const auto& one : at) {
      // Behind a router only what is reached from everywhere is told without having been said.
      if (map_port && !rules().admits(one.ip))
        continue;
      if (!is_any(one.ip))
        all.push_back(one);
      else
        for (const auto& each : interfaces)
          for (const auto& where : told_on(each, {one}, {}))
            all.push_back(where);
    }
  all.resize(std::min(all.size(), contact_addresses_max));
  return all;
}

const endpoint* mesh_settings::behind_router(const std::vector<endpoint>& at) noexcept {
  auto found = std::ranges::find_if(at, [](const endpoint& one) { return !one.ip.v6 && !is_loopback(one.ip); });
  return found == at.end() ? nullptr : &*found;
}

result<network_id> parse_network(std::string_view text) {
  if (auto id = network_id::parse(text))
    return *id;
  constexpr auto right =
      "write 64 hexadecimal digits, as 'openssl rand -hex 32' makes them, or a name of 16 to 128 bytes that nobody guesses";
  if (std::ranges::all_of(text, is_hex) && !text.empty())
    return wrong(fmt::format("{} hexadecimal digits are no id of a mesh; {}", text.size(), right));
  if (text.size() < mesh_name_min || text.size() > mesh_name_max)
    return wrong(fmt::format("{} bytes are {} for the name of a mesh; {}", text.size(),
                             text.size() < mesh_name_min ? "too few" : "too many", right));
  if (std::ranges::any_of(text, [](char c) { return static_cast<unsigned char>(c) < ' ' || c == '\x7f'; }))
    return wrong("a control character is in the name of the mesh");
  auto made = crypto::hasher{}.update(as_view("dm/mesh-name/1")).update(as_view(text)).finish();
  return network_id::from(made.view());
}

tl::expected<mesh_settings, mesh_mistake> read_mesh_options(const mesh_options& from) {
  auto of = [](mesh_part where) {
    return [where](const error& reason) {
      return mesh_mistake{where, reason};
    };
  };
  mesh_settings to;
  to.local = from.local;
  to.map_port = from.map_port;
  to.relay = from.relay;
  auto mesh = parse_network(from.network);
  if (!mesh)
    return tl::unexpected{of(mesh_part::network)(mesh.error())};
  to.mesh = *mesh;
  if (to.relay != 0 && to.relay < relay_rate_min)
    return tl::unexpected{of(mesh_part::relay)(error{
        errc::invalid_argument, attempted, fmt::format("{} bytes a second are too few: pass on at least {}", to.relay, relay_rate_min)})};
  auto rules = to.rules();
  auto reached = [&](const std::string& text) {
    return read_reached(text, rules);
  };
  auto seed = [&](const std::string& text) {
    return read_seed(text, rules);
  };
  auto good = read_all(mesh_part::listen, from.listen, to.listen, listen_max, parse_listen_address)
                  .map([&] { to.lan = from.lan.value_or(to.local && std::ranges::any_of(to.listen, is_beyond_loopback)); })
                  .and_then([&] { return read_all(mesh_part::announce, from.announce, to.announce, contact_addresses_max, reached); })
                  .and_then([&] { return read_all(mesh_part::seeds, from.seeds, to.seeds, seeds_max, seed); })
                  .and_then([&] { return check_port(to).map_error(of(mesh_part::map_port)); })
                  .and_then([&] { return check_told(to).map_error(of(mesh_part::listen)); });
  if (!good)
    return tl::unexpected{good.error()};
  if (to.listen.empty() && to.seeds.empty() && !to.lan)
    return tl::unexpected{of(mesh_part::network)(
        error{errc::invalid_argument, attempted, "it listens nowhere and has no seed, so it would never meet another node"})};
  return to;
}

} // namespace datamesh::network
