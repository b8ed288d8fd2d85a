#include "crypto/secret.hpp"

#include <openssl/crypto.h>

#include <string.h>

namespace datamesh::crypto {

void wipe(byte_span memory) noexcept {
  if (!memory.empty())
    explicit_bzero(memory.data(), memory.size());
}

bool equal_in_constant_time(byte_view a, byte_view b) noexcept {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

secret_bytes::secret_bytes(byte_view data) : secret_bytes(data.size()) {
  std::copy(data.begin(), data.end(), data_.get());
}

secret_bytes::secret_bytes(size_t size) : data_(size == 0 ? nullptr : std::make_unique<std::byte[]>(size)), size_(size) {}

secret_bytes::secret_bytes(secret_bytes&& other) noexcept : data_(std::move(other.data_)), size_(std::exchange(other.size_, 0)) {}

secret_bytes& secret_bytes::operator=(secret_bytes&& other) noexcept {
  if (this != &other) {
    wipe(span());
    data_ = std::move(other.data_);
    size_ = std::exchange(other.size_, 0);
  }
  return *this;
}

secret_bytes::~secret_bytes() {
  wipe(span());
}

} // namespace datamesh::crypto
