// An immutable, reference-counted slice of memory. A pack crosses ten actors
// without a copy because what travels is this slice.
//
// Thread rule: a `bytes` is a value; copies may live on different threads, and
// the memory behind them is never written once a slice of it exists.
#pragma once

#include "datamesh/base/export.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace datamesh {

/// A borrowed view of memory that somebody else keeps alive.
using byte_view = std::span<const std::byte>;

/// A borrowed view of memory that may be written.
using byte_span = std::span<std::byte>;

class bytes {
public:
  /// The empty slice.
  bytes() = default;

  /// A slice of *data*, kept alive by *owner*. What `owner` owns is released
  /// (or returned to its pool) when the last slice of it is gone.
  bytes(std::shared_ptr<const void> owner, byte_view data) : owner_(std::move(owner)), data_(data) {}

  /// Copies *data* into memory of its own.
  [[nodiscard]] static bytes copy_of(byte_view data) {
    auto owner = std::make_shared<std::vector<std::byte>>(data.begin(), data.end());
    byte_view view{owner->data(), owner->size()};
    return {std::move(owner), view};
  }

  /// Copies the characters of *text*.
  [[nodiscard]] static bytes copy_of(std::string_view text) {
    return copy_of(std::as_bytes(std::span{text.data(), text.size()}));
  }

  /// Takes over *data* without a copy.
  [[nodiscard]] static bytes take(std::vector<std::byte>&& data) {
    auto owner = std::make_shared<std::vector<std::byte>>(std::move(data));
    byte_view view{owner->data(), owner->size()};
    return {std::move(owner), view};
  }

  [[nodiscard]] const std::byte* data() const noexcept {
    return data_.data();
  }
  [[nodiscard]] size_t size() const noexcept {
    return data_.size();
  }
  [[nodiscard]] bool empty() const noexcept {
    return data_.empty();
  }
  [[nodiscard]] byte_view view() const noexcept {
    return data_;
  }
  operator byte_view() const noexcept {
    return data_;
  }

  /// A part of this slice that shares its memory.
  /// @pre `offset <= size()`; *count* is cut to what is there.
  [[nodiscard]] bytes slice(size_t offset, size_t count = static_cast<size_t>(-1)) const {
    auto rest = data_.subspan(offset);
    return {owner_, rest.first(count < rest.size() ? count : rest.size())};
  }

private:
  std::shared_ptr<const void> owner_;
  byte_view data_;
};

/// The characters of *text* as bytes, borrowed.
[[nodiscard]] inline byte_view as_view(std::string_view text) noexcept {
  return std::as_bytes(std::span{text.data(), text.size()});
}

/// The bytes of *data* as characters, borrowed.
[[nodiscard]] inline std::string_view as_text(byte_view data) noexcept {
  return {reinterpret_cast<const char*>(data.data()), data.size()};
}

} // namespace datamesh
