// The records that a node keeps for the mesh, in memory and within bounds. Whether the
// node should keep one is decided before. docs/formats/discovery.md.
//
// Not thread-safe.
#pragma once

#include "network/signed_record.hpp"

#include <map>
#include <tuple>

namespace datamesh::network {

struct record_limits {
  size_t records = 65'536;
  size_t bytes = 64 << 20; ///< Of whole records.
  size_t of_publisher = 4096;
  size_t of_key = 64;
};

enum class store_outcome : uint8_t {
  stored = 1,
  known = 2,
  older = 3,    ///< One with a higher sequence is held.
  conflict = 4, ///< Another one with the same sequence is held, and stays.
  not_near = 5, ///< Enough nodes are nearer to its key.
  full = 6,
  not_valid = 7,
};

/// Proof that a publisher signed two records with one sequence.
struct record_conflict {
  signed_record held;
  signed_record other;
};

class record_store {
public:
  explicit record_store(const record_limits& limits = {});

  /// Takes a record that was opened. A newer one takes the place of what is held.
  store_outcome put(const signed_record& record, clock::wall_time now);
  /// What is held of that kind under *key*, but what has run out; in the order of publishers.
  [[nodiscard]] std::vector<signed_record> find(record_kind kind, const point& key, clock::wall_time now) const;
  [[nodiscard]] const signed_record* find(const record_name& name) const;
  void remove(const record_name& name);
  /// Removes what has run out; how many.
  size_t expire(clock::wall_time now);

  /// When somebody last sent the record, new or again.
  [[nodiscard]] std::optional<clock::wall_time> last_sent(const record_name& name) const;

  [[nodiscard]] size_t size() const noexcept {
    return records_.size();
  }
  /// Visits all in the order of keys.
  template <class Visit>
  void each(Visit visit) const {
    for (const auto& [where, held] : records_)
      visit(held.record);
  }

private:
  /// Keys first: so records lie as the sweep comes along.
  struct place {
    point key;
    record_kind kind{};
    crypto::public_key publisher{};

    friend auto operator<=>(const place& a, const place& b) noexcept {
      return std::tie(a.key, a.kind, a.publisher) <=> std::tie(b.key, b.kind, b.publisher);
    }
  };
  struct kept {
    signed_record record;
    clock::wall_time sent;
  };
  using rows = std::map<place, kept>;

  [[nodiscard]] static place place_of(const record_name& name) {
    return {name.key, name.kind, name.publisher};
  }
  [[nodiscard]] bool has_room_for(const signed_record& record) const;
  rows::iterator erase(rows::iterator which);

  record_limits limits_;
  rows records_;
  std::map<crypto::public_key, size_t> of_publisher_;
  size_t bytes_ = 0;
};

} // namespace datamesh::network
