// Test vectors as they are printed: hexadecimal, spaces allowed.
#pragma once

#include "crypto/secret.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace datamesh::test {

inline std::vector<std::byte> unhex(std::string_view text) {
  std::vector<std::byte> result;
  int high = -1;
  for (char c : text) {
    int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
    if (digit < 0)
      continue;
    if (high >= 0)
      result.push_back(static_cast<std::byte>(high * 16 + digit));
    high = high < 0 ? digit : -1;
  }
  return result;
}

inline std::string hex(byte_view data) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string result;
  for (auto x : data) {
    result += digits[std::to_integer<unsigned>(x) >> 4];
    result += digits[std::to_integer<unsigned>(x) & 15];
  }
  return result;
}

inline crypto::key256 key_from(std::string_view text) {
  auto raw = unhex(text);
  return crypto::key256::from(byte_view{raw}.first<32>());
}

template <size_t Size>
std::array<std::byte, Size> array_from(std::string_view text) {
  auto raw = unhex(text);
  std::array<std::byte, Size> result;
  std::copy_n(byte_view{raw}.first<Size>().begin(), Size, result.begin());
  return result;
}

/// *count* bytes that count up from *first*.
inline std::vector<std::byte> counting(uint8_t first, size_t count) {
  std::vector<std::byte> result(count);
  for (size_t i = 0; i < count; ++i)
    result[i] = static_cast<std::byte>(first + i);
  return result;
}

} // namespace datamesh::test
