#include "tests/simulation/seal_tracer.hpp"

#include <catch2/catch.hpp>
#include <fmt/format.h>
#include <openssl/evp.h>

#include <atomic>
#include <cstdlib>
#include <numeric>
#include <optional>

namespace datamesh::test {

namespace {

std::atomic<seal_tracer*> watching{nullptr};

/// What this thread began to seal and has not given any data yet.
struct begun_seal {
  EVP_CIPHER_CTX* context = nullptr;
  std::string key;
  std::string nonce;
};

thread_local std::optional<begun_seal> begun;

byte_view view_of(const unsigned char* data, size_t size) {
  return {reinterpret_cast<const std::byte*>(data), size};
}

void tell(byte_view additional) {
  if (auto* tracer = watching.load(); tracer != nullptr)
    tracer->sealed(as_view(begun->key), as_view(begun->nonce), additional);
  begun.reset();
}

void begin(EVP_CIPHER_CTX* context, const unsigned char* key, const unsigned char* nonce) {
  // A key without a nonce, or the reverse, would be a way to seal that is not seen here.
  if (key == nullptr || nonce == nullptr)
    std::abort();
  begun = begun_seal{context, std::string{as_text(view_of(key, static_cast<size_t>(EVP_CIPHER_CTX_get_key_length(context))))},
                     std::string{as_text(view_of(nonce, static_cast<size_t>(EVP_CIPHER_CTX_get_iv_length(context))))}};
}

} // namespace

seal_tracer::seal_tracer() {
  seal_tracer* none = nullptr;
  REQUIRE(watching.compare_exchange_strong(none, this));
}

seal_tracer::~seal_tracer() {
  watching = nullptr;
}

uint64_t seal_tracer::count(const std::string& kind) const {
  std::lock_guard guard{mutex_};
  auto found = counts_.find(kind);
  return found != counts_.end() ? found->second : 0;
}

uint64_t seal_tracer::total() const {
  std::lock_guard guard{mutex_};
  return std::accumulate(counts_.begin(), counts_.end(), uint64_t{0}, [](uint64_t sum, const auto& one) { return sum + one.second; });
}

std::map<std::string, uint64_t> seal_tracer::counts() const {
  std::lock_guard guard{mutex_};
  return counts_;
}

std::vector<std::string> seal_tracer::repeated() const {
  std::lock_guard guard{mutex_};
  return repeated_;
}

void seal_tracer::sealed(byte_view key, byte_view nonce, byte_view additional) {
  // Domains are "dm/<name>/<one digit>".
  std::string text{as_text(additional)};
  auto slash = text.starts_with("dm/") ? text.find('/', 3) : std::string::npos;
  auto kind = slash != std::string::npos ? text.substr(0, slash + 2) : std::string{"without a domain"};
  std::lock_guard guard{mutex_};
  ++counts_[kind];
  auto [known, fresh] = kind_of_pair_.try_emplace(std::string{as_text(key)} + std::string{as_text(nonce)}, kind);
  if (!fresh)
    repeated_.push_back(fmt::format("a seal of {} uses key and nonce of one of {}", kind, known->second));
}

} // namespace datamesh::test

// The linker calls these where the program names OpenSSL's functions, and OpenSSL's under
// the names that begin with __real_.
extern "C" {

// NOLINTBEGIN(bugprone-reserved-identifier)
int __real_EVP_CipherInit_ex2(EVP_CIPHER_CTX*, const EVP_CIPHER*, const unsigned char*, const unsigned char*, int, const OSSL_PARAM*);
int __real_EVP_CipherUpdate(EVP_CIPHER_CTX*, unsigned char*, int*, const unsigned char*, int);

int __wrap_EVP_CipherInit_ex2(EVP_CIPHER_CTX* context, const EVP_CIPHER* cipher, const unsigned char* key, const unsigned char* nonce,
                              int sealing, const OSSL_PARAM* parameters) {
  using namespace datamesh::test;
  // A seal that was given nothing at all.
  if (begun)
    tell({});
  auto done = __real_EVP_CipherInit_ex2(context, cipher, key, nonce, sealing, parameters);
  if (done == 1 && sealing == 1 && (key != nullptr || nonce != nullptr))
    begin(context, key, nonce);
  return done;
}

int __wrap_EVP_CipherUpdate(EVP_CIPHER_CTX* context, unsigned char* out, int* length, const unsigned char* in, int size) {
  using namespace datamesh::test;
  // Additional data comes first, and with nowhere to go.
  if (begun && begun->context == context)
    tell(out == nullptr ? view_of(in, static_cast<size_t>(size)) : datamesh::byte_view{});
  return __real_EVP_CipherUpdate(context, out, length, in, size);
}
// NOLINTEND(bugprone-reserved-identifier)
}
