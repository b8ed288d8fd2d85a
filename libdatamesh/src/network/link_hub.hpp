// All links of a node: who is let in, who is dialed, what each may take, and which link
// a request goes over. Sockets, time and what requests mean are others' business, so a
// test drives it without any of them. Rules and limits: docs/formats/wire.md.
//
// Links are data here, some 20 KiB each when idle: ten thousand need no thread and no
// actor of their own.
//
// Not thread-safe; lives on the thread of its transport.
#pragma once

#include "base/work_kind.hpp"
#include "network/admission.hpp"
#include "network/peer_link.hpp"
#include "network/transport.hpp"

#include <set>

namespace datamesh::network {

struct hub_options {
  link_options link;
  admission_limits door;
  /// Links that we dialed and that are not open yet.
  size_t dials_max = 64;
  /// What one peer may send, over all of its links: frames, with small records of TLS,
  /// and bytes. Of what comes faster nothing is read until it was due.
  rate items{16'000, 32'000};
  rate bytes{uint64_t{256} << 20, uint64_t{32} << 20};
  /// Requests of ours that wait, for each link, until the peer takes them, and the bytes
  /// in them.
  size_t waiting_max = 256;
  size_t waiting_bytes_max = 12 << 20;
  /// What all peers together make us hold. From half of it on requests are answered
  /// `capacity_exceeded`, but for those of links that hold little; beyond it, the links that hold
  /// most are closed, and first those of them over which nothing moves.
  size_t held_max = 64 << 20;
  /// Bytes of requests of ours that are not answered, with those that they ask for; small ones, as lookups, do not
  /// count. Repair takes no more than half of them, and scrubbing a quarter, but one of each kind always goes.
  size_t own_max = 96 << 20;
  /// Open links; when there are more, the one that nobody used for longest goes, if that is
  /// `unused_after` or more.
  size_t links_kept = 256;
  std::chrono::milliseconds unused_after{std::chrono::minutes{5}};
};

/// How long a peer may take nothing of what waits for it.
inline constexpr auto stall_max = std::chrono::seconds{30};
/// How long a closed link may take to tell the peer, and how many may at once.
inline constexpr auto farewell_max = std::chrono::seconds{2};
inline constexpr size_t farewells_max = 64;
/// Links that one peer may have with us; they cross, and old ones are found dead late.
inline constexpr size_t links_per_peer = 2;

struct link_facts {
  uint64_t link = 0;
  peer_id peer;
  endpoint address;
  link_side side{};
};

/// What the answer to a request may be, and whom it is for.
struct request_terms {
  size_t answer_max = 0; ///< Bytes of its body that are asked for. More is taken, and counts as held for the peer.
  work_kind work = work_kind::client;
};

/// One request of a peer.
struct request_key {
  uint64_t link = 0;
  uint64_t id = 0;
};

/// Is told what happens, and may call the hub back at once.
class hub_owner {
public:
  virtual ~hub_owner() = default;
  /// @param links how many there are now with this peer
  virtual void on_link_up(const link_facts& what, size_t links) = 0;
  /// All that was asked over it has been answered, or is asked again over another one.
  virtual void on_link_down(const link_facts& what, size_t links, const error& reason) = 0;
  /// One of both refused the other, before the link was up or without dialing; *what* has the peer
  /// that is meant, and no link's number where none was dialed.
  virtual void on_refused(const link_facts& what, const error& reason) = 0;
  /// What `connect` came to, once for each.
  virtual void on_connected(uint64_t token, const result<peer_id>& outcome) = 0;
  /// What `ask` came to, once for each.
  virtual void on_answer(uint64_t token, std::optional<error> failure, std::string message, bytes body) = 0;
  /// To be answered, once.
  virtual void on_request(const request_key& key, const peer_id& from, link_time deadline, std::string message, bytes body) = 0;
  /// The peer waits no longer. It is to be answered nevertheless.
  virtual void on_cancelled(const request_key& key) = 0;
  /// After `close`: all is over.
  virtual void on_closed() = 0;
};

class link_hub final : public transport_user {
public:
  /// @pre all that is referred to outlives the hub, and *by* was not started
  link_hub(const tls_identity& us, const hub_options& options, transport& by, const clock& time, hub_owner& owner);
  ~link_hub() override;

  /// A link to that node, dialed where there is none. @param expected who must answer,
  /// or nobody where anybody may @param there a link is not enough: it has to be seen that
  /// the node is reached at that address, which is not known of one that dialed us
  void connect(uint64_t token, const endpoint& to, std::optional<peer_id> expected, bool there = false);
  /// Asks a node with which there is a link: `unavailable` where there is none,
  /// `capacity_exceeded` when the request is too large or too many wait, `timed_out`. What is small goes first, then
  /// the kinds of work in their order.
  void ask(uint64_t token, const peer_id& peer, std::string message, bytes body, link_time deadline, const request_terms& terms = {});
  /// Nobody waits for that answer any more: it is `cancelled`.
  void give_up(uint64_t token);
  /// Answers a request; nobody is told when the link is gone.
  void answer(const request_key& key, std::string message, bytes body);
  void answer(const request_key& key, errc failure);
  /// Closes all links with that node and tells it why.
  void drop(const peer_id& peer, errc reason);
  /// Closes all links with whom the gate lets in no more.
  void check_gate();
  /// Closes all, and takes no more. `on_closed` follows.
  void close();

  [[nodiscard]] std::vector<link_facts> links() const;
  /// Sockets of any state.
  [[nodiscard]] size_t size() const noexcept;
  /// Bytes that the peers make us hold.
  [[nodiscard]] size_t held() const noexcept;
  /// Bytes that we asked and asked for, as `hub_options::own_max` bounds them.
  [[nodiscard]] size_t own() const noexcept;
  [[nodiscard]] const admission& door() const noexcept;

  // By the transport.
  [[nodiscard]] bool accepted(socket_id socket, const endpoint& from) override;
  void connected(socket_id socket) override;
  void received(socket_id socket, byte_view data) override;
  void writable(socket_id socket) override;
  void ended(socket_id socket, const error& reason) override;
  void tick() override;

private:
  struct impl;
  class turn;
  std::unique_ptr<impl> impl_;
};

} // namespace datamesh::network
