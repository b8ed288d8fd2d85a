#include "network/tls_buffer.hpp"

#include <openssl/bio.h>

#include <algorithm>
#include <cstring>
#include <new>

namespace datamesh::network {

namespace {

/// What is held when there is nothing.
constexpr size_t idle_max = 4 << 10;

tls_buffer& of(BIO* bio) {
  return *static_cast<tls_buffer*>(BIO_get_data(bio));
}

int write_to(BIO* bio, const char* data, int size) {
  BIO_clear_retry_flags(bio);
  try {
    of(bio).put({reinterpret_cast<const std::byte*>(data), static_cast<size_t>(size)});
    return size;
  } catch (const std::bad_alloc&) {
    return -1;
  }
}

int read_from(BIO* bio, char* out, int size) {
  BIO_clear_retry_flags(bio);
  auto there = of(bio).view();
  if (there.empty()) {
    BIO_set_retry_read(bio);
    return -1;
  }
  auto count = std::min(there.size(), static_cast<size_t>(size));
  std::memcpy(out, there.data(), count);
  of(bio).drop(count);
  return static_cast<int>(count);
}

long control(BIO* bio, int what, long, void*) {
  switch (what) {
  case BIO_CTRL_FLUSH:
    return 1;
  case BIO_CTRL_PENDING:
    return static_cast<long>(of(bio).size());
  default:
    return 0;
  }
}

struct free_method {
  void operator()(BIO_METHOD* x) const noexcept {
    BIO_meth_free(x);
  }
};

std::unique_ptr<BIO_METHOD, free_method> make_method() {
  std::unique_ptr<BIO_METHOD, free_method> made{BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "bytes of a link")};
  auto good = made && BIO_meth_set_write(made.get(), write_to) == 1 && BIO_meth_set_read(made.get(), read_from) == 1
              && BIO_meth_set_ctrl(made.get(), control) == 1;
  return good ? std::move(made) : nullptr;
}

} // namespace

BIO* tls_buffer::make_bio() {
  static const auto method = make_method();
  auto* made = method ? BIO_new(method.get()) : nullptr;
  if (made != nullptr) {
    BIO_set_data(made, this);
    BIO_set_init(made, 1);
  }
  return made;
}

void tls_buffer::move_to(std::unique_ptr<std::byte[]> fresh, size_t capacity) noexcept {
  std::copy_n(memory_.get() + begin_, size(), fresh.get());
  end_ = size();
  begin_ = 0;
  memory_ = std::move(fresh);
  capacity_ = capacity;
}

void tls_buffer::reserve(size_t more) {
  if (capacity_ - end_ >= more)
    return;
  if (capacity_ - size() < more) {
    auto capacity = std::max(size() + more, 2 * size());
    return move_to(std::make_unique_for_overwrite<std::byte[]>(capacity), capacity);
  }
  std::memmove(memory_.get(), memory_.get() + begin_, size());
  end_ = size();
  begin_ = 0;
}

void tls_buffer::put(byte_view data) {
  reserve(data.size());
  std::copy(data.begin(), data.end(), memory_.get() + end_);
  end_ += data.size();
}

void tls_buffer::drop(size_t count) noexcept {
  begin_ += count;
  if (begin_ == end_)
    begin_ = end_ = 0;
}

void tls_buffer::give_back() noexcept {
  if (capacity_ <= idle_max + size() + size() / 2)
    return;
  // Without memory for less, all of it is kept.
  if (auto* fresh = size() > 0 ? new (std::nothrow) std::byte[size()] : nullptr; fresh != nullptr || size() == 0)
    move_to(std::unique_ptr<std::byte[]>{fresh}, size());
}

} // namespace datamesh::network
