// Reads and writes the fixed layouts of this room's formats: little-endian
// integers, ids and raw bytes, one behind the other.
#pragma once

#include "base/little_endian.hpp"

#include <algorithm>
#include <cassert>
#include <concepts>
#include <type_traits>

namespace datamesh::storage {

/// Fills a span from its front. Running over its end is a mistake of ours.
class layout_writer {
public:
  explicit layout_writer(byte_span out) : rest_(out), size_(out.size()) {}
  template <std::integral Integer>
  layout_writer& put(Integer value) {
    store_le(step(sizeof(Integer)), static_cast<std::make_unsigned_t<Integer>>(value));
    return *this;
  }
  layout_writer& put(byte_view raw) {
    std::copy(raw.begin(), raw.end(), step(raw.size()).begin());
    return *this;
  }
  layout_writer& put(std::string_view text) {
    return put(as_view(text));
  }
  layout_writer& zeros(size_t count) {
    std::ranges::fill(step(count), std::byte{0});
    return *this;
  }
  [[nodiscard]] size_t written() const noexcept {
    return size_ - rest_.size();
  }

private:
  byte_span step(size_t count) {
    assert(count <= rest_.size());
    auto part = rest_.first(count);
    rest_ = rest_.subspan(count);
    return part;
  }
  byte_span rest_;
  size_t size_;
};

/// Takes a view apart from its front. The caller checks the length first;
/// running over the end is a mistake of ours.
class layout_reader {
public:
  explicit layout_reader(byte_view data) : rest_(data) {}
  template <std::integral Integer>
  [[nodiscard]] Integer get() {
    return static_cast<Integer>(load_le<std::make_unsigned_t<Integer>>(take(sizeof(Integer))));
  }
  template <class Id>
  [[nodiscard]] Id get_id() {
    return Id::from(take(Id::size));
  }
  [[nodiscard]] byte_view take(size_t count) {
    assert(count <= rest_.size());
    auto part = rest_.first(count);
    rest_ = rest_.subspan(count);
    return part;
  }
  /// Steps over *count* bytes and answers whether all of them were zero.
  [[nodiscard]] bool zeros(size_t count) {
    return std::ranges::all_of(take(count), [](std::byte b) { return b == std::byte{0}; });
  }
  [[nodiscard]] size_t left() const noexcept {
    return rest_.size();
  }

private:
  byte_view rest_;
};

} // namespace datamesh::storage
