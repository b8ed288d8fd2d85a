// The identifiers of the store: fixed-size byte strings that differ by type,
// so that a pack id can not be handed over where a chunk id is due.
#pragma once

#include "datamesh/base/bytes.hpp"
#include "datamesh/base/export.hpp"

#include <algorithm>
#include <array>
#include <compare>
#include <cstring>
#include <functional>
#include <optional>

namespace datamesh {

/// *Size* raw bytes with a type of their own. Compares byte by byte; converts
/// to and from lower-case hexadecimal.
template <class Tag, size_t Size>
class id {
public:
  static constexpr size_t size = Size;

  constexpr id() = default;

  /// Copies *Size* bytes. @pre `data.size() == Size`
  static id from(byte_view data) {
    id result;
    std::copy_n(data.data(), Size, result.raw_.data());
    return result;
  }

  /// Parses exactly `2 * Size` lower- or upper-case hexadecimal digits.
  static std::optional<id> parse(std::string_view hex) {
    if (hex.size() != 2 * Size)
      return std::nullopt;
    auto digit = [](char c) -> int {
      if (c >= '0' && c <= '9')
        return c - '0';
      if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
      if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
      return -1;
    };
    id result;
    for (size_t i = 0; i < Size; ++i) {
      auto high = digit(hex[2 * i]);
      auto low = digit(hex[2 * i + 1]);
      if (high < 0 || low < 0)
        return std::nullopt;
      result.raw_[i] = static_cast<std::byte>(high * 16 + low);
    }
    return result;
  }

  [[nodiscard]] std::string hex() const {
    static constexpr char digits[] = "0123456789abcdef";
    std::string result(2 * Size, '0');
    for (size_t i = 0; i < Size; ++i) {
      result[2 * i] = digits[std::to_integer<unsigned>(raw_[i]) >> 4];
      result[2 * i + 1] = digits[std::to_integer<unsigned>(raw_[i]) & 15];
    }
    return result;
  }

  /// The first eight hexadecimal digits, for people and logs.
  [[nodiscard]] std::string brief() const {
    return hex().substr(0, 8);
  }

  [[nodiscard]] byte_view view() const noexcept {
    return raw_;
  }
  [[nodiscard]] byte_span span() noexcept {
    return raw_;
  }
  [[nodiscard]] std::string_view text() const noexcept {
    return as_text(raw_);
  }
  [[nodiscard]] bool is_zero() const noexcept {
    return std::all_of(raw_.begin(), raw_.end(), [](std::byte b) { return b == std::byte{0}; });
  }

  friend auto operator<=>(const id& a, const id& b) noexcept {
    return std::memcmp(a.raw_.data(), b.raw_.data(), Size) <=> 0;
  }
  friend bool operator==(const id& a, const id& b) noexcept {
    return a.raw_ == b.raw_;
  }

private:
  std::array<std::byte, Size> raw_{};
};

/// A BLAKE3 digest of 32 bytes.
using digest = id<struct digest_tag, 32>;
/// Names a chunk: BLAKE3 of its plaintext, keyed with its space's id key.
using chunk_id = id<struct chunk_tag, 32>;
/// Names a pack: hash over its geometry and the root of its shard roots.
using pack_id = id<struct pack_tag, 32>;
/// Names a vault: its Ed25519 public key.
using vault_id = id<struct vault_tag, 32>;
/// Names a space of a vault. Random.
using space_id = id<struct space_tag, 16>;
/// Names a drive. Random, kept in the drive's marker file.
using drive_id = id<struct drive_tag, 16>;
/// Names a file or a folder of the catalog for as long as it lives. Random.
using node_id = id<struct node_tag, 16>;
/// Names one version of a file. Random.
using version_id = id<struct version_tag, 16>;
/// Names one installation that writes to a vault. Random.
using device_id = id<struct device_tag, 16>;

} // namespace datamesh

template <class Tag, size_t Size>
struct std::hash<datamesh::id<Tag, Size>> {
  size_t operator()(const datamesh::id<Tag, Size>& x) const noexcept {
    static_assert(Size >= sizeof(size_t));
    size_t result;
    std::memcpy(&result, x.view().data(), sizeof(result));
    return result;
  }
};
