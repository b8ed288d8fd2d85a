// What a node found when it last compared an owner's shards with what the other nodes of his roster keep: by ranges of packs, so
// that a range in which nothing has changed need not be listed again. Pure.
//
// Thread rule: one thread at a time.
#pragma once

#include "network/pack_range.hpp"
#include "network/peer_id.hpp"

#include <map>
#include <vector>

namespace datamesh::network {

/// How a node compares an owner's shards with what others keep.
struct range_plan {
  uint64_t shards = 64;        ///< Of a range, at least; see `range_memory::fit`.
  uint64_t listed_anyway = 16; ///< Ranges of a round, about, that are listed and challenged though nothing has changed.
};

/// Of an encoded memory. What does not fit is not remembered.
inline constexpr size_t range_memory_max = 64 << 20;

class range_memory {
public:
  /// What `encode` made with the same roster: `format_alien`, `format_damaged`, `format_newer`, `conflict` for another roster.
  [[nodiscard]] static result<range_memory> decode(byte_view saved, const roster& of);
  [[nodiscard]] std::vector<std::byte> encode(const roster& of) const;

  /// Of a range in which nothing was to be done.
  struct settled_range {
    digest mine;
    std::map<peer_id, digest> others; ///< Those that answered.
    friend bool operator==(const settled_range&, const settled_range&) = default;
  };

  /// For so many shards: ranges of *each* to twice that, and where there are ranges already, of *each* / 2 to 8 times that, for
  /// all is forgotten when their number changes.
  /// @pre *each* is 2 or more
  void fit(uint64_t shards, uint64_t each);

  [[nodiscard]] uint32_t bits() const noexcept {
    return bits_;
  }
  /// Of all ranges.
  [[nodiscard]] uint32_t count() const noexcept {
    return uint32_t{1} << bits_;
  }
  /// None where something was to be done, or it was not looked at yet.
  [[nodiscard]] const settled_range* find(uint32_t number) const;
  void settle(uint32_t number, settled_range found);
  void forget(uint32_t number);

  friend bool operator==(const range_memory&, const range_memory&) = default;

private:
  uint32_t bits_ = 0;
  std::map<uint32_t, settled_range> settled_;
};

} // namespace datamesh::network
