// Encrypted files of ordered stores: a header of 48 bytes, then the content
// under AES-256-CTR (NIST SP 800-38A) with a random IV of the file's own.
//
//   0  magic "DMCTR\0\0\1"
//   8  IV: the counter block of the content's first 16 bytes, big-endian
//  24  key check: the first 16 bytes of HMAC-SHA-256(key, "datamesh file key check" | IV)
//  40  zeros
//  44  CRC-32C of bytes 0 to 43, little-endian
//
// It hides content from who takes the disk; it does not prove that the content
// is unchanged: the stores' own checksums find damage, not forgery. A file is
// only ever appended to, so no counter block serves two contents.
//
// Thread rule: const members from any thread.
#pragma once

#include "datamesh/base/bytes.hpp"
#include "datamesh/base/random_source.hpp"
#include "datamesh/base/result.hpp"

#include <array>
#include <memory>

namespace datamesh {

class file_cipher {
public:
  static constexpr size_t key_size = 32;
  static constexpr size_t header_size = 48;
  using header = std::array<std::byte, header_size>;
  using counter_block = std::array<std::byte, 16>;

  /// `invalid_argument` unless *key* has 32 bytes.
  [[nodiscard]] static result<std::shared_ptr<const file_cipher>> create(byte_view key);

  virtual ~file_cipher() = default;

  /// The header of a new file, with a fresh IV.
  [[nodiscard]] virtual result<header> make_header(random_source& random) const = 0;

  /// The IV of a file. `format_alien` when it has no such header,
  /// `store_corrupt` when the header is damaged, `authentication_failed` when
  /// it was written under another key. @param start the file's first bytes
  [[nodiscard]] virtual result<counter_block> open_header(byte_view start) const = 0;

  /// Encrypts or decrypts *in*, which stands at *offset* of the content (behind
  /// the header), into *out*; both may be the same memory.
  /// @pre `in.size() == out.size()`
  [[nodiscard]] virtual result<void> apply(const counter_block& iv, uint64_t offset, byte_view in, byte_span out) const = 0;

  /// Whether a file that starts so is encrypted, under whatever key.
  [[nodiscard]] static bool is_encrypted(byte_view start) noexcept;
};

} // namespace datamesh
