// An owner with room on the node, and one large shard of his there, which many may ask for.
#pragma once

#include "network/shard_message.hpp"
#include "tests/e2e/stranger/honest.hpp"

namespace datamesh::stranger {

class guest {
public:
  explicit guest(uint64_t number);

  [[nodiscard]] const vault_id& owner() const noexcept {
    return owner_;
  }
  /// Stores the shard. *by* is connected.
  [[nodiscard]] result<void> store(honest_peer& by, const network::network_id& mesh);
  /// What is asked to get 1 MiB of it. @pre it is stored
  [[nodiscard]] const std::string& large_question() const noexcept {
    return question_;
  }
  /// Asks what room the owner has at *holder*; only *asker* may.
  [[nodiscard]] std::string room_question(const network::network_id& mesh, const network::peer_id& holder,
                                          const network::peer_id& asker) const;

private:
  [[nodiscard]] network::word_signer signer() const;

  test::seeded_random chance_;
  crypto::key256 seed_;
  vault_id owner_;
  std::string question_;
};

} // namespace datamesh::stranger
