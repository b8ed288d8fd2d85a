#include "network/endpoint.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace datamesh::network {

namespace {

constexpr std::array<uint8_t, 12> mapped = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
constexpr int groups = 8;

struct gap {
  int begin = groups;
  int length = 0;
};

/// The longest run of zeros, of two at least; the first of those that are as long.
gap longest_gap(const std::array<unsigned, groups>& of) {
  gap found{groups, 1};
  for (int i = 0; i < groups; ++i) {
    int end = i;
    while (end < groups && of[static_cast<size_t>(end)] == 0)
      ++end;
    if (end - i > found.length)
      found = {i, end - i};
    i = std::max(i, end - 1);
  }
  return found;
}

} // namespace

endpoint endpoint::v4(std::array<uint8_t, 4> address, uint16_t port) noexcept {
  endpoint made;
  std::ranges::copy(mapped, made.address.begin());
  std::ranges::copy(address, made.address.begin() + mapped.size());
  made.port = port;
  return made;
}

bool endpoint::is_v4() const noexcept {
  return std::equal(mapped.begin(), mapped.end(), address.begin());
}

// No IPv6 address that is given out begins as the number of an IPv4 address does.
uint64_t endpoint::host() const noexcept {
  uint64_t number = 0;
  for (size_t i = 0; i < 8; ++i)
    number = number << 8 | address[is_v4() ? 8 + i : i];
  return number;
}

std::string endpoint::text() const {
  if (is_v4())
    return fmt::format("{}.{}.{}.{}:{}", address[12], address[13], address[14], address[15], port);
  std::array<unsigned, groups> parts{};
  for (size_t i = 0; i < parts.size(); ++i)
    parts[i] = static_cast<unsigned>(address[2 * i] << 8 | address[2 * i + 1]);
  auto hidden = longest_gap(parts);
  std::string out = "[";
  for (int i = 0; i < groups; ++i) {
    if (i == hidden.begin) {
      out += "::";
      i += hidden.length - 1;
      continue;
    }
    if (out.back() != '[' && out.back() != ':')
      out += ':';
    out += fmt::format("{:x}", parts[static_cast<size_t>(i)]);
  }
  return out + (scope == 0 ? "" : fmt::format("%{}", scope)) + fmt::format("]:{}", port);
}

} // namespace datamesh::network
