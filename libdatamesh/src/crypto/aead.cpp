#include "crypto/aead.hpp"

#include <openssl/err.h>
#include <openssl/evp.h>

#include <cassert>

#if defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace datamesh::crypto {

namespace {

struct free_cipher {
  void operator()(EVP_CIPHER* x) const noexcept {
    EVP_CIPHER_free(x);
  }
};

struct free_context {
  void operator()(EVP_CIPHER_CTX* x) const noexcept {
    EVP_CIPHER_CTX_free(x);
  }
};

const unsigned char* raw(byte_view data) noexcept {
  return reinterpret_cast<const unsigned char*>(data.data());
}

unsigned char* raw(byte_span data) noexcept {
  return reinterpret_cast<unsigned char*>(data.data());
}

// One fetched cipher with a context that is keyed anew for every message.
class engine {
public:
  explicit engine(const char* name) : cipher_(EVP_CIPHER_fetch(nullptr, name, nullptr)), context_(EVP_CIPHER_CTX_new()) {
    if (cipher_ && context_ && EVP_CipherInit_ex2(context_.get(), cipher_.get(), nullptr, nullptr, 1, nullptr) != 1)
      context_.reset();
  }

  bool seal(const key256& key, const nonce& n, byte_view aad, byte_view plain, byte_span out) {
    return begin(key, n, 1) && authenticate(aad) && transform(plain, out) && finish(out.data() + plain.size())
           && EVP_CIPHER_CTX_ctrl(context_.get(), EVP_CTRL_AEAD_GET_TAG, aead_tag_size, out.data() + plain.size()) == 1;
  }

  bool open(const key256& key, const nonce& n, byte_view aad, byte_view sealed, byte_span out) {
    // In place the tag may lie behind *out*, but never inside of it.
    std::array<std::byte, aead_tag_size> tag;
    std::copy_n(sealed.end() - aead_tag_size, aead_tag_size, tag.begin());
    return begin(key, n, 0) && EVP_CIPHER_CTX_ctrl(context_.get(), EVP_CTRL_AEAD_SET_TAG, aead_tag_size, tag.data()) == 1
           && authenticate(aad) && transform(sealed.first(out.size()), out) && finish(tag.data());
  }

private:
  bool begin(const key256& key, const nonce& n, int sealing) {
    return cipher_ && context_ && EVP_CipherInit_ex2(context_.get(), nullptr, raw(key.view()), raw(byte_view{n}), sealing, nullptr) == 1;
  }

  // OpenSSL counts in int, so what is longer goes in pieces.
  static constexpr size_t piece_size = 1u << 30;

  bool authenticate(byte_view aad) {
    for (int done = 0; !aad.empty(); aad = aad.subspan(static_cast<size_t>(done)))
      if (EVP_CipherUpdate(context_.get(), nullptr, &done, raw(aad), static_cast<int>(std::min(aad.size(), piece_size))) != 1)
        return false;
    return true;
  }

  bool transform(byte_view from, byte_span to) {
    while (!from.empty()) {
      auto size = std::min(from.size(), piece_size);
      int done = 0;
      if (EVP_CipherUpdate(context_.get(), raw(to), &done, raw(from), static_cast<int>(size)) != 1 || static_cast<size_t>(done) != size)
        return false;
      from = from.subspan(size);
      to = to.subspan(size);
    }
    return true;
  }

  bool finish(std::byte* unused) {
    int done = 0;
    return EVP_CipherFinal_ex(context_.get(), reinterpret_cast<unsigned char*>(unused), &done) == 1 && done == 0;
  }

  std::unique_ptr<EVP_CIPHER, free_cipher> cipher_;
  std::unique_ptr<EVP_CIPHER_CTX, free_context> context_;
};

} // namespace

struct aead::impl {
  engine gcm{"AES-256-GCM"};
  engine chacha{"ChaCha20-Poly1305"};
  seal_observer* observer = nullptr;

  engine* find(aead_suite suite) noexcept {
    switch (suite) {
    case aead_suite::aes_256_gcm:
      return &gcm;
    case aead_suite::chacha20_poly1305:
      return &chacha;
    }
    return nullptr;
  }
};

aead_suite preferred_suite() noexcept {
#if defined(__x86_64__)
  auto fast = __builtin_cpu_supports("aes") && __builtin_cpu_supports("pclmul");
#elif defined(__aarch64__)
  auto fast = (getauxval(AT_HWCAP) & (HWCAP_AES | HWCAP_PMULL)) == (HWCAP_AES | HWCAP_PMULL);
#else
  auto fast = false;
#endif
  return fast ? aead_suite::aes_256_gcm : aead_suite::chacha20_poly1305;
}

aead::aead(seal_observer* observer) : impl_(std::make_unique<impl>()) {
  impl_->observer = observer;
}

aead::~aead() = default;
aead::aead(aead&&) noexcept = default;
aead& aead::operator=(aead&&) noexcept = default;

result<void> aead::seal(aead_suite suite, const key256& key, const nonce& n, byte_view aad, byte_view plain, byte_span out) {
  assert(out.size() == plain.size() + aead_tag_size);
  auto* cipher = impl_->find(suite);
  if (cipher == nullptr)
    return fail(errc::invalid_argument, "seal with an unknown cipher suite");
  if (impl_->observer != nullptr)
    impl_->observer->sealed(suite, key, n);
  if (!cipher->seal(key, n, aad, plain, out)) {
    ERR_clear_error();
    wipe(out);
    return fail(errc::internal, "seal");
  }
  return {};
}

result<void> aead::open(aead_suite suite, const key256& key, const nonce& n, byte_view aad, byte_view sealed, byte_span out) {
  auto* cipher = impl_->find(suite);
  auto refuse = [&]() -> result<void> {
    // TLS on the same thread must not find our refusal in OpenSSL's error queue.
    ERR_clear_error();
    wipe(out);
    return fail(errc::authentication_failed, "open sealed bytes");
  };
  if (cipher == nullptr || sealed.size() < aead_tag_size)
    return refuse();
  assert(out.size() == sealed.size() - aead_tag_size);
  if (!cipher->open(key, n, aad, sealed, out))
    return refuse();
  return {};
}

} // namespace datamesh::crypto
