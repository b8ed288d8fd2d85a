#include "base/file_cipher.hpp"

#include "base/crc32c.hpp"
#include "base/little_endian.hpp"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <algorithm>
#include <cassert>
#include <cstring>

namespace datamesh {

namespace {

constexpr char magic[8] = {'D', 'M', 'C', 'T', 'R', 0, 0, 1};
constexpr size_t iv_at = 8, check_at = 24, crc_at = 44;
constexpr size_t check_size = 16;
constexpr size_t block_size = 16;
constexpr std::string_view check_label = "datamesh file key check";

struct openssl_delete {
  void operator()(EVP_CIPHER* what) const noexcept {
    EVP_CIPHER_free(what);
  }
  void operator()(EVP_CIPHER_CTX* what) const noexcept {
    EVP_CIPHER_CTX_free(what);
  }
};

template <class T>
using openssl_ptr = std::unique_ptr<T, openssl_delete>;

const unsigned char* raw(byte_view data) noexcept {
  return reinterpret_cast<const unsigned char*>(data.data());
}

unsigned char* raw(byte_span data) noexcept {
  return reinterpret_cast<unsigned char*>(data.data());
}

/// Adds *blocks* to a big-endian number of 128 bits.
file_cipher::counter_block advanced(file_cipher::counter_block counter, uint64_t blocks) noexcept {
  for (size_t i = counter.size(); i-- > 0 && blocks != 0;) {
    auto sum = static_cast<uint64_t>(counter[i]) + (blocks & 0xff);
    counter[i] = static_cast<std::byte>(sum);
    blocks = (blocks >> 8) + (sum >> 8);
  }
  return counter;
}

class openssl_file_cipher : public file_cipher {
public:
  openssl_file_cipher(byte_view key, openssl_ptr<EVP_CIPHER> algorithm) : algorithm_(std::move(algorithm)) {
    std::copy(key.begin(), key.end(), key_.begin());
  }

  ~openssl_file_cipher() override {
    OPENSSL_cleanse(key_.data(), key_.size());
  }

  result<header> make_header(random_source& random) const override {
    header made{};
    std::memcpy(made.data(), magic, sizeof(magic));
    counter_block iv;
    if (auto ok = random.fill(iv); !ok)
      return fail(ok.error().within("choose the IV of a file"));
    std::copy(iv.begin(), iv.end(), made.begin() + iv_at);
    auto check = key_check(iv);
    if (!check)
      return fail(std::move(check.error()));
    std::copy(check->begin(), check->end(), made.begin() + check_at);
    store_le(byte_span{made}.subspan(crc_at), crc32c(byte_view{made}.first(crc_at)));
    return made;
  }

  result<counter_block> open_header(byte_view start) const override {
    if (!is_encrypted(start))
      return fail(errc::format_alien, "read the header of an encrypted file");
    if (start.size() < header_size || load_le<uint32_t>(start.subspan(crc_at)) != crc32c(start.first(crc_at)))
      return fail(errc::store_corrupt, "read the header of an encrypted file");
    counter_block iv;
    std::copy_n(start.begin() + iv_at, iv.size(), iv.begin());
    auto check = key_check(iv);
    if (!check)
      return fail(std::move(check.error()));
    if (CRYPTO_memcmp(check->data(), start.data() + check_at, check_size) != 0)
      return fail(errc::authentication_failed, "open an encrypted file: it was written under another key");
    return iv;
  }

  result<void> apply(const counter_block& iv, uint64_t offset, byte_view in, byte_span out) const override {
    assert(in.size() == out.size());
    openssl_ptr<EVP_CIPHER_CTX> context{EVP_CIPHER_CTX_new()};
    auto counter = advanced(iv, offset / block_size);
    auto ok = context != nullptr
              && EVP_EncryptInit_ex2(context.get(), algorithm_.get(), raw(byte_view{key_}), raw(byte_view{counter}), nullptr) == 1;
    // The part of the first block that lies before the range.
    unsigned char skipped[block_size] = {};
    int made = 0;
    if (auto before = static_cast<int>(offset % block_size); ok && before != 0)
      ok = EVP_EncryptUpdate(context.get(), skipped, &made, skipped, before) == 1;
    constexpr size_t piece_max = size_t{1} << 30;
    while (ok && !in.empty()) {
      auto piece = std::min(in.size(), piece_max);
      ok = EVP_EncryptUpdate(context.get(), raw(out), &made, raw(in), static_cast<int>(piece)) == 1;
      in = in.subspan(piece);
      out = out.subspan(piece);
    }
    if (!ok)
      return fail(errc::internal, "run AES-256-CTR");
    return {};
  }

private:
  result<std::array<std::byte, check_size>> key_check(const counter_block& iv) const {
    std::array<std::byte, check_label.size() + sizeof(counter_block)> text;
    auto label = as_view(check_label);
    std::copy(iv.begin(), iv.end(), std::copy(label.begin(), label.end(), text.begin()));
    unsigned char mac[EVP_MAX_MD_SIZE];
    size_t size = 0;
    if (EVP_Q_mac(nullptr, "HMAC", nullptr, "SHA256", nullptr, key_.data(), key_.size(), raw(byte_view{text}), text.size(), mac,
                  sizeof(mac), &size)
            == nullptr
        || size < check_size)
      return fail(errc::internal, "run HMAC-SHA-256");
    std::array<std::byte, check_size> check;
    std::memcpy(check.data(), mac, check.size());
    return check;
  }

  openssl_ptr<EVP_CIPHER> algorithm_;
  std::array<std::byte, key_size> key_;
};

} // namespace

result<std::shared_ptr<const file_cipher>> file_cipher::create(byte_view key) {
  if (key.size() != key_size)
    return fail(errc::invalid_argument, "take the key of an ordered store: it must have 32 bytes");
  openssl_ptr<EVP_CIPHER> algorithm{EVP_CIPHER_fetch(nullptr, "AES-256-CTR", nullptr)};
  if (algorithm == nullptr)
    return fail(errc::internal, "load AES-256-CTR");
  return std::make_shared<const openssl_file_cipher>(key, std::move(algorithm));
}

bool file_cipher::is_encrypted(byte_view start) noexcept {
  return start.size() >= sizeof(magic) && std::memcmp(start.data(), magic, sizeof(magic)) == 0;
}

} // namespace datamesh
