// Key material in memory: kept out of logs and wiped when it goes. Keeping it
// out of core files and swap is the program's part (PR_SET_DUMPABLE, mlockall).
#pragma once

#include "datamesh/base/bytes.hpp"
#include "datamesh/base/random_source.hpp"
#include "datamesh/base/result.hpp"

#include <algorithm>
#include <array>
#include <memory>

namespace datamesh::crypto {

/// Overwrites *memory* in a way that the compiler can not leave out.
void wipe(byte_span memory) noexcept;

/// True when both are equal; the time taken does not depend on their content.
[[nodiscard]] bool equal_in_constant_time(byte_view a, byte_view b) noexcept;

/// *Size* secret bytes. Wiped on destruction; has no operator<< and no
/// `inspect`, so it can be neither logged nor sent.
template <size_t Size>
class secret {
public:
  static constexpr size_t size = Size;

  secret() = default;
  secret(const secret&) = default;
  secret& operator=(const secret&) = default;
  ~secret() {
    wipe(raw_);
  }

  /// @pre `data.size() == Size`
  static secret from(byte_view data) {
    secret result;
    std::copy_n(data.data(), Size, result.raw_.data());
    return result;
  }

  static datamesh::result<secret> random(random_source& source) {
    secret fresh;
    return source.fill(fresh.raw_).map([&] { return fresh; });
  }

  [[nodiscard]] byte_view view() const noexcept {
    return raw_;
  }
  [[nodiscard]] byte_span span() noexcept {
    return raw_;
  }

private:
  std::array<std::byte, Size> raw_{};
};

using key256 = secret<32>;

/// Secret bytes of any length, such as a password. Wiped on destruction.
class secret_bytes {
public:
  secret_bytes() = default;
  explicit secret_bytes(byte_view data);
  explicit secret_bytes(size_t size);
  secret_bytes(secret_bytes&& other) noexcept;
  secret_bytes& operator=(secret_bytes&& other) noexcept;
  secret_bytes(const secret_bytes&) = delete;
  secret_bytes& operator=(const secret_bytes&) = delete;
  ~secret_bytes();

  [[nodiscard]] byte_view view() const noexcept {
    return {data_.get(), size_};
  }
  [[nodiscard]] byte_span span() noexcept {
    return {data_.get(), size_};
  }
  [[nodiscard]] size_t size() const noexcept {
    return size_;
  }

private:
  std::unique_ptr<std::byte[]> data_;
  size_t size_ = 0;
};

} // namespace datamesh::crypto
