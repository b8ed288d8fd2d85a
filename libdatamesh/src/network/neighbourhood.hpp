// Who is on the local network: what is heard there in, and whom to ask, what to say and when out. Hearing proves
// nothing but that somebody who knows the mesh has that key; whoever is to be dialed is dialed by his id, as any
// other contact. No socket, no clock. docs/formats/beacon.md.
//
// Not thread-safe; `datagram_limits` may be another thread's.
#pragma once

#include "network/beacon.hpp"
#include "network/discovery.hpp"
#include "network/lan_wire.hpp"
#include "network/token_bucket.hpp"

#include <deque>
#include <map>

namespace datamesh::network {

/// How often a node says that it is there, and a quarter of it more by chance.
inline constexpr auto beacon_every = std::chrono::seconds{10};
/// At its start it does so after 0, 1, 2 and 4 seconds, and asks who is there.
inline constexpr int beacons_at_start = 4;
/// Who is new, or asks, is answered after a time by chance, and nobody sooner than so after the last beacon.
inline constexpr auto answer_within = std::chrono::milliseconds{500};
inline constexpr auto beacon_soonest = std::chrono::seconds{1};
/// Who was not heard for so long is not there any more, and is forgotten after a while.
inline constexpr auto heard_of_late = std::chrono::seconds{35};
inline constexpr auto forgotten_after = std::chrono::minutes{10};

inline constexpr size_t neighbours_max = 256;
inline constexpr size_t neighbours_of_host_max = 64;
inline constexpr size_t strangers_max = 64;
/// How often one node is named to discovery; where it says another address than before; and how often any is.
inline constexpr std::chrono::seconds named_again{60};
inline constexpr std::chrono::seconds named_soonest{5};
inline constexpr rate named_rate{4, 64};

/// Datagrams of one host that are looked into, a second and at once, and those of all.
inline constexpr rate heard_rate_of_host{8, 64};
inline constexpr rate heard_rate{200, 400};
inline constexpr size_t hosts_max = 256;

/// What costs more than a look is not done more often than this allows.
class datagram_limits {
public:
  datagram_limits() : all_(heard_rate) {}
  [[nodiscard]] bool admits(byte_view datagram, const ip_address& from, mesh_time now);

private:
  token_bucket all_;
  std::map<ip_address, token_bucket> hosts_;
};

/// Where a node that listens there is reached by those on that interface, at most `contact_addresses_max`; behind what it
/// has there comes what it announces to all.
[[nodiscard]] std::vector<endpoint> told_on(const lan_interface& interface, const std::vector<endpoint>& listens,
                                            const std::vector<endpoint>& announces);

/// What became of a datagram.
enum class beacon_verdict : uint8_t {
  taken,
  question,
  own,
  alien,       ///< Not of this kind, or of a later version.
  stranger,    ///< Of another mesh, or changed on its way.
  malformed,   ///< What nobody may say.
  out_of_time, ///< Made more than a day ago, or in more than a day.
  repeated,    ///< No later than the last of that node.
  full,        ///< There is no room for another node, or for another one of that host.
  forged,      ///< Its signature does not hold.
};

/// Somebody who was heard of late.
struct neighbour {
  std::optional<peer_id> id;       ///< None of a stranger,
  std::vector<endpoint> addresses; ///< and then the one that it was heard from, with port 0.
  mesh_time heard;
};

class neighbourhood {
public:
  struct options {
    std::optional<network_id> mesh; ///< Without one all are strangers.
    peer_id self;
    ip_rules rules;    ///< Which addresses are named to discovery.
    bool says = false; ///< That it is there; else it asks and listens alone.
  };
  /// What is due to be said on every interface.
  struct saying {
    bool here = false;
    bool question = false;
  };

  /// @pre *random* outlives it
  neighbourhood(options with, random_source& random, mesh_time now) : with_(with), random_(random), names_(named_rate), next_(now) {}

  beacon_verdict heard(byte_view datagram, const ip_address& from, discovery_time now);
  /// Somebody for `discovery::heard_of`.
  [[nodiscard]] std::optional<contact> take_contact();
  [[nodiscard]] std::optional<saying> take_saying(mesh_time now);
  /// When `take_saying` has something.
  [[nodiscard]] mesh_time next_saying() const noexcept {
    return next_;
  }
  /// Nodes of the mesh in the order of ids, then strangers.
  [[nodiscard]] std::vector<neighbour> of_late(mesh_time now) const;
  [[nodiscard]] size_t size() const noexcept {
    return nodes_.size();
  }

private:
  struct address {
    endpoint at;
    mesh_time heard;
  };
  struct node {
    uint64_t sequence = 0;
    ip_address host; ///< That it was heard from first.
    std::vector<address> addresses;
    mesh_time heard;
    mesh_time named = mesh_time::min();
    bool changed = true; ///< Its addresses, since it was named.
  };

  beacon_verdict heard_node(const unsealed_beacon& said, const ip_address& from, mesh_time now);
  void note_stranger(const ip_address& from, mesh_time now);
  void forget(mesh_time now);
  [[nodiscard]] bool make_room(const ip_address& from, mesh_time now);
  [[nodiscard]] bool learn_addresses(node& of, const std::vector<endpoint>& said, mesh_time now);
  void name(const peer_id& id, node& which, mesh_time now);
  void answer_soon(mesh_time now);
  [[nodiscard]] std::chrono::milliseconds by_chance(std::chrono::milliseconds most);

  options with_;
  random_source& random_;
  token_bucket names_;
  std::map<peer_id, node> nodes_;
  std::map<ip_address, mesh_time> strangers_;
  std::deque<contact> contacts_;
  mesh_time next_;
  std::optional<mesh_time> last_;
  int said_ = 0;
};

} // namespace datamesh::network
