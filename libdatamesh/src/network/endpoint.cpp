#include "network/endpoint.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace datamesh::network {

endpoint endpoint::v4(std::array<uint8_t, 4> address, uint16_t port) noexcept {
  endpoint made;
  std::ranges::copy(address, made.ip.raw.begin());
  made.port = port;
  return made;
}

// No IPv6 address that is given out begins as the number of an IPv4 address does, or as that of a node behind another.
uint64_t endpoint::host() const noexcept {
  if (through) {
    uint64_t behind = 0xff;
    for (auto one : through->to.view().first(7))
      behind = behind << 8 | std::to_integer<uint8_t>(one);
    return behind;
  }
  uint64_t number = ip.v6 ? 0 : 0xffff;
  for (size_t i = 0; i < (ip.v6 ? 8 : 4); ++i)
    number = number << 8 | ip.raw[i];
  return number;
}

std::string endpoint::text() const {
  if (through)
    return fmt::format("through {}@{}", through->relay.hex(), endpoint{ip, port, scope}.text());
  if (!ip.v6)
    return fmt::format("{}:{}", to_string(ip), port);
  return fmt::format("[{}{}]:{}", to_string(ip), scope == 0 ? "" : fmt::format("%{}", scope), port);
}

} // namespace datamesh::network
