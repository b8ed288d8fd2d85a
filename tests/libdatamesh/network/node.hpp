// A node for the tests of the network room: a key, a clock and a certificate.
#pragma once

#include "network/tls_link.hpp"
#include "tests/support/manual_clock.hpp"
#include "tests/support/seeded_random.hpp"

namespace datamesh::test {

struct test_node {
  explicit test_node(uint64_t number, std::shared_ptr<manual_clock> time = std::make_shared<manual_clock>())
      : wall(std::move(time)), chance(number), seed(crypto::key256::random(chance).value()),
        tls(network::tls_identity::make(seed, wall, chance).value()) {}

  [[nodiscard]] const network::peer_id& id() const {
    return tls.id();
  }

  std::shared_ptr<manual_clock> wall;
  seeded_random chance;
  crypto::key256 seed;
  network::tls_identity tls;
};

} // namespace datamesh::test
