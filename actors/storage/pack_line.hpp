// The packs of a packer in their order, from those of which the catalog is told to the one
// that is filled.
#pragma once

#include "storage/pack_run.hpp"

#include <deque>

namespace datamesh::storage {

/// Packs that are stored while the catalog is behind.
inline constexpr size_t stored_max = 4;

/// Lives in the packer; not thread safe.
class pack_line {
public:
  /// At most *packs_max* of them hold a buffer.
  pack_line(std::shared_ptr<buffer_pool> pool, size_t packs_max, uint32_t pack_limit)
      : pool_(std::move(pool)), packs_max_(packs_max), pack_limit_(pack_limit) {}

  [[nodiscard]] const std::deque<run_ptr>& all() const noexcept {
    return runs_;
  }
  /// The one that takes chunks, or null.
  [[nodiscard]] const run_ptr& current() const noexcept {
    return current_;
  }
  /// Of the pack that was opened last, there or not.
  [[nodiscard]] uint64_t last_serial() const noexcept {
    return last_serial_;
  }

  /// Opens one that takes chunks, with that much kept free for operations. False when too
  /// many are under way.
  [[nodiscard]] bool open(uint32_t operation_bytes);
  /// *run* takes no more chunks.
  void close(const run_ptr& run);
  void close_current() {
    if (auto run = current_)
      close(run);
  }
  /// @pre `current()`, of which nobody waits for anything
  void drop_current();
  void remove(const run_ptr& run) {
    std::erase(runs_, run);
  }
  /// *run* and all behind it leave the line.
  [[nodiscard]] std::vector<run_ptr> cut(const run_ptr& run);

  /// The one before *run*, or null.
  [[nodiscard]] run_ptr before(const run_ptr& run) const;
  [[nodiscard]] bool buffers_are_out() const;
  /// Whether operations of *job* are in one of them.
  [[nodiscard]] bool carries_for(uint64_t job) const;
  /// Of the packs that keep another from being opened, the stage of the first.
  [[nodiscard]] stage_wait stage_before_next() const;

private:
  std::shared_ptr<buffer_pool> pool_;
  size_t packs_max_;
  uint32_t pack_limit_;
  std::deque<run_ptr> runs_;
  run_ptr current_;
  uint64_t last_serial_ = 0;
};

} // namespace datamesh::storage
