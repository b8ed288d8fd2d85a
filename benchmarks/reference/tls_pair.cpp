#include "tls_pair.hpp"

#include <openssl/ssl.h>

#include <algorithm>

namespace datamesh::reference {

namespace {

template <class T, void (*Free)(T*)>
struct freed {
  void operator()(T* what) const noexcept {
    Free(what);
  }
};
template <class T, void (*Free)(T*)>
using owned = std::unique_ptr<T, freed<T, Free>>;

using key_ptr = owned<EVP_PKEY, EVP_PKEY_free>;
using certificate_ptr = owned<X509, X509_free>;
using context_ptr = owned<SSL_CTX, SSL_CTX_free>;
using end_ptr = owned<SSL, SSL_free>;

certificate_ptr sign_itself(EVP_PKEY* key) {
  certificate_ptr made{X509_new()};
  auto* name = X509_get_subject_name(made.get());
  auto is_made = X509_gmtime_adj(X509_getm_notBefore(made.get()), 0) != nullptr
                 && X509_gmtime_adj(X509_getm_notAfter(made.get()), 86'400) != nullptr && X509_set_pubkey(made.get(), key) == 1
                 && X509_set_issuer_name(made.get(), name) == 1 && X509_sign(made.get(), key, nullptr) > 0;
  return is_made ? std::move(made) : nullptr;
}

constexpr size_t record = 16 << 10;
constexpr size_t wire = 1 << 20;

} // namespace

struct tls_pair::impl {
  context_ptr context{SSL_CTX_new(TLS_method())};
  end_ptr sender;
  end_ptr receiver;
};

tls_pair::tls_pair(std::unique_ptr<impl> with) : impl_(std::move(with)) {}
tls_pair::~tls_pair() = default;

std::unique_ptr<tls_pair> tls_pair::make() {
  auto it = std::make_unique<impl>();
  key_ptr key{EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519")};
  auto certificate = key ? sign_itself(key.get()) : nullptr;
  auto* context = it->context.get();
  if (!certificate || SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) != 1
      || SSL_CTX_set_ciphersuites(context, "TLS_AES_256_GCM_SHA384") != 1 || SSL_CTX_use_certificate(context, certificate.get()) != 1
      || SSL_CTX_use_PrivateKey(context, key.get()) != 1)
    return nullptr;
  it->sender.reset(SSL_new(context));
  it->receiver.reset(SSL_new(context));
  BIO* one = nullptr;
  BIO* other = nullptr;
  if (BIO_new_bio_pair(&one, wire, &other, wire) != 1)
    return nullptr;
  SSL_set_bio(it->sender.get(), one, one);
  SSL_set_bio(it->receiver.get(), other, other);
  SSL_set_connect_state(it->sender.get());
  SSL_set_accept_state(it->receiver.get());
  for (int i = 0; i < 8 && !(SSL_is_init_finished(it->sender.get()) && SSL_is_init_finished(it->receiver.get())); ++i) {
    (void) SSL_do_handshake(it->sender.get());
    (void) SSL_do_handshake(it->receiver.get());
  }
  if (!SSL_is_init_finished(it->sender.get()) || !SSL_is_init_finished(it->receiver.get()))
    return nullptr;
  return std::unique_ptr<tls_pair>{new tls_pair{std::move(it)}};
}

bool tls_pair::pass(byte_view data, byte_span out) {
  while (!data.empty()) {
    auto part = data.first(std::min(data.size(), wire / 2));
    data = data.subspan(part.size());
    for (size_t at = 0; at < part.size(); at += record) {
      size_t written = 0;
      auto length = std::min(record, part.size() - at);
      if (SSL_write_ex(impl_->sender.get(), part.data() + at, length, &written) != 1)
        return false;
    }
    for (size_t left = part.size(); left > 0;) {
      size_t got = 0;
      if (SSL_read_ex(impl_->receiver.get(), out.data(), std::min(left, out.size()), &got) != 1)
        return false;
      out = out.subspan(got);
      left -= got;
    }
  }
  return true;
}

} // namespace datamesh::reference
