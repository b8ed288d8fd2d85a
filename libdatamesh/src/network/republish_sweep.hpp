// When which keys are sent anew: a sweep goes once around the key space in an interval, and
// one lookup serves all keys that lie where its nodes are. docs/formats/discovery.md.
//
// Not thread-safe.
#pragma once

#include "network/contact.hpp"

#include <map>
#include <set>

namespace datamesh::network {

/// Once around.
inline constexpr auto sweep_time = std::chrono::hours{12};
/// Nodes that are looked up for a stretch of keys.
inline constexpr size_t sweep_width = 60;
/// Keys that one lookup serves, at most.
inline constexpr size_t sweep_keys_max = 256;

class republish_sweep {
public:
  /// @param begin when the sweep passes key 0
  explicit republish_sweep(mesh_time begin) : begin_(begin) {}

  /// *key* was sent *now*; it is due when the sweep comes by, but not before half a round.
  void sent(const point& key, mesh_time now);
  /// Nothing is kept under *key* any more.
  void forget(const point& key);

  /// The key that is due for longest.
  [[nodiscard]] std::optional<point> due(mesh_time now) const;
  [[nodiscard]] mesh_time next_due() const;

  /// The keys that *nearest*, the nodes nearest to *target*, nearest first, are enough for: *target*
  /// first. All of them if *all_nodes*: there are no others.
  [[nodiscard]] std::vector<point> served(const point& target, const std::vector<contact>& nearest, bool all_nodes) const;

  [[nodiscard]] size_t size() const noexcept {
    return due_.size();
  }

private:
  mesh_time begin_;
  std::map<point, mesh_time> due_;
  std::set<std::pair<mesh_time, point>> order_;
};

} // namespace datamesh::network
