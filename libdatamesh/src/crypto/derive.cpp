#include "crypto/derive.hpp"

#include <openssl/evp.h>

#include <cassert>
#include <cstdlib>

namespace datamesh::crypto {

namespace {

constexpr size_t block_size = 64;
constexpr size_t hash_size = 32;

// A thread's own SHA-256. Fetching the algorithm costs more than an HMAC, and
// one HKDF runs per chunk. SHA-256 has no input that it refuses, so what fails
// here is a broken OpenSSL, with which no process should go on.
class sha256 {
public:
  static sha256& of_this_thread() {
    thread_local sha256 instance;
    return instance;
  }

  sha256() : algorithm_(EVP_MD_fetch(nullptr, "SHA256", nullptr)), context_(EVP_MD_CTX_new()) {
    require(algorithm_ != nullptr && context_ != nullptr);
  }
  sha256(const sha256&) = delete;
  sha256& operator=(const sha256&) = delete;
  ~sha256() {
    EVP_MD_CTX_free(context_);
    EVP_MD_free(algorithm_);
  }

  void begin() {
    require(EVP_DigestInit_ex2(context_, algorithm_, nullptr) == 1);
  }
  void update(byte_view data) {
    require(EVP_DigestUpdate(context_, data.data(), data.size()) == 1);
  }
  void finish(byte_span out) {
    require(EVP_DigestFinal_ex(context_, reinterpret_cast<unsigned char*>(out.data()), nullptr) == 1);
  }

private:
  static void require(bool condition) {
    if (!condition)
      std::abort();
  }

  EVP_MD* algorithm_;
  EVP_MD_CTX* context_;
};

// RFC 2104 over the concatenation of *parts*.
key256 hmac_sha256(byte_view key, std::initializer_list<byte_view> parts) {
  auto& hash = sha256::of_this_thread();
  secret<block_size> block;
  if (key.size() <= block_size) {
    std::copy(key.begin(), key.end(), block.span().begin());
  } else {
    hash.begin();
    hash.update(key);
    hash.finish(block.span().first(hash_size));
  }
  for (auto& x : block.span())
    x ^= std::byte{0x36};
  key256 result;
  hash.begin();
  hash.update(block.view());
  for (auto part : parts)
    hash.update(part);
  hash.finish(result.span());
  for (auto& x : block.span())
    x ^= std::byte{0x36 ^ 0x5c};
  hash.begin();
  hash.update(block.view());
  hash.update(result.view());
  hash.finish(result.span());
  return result;
}

} // namespace

void hkdf_sha256(byte_view key_material, byte_view salt, byte_view info, byte_span out) {
  assert(out.size() <= 255 * hash_size);
  auto extracted = hmac_sha256(salt, {key_material});
  key256 block;
  byte_view previous;
  for (uint8_t counter = 1; !out.empty(); ++counter) {
    std::byte number{counter};
    block = hmac_sha256(extracted.view(), {previous, info, byte_view{&number, 1}});
    previous = block.view();
    auto taken = std::min(out.size(), hash_size);
    std::copy_n(block.view().begin(), taken, out.begin());
    out = out.subspan(taken);
  }
}

key256 derive_key(byte_view key_material, byte_view salt, byte_view info) {
  key256 result;
  hkdf_sha256(key_material, salt, info, result.span());
  return result;
}

} // namespace datamesh::crypto
