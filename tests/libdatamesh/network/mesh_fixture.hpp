// Made-up nodes for the tests of discovery.
#pragma once

#include "network/routing_table.hpp"
#include "network/signed_record.hpp"
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

inline const network::network_id test_mesh = network::network_id::from(as_view("a mesh for the tests of finding."));

/// When the tests of records begin: 2026-01-01.
inline constexpr clock::wall_time test_day{std::chrono::seconds{1'767'225'600}};

/// Somebody who signs records.
struct publisher {
  explicit publisher(seeded_random& random) : seed(crypto::key256::random(random).value()), key(crypto::ed25519_public(seed).value()) {}

  [[nodiscard]] network::record_draft draft(network::record_kind kind, uint64_t sequence, std::string_view value,
                                            network::point key_if_any = {}) const {
    auto due = network::key_of(kind, key).value();
    return {{kind, due.value_or(key_if_any), key}, sequence, test_day + std::chrono::hours{24}, bytes::copy_of(value)};
  }
  [[nodiscard]] result<network::signed_record> sign(const network::record_draft& what) const {
    return network::sign_record(test_mesh, what, [this](byte_view message) { return crypto::ed25519_sign(seed, message); });
  }
  [[nodiscard]] network::signed_record make(network::record_kind kind, uint64_t sequence, std::string_view value,
                                            network::point key_if_any = {}) const {
    return sign(draft(kind, sequence, value, key_if_any)).value();
  }

  crypto::key256 seed;
  crypto::public_key key;
};

} // namespace datamesh::test
