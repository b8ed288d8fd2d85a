// The pack that is being filled: several workers take room in it and seal their
// chunks there side by side. Wraps a pack_builder and its buffer.
//
// Thread rule: `reserve`, `set_operation_bytes` and `has_room_for` from any thread; `builder` once
// no worker is at it any more.
#pragma once

#include "base/buffer_pool.hpp"
#include "storage/pack.hpp"

#include <mutex>

namespace datamesh::storage {

class open_pack {
public:
  /// *serial* counts the packs of an intake; *buffer* holds `pack_size_max` bytes
  /// and room for padding.
  open_pack(uint64_t serial, buffer_pool::buffer buffer, uint32_t size_limit)
      : serial_(serial), buffer_(std::move(buffer)), builder_(buffer_.span(), size_limit) {}

  [[nodiscard]] uint64_t serial() const noexcept {
    return serial_;
  }

  /// Takes the next `entry.sealed_length` bytes and sets `entry.offset`, or answers
  /// nothing when the pack is full.
  [[nodiscard]] std::optional<byte_span> reserve(chunk_entry& entry) {
    std::lock_guard guard{mutex_};
    if (!builder_.fits(entry.sealed_length, operation_bytes_))
      return std::nullopt;
    return builder_.add_chunk(entry);
  }

  /// Keeps room for operations that wait for this pack.
  void set_operation_bytes(uint32_t count) {
    std::lock_guard guard{mutex_};
    operation_bytes_ = count;
  }

  /// True when operations of that many bytes fit, in batches of whatever size.
  [[nodiscard]] bool has_room_for(uint32_t operation_bytes) const {
    std::lock_guard guard{mutex_};
    return builder_.fits(0, operation_bytes);
  }

  [[nodiscard]] bool empty() const {
    std::lock_guard guard{mutex_};
    return builder_.empty();
  }

  [[nodiscard]] pack_builder& builder() noexcept {
    return builder_;
  }
  [[nodiscard]] const buffer_pool::buffer& buffer() const noexcept {
    return buffer_;
  }

private:
  const uint64_t serial_;
  buffer_pool::buffer buffer_;
  mutable std::mutex mutex_;
  pack_builder builder_;
  uint32_t operation_bytes_ = 0;
};

} // namespace datamesh::storage
