// Opened chunks in memory, by vault and chunk, never more than a given number of bytes.
//
// What stays is decided by W-TinyLFU (Einziger, Friedman, Manes: "TinyLFU: A Highly
// Efficient Cache Admission Policy", ACM TOS 13/4, 2017). What was asked for enters a
// small window, LRU. What falls out of it enters the main part only if it was asked for
// more often of late than all that would have to go for it together (the rule for entries
// of different sizes of Einziger, Eytan, Friedman and Manes, "Lightweight Robust Size
// Aware Cache Management", 2021). So a scan passes through the window and displaces
// nothing. The main part is segmented: probation, and what was hit there, protected, up to
// 4/5 of it. How often something was asked for is kept in a count-min sketch of 4 rows of
// 4-bit counters, which are halved after every ten requests an entry held.
//
// What was opened ahead of a reader lies apart, first in, first out, until it is asked for
// once; then it enters the window. It takes a quarter of the whole at most.
//
// The same calls with the same seed keep the same entries. Chunks are never wrong here,
// only no longer needed: an id names its content. Memory is overwritten before it is let
// go; a slice that a reader holds is no longer counted once its entry is gone.
//
// Not thread-safe.
#pragma once

#include "datamesh/base/bytes.hpp"
#include "datamesh/base/ids.hpp"

#include <array>
#include <list>
#include <unordered_map>
#include <vector>

namespace datamesh::storage {

/// Ids of chunks are told apart by vault: what one vault opened is not for another.
struct chunk_key {
  vault_id vault;
  chunk_id chunk;
  friend bool operator==(const chunk_key&, const chunk_key&) = default;
};

class chunk_cache {
public:
  /// What an entry counts for beside its bytes.
  static constexpr uint64_t entry_overhead = 256;

  enum class origin : uint8_t { asked, ahead };

  struct figures {
    uint64_t entries = 0;
    uint64_t bytes = 0; ///< Counted against the limit.
    uint64_t evicted = 0;
    uint64_t refused = 0; ///< Of them, those that fell out of the window and were not admitted.
    uint64_t ahead = 0;   ///< Entered, ahead of a reader.
    uint64_t ahead_used = 0;
  };

  /// *limit_max* sizes the sketch; *limit* starts there. *seed* should be drawn by chance.
  chunk_cache(uint64_t limit_max, uint64_t seed);

  /// A copy of *plain* with memory of its own, which is overwritten before it is let go.
  [[nodiscard]] static bytes copy_of(byte_view plain);

  /// The chunk, or an empty slice. Unless *counts*, it is not noted as asked for: one who
  /// reads a chunk in small pieces asked for it once.
  [[nodiscard]] bytes find(const chunk_key& key, bool counts = true);

  /// Changes nothing.
  [[nodiscard]] bool holds(const chunk_key& key) const {
    return places_.count(key) > 0;
  }

  /// Keeps *plain*, a slice that pins no memory but its own; see `copy_of`. False when it
  /// has no room; also later any entry may go.
  bool insert(const chunk_key& key, bytes plain, origin from);

  /// At most *limit_max*. What is too much goes at once.
  void set_limit(uint64_t limit);
  [[nodiscard]] uint64_t limit() const noexcept {
    return limit_;
  }
  /// Most that may lie here ahead of readers.
  [[nodiscard]] static constexpr uint64_t ahead_share(uint64_t limit) noexcept {
    return limit / 4;
  }

  /// Lets go of all chunks of a vault.
  void forget(const vault_id& vault);

  [[nodiscard]] const figures& current() const noexcept {
    return figures_;
  }

private:
  enum segment : uint8_t { window, probation, protected_part, ahead, segment_count };
  struct entry {
    chunk_key key;
    bytes plain;
    segment where;
    [[nodiscard]] uint64_t charge() const noexcept {
      return plain.size() + entry_overhead;
    }
  };
  using lru = std::list<entry>; ///< Newest first.
  struct hasher {
    uint64_t seed;
    size_t operator()(const chunk_key& key) const noexcept;
  };

  void note(const chunk_key& key);
  [[nodiscard]] uint32_t frequency(const chunk_key& key) const;
  [[nodiscard]] uint64_t main_limit() const;
  void move(lru::iterator which, segment to);
  void evict(lru::iterator which);
  void settle();
  void offer(lru::iterator candidate);

  uint64_t limit_max_;
  uint64_t limit_;
  std::unordered_map<chunk_key, lru::iterator, hasher> places_;
  std::array<lru, segment_count> lists_;
  std::array<uint64_t, segment_count> sizes_{};
  std::vector<uint8_t> counters_; ///< Two a byte; four rows of `row_`.
  size_t row_;                    ///< A power of two.
  uint64_t noted_ = 0;            ///< Since the counters were halved.
  uint64_t seed_;
  figures figures_;
};

} // namespace datamesh::storage
