// The one memory budget of a node. An operation reserves its worst case before it
// starts, waits first in, first out, and never asks again while it holds.
#pragma once

#include "datamesh/base/result.hpp"

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>

namespace datamesh {

/// Thread rule: any thread. *granted* runs outside of the budget's lock, on the
/// thread that called `reserve` or on one that makes room; it must not throw.
class memory_budget : public std::enable_shared_from_this<memory_budget> {
public:
  /// Returns its share when destroyed.
  class reservation {
  public:
    reservation() = default;
    reservation(std::shared_ptr<memory_budget> from, uint64_t size) : from_(std::move(from)), size_(size) {}
    reservation(reservation&& other) noexcept;
    reservation& operator=(reservation&& other) noexcept;
    ~reservation();
    [[nodiscard]] uint64_t size() const noexcept {
      return size_;
    }

  private:
    std::shared_ptr<memory_budget> from_;
    uint64_t size_ = 0;
  };

  [[nodiscard]] static std::shared_ptr<memory_budget> make(uint64_t limit_bytes);

  /// Calls *granted* once *size* bytes are free and everybody before was served;
  /// at once when they are. `capacity_exceeded` when *size* is above the limit.
  [[nodiscard]] result<void> reserve(uint64_t size, std::function<void(reservation)> granted);

  [[nodiscard]] uint64_t limit() const noexcept {
    return limit_;
  }
  [[nodiscard]] uint64_t in_use() const;

private:
  explicit memory_budget(uint64_t limit) : limit_(limit) {}
  void release(uint64_t size);
  struct waiter {
    uint64_t size;
    std::function<void(reservation)> granted;
  };
  mutable std::mutex mutex_;
  uint64_t limit_;
  uint64_t used_ = 0;
  std::deque<waiter> waiting_;
  bool serving_ = false; ///< Some thread is in the loop that grants.
};

} // namespace datamesh
