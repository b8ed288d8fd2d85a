// Whom a node knows: Kademlia's buckets, with bounds on how many nodes of one group of
// addresses are in them. Nodes that have been there for long stay; rules and the saved
// form: docs/formats/discovery.md.
//
// Not thread-safe.
#pragma once

#include "datamesh/base/random_source.hpp"
#include "network/contact.hpp"

#include <map>

namespace datamesh::network {

/// Nodes of a bucket, of an answer, and that keep a record: Kademlia's k.
inline constexpr size_t bucket_size = 20;
/// A sign of life that is younger is not asked for again.
inline constexpr auto fresh_for = std::chrono::minutes{15};
inline constexpr auto refresh_every = std::chrono::hours{1};
/// Requests in a row that a node leaves unanswered until another may take its place, and until it
/// goes though nobody waits.
inline constexpr unsigned failures_until_replaced = 2;
inline constexpr unsigned failures_until_dropped = 5;

enum class table_place : uint8_t {
  added,
  refreshed, ///< It was there.
  waiting,   ///< Its bucket is full.
  refused,   ///< There are enough of its group, or it is this node.
};

struct seen_node {
  table_place how = table_place::refused;
  /// Who is to be asked for a sign of life: `seen` or `failed` tells of the outcome.
  std::optional<contact> doubted;
};

class routing_table {
public:
  routing_table(const peer_id& self, ip_rules rules);

  /// *who* answered when it was reached at *reached_at*.
  seen_node seen(const contact& who, const ip_address& reached_at, mesh_time now);
  /// A request to it had no answer.
  void failed(const peer_id& who);
  /// The same for one that was asked at these addresses: where it is known at none of them,
  /// that says nothing of it.
  void failed(const contact& who);
  /// It broke a rule.
  void remove(const peer_id& who);

  /// True when that node, once it has answered at one of its addresses, would get a place, or has
  /// one but did not answer of late.
  [[nodiscard]] bool has_room_for(const contact& who) const;
  [[nodiscard]] bool contains(const peer_id& who) const;
  [[nodiscard]] size_t size() const noexcept;
  /// Of these, the nodes that have answered of late.
  [[nodiscard]] size_t alive() const noexcept;
  /// Those that have not, by chance, at most *count*.
  [[nodiscard]] result<std::vector<contact>> silent(random_source& random, size_t count) const;
  /// Nodes of the group in the table.
  [[nodiscard]] size_t count_of(ip_group group) const;

  /// The nearest to *target*, nearest first, at most *count*.
  [[nodiscard]] std::vector<contact> closest(const point& target, size_t count) const;
  /// The same for another node: those alone that have answered of late, and that are nearer
  /// than this node is.
  [[nodiscard]] std::vector<contact> nearer(const point& target, size_t count) const;

  /// Nodes from all over the table, by chance, at most *count*.
  [[nodiscard]] result<std::vector<contact>> some(random_source& random, size_t count) const;

  /// *target* was looked up.
  void looked_up(const point& target, mesh_time now);
  /// What to look up so that no part of the table grows old; nothing when none is due.
  [[nodiscard]] result<std::optional<point>> refresh_due(random_source& random, mesh_time now) const;
  [[nodiscard]] mesh_time next_refresh() const;

  [[nodiscard]] std::vector<std::byte> save() const;
  /// `format_alien`, `format_damaged` or `format_newer`. Nodes that *rules* do not admit are
  /// left out.
  [[nodiscard]] static result<routing_table> restore(const peer_id& self, ip_rules rules, byte_view saved);

private:
  struct entry {
    contact who;
    ip_address reached_at;
    std::optional<ip_group> group;
    mesh_time seen{};
    unsigned failures = 0;
    bool checked = false; ///< Has answered since this process began.

    [[nodiscard]] bool lives() const noexcept {
      return checked && failures == 0;
    }
  };
  struct newcomer {
    contact who;
    ip_address reached_at;
    std::optional<ip_group> group;
    mesh_time seen{};
  };
  struct bucket {
    std::vector<entry> nodes;      ///< Heard of for longest first.
    std::vector<newcomer> waiting; ///< Oldest first.
    std::optional<peer_id> doubted;
    mesh_time looked_up = mesh_time::min();
  };

  [[nodiscard]] size_t number_of(byte_view place) const noexcept;
  [[nodiscard]] size_t neighbourhood() const noexcept;
  [[nodiscard]] bool fits(const bucket& in, std::optional<ip_group> group) const;
  [[nodiscard]] bool fits_waiting(const bucket& in, std::optional<ip_group> group) const;
  void add(bucket& to, entry what);
  void drop(bucket& from, std::vector<entry>::iterator which);
  void let_in(bucket& to);
  std::pair<bucket*, std::vector<entry>::iterator> find(const peer_id& who);
  [[nodiscard]] std::vector<contact> sorted(const point& target, size_t count, bool for_others) const;
  [[nodiscard]] static result<std::vector<contact>> draw(std::vector<const contact*> from, random_source& random, size_t count);

  peer_id self_;
  ip_rules rules_;
  std::vector<bucket> buckets_; ///< By the number of bits that they share with us; up to the last that has nodes.
  std::map<ip_group, unsigned> groups_;
  mesh_time looked_up_self_ = mesh_time::min();
};

} // namespace datamesh::network
