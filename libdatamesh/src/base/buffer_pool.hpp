// Large page-aligned buffers that are used again: touching fresh memory costs
// more than any stage of the data path. A buffer is written by its one holder and
// then frozen into slices; when the last slice is gone it returns to the pool.
#pragma once

#include "datamesh/base/bytes.hpp"

#include <memory>
#include <mutex>
#include <vector>

namespace datamesh {

/// Thread rule: any thread. The pool may go before its buffers.
class buffer_pool : public std::enable_shared_from_this<buffer_pool> {
public:
  /// A writable buffer, aligned to 4096 bytes. Shared ownership: slices made by
  /// `freeze` keep it out of the pool.
  class buffer {
  public:
    buffer() = default;
    [[nodiscard]] byte_span span() const noexcept {
      return span_;
    }
    [[nodiscard]] explicit operator bool() const noexcept {
      return owner_ != nullptr;
    }
    /// A slice that keeps the buffer alive. Do not write to that part any more.
    [[nodiscard]] bytes freeze(size_t offset, size_t count) const {
      return {owner_, byte_view{span_}.subspan(offset, count)};
    }

  private:
    friend class buffer_pool;
    std::shared_ptr<const void> owner_;
    byte_span span_;
  };

  /// Keeps at most *idle_max* unused buffers of *buffer_size* bytes each.
  [[nodiscard]] static std::shared_ptr<buffer_pool> make(size_t buffer_size, size_t idle_max);
  ~buffer_pool();

  /// An idle buffer, or fresh memory when there is none. Content is undefined.
  [[nodiscard]] buffer take();

  [[nodiscard]] size_t buffer_size() const noexcept {
    return buffer_size_;
  }

private:
  buffer_pool(size_t buffer_size, size_t idle_max) : buffer_size_(buffer_size), idle_max_(idle_max) {}
  void put_back(void* memory);
  const size_t buffer_size_;
  const size_t idle_max_;
  std::mutex mutex_;
  std::vector<void*> idle_;
};

} // namespace datamesh
