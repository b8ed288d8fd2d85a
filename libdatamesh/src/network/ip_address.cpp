#include "network/ip_address.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace datamesh::network {

namespace {

constexpr ip_prefix ip4_prefix(uint8_t a, uint8_t b, uint8_t c, uint8_t d, unsigned bits) {
  return {ip_address{{a, b, c, d}, false}, bits};
}

constexpr ip_prefix ip6_prefix(std::array<uint8_t, 16> raw, unsigned bits) {
  return {ip_address{raw, true}, bits};
}

// Those that a local mesh spares.
constexpr std::array own_prefixes{
    ip4_prefix(10, 0, 0, 0, 8),     ip4_prefix(127, 0, 0, 0, 8),     ip4_prefix(169, 254, 0, 0, 16),
    ip4_prefix(172, 16, 0, 0, 12),  ip4_prefix(192, 168, 0, 0, 16),  ip6_prefix({0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, 128),
    ip6_prefix({0xfc, 0, 0, 0}, 7), ip6_prefix({0xfe, 0x80, 0}, 10),
};

// And what else is nobody's host on the open network (RFC 6890).
constexpr std::array reserved_prefixes{
    ip4_prefix(0, 0, 0, 0, 8),
    ip4_prefix(100, 64, 0, 0, 10),
    ip4_prefix(192, 0, 0, 0, 24),
    ip4_prefix(192, 0, 2, 0, 24),
    ip4_prefix(198, 18, 0, 0, 15),
    ip4_prefix(198, 51, 100, 0, 24),
    ip4_prefix(203, 0, 113, 0, 24),
    ip4_prefix(240, 0, 0, 0, 4),
    ip6_prefix({}, 96),
    ip6_prefix({0x01, 0}, 64),
    ip6_prefix({0x20, 0x01, 0x0d, 0xb8}, 32),
};

constexpr ip_prefix nat64 = ip6_prefix({0, 0x64, 0xff, 0x9b}, 96);
constexpr ip_prefix six_to_four = ip6_prefix({0x20, 0x02}, 16);
constexpr ip_prefix teredo = ip6_prefix({0x20, 0x01}, 32);

bool any_covers(std::span<const ip_prefix> prefixes, const ip_address& ip) noexcept {
  return std::any_of(prefixes.begin(), prefixes.end(), [&](const ip_prefix& one) { return one.covers(ip); });
}

ip_address embedded(const ip_address& ip, size_t offset) noexcept {
  ip_address inner;
  std::copy_n(ip.raw.begin() + static_cast<ptrdiff_t>(offset), 4, inner.raw.begin());
  return inner;
}

/// The IPv4 address that an IPv6 address stands for, or the address itself.
ip_address carrier_of(const ip_address& ip) noexcept {
  if (nat64.covers(ip))
    return embedded(ip, 12);
  return six_to_four.covers(ip) ? embedded(ip, 2) : ip;
}

bool is_digit(char c) noexcept {
  return c >= '0' && c <= '9';
}

int hex_digit(char c) noexcept {
  if (is_digit(c))
    return c - '0';
  auto low = static_cast<char>(c | 0x20);
  return low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
}

tl::unexpected<text_problem> wrong(size_t at, std::string what) {
  return tl::unexpected{text_problem{at, std::move(what)}};
}

/// Reads an IPv6 address group by group.
struct ip6_reader {
  std::string_view text;
  size_t at = 0;
  std::vector<uint16_t> groups{};
  std::optional<size_t> gap{}; ///< Before which group "::" stands.

  [[nodiscard]] std::optional<text_problem> read_group() {
    auto end = std::min(text.find(':', at), text.size());
    auto piece = text.substr(at, end - at);
    if (piece.find('.') != std::string_view::npos) {
      if (end != text.size())
        return text_problem{at, "an IPv4 address stands only at the end of one of IPv6"};
      auto inner = parse_ip4(piece);
      if (!inner)
        return text_problem{at + inner.error().at, inner.error().what};
      for (size_t i = 0; i < 4; i += 2)
        groups.push_back(static_cast<uint16_t>(inner->raw[i] << 8 | inner->raw[i + 1]));
      at = end;
      return std::nullopt;
    }
    unsigned value = 0;
    for (size_t i = 0; i < piece.size(); ++i) {
      auto digit = hex_digit(piece[i]);
      if (digit < 0)
        return text_problem{at + i, piece[i] == '%' ? "a zone holds on one machine alone" : "no hexadecimal digit"};
      if (i == 4)
        return text_problem{at + i, "a part of an IPv6 address has at most four digits"};
      value = value << 4 | static_cast<unsigned>(digit);
    }
    if (piece.empty())
      return text_problem{at, "a part of the IPv6 address is missing"};
    groups.push_back(static_cast<uint16_t>(value));
    at = end;
    return std::nullopt;
  }

  /// What stands between two groups.
  [[nodiscard]] std::optional<text_problem> read_colons() {
    if (text.substr(at, 2) == "::") {
      if (gap)
        return text_problem{at, "'::' stands twice"};
      gap = groups.size();
      at += 2;
    } else if (++at == text.size()) {
      return text_problem{at - 1, "a part of the IPv6 address is missing"};
    }
    return std::nullopt;
  }
};

} // namespace

std::optional<ip_address> ip_from(byte_view raw) noexcept {
  if (raw.size() != 4 && raw.size() != 16)
    return std::nullopt;
  ip_address ip;
  ip.v6 = raw.size() == 16;
  std::transform(raw.begin(), raw.end(), ip.raw.begin(), [](std::byte b) { return std::to_integer<uint8_t>(b); });
  static constexpr ip_prefix mapped = ip6_prefix({0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, 96);
  return mapped.covers(ip) ? embedded(ip, 12) : ip;
}

tl::expected<ip_address, text_problem> parse_ip4(std::string_view text) {
  ip_address ip;
  size_t at = 0;
  for (size_t part = 0; part < 4; ++part) {
    if (part > 0) {
      if (at == text.size() || text[at] != '.')
        return wrong(at, "an IPv4 address has four numbers with dots between them");
      ++at;
    }
    auto begin = at;
    unsigned value = 0;
    for (; at < text.size() && is_digit(text[at]); ++at) {
      value = value * 10 + static_cast<unsigned>(text[at] - '0');
      if (value > 255)
        return wrong(begin, "a number of an IPv4 address is at most 255");
    }
    if (at == begin)
      return wrong(at, "an IPv4 address has four numbers with dots between them");
    if (at - begin > 1 && text[begin] == '0')
      return wrong(begin, "a number with a leading zero may be read as octal");
    ip.raw[part] = static_cast<uint8_t>(value);
  }
  if (at != text.size())
    return wrong(at, "something follows the IPv4 address");
  return ip;
}

tl::expected<ip_address, text_problem> parse_ip6(std::string_view text) {
  ip6_reader reader{text};
  if (text.empty())
    return wrong(0, "the IPv6 address is missing");
  if (text.substr(0, 2) == "::")
    (void) reader.read_colons();
  while (reader.at < text.size()) {
    auto begin = reader.at;
    if (auto problem = reader.read_group())
      return wrong(problem->at, problem->what);
    if (reader.groups.size() + (reader.gap ? 1 : 0) > 8)
      return wrong(begin, "an IPv6 address has at most eight parts");
    if (reader.at == text.size())
      break;
    if (auto problem = reader.read_colons())
      return wrong(problem->at, problem->what);
  }
  if (!reader.gap && reader.groups.size() != 8)
    return wrong(text.size(), "an IPv6 address has eight parts, or '::' for those that are zero");
  std::array<std::byte, 16> raw{};
  auto count = reader.groups.size();
  for (size_t i = 0; i < count; ++i) {
    auto place = i < reader.gap.value_or(8) ? i : 8 - count + i;
    raw[2 * place] = static_cast<std::byte>(reader.groups[i] >> 8);
    raw[2 * place + 1] = static_cast<std::byte>(reader.groups[i] & 0xff);
  }
  return *ip_from(raw);
}

std::string to_string(const ip_address& ip) {
  if (!ip.v6)
    return fmt::format("{}.{}.{}.{}", ip.raw[0], ip.raw[1], ip.raw[2], ip.raw[3]);
  std::array<unsigned, 8> groups{};
  for (size_t i = 0; i < 8; ++i)
    groups[i] = static_cast<unsigned>(ip.raw[2 * i] << 8 | ip.raw[2 * i + 1]);
  // The first of the longest runs of zeros, of two at least (RFC 5952, 4.2).
  size_t gap = 8;
  size_t length = 1;
  for (size_t i = 0; i < 8; ++i) {
    size_t run = 0;
    while (i + run < 8 && groups[i + run] == 0)
      ++run;
    if (run > length) {
      gap = i;
      length = run;
    }
  }
  std::string text;
  for (size_t i = 0; i < 8;) {
    if (i == gap) {
      text += "::";
      i += length;
      continue;
    }
    if (!text.empty() && text.back() != ':')
      text += ':';
    text += fmt::format("{:x}", groups[i++]);
  }
  return text;
}

bool ip_prefix::covers(const ip_address& ip) const noexcept {
  if (ip.v6 != base.v6)
    return false;
  for (unsigned i = 0; i < bits; i += 8) {
    auto mask = static_cast<uint8_t>(bits - i >= 8 ? 0xff : 0xff << (8 - (bits - i)));
    if (((ip.raw[i / 8] ^ base.raw[i / 8]) & mask) != 0)
      return false;
  }
  return true;
}

bool is_host(const ip_address& ip) noexcept {
  static constexpr std::array nobody{
      ip4_prefix(0, 0, 0, 0, 8), ip4_prefix(224, 0, 0, 0, 4), ip4_prefix(255, 255, 255, 255, 32),
      ip6_prefix({}, 128),       ip6_prefix({0xff}, 8),
  };
  return !any_covers(nobody, ip);
}

bool is_loopback(const ip_address& ip) noexcept {
  static constexpr ip_address loopback_v6{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, true};
  return ip.v6 ? ip == loopback_v6 : ip.raw[0] == 127;
}

bool is_public(const ip_address& ip) noexcept {
  auto carrier = carrier_of(ip);
  return is_host(carrier) && !any_covers(own_prefixes, carrier) && !any_covers(reserved_prefixes, carrier);
}

ip_rules ip_rules::local() {
  ip_rules rules;
  rules.spared.assign(own_prefixes.begin(), own_prefixes.end());
  return rules;
}

bool ip_rules::spares(const ip_address& ip) const noexcept {
  return any_covers(spared, ip);
}

bool ip_rules::admits(const ip_address& ip) const noexcept {
  return is_public(ip) || (is_host(ip) && spares(ip));
}

std::optional<ip_group> ip_rules::group_of(const ip_address& ip) const noexcept {
  if (spares(ip))
    return std::nullopt;
  auto carrier = carrier_of(ip);
  size_t size = !carrier.v6 ? 3 : teredo.covers(carrier) ? 4 : 6;
  uint64_t group = carrier.v6 ? 6 : 4;
  for (size_t i = 0; i < 6; ++i)
    group = group << 8 | (i < size ? carrier.raw[i] : 0U);
  return ip_group{group};
}

} // namespace datamesh::network
