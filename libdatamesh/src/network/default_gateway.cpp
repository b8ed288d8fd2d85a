#include "network/default_gateway.hpp"

#include <bit>
#include <charconv>

namespace datamesh::network {

namespace {

/// Of a line: interface, destination, gateway, flags, references, uses, metric, mask, ...
constexpr size_t fields_used = 8;
constexpr uint32_t is_up = 1;
constexpr uint32_t has_gateway = 2;

using fields = std::array<std::string_view, fields_used>;

std::optional<fields> fields_of(std::string_view line) {
  constexpr auto blanks = " \t";
  fields all;
  for (auto& field : all) {
    line.remove_prefix(std::min(line.find_first_not_of(blanks), line.size()));
    field = line.substr(0, line.find_first_of(blanks));
    line.remove_prefix(field.size());
    if (field.empty())
      return std::nullopt;
  }
  return all;
}

std::optional<uint32_t> number_of(std::string_view text, int base) {
  uint32_t value = 0;
  auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  return code == std::errc{} && end == text.data() + text.size() ? std::optional{value} : std::nullopt;
}

struct route {
  ip_address by;
  uint32_t metric = 0;
};

std::optional<route> default_route(std::string_view line) {
  auto all = fields_of(line);
  if (!all)
    return std::nullopt;
  auto to = number_of((*all)[1], 16);
  auto by = number_of((*all)[2], 16);
  auto flags = number_of((*all)[3], 16);
  auto metric = number_of((*all)[6], 10);
  auto mask = number_of((*all)[7], 16);
  constexpr auto due = is_up | has_gateway;
  if (!to || !by || !flags || !metric || !mask || *to != 0 || *mask != 0 || (*flags & due) != due)
    return std::nullopt;
  // The kernel prints the four bytes as a number of the machine.
  auto raw = std::bit_cast<std::array<std::byte, 4>>(*by);
  auto ip = ip_from(raw);
  return ip && is_host(*ip) ? std::optional{route{*ip, *metric}} : std::nullopt;
}

} // namespace

std::optional<ip_address> default_gateway(std::string_view routes) {
  std::optional<route> best;
  while (!routes.empty()) {
    auto line = routes.substr(0, routes.find('\n'));
    routes.remove_prefix(std::min(line.size() + 1, routes.size()));
    if (auto one = default_route(line); one && (!best || one->metric < best->metric))
      best = one;
  }
  return best ? std::optional{best->by} : std::nullopt;
}

} // namespace datamesh::network
