// A node as a member of a mesh: nodes of one or several machines that know each other by
// their keys and find each other from a few addresses. A member finds others, is found, and
// keeps shards for owners to whom its operator gave room. docs/mesh.md.
//
// Addresses are texts of docs/formats/discovery.md: "192.0.2.7:4433", "[2001:db8::7]:4433",
// "/ip4/192.0.2.7/tcp/4433"; of seeds also names: "mesh.example.org:4433".
//
// Thread rule: values; functions are safe to call from any thread.
#pragma once

#include "datamesh/base/ids.hpp"
#include "datamesh/base/result.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace datamesh {

/// Names a mesh. Who does not know it is not let in, and nothing signed for one mesh holds in another.
using network_id = id<struct network_tag, 32>;
/// Names a node of a mesh: SHA-256 of its Ed25519 key (docs/formats/wire.md). A `node_id` is a
/// file or folder of a catalog.
using peer_id = id<struct peer_tag, 32>;

struct mesh_options {
  /// Which mesh: its id as 64 hexadecimal digits, or a name of 16 to 128 bytes, which leads
  /// each node to the same id. Who knows it is let in: nobody should guess it.
  std::string network{};
  /// Where to listen for other nodes, at most 16; `0.0.0.0` and `[::]` are all addresses of the
  /// machine, and port 0 is any that is free. Without one the node only dials.
  std::vector<std::string> listen{};
  /// Where others reach this node, the best first, at most 4. When empty, where it listens, but
  /// at all addresses of the machine at once it must be said.
  std::vector<std::string> announce{};
  /// Members that are asked first, at most 16; with "ID@" in front, only the node with that id.
  /// A name is looked up anew each time. Nodes that were known before are asked, too.
  std::vector<std::string> seeds{};
  /// A mesh within one house: its nodes may have loopback, private and link-local addresses,
  /// and many of one network. Otherwise those are not taken, whoever names them.
  bool local = false;
  /// Whether it says on the local network that it is there, and asks whom it hears there (docs/formats/beacon.md).
  /// When nobody says: in a local mesh, unless it listens at loopback addresses alone, or nowhere.
  std::optional<bool> lan{};
  /// Asks the router for a port that leads to this node, so that nodes elsewhere dial it: by NAT-PMP, then by UPnP
  /// (docs/mesh.md). It is the port of the first IPv4 address of `listen` that is not loopback. What the router gives
  /// is told to others behind what `announce` says, which need not say anything then. Not in a local mesh.
  bool map_port = false;
  /// Passes on what other members send to members that nobody can dial, and back: so many bytes a second at most, for all of
  /// them together; at least `relay_rate_min`, or 0: nothing. It is sealed between those two (docs/formats/relay.md). It makes sense
  /// for a node that others can dial.
  uint64_t relay = 0;
  /// Closes the mesh: the file of a list of members that its operators signed (datamesh/members.hpp). Only
  /// nodes on it are let in. The newest list that was ever seen counts and is kept in the home; where
  /// one is there the mesh is closed without a file, too.
  std::string members{};

  friend bool operator==(const mesh_options&, const mesh_options&) = default;
};

/// Less than this is no limit under which anything could be passed on.
inline constexpr uint64_t relay_rate_min = 64 << 10;

/// What a member passes on between others.
struct relay_report {
  uint64_t limit = 0;   ///< Bytes a second, at most.
  uint64_t bytes = 0;   ///< That were passed on since it was opened.
  uint64_t streams = 0; ///< That are open now, each of two nodes.
  uint64_t served = 0;  ///< Nodes that are reached through it, if anybody asks.
  friend bool operator==(const relay_report&, const relay_report&) = default;
};

/// The list by which a member of a closed mesh lets others in.
struct members_report {
  uint64_t number = 0; ///< Of the list; grows with each.
  uint64_t members = 0;
  uint32_t operators = 0;              ///< Who may sign lists,
  uint32_t threshold = 0;              ///< and how many of them have to.
  std::optional<int64_t> expires_ns{}; ///< Nobody is let in from then on; nanoseconds since the epoch.
  bool has_us = false;                 ///< This node is on it.
  std::optional<error> failure{};      ///< Why a list was not taken, or not kept, the last time.
};

/// How a member is found on the local network.
struct lan_report {
  std::vector<std::string> interfaces{}; ///< By which others hear it now.
  std::optional<error> failure{};        ///< Why it hears nobody.
};

/// What became of asking the router for a port.
struct port_mapping_report {
  std::string gateway{};             ///< The router that was asked, by its IP address; empty where none was found yet.
  std::string address{};             ///< Where others reach this node by it; empty while there is no mapping.
  std::string protocol{};            ///< "NAT-PMP" or "UPnP"; empty while there is no mapping.
  std::optional<int64_t> until_ns{}; ///< When it ends unless it is renewed; nanoseconds since the epoch. None of one that stays.
  std::optional<error> failure{};    ///< Why the router gave no port, or did not renew it, the last time.
};

/// Somebody who was heard on the local network of late.
struct neighbour_report {
  std::optional<peer_id> id{}; ///< None where it is of another mesh, or makes that up: what it says can not be read.
  /// Where it says that it is reached; without an id, the address that it was heard from, without a port.
  std::vector<std::string> addresses{};
  int64_t heard_ns = 0; ///< The last time; nanoseconds since the epoch.
};

/// What a node sends to other nodes and receives from them at the most, in bytes a second; 0 where that is not limited.
struct rate_limits {
  uint64_t up = 0;
  uint64_t down = 0;
  friend bool operator==(const rate_limits&, const rate_limits&) = default;
};

/// Hours of each day, by the clock of the machine, in which other limits hold.
struct rate_window {
  uint16_t from = 0;  ///< Minutes since midnight, below 1,440.
  uint16_t until = 0; ///< Up to 1,440, and not the same; where it is less, on the next day.
  rate_limits limits;
  friend bool operator==(const rate_window&, const rate_window&) = default;
};

struct rate_plan {
  rate_limits always;
  std::vector<rate_window> windows{}; ///< At most 16, no two of them at one time.
  friend bool operator==(const rate_plan&, const rate_plan&) = default;
};

/// `invalid_argument` says what of it can not be.
[[nodiscard]] DATAMESH_EXPORT result<void> check_rates(const rate_plan& plan);

/// Less than this is no limit that a node can work under: what waits for its turn for long is given up.
inline constexpr uint64_t rate_limit_min = 256 << 10;

/// What went over the links of a member since it was opened.
struct traffic_report {
  uint64_t sent = 0; ///< Bytes, with TLS and without TCP/IP.
  uint64_t received = 0;
  rate_limits limits; ///< That hold now.
};

/// How much of a line is used to measure it, each way.
struct line_test {
  uint64_t bytes = uint64_t{16} << 20;   ///< At most so many; 64 KiB to 1 GiB.
  std::chrono::milliseconds time{5'000}; ///< For so long more is sent; up to a minute.
};
inline constexpr uint64_t line_test_bytes_min = 64 << 10;
inline constexpr uint64_t line_test_bytes_max = uint64_t{1} << 30;
inline constexpr std::chrono::milliseconds line_test_time_max{60'000};

/// What ended the test of one way.
enum class line_stop : uint8_t {
  bytes = 0,  ///< So many had arrived as were to be.
  time = 1,   ///< Its time was over.
  budget = 2, ///< The other node answers no more tests for a while.
};

/// One way of a line, as measured with random bytes.
struct line_flow {
  uint64_t bytes = 0;      ///< That arrived.
  uint64_t elapsed_ns = 0; ///< In which they did, without one round trip.
  line_stop stop = line_stop::bytes;
  uint64_t own_limit = 0;   ///< Bytes a second that this node's operator lets it take this way; 0: not limited.
  uint64_t their_limit = 0; ///< The same of the other node.

  /// Bytes; 0 where none arrived.
  [[nodiscard]] double per_second() const noexcept {
    return elapsed_ns == 0 ? 0.0 : 1e9 * static_cast<double>(bytes) / static_cast<double>(elapsed_ns);
  }
};

/// How fast the line to another node is.
struct line_report {
  peer_id peer;
  std::string address;     ///< Of the link.
  uint64_t rtt_min_ns = 0; ///< Of some empty requests, before the line was used.
  uint64_t rtt_median_ns = 0;
  line_flow up;   ///< From here to there,
  line_flow down; ///< and back.
  /// Where one way ended as the other node answers no more: how long until it answers as much as ever again.
  std::optional<std::chrono::milliseconds> refilled_in{};
};

/// What a member knows of itself and of its mesh.
struct mesh_report {
  peer_id self;
  std::optional<network_id> network; ///< A daemon tells it to root and its own user alone, since who knows it is let in.
  bool local = false;
  std::vector<std::string> listens;        ///< Where it listens, with the ports that there are.
  std::vector<std::string> announces;      ///< What it tells others; empty: nobody can dial it.
  uint64_t links = 0;                      ///< Open now, in both directions.
  uint64_t nodes_known = 0;                ///< Of its table: those that have answered where they are reached.
  uint64_t nodes_alive = 0;                ///< Of these, the ones that did not leave the last request unanswered.
  std::optional<error> file_failure;       ///< Why the file of known nodes was not read or written, the last time.
  std::optional<members_report> members{}; ///< None in an open mesh.
  std::optional<lan_report> lan{};         ///< None where it is not looked for on the local network.
  traffic_report traffic{};
  std::optional<port_mapping_report> port_mapping{}; ///< None where the router is not asked.
  std::optional<relay_report> relay{};               ///< None where it passes on nothing.
  /// Where others reach it through another node: "through ID@192.0.2.7:4433". It asks for that while it announces nothing.
  std::vector<std::string> relayed_by{};

  /// True while another node answers.
  [[nodiscard]] bool joined() const noexcept {
    return nodes_alive > 0;
  }
};

/// Another node: one of the table, one with which there is a link, or both.
struct peer_report {
  peer_id id;
  std::vector<std::string> addresses;     ///< Where it is reached, the best first; of one that dialed us and is not known, whence it came.
  bool known = false;                     ///< In the table.
  uint32_t links_dialed = 0;              ///< Open links that we dialed,
  uint32_t links_accepted = 0;            ///< and that it dialed.
  std::optional<int64_t> linked_since_ns; ///< When the oldest of them opened; nanoseconds since the epoch.
  std::optional<peer_id> through{};       ///< The node that passes on what goes over them; none where one of them is direct.
};

/// How a node serves the owners to whom it granted room.
enum class hosting : uint8_t {
  open = 0,     ///< Takes what was granted.
  paused = 1,   ///< Takes nothing new, and looks after nothing; what is here is served, and deleted when its owner says so.
  draining = 2, ///< Takes nothing new, and hands what is here over to the other nodes that its owner named.
};

/// What a node sets aside for owners on other nodes, all together (docs/formats/home.md).
struct reserve_report {
  uint64_t bytes = 0; ///< 0 where nothing is set aside: then grants know no limit.
  /// Of what they do not use yet: bytes of the disks that nobody else can take, and those that are
  /// neither used nor held. Both are there, or none of them while that can not be told.
  std::optional<uint64_t> held;
  std::optional<uint64_t> lacking;
};

/// The room that one owner has on this node, and what he keeps in it.
struct room_report {
  vault_id owner;       ///< Of a vault that may be on any node: its id is the key that it signs with.
  uint64_t granted = 0; ///< Bytes; 0 when the grant was taken back and something is left.
  /// Bytes that he is charged for. Nothing while that can not be told: what is kept is still being
  /// opened, or does not open.
  std::optional<uint64_t> used;
  std::optional<uint64_t> shards;
  /// When all of it was last compared with what the owner's other nodes keep, since this one was
  /// started: ns since 1970. Nothing where the owner named no others, or one of them is awaited.
  std::optional<int64_t> compared_ns;
  /// Of a node that is drained: shards that no other node took when they were last offered.
  std::optional<uint64_t> stuck;
};

} // namespace datamesh
