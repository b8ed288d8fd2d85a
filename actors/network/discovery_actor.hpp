// Finds nodes and records for the rest of the node: one actor over the discovery engine. It
// asks over the links, answers peers, keeps the time, publishes the node's own record, and
// keeps the nodes that it knows in a file. docs/formats/discovery.md.
//
// It ends by `close_atom` or an exit message. Close it before the links.
#pragma once

#include "datamesh/base/environment.hpp"
#include "network/discovery.hpp"
#include "network/link_actor.hpp"
#include "network/mesh_settings.hpp"
#include "network/name_resolver.hpp"
#include "network/token_bucket.hpp"
#include "storage/workplace.hpp"

namespace datamesh::network {

/// Requests to other nodes that are under way at once, at most; what else the engine has waits.
/// Less than links may be dialed at once (`hub_options::dials_max`).
inline constexpr size_t discovery_asks_max = 48;
/// Lookups and publications that wait for their end, each at most; how long one may take until
/// who asked is told `timed_out`.
inline constexpr size_t lookups_waiting_max = 256;
inline constexpr auto lookup_time_max = std::chrono::minutes{2};
/// Records that this node keeps in the mesh, at most.
inline constexpr size_t published_max = 65'536;
/// How long one address of several is waited for until the next is tried, too.
inline constexpr auto next_address_after = std::chrono::milliseconds{1500};
/// While no node of the table answers, seeds and nodes known before are asked: at once, and
/// again after these times, which double.
inline constexpr auto rejoin_first = std::chrono::seconds{1};
inline constexpr auto rejoin_last = std::chrono::minutes{5};
/// Nodes of the file, by chance, that are asked along with the seeds.
inline constexpr size_t known_asked = bucket_size;
/// Requests of one peer that are served, a second and at once; others are answered
/// `capacity_exceeded`, which is no failure for the one that asked. A store takes 100 us or so of
/// a core, so that one peer takes a twentieth of it.
inline constexpr rate served_rate{500, 2000};
/// Peers whose pace is kept before it is looked who has none any more.
inline constexpr size_t paces_kept = 1024;
inline constexpr auto save_every = std::chrono::minutes{10};

/// Is told what nobody asked for.
using discovery_watch_actor =
    caf::typed_actor<caf::reacts_to<v1::NodesChanged>, caf::reacts_to<v1::RecordRenewalDue>, caf::reacts_to<v1::RecordConflict>,
                     caf::reacts_to<v1::NodesFileFailed>, caf::reacts_to<v1::SeedFailed>>;

using discovery_actor = caf::typed_actor<
    // A peer's request of this part: a `peer_handler_actor`, for the router. No more than
    // `served_rate` of one peer.
    caf::replies_to<v1::PeerRequest, bytes>::with<v1::PeerAnswer, bytes>,
    // `capacity_exceeded` when too many wait.
    caf::replies_to<v1::LookUp>::with<v1::LookedUp>,
    // Answers when it was sent to those nearest to its key. `capacity_exceeded` when too many
    // wait or are kept, and what `open_record` fails with.
    caf::replies_to<v1::PublishRecord>::with<v1::RecordPublished>, caf::replies_to<v1::WithdrawRecord>::with<v1::Done>,
    caf::replies_to<v1::ListNodes>::with<v1::NodeList>,
    // A node that may be there. It is asked for a sign of life, if there is room for it.
    caf::reacts_to<v1::NodeHeard>,
    // Where others reach this node from now on, in place of all before.
    caf::reacts_to<v1::TellAddresses>,
    // Through which nodes, at most `contact_addresses_max`. They stand in its record alone.
    caf::reacts_to<v1::TellRelays>,
    // Keeps what it knows, and ends. Who waits is answered `unavailable`.
    caf::replies_to<caf::close_atom>::with<v1::Done>>;

struct discovery_setup {
  network_id mesh;
  ip_rules rules;
  record_limits limits;
  /// Where others reach this node, the best first, at most `contact_addresses_max`. With none
  /// it is in nobody's table, and publishes no record.
  std::vector<endpoint> told;
  /// At most `seeds_max`, by IP address or name.
  std::vector<peer_spec> seeds;
  /// The file of known nodes; none where it is empty. Its folder is there. Beside it, with ".records"
  /// behind its name, lies what is kept for others who may be gone.
  std::string saved_at;
};

struct discovery_parts {
  environment env; ///< Clock, random and files are used.
  std::shared_ptr<const tls_identity> identity;
  link_actor links;
  discovery_setup setup;
  discovery_watch_actor watch; ///< Or none.
  /// For seeds that have names; by default the system's.
  std::shared_ptr<name_resolver> resolver{};
  std::shared_ptr<storage::workplace> place{};
};

/// `invalid_argument` for too many seeds or addresses.
[[nodiscard]] result<discovery_actor> spawn_discovery_actor(caf::actor_system& sys, const discovery_parts& parts);

[[nodiscard]] v1::RecordName to_proto(const record_name& from);
[[nodiscard]] result<record_name> from_proto(const v1::RecordName& from);

} // namespace datamesh::network
