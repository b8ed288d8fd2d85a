// The chunks that a node keeps opened for those who read files in ranges, within its
// memory budget. It takes what is free there, at most a third of the whole, and gives way:
// who waits for memory first takes from it what is missing. So no transfer ever waits for
// the cache, and a transfer that needs all of the memory leaves it empty.
//
// Thread rule: any thread.
#pragma once

#include "base/memory_budget.hpp"
#include "storage/chunk_cache.hpp"

#include <mutex>
#include <optional>

namespace datamesh::storage {

class read_cache {
public:
  read_cache(std::shared_ptr<memory_budget> budget, uint64_t seed);

  struct found {
    bytes plain;        ///< Empty when it is not there.
    bool first = false; ///< It was opened ahead, and is used for the first time.
  };
  [[nodiscard]] found find(const chunk_key& key, bool counts);
  [[nodiscard]] bool holds(const chunk_key& key) const;
  void insert(const chunk_key& key, const bytes& plain, chunk_cache::origin from);
  /// Of a vault that closes.
  void forget(const vault_id& vault);

  /// Bytes that may lie ahead of readers, as much memory as is free now.
  [[nodiscard]] uint64_t room_ahead() const;

  /// Lets go of as much as *size* bytes lack in the budget. Call it when a reservation
  /// was asked for and not granted at once.
  void give_way(uint64_t size);

  [[nodiscard]] chunk_cache::figures current() const;
  /// Of the budget, now.
  [[nodiscard]] uint64_t reserved() const;

private:
  [[nodiscard]] uint64_t held() const;
  void grow();

  const std::shared_ptr<memory_budget> budget_;
  const uint64_t limit_max_;
  const uint64_t slab_; ///< Reserved and given back at once.
  mutable std::mutex mutex_;
  chunk_cache cache_;
  std::vector<memory_budget::reservation> slabs_;
};

/// Reserves *size* bytes if they are free now; what is not is not waited for.
[[nodiscard]] std::optional<memory_budget::reservation> reserve_now(memory_budget& budget, uint64_t size);

} // namespace datamesh::storage
