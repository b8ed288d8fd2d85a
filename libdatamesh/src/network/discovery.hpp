// The part of a node that finds other nodes and records: its table, its records and its
// lookups together. Requests, answers and time in; requests to send, answers and events out.
// No socket, no clock, no disk. docs/formats/discovery.md.
//
// Not thread-safe.
#pragma once

#include "network/discovery_message.hpp"
#include "network/republish_sweep.hpp"

#include <deque>

namespace datamesh::network {

/// Lookups, signs of life and stores that are under way at once, at most; what else there is waits.
inline constexpr size_t lookups_max = 16;
inline constexpr size_t pings_max = 8;
inline constexpr size_t stores_max = 64;
/// How often nodes of the table that did not answer are asked for one again, `pings_max` at a time.
inline constexpr auto retry_every = std::chrono::minutes{1};
/// A node that knows fewer than `bucket_size` others looks around after this time, and again after
/// times that double, up to `refresh_every`.
inline constexpr auto look_around_first = std::chrono::seconds{2};
/// Nodes that were heard of and are to be asked for a sign of life, at most.
inline constexpr size_t heard_of_max = 64;

struct discovery_time {
  mesh_time now;
  clock::wall_time wall;
};

struct discovery_options {
  network_id mesh;
  ip_rules rules;
  record_limits limits;
};

/// To be sent to *whom*; `answered` or `failed` is due, and `failed` is assumed after
/// `request_time_max`.
struct discovery_ask {
  uint64_t number = 0;
  contact whom;
  discovery_request what;
};

/// A lookup that somebody asked for is over.
struct lookup_ended {
  uint64_t number = 0;
  lookup_outcome outcome;
};
/// A record of ours was sent to those that are nearest to it.
struct record_sent {
  record_name name;
  size_t copies = 0; ///< Nodes that have it now.
};
/// Less than half of a published record's lifetime is left: it should be signed anew.
struct renewal_due {
  record_name name;
};
struct conflict_seen {
  record_conflict proof;
};
using discovery_event = std::variant<lookup_ended, record_sent, renewal_due, conflict_seen>;

class discovery {
public:
  /// @pre *random* outlives it
  discovery(const peer_id& self, discovery_options options, random_source& random, discovery_time now);

  /// Before anything else: what `table().save()` told.
  result<void> restore(byte_view saved);
  /// Before anything else: a record that was kept for the mesh before.
  void kept_before(const signed_record& record, discovery_time now);
  /// A node that may be there: a seed, a neighbour in the LAN, one that asked us. It is asked
  /// for a sign of life if there is room for it.
  void heard_of(const contact& who);

  /// Begins a lookup; `lookup_ended` brings what it found.
  uint64_t look_up(const lookup_goal& goal);
  /// Sends the record to those nearest to its key, now and with every sweep, until `withdraw`
  /// or its end.
  void publish(const signed_record& record, discovery_time now);
  void withdraw(const record_name& name);

  [[nodiscard]] std::optional<discovery_ask> take_ask(discovery_time now);
  /// @param reached_at the address at which the node answered
  void answered(uint64_t number, const discovery_answer& what, const ip_address& reached_at, discovery_time now);
  void failed(uint64_t number, discovery_time now);
  /// It, or this node itself, has too much to do now: that is no sign that it is gone.
  void declined(uint64_t number, discovery_time now);
  /// What came is no answer at all.
  void violated(uint64_t number, discovery_time now);
  [[nodiscard]] std::optional<discovery_event> take_event();

  /// Answers another node. @param from with the addresses that it told, if any
  [[nodiscard]] discovery_answer serve(const contact& from, const discovery_request& what, discovery_time now);

  void tick(discovery_time now);
  /// When `tick`, or `take_ask` after it, has something to do if nothing comes in before.
  [[nodiscard]] mesh_time next_tick() const;

  [[nodiscard]] const routing_table& table() const noexcept {
    return table_;
  }
  [[nodiscard]] const record_store& records() const noexcept {
    return records_;
  }
  /// Records that are sent with every sweep.
  [[nodiscard]] size_t published() const noexcept {
    return own_.size();
  }

private:
  enum class purpose : uint8_t { asked_for, refresh, publish, sweep };
  struct running {
    lookup search;
    purpose why{};
    record_name name; ///< Of `publish`.
  };
  struct planned {
    uint64_t number = 0;
    lookup_goal goal;
    purpose why{};
    record_name name;
  };
  struct delivery {
    contact whom;
    bytes record;
    record_name name;
    bool counted = false; ///< Of `publish`: who asked for it is told.
  };
  struct pending {
    contact whom;
    mesh_time deadline;
    uint64_t lookup = 0; ///< 0: a sign of life or a store.
    uint64_t ask = 0;    ///< The lookup's own number.
    std::optional<delivery> store;
  };
  struct sending {
    size_t left = 0;
    size_t copies = 0;
  };

  void plan(const lookup_goal& goal, purpose why, const record_name& name);
  void begin_planned();
  void finish_ended(discovery_time now);
  void finish(uint64_t number, running& one, discovery_time now);
  std::optional<pending> take_pending(uint64_t number);
  void end_unanswered(const pending& was, discovery_time now);
  void deliver(const lookup_outcome& outcome, const signed_record& record, bool counted);
  void deliver_swept(const lookup_goal& goal, const lookup_outcome& outcome, discovery_time now);
  void delivered(const delivery& what, bool kept);
  void welcome(const contact& who, const ip_address& reached_at, mesh_time now);
  void add_held(const lookup_goal& goal, lookup_outcome& to, clock::wall_time wall);
  void drop_silent(discovery_time now);
  void retry_silent(mesh_time now);
  void look_around(mesh_time now);
  void expire(discovery_time now);
  [[nodiscard]] store_outcome keep(byte_view raw, discovery_time now);
  [[nodiscard]] discovery_ask ask(const contact& whom, discovery_request what, mesh_time now, uint64_t of_lookup = 0,
                                  uint64_t its_number = 0);

  peer_id self_;
  discovery_options options_;
  random_source& random_;
  routing_table table_;
  record_store records_;
  std::map<record_name, signed_record> own_;
  std::set<record_name> renewals_; ///< Told already.
  republish_sweep sweep_;
  mesh_time next_expiry_;
  mesh_time next_retry_ = mesh_time::max(); ///< Never while all nodes answer.
  bool looked_around_ = false;
  mesh_time next_look_ = mesh_time::min();
  mesh_time::duration look_wait_ = look_around_first;

  uint64_t last_lookup_ = 0;
  std::deque<planned> planned_;
  std::map<uint64_t, running> running_;
  uint64_t last_ask_ = 0;
  std::map<uint64_t, pending> pending_;
  size_t pings_ = 0;
  size_t stores_ = 0;
  std::deque<contact> heard_of_;
  std::set<peer_id> asking_; ///< In `heard_of_`, or asked for a sign of life.
  std::deque<delivery> deliveries_;
  std::map<record_name, sending> sendings_;
  std::deque<discovery_event> events_;
};

} // namespace datamesh::network
