// Made-up nodes for the tests of discovery.
#pragma once

#include "network/routing_table.hpp"
#include "tests/support/seeded_random.hpp"

namespace datamesh::test {

/// An address of IPv4 that a mesh admits: *group* is its /24.
inline network::ip_address public_ip(uint32_t group, uint8_t host = 1) {
  // Within 11.0.0.0/8 to 99.0.0.0/8, which hold no reserved prefix.
  auto first = static_cast<uint8_t>(11 + group / 65536 % 89);
  return {{first, static_cast<uint8_t>(group / 256 % 256), static_cast<uint8_t>(group % 256), host}, false};
}

/// A node whose id shares exactly *bits* first bits with *with*.
inline network::peer_id id_near(const network::peer_id& with, unsigned bits, seeded_random& random) {
  auto id = random_id<network::peer_id>(random).value();
  for (unsigned i = 0; i <= bits; ++i)
    if (network::bit_of(id.view(), i) != (network::bit_of(with.view(), i) != (i == bits)))
      id.span()[i / 8] ^= static_cast<std::byte>(0x80 >> i % 8);
  return id;
}

inline network::contact contact_at(const network::peer_id& id, const network::ip_address& ip, uint16_t port = 4433) {
  return {id, {{ip, port}}};
}

} // namespace datamesh::test
