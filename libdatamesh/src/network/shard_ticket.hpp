// What owners and nodes sign about shards that a node keeps for others: tickets, deletions
// and permits of the owner, receipts and removals of the node. Each is handed on as the bytes
// that were signed. Layouts: docs/formats/ticket.md.
//
// Thread rule: values; functions are safe to call from any thread.
#pragma once

#include "crypto/identity.hpp"
#include "datamesh/base/clock.hpp"
#include "network/network_id.hpp"
#include "network/peer_id.hpp"
#include "storage/shard_store.hpp"

#include <functional>

namespace datamesh::network {

using storage::shard_key;

inline constexpr size_t ticket_size = 156;
inline constexpr size_t deletion_size = 148;
inline constexpr size_t permit_size = 172;
inline constexpr size_t receipt_size = 220;
inline constexpr size_t removal_size = 208;
/// Nodes on a roster, and bytes of one with so many.
inline constexpr size_t roster_nodes_max = 128;
[[nodiscard]] constexpr size_t roster_size(size_t nodes) noexcept {
  return 60 + nodes * peer_id::size + sizeof(crypto::signature);
}

/// How long a permit may be valid, beside `clock_error_max`.
inline constexpr auto permit_lifetime_max = std::chrono::hours{1};

/// Signs with the key of the owner, or of the node.
using word_signer = std::function<result<crypto::signature>(byte_view message)>;

/// The owner lets any node keep one shard until then. Of one owner's for one shard that with
/// the highest number counts.
struct ticket {
  vault_id owner; ///< The key that signs.
  shard_key shard;
  uint32_t size = 0; ///< Of the shard without its header: the shard length of its pack.
  uint64_t number = 0;
  clock::wall_time expiry; ///< Whole seconds.
  bytes raw;               ///< All of it, with the signature. Set by `sign` and `open`, as are those below.

  [[nodiscard]] bool has_expired(clock::wall_time now) const noexcept {
    return now >= expiry;
  }
  /// BLAKE3 of all of it.
  [[nodiscard]] digest name() const;
};

/// The owner wants nothing of a pack to be kept by tickets up to that number.
struct deletion {
  vault_id owner;
  pack_id pack;
  uint64_t number = 0;
  clock::wall_time made; ///< Whole seconds.
  bytes raw;

  [[nodiscard]] digest name() const;
};

/// The owner lets one node ask another what that keeps for him.
struct permit {
  vault_id owner;
  peer_id holder;
  peer_id asker;
  clock::wall_time expiry; ///< Whole seconds.
  bytes raw;
};

/// The owner names the nodes that keep shards for him. They may tell each other what they keep, and
/// bring what one of them lost to another one. The one with the highest number counts.
struct roster {
  vault_id owner;
  uint64_t number = 0;
  clock::wall_time made;         ///< Whole seconds.
  std::chrono::seconds patience; ///< What a node has that did not answer for so long is lost; 1 to 2^32 - 1.
  std::vector<peer_id> nodes;    ///< In ascending order, each once; 1 to `roster_nodes_max`.
  bytes raw;

  [[nodiscard]] bool names(const peer_id& node) const;
};

/// A node keeps the shard of that ticket, durably.
struct receipt {
  crypto::public_key holder{}; ///< The key that signs.
  vault_id owner;
  shard_key shard;
  uint32_t size = 0;
  digest by; ///< The ticket's name.
  clock::wall_time stored;
  clock::wall_time expiry;
  bytes raw;
};

/// A node keeps nothing that the deletion is for.
struct removal {
  crypto::public_key holder{};
  vault_id owner;
  pack_id pack;
  digest by; ///< The deletion's name.
  clock::wall_time removed;
  uint32_t shards = 0; ///< That it had until then.
  bytes raw;
};

/// `invalid_argument` for an index or size that no shard has, and for times before 1970.
[[nodiscard]] result<ticket> sign(const network_id& mesh, ticket what, const word_signer& signer);
[[nodiscard]] result<deletion> sign(const network_id& mesh, deletion what, const word_signer& signer);
[[nodiscard]] result<permit> sign(const network_id& mesh, permit what, const word_signer& signer);
/// `invalid_argument` for nodes that are too many, none, or not in order, and for a patience that is none.
[[nodiscard]] result<roster> sign(const network_id& mesh, roster what, const word_signer& signer);
[[nodiscard]] result<receipt> sign(const network_id& mesh, receipt what, const word_signer& signer);
[[nodiscard]] result<removal> sign(const network_id& mesh, removal what, const word_signer& signer);

/// Read and verify. `format_newer` for a later version, `format_damaged` for what is none or
/// has anything behind it, `authentication_failed` for a signature that does not hold in this
/// mesh. Whether it has expired is not looked at.
[[nodiscard]] result<ticket> open_ticket(const network_id& mesh, byte_view raw);
[[nodiscard]] result<deletion> open_deletion(const network_id& mesh, byte_view raw);
[[nodiscard]] result<permit> open_permit(const network_id& mesh, byte_view raw);
[[nodiscard]] result<roster> open_roster(const network_id& mesh, byte_view raw);
[[nodiscard]] result<receipt> open_receipt(const network_id& mesh, byte_view raw);
[[nodiscard]] result<removal> open_removal(const network_id& mesh, byte_view raw);

/// As those that open, for what was verified before.
[[nodiscard]] result<ticket> read_ticket(byte_view raw);
[[nodiscard]] result<deletion> read_deletion(byte_view raw);
[[nodiscard]] result<permit> read_permit(byte_view raw);
[[nodiscard]] result<roster> read_roster(byte_view raw);

/// What a receipt for *of* says, unsigned.
[[nodiscard]] receipt receipt_for(const ticket& of, const crypto::public_key& holder, clock::wall_time stored);

/// `invalid_argument` unless the header is that of the ticket's shard.
[[nodiscard]] result<void> check_header(const ticket& of, const storage::shard_header& header);

} // namespace datamesh::network
