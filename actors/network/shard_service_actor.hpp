// Keeps shards for owners on other nodes: takes them in by ticket within the room that was
// granted, gives them back, proves and removes them. One actor before a thread that writes
// and threads that read. docs/formats/ticket.md.
//
// It ends by `close_atom` or an exit message. Close it before the links.
#pragma once

#include "network/grants.hpp"
#include "network/guest_store.hpp"
#include "network/link_actor.hpp"
#include "network/sibling_actor.hpp"
#include "network/token_bucket.hpp"

namespace datamesh::network {

/// Requests of one peer that are served, a second and at once; others are answered
/// `capacity_exceeded`. One costs a signature, 100 us or so of a core, or the hashes of 1 MiB.
inline constexpr rate shards_served{500, 2000};
/// Requests that wait for a drive, of all peers and of one.
inline constexpr size_t drive_waits_max = 64;
inline constexpr size_t drive_waits_of_peer = 16;
inline constexpr auto expire_every = std::chrono::hours{1};

using shard_service_actor = caf::typed_actor<
    // A peer's request of this part: a `peer_handler_actor`, for the router.
    caf::replies_to<v1::PeerRequest, bytes>::with<v1::PeerAnswer, bytes>,
    // What is granted from now on; who has more than that keeps it, and may store no more.
    caf::replies_to<v1::SetGrants>::with<v1::Done>,
    // With what each has of it.
    caf::replies_to<v1::ListGrants>::with<v1::GrantList>,
    // Ends what is under way, and itself.
    caf::replies_to<caf::close_atom>::with<v1::Done>>;

struct shard_service_parts {
  environment env; ///< The clock is used.
  std::shared_ptr<const tls_identity> identity;
  std::shared_ptr<guest_store> guests;
  network_id mesh;
  grants room;
  intake_limits intake;
  size_t readers = 2;
  /// By which other nodes of a roster are reached; without one nobody is.
  std::shared_ptr<const peer_access> access = nullptr;
  /// As in `sibling_parts`.
  std::shared_ptr<sibling_board> board = nullptr;
  std::function<void(severity, std::string, std::optional<errc>)> tell = nullptr;
  std::shared_ptr<storage::workplace> place = nullptr;
  range_plan ranges{};
  std::string folder{};
};

[[nodiscard]] shard_service_actor spawn_shard_service(caf::actor_system& sys, const shard_service_parts& parts);

} // namespace datamesh::network
