// Sees to it that the mesh keeps, for each recovery phrase of the vaults that were opened, the
// record by which the phrase brings the vault back: sends it when the nodes or the keys change, and
// anew before it runs out. docs/formats/recovery.md.
//
// Thread rule: members from any thread that is no actor's.
#pragma once

#include "datamesh/base/environment.hpp"
#include "datamesh/node.hpp"
#include "network/peer_access.hpp"

#include "crypto/secret.hpp"

#include <functional>
#include <memory>

namespace datamesh::network {

/// How often it is looked whether something changed.
inline constexpr auto recovery_looked_at = std::chrono::seconds{2};
/// How long after a record that nobody took it is sent again.
inline constexpr auto recovery_sent_again = std::chrono::seconds{10};

/// What can be told of one phrase of a vault. None of it opens the vault without the phrase.
struct recovery_phrase {
  crypto::key256 secret; ///< `crypto::recovery_secret`
  uint64_t revision = 0; ///< Of the key file: the same one is sent once.
  bool ended = false;    ///< The phrase was removed: its record is withdrawn.
  bytes key_file;        ///< With all locks that are of use elsewhere.
  bytes key_file_least;  ///< With the lock of the phrase alone, for when the other leaves too little room.
};

/// A node on which shards lie.
struct recovery_node {
  peer_id id;
  uint64_t shards = 0;
};

class recovery_keeper {
public:
  /// @param nodes those that are drives; called on an actor's thread once something was offered
  recovery_keeper(caf::actor_system& sys, environment env, std::shared_ptr<const peer_access> access,
                  std::function<std::vector<recovery_node>()> nodes);
  /// Ends.
  ~recovery_keeper();
  recovery_keeper(const recovery_keeper&) = delete;
  recovery_keeper& operator=(const recovery_keeper&) = delete;

  /// From now on these are the phrases of that vault, also after it is closed.
  void offer(const vault_id& vault, std::vector<recovery_phrase> phrases);
  /// The vault was destroyed: what was offered is withdrawn.
  void withdraw(const vault_id& vault);
  [[nodiscard]] recovery_report standing(const vault_id& vault) const;

private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

} // namespace datamesh::network
