// The record that the mesh keeps for a recovery phrase: the vault's key file and the nodes that
// keep its shards. What only the phrase leads to says where it is kept, signs and seals it.
// docs/formats/recovery.md.
//
// Thread rule: values; functions are safe to call from any thread.
#pragma once

#include "crypto/aead.hpp"
#include "datamesh/base/random_source.hpp"
#include "network/peer_id.hpp"
#include "network/signed_record.hpp"

#include <vector>

namespace datamesh::network {

struct recovery_contents {
  bytes key_file; ///< With the lock of the phrase among its locks.
  std::vector<peer_id> nodes;
  uint32_t nodes_left_out = 0; ///< For which there was no room.
};

/// How many nodes fit beside a key file of that size; nothing where that is too large itself.
[[nodiscard]] std::optional<size_t> recovery_nodes_max(size_t key_file_size) noexcept;

/// Under which name the record is kept in that mesh. *secret* is `crypto::recovery_secret`.
[[nodiscard]] result<record_name> recovery_name(const crypto::key256& secret, const network_id& mesh);

/// It lives for as long as it may. All have the same size. `capacity_exceeded` for more than fits,
/// `invalid_argument` for a node that is named twice.
[[nodiscard]] result<signed_record> make_recovery_record(const crypto::key256& secret, const network_id& mesh,
                                                         const recovery_contents& what, uint64_t sequence, clock::wall_time now,
                                                         random_source& source, crypto::seal_observer* observer = nullptr);
/// One that is empty, and takes the place of those before.
[[nodiscard]] result<signed_record> withdraw_recovery_record(const crypto::key256& secret, const network_id& mesh, uint64_t sequence,
                                                             clock::wall_time now);

/// @pre *record* came from `open_record` in that mesh
/// Nothing where it was withdrawn. `not_found` for a record under another name, `format_newer`,
/// `authentication_failed` for what was not sealed by this secret, `format_damaged`.
[[nodiscard]] result<std::optional<recovery_contents>> open_recovery_record(const crypto::key256& secret, const network_id& mesh,
                                                                            const signed_record& record);

} // namespace datamesh::network
