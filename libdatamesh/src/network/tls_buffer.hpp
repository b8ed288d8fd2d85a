// Bytes on their way between a TLS session and a socket, which the session reads and writes as a BIO. OpenSSL's own
// BIO of memory wipes and copies what it holds whenever it grows or gives memory back, as for a secret; these are records,
// which everybody on the way sees.
//
// Not thread-safe.
#pragma once

#include "datamesh/base/bytes.hpp"

#include <memory>

struct bio_st;

namespace datamesh::network {

class tls_buffer {
public:
  tls_buffer() = default;
  tls_buffer(const tls_buffer&) = delete;
  tls_buffer& operator=(const tls_buffer&) = delete;

  /// A BIO over it, which must go first; null when there is no memory. With nothing to read it says "try again".
  [[nodiscard]] bio_st* make_bio();

  [[nodiscard]] byte_view view() const noexcept {
    return {memory_.get() + begin_, size()};
  }
  [[nodiscard]] size_t size() const noexcept {
    return end_ - begin_;
  }
  /// Bytes of memory that it holds.
  [[nodiscard]] size_t capacity() const noexcept {
    return capacity_;
  }

  /// So many more bytes are taken without another copy of those that are there.
  void reserve(size_t more);
  void put(byte_view data);
  /// @pre *count* is at most `size`
  void drop(size_t count) noexcept;
  /// Gives back what is held beyond what is there and a little: a link that once carried much must not hold on to the memory
  /// of it, nor one whose peer took most of what there was and then stopped.
  void give_back() noexcept;

private:
  void move_to(std::unique_ptr<std::byte[]> fresh, size_t capacity) noexcept;

  std::unique_ptr<std::byte[]> memory_;
  size_t capacity_ = 0;
  size_t begin_ = 0;
  size_t end_ = 0;
};

} // namespace datamesh::network
