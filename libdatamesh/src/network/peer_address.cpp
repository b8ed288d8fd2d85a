#include "network/peer_address.hpp"

#include <fmt/format.h>

namespace datamesh::network {

namespace {

struct mistake {
  size_t at = 0; ///< Of the whole text, from 0.
  std::string what;
  std::string right;
};

template <class T>
using reading = tl::expected<T, mistake>;

tl::unexpected<mistake> wrong(size_t at, std::string what, std::string right) {
  return tl::unexpected{mistake{at, std::move(what), std::move(right)}};
}

constexpr const char* example = "write it like /ip4/192.0.2.7/tcp/4433 or host.example:4433";

/// What the address is for: where a node is reached, or where this one listens, which may be all
/// addresses of the machine and any port.
enum class purpose : uint8_t { reach, listen };

bool is_letter(char c) noexcept {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool is_digit(char c) noexcept {
  return c >= '0' && c <= '9';
}

/// What may be shown on a terminal: control characters and bytes beyond ASCII by number.
std::string shown(std::string_view text) {
  std::string out;
  for (char c : text.substr(0, 120)) {
    if (c >= ' ' && c <= '~')
      out += c;
    else
      out += fmt::format("\\x{:02x}", static_cast<unsigned>(static_cast<unsigned char>(c)));
  }
  return text.size() > 120 ? out + "..." : out;
}

reading<uint16_t> read_port(std::string_view text, size_t at, purpose to) {
  const char* right =
      to == purpose::listen ? "write a number from 0 to 65535, where 0 is any that is free" : "write a number from 1 to 65535";
  if (text.empty())
    return wrong(at, "the port is missing", right);
  unsigned value = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (!is_digit(text[i]))
      return wrong(at + i, "no digit of a port", right);
    value = value * 10 + static_cast<unsigned>(text[i] - '0');
    if (value > 65535)
      return wrong(at, "the port is too large", right);
  }
  if (text == "0" && to == purpose::listen)
    return uint16_t{0};
  if (text.front() == '0')
    return wrong(at, value == 0 ? "port 0 is nobody's" : "the port has a leading zero", right);
  return static_cast<uint16_t>(value);
}

/// @param right what the caller's form of an address offers
reading<ip_address> read_ip(std::string_view text, size_t at, bool v6, purpose to) {
  auto ip = v6 ? parse_ip6(text) : parse_ip4(text);
  auto right = v6 ? "write it like 2001:db8::7" : "write it like 192.0.2.7";
  if (!ip)
    return wrong(at + ip.error().at, ip.error().what, right);
  auto is_any = ip->raw == ip_address{}.raw;
  if (!is_host(*ip) && !(is_any && to == purpose::listen))
    return wrong(at, to_string(*ip) + " is no host's address", "write the address that others reach the node at");
  return *ip;
}

/// RFC 1123, 2.1.
reading<host_name> read_name(std::string_view text, size_t at, name_family family) {
  constexpr const char* right = "a name has letters, digits and '-', in parts of up to 63 with dots between them";
  if (!text.empty() && text.back() == '.')
    text.remove_suffix(1);
  if (text.empty())
    return wrong(at, "the name of the host is missing", example);
  if (text.size() > 253)
    return wrong(at + 253, "the name is longer than 253 characters", right);
  host_name host{{}, family};
  size_t begin = 0;
  for (size_t i = 0; i <= text.size(); ++i) {
    if (i == text.size() || text[i] == '.') {
      if (i == begin)
        return wrong(at + i, "a part of the name is missing", right);
      if (text[begin] == '-' || text[i - 1] == '-')
        return wrong(at + (text[begin] == '-' ? begin : i - 1), "a part of a name neither begins nor ends with '-'", right);
      if (i - begin > 63)
        return wrong(at + begin + 63, "a part of the name is longer than 63 characters", right);
      if (i < text.size())
        begin = i + 1;
    } else if (static_cast<unsigned char>(text[i]) >= 0x80) {
      return wrong(at + i, "a letter beyond ASCII", "write the name in its xn-- form");
    } else if (!is_letter(text[i]) && !is_digit(text[i]) && text[i] != '-') {
      return wrong(at + i, "no character of a name", right);
    }
    if (i < text.size())
      host.name += static_cast<char>(is_letter(text[i]) ? text[i] | 0x20 : text[i]);
  }
  // No top-level domain is a number; resolvers would take it for an odd IPv4 address.
  if (std::string_view last{host.name}; last.substr(begin).find_first_not_of("0123456789") == std::string_view::npos) {
    auto ip = parse_ip4(text);
    if (ip)
      return wrong(at, "an IPv4 address where a name is due", "write /ip4/ before it");
    return wrong(at + ip.error().at, ip.error().what, "write it like 192.0.2.7");
  }
  return host;
}

reading<peer_address> read_host(std::string_view kind, std::string_view host, size_t kind_at, size_t host_at, uint16_t port, purpose to) {
  auto with_port = [port](auto&& x) {
    return peer_address{std::forward<decltype(x)>(x), port};
  };
  if (kind == "ip4" || kind == "ip6")
    return read_ip(host, host_at, kind == "ip6", to).map(with_port);
  if (kind == "dns4")
    return read_name(host, host_at, name_family::ip4).map(with_port);
  if (kind == "dns6")
    return read_name(host, host_at, name_family::ip6).map(with_port);
  if (kind == "dns")
    return read_name(host, host_at, name_family::any).map(with_port);
  if (kind == "p2p" || kind == "ipfs")
    return wrong(kind_at, "the node's id stands in front", "write node-id@/ip4/192.0.2.7/tcp/4433");
  return wrong(kind_at, kind.empty() ? "the kind of the address is missing" : "no kind of address", "write ip4, ip6, dns, dns4 or dns6");
}

/// `/kind/host/tcp/port`
reading<peer_address> read_path(std::string_view text, size_t at, purpose to) {
  std::array<std::string_view, 4> part;
  std::array<size_t, 4> place{};
  size_t begin = 1;
  for (size_t i = 0; i < 4; ++i) {
    place[i] = at + begin;
    if (begin > text.size()) {
      constexpr std::array missing{"the kind of the address", "the host", "the transport", "the port"};
      return wrong(at + text.size(), std::string{missing[i]} + " is missing", example);
    }
    auto end = std::min(text.find('/', begin), text.size());
    part[i] = text.substr(begin, end - begin);
    begin = end + 1;
  }
  if (part[2] != "tcp")
    return wrong(place[2], "no transport of ours", "write tcp");
  if (begin <= text.size())
    return wrong(at + begin - 1, "something follows the port", "leave it out; a node's id stands in front, as node-id@");
  return read_port(part[3], place[3], to).and_then([&](uint16_t port) {
    return read_host(part[0], part[1], place[0], place[1], port, to);
  });
}

/// `host:port`, `[v6]:port`
reading<peer_address> read_plain(std::string_view text, size_t at, purpose to) {
  auto with_port = [](uint16_t port) {
    return [port](auto&& x) {
      return peer_address{std::forward<decltype(x)>(x), port};
    };
  };
  if (text.front() == '[') {
    auto end = text.find(']');
    if (end == std::string_view::npos)
      return wrong(at + text.size(), "']' is missing", "write it like [2001:db8::7]:4433");
    if (text.substr(end + 1, 1) != ":")
      return wrong(at + end + 1, "the port is missing", "write it like [2001:db8::7]:4433");
    return read_port(text.substr(end + 2), at + end + 2, to).and_then([&](uint16_t port) {
      return read_ip(text.substr(1, end - 1), at + 1, true, to).map(with_port(port));
    });
  }
  auto colon = text.find(':');
  if (colon == std::string_view::npos)
    return wrong(at + text.size(), "the port is missing", example);
  if (text.find(':', colon + 1) != std::string_view::npos && parse_ip6(text))
    return wrong(at, "an IPv6 address without a port", "write it like [2001:db8::7]:4433");
  if (auto second = text.find(':', colon + 1); second != std::string_view::npos)
    return wrong(at + second, "a second ':'", "write an IPv6 address in brackets, like [2001:db8::7]:4433");
  auto host = text.substr(0, colon);
  return read_port(text.substr(colon + 1), at + colon + 1, to).and_then([&](uint16_t port) -> reading<peer_address> {
    if (!host.empty() && parse_ip4(host))
      return read_ip(host, at, false, to).map(with_port(port));
    return read_name(host, at, name_family::any).map(with_port(port));
  });
}

reading<peer_address> read_address(std::string_view text, size_t at, purpose to) {
  if (text.empty())
    return wrong(at, "the address is missing", example);
  if (auto scheme = text.find("://"); scheme != std::string_view::npos)
    return wrong(at, "no URL is due here", example);
  return text.front() == '/' ? read_path(text, at, to) : read_plain(text, at, to);
}

reading<peer_id> read_id(std::string_view text) {
  constexpr const char* right = "a node's id has 64 hexadecimal digits";
  for (size_t i = 0; i < text.size(); ++i)
    if (!is_digit(text[i]) && !((text[i] | 0x20) >= 'a' && (text[i] | 0x20) <= 'f'))
      return wrong(i, "no hexadecimal digit", right);
  if (text.size() != 2 * peer_id::size)
    return wrong(std::min(text.size(), 2 * peer_id::size), fmt::format("the node's id has {} digits", text.size()), right);
  return *peer_id::parse(text);
}

reading<peer_spec> read_spec(std::string_view text, purpose to = purpose::reach) {
  if (text.size() > peer_text_max)
    return wrong(peer_text_max, fmt::format("longer than {} bytes", peer_text_max), example);
  if (auto space = text.find_first_of(" \t\r\n"); space != std::string_view::npos)
    return wrong(space, "a space", "leave it out");
  auto at = text.find('@');
  if (at == std::string_view::npos)
    return read_address(text, 0, to).map([](peer_address&& address) { return peer_spec{std::nullopt, std::move(address)}; });
  return read_id(text.substr(0, at)).and_then([&](const peer_id& id) {
    return read_address(text.substr(at + 1), at + 1, to).map([&](peer_address&& address) { return peer_spec{id, std::move(address)}; });
  });
}

error told(std::string_view text, const mistake& problem) {
  return error{errc::invalid_argument, "read the address of a node",
               fmt::format("'{}', character {}: {}; {}", shown(text), problem.at + 1, problem.what, problem.right)};
}

} // namespace

result<peer_spec> parse_peer_spec(std::string_view text) {
  return read_spec(text).map_error([&](const mistake& problem) { return told(text, problem); });
}

namespace {

result<peer_address> parse_address(std::string_view text, purpose to) {
  auto spec = read_spec(text, to);
  if (!spec)
    return fail(told(text, spec.error()));
  if (spec->id)
    return fail(told(text, {0, "a node's id, where an address alone is due", "leave out what is before the @, and the @"}));
  return std::move(spec->address);
}

} // namespace

result<peer_address> parse_peer_address(std::string_view text) {
  return parse_address(text, purpose::reach);
}

result<endpoint> parse_listen_address(std::string_view text) {
  auto address = parse_address(text, purpose::listen);
  if (!address)
    return fail(address.error());
  auto ip = std::get_if<ip_address>(&address->host);
  if (ip == nullptr)
    return fail(told(text, {0, "a name, where an IP address of this machine is due", "write it like 0.0.0.0:4433 or [::]:4433"}));
  return endpoint{*ip, address->port};
}

std::string to_string(const peer_address& address) {
  if (auto ip = std::get_if<ip_address>(&address.host))
    return fmt::format("/{}/{}/tcp/{}", ip->v6 ? "ip6" : "ip4", to_string(*ip), address.port);
  const auto& name = std::get<host_name>(address.host);
  constexpr std::array kinds{"dns", "dns4", "dns6"};
  return fmt::format("/{}/{}/tcp/{}", kinds[static_cast<size_t>(name.family)], name.name, address.port);
}

std::string to_string(const peer_spec& spec) {
  return (spec.id ? spec.id->hex() + "@" : "") + to_string(spec.address);
}

} // namespace datamesh::network
