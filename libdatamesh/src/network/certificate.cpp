#include "network/certificate.hpp"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

namespace datamesh::network {

namespace {

constexpr auto seconds_of(clock::wall_time at) {
  return std::chrono::floor<std::chrono::seconds>(at).time_since_epoch().count();
}

// A failed call leaves its reasons in a queue of the thread, where the next one that
// asks for its own would find them.
error refuse(errc code, const char* attempted, const char* reason) {
  ERR_clear_error();
  return error{code, attempted, reason};
}

struct free_name {
  void operator()(X509_NAME* x) const noexcept {
    X509_NAME_free(x);
  }
};

struct free_number {
  void operator()(ASN1_INTEGER* x) const noexcept {
    ASN1_INTEGER_free(x);
  }
};

bool set_dates(X509& certificate, clock::wall_time now) {
  auto from = seconds_of(now - clock_error_max);
  auto until = seconds_of(now + certificate_lifetime);
  return X509_time_adj_ex(X509_getm_notBefore(&certificate), 0, 0, &from) != nullptr
         && X509_time_adj_ex(X509_getm_notAfter(&certificate), 0, 0, &until) != nullptr;
}

bool set_serial(X509& certificate, uint64_t number) {
  std::unique_ptr<ASN1_INTEGER, free_number> serial{ASN1_INTEGER_new()};
  return serial && ASN1_INTEGER_set_uint64(serial.get(), number) == 1 && X509_set_serialNumber(&certificate, serial.get()) == 1;
}

bool set_names(X509& certificate) {
  std::unique_ptr<X509_NAME, free_name> name{X509_NAME_new()};
  auto text = reinterpret_cast<const unsigned char*>("datamesh");
  return name && X509_NAME_add_entry_by_txt(name.get(), "CN", MBSTRING_ASC, text, -1, -1, 0) == 1
         && X509_set_subject_name(&certificate, name.get()) == 1 && X509_set_issuer_name(&certificate, name.get()) == 1;
}

bool has_critical_extension(const X509& certificate) {
  for (int i = 0; i < X509_get_ext_count(&certificate); ++i)
    if (X509_EXTENSION_get_critical(X509_get_ext(&certificate, i)) != 0)
      return true;
  return false;
}

result<crypto::public_key> ed25519_key(EVP_PKEY& from) {
  crypto::public_key key;
  auto size = key.size();
  if (EVP_PKEY_get_id(&from) != EVP_PKEY_ED25519
      || EVP_PKEY_get_raw_public_key(&from, reinterpret_cast<unsigned char*>(key.data()), &size) != 1 || size != key.size())
    return fail(refuse(errc::peer_refused, "read a certificate", "its key is not Ed25519"));
  return key;
}

} // namespace

void free_key::operator()(EVP_PKEY* x) const noexcept {
  EVP_PKEY_free(x);
}

void free_certificate::operator()(X509* x) const noexcept {
  X509_free(x);
}

result<peer_id> peer_of(const crypto::public_key& key) {
  // SEQUENCE { SEQUENCE { OID 1.3.101.112 }, BIT STRING of 32 bytes }
  constexpr std::array<uint8_t, 12> before{0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00};
  std::array<std::byte, before.size() + sizeof(key)> whole;
  auto rest = std::copy(before.begin(), before.end(), reinterpret_cast<uint8_t*>(whole.data()));
  std::copy(key.begin(), key.end(), reinterpret_cast<std::byte*>(rest));
  peer_id id;
  unsigned size = 0;
  auto out = reinterpret_cast<unsigned char*>(id.span().data());
  if (EVP_Digest(whole.data(), whole.size(), out, &size, EVP_sha256(), nullptr) != 1 || size != peer_id::size)
    return fail(refuse(errc::internal, "name a node", "SHA-256 is not there"));
  return id;
}

result<key_ptr> private_key(const crypto::key256& seed) {
  auto raw = reinterpret_cast<const unsigned char*>(seed.view().data());
  key_ptr key{EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, raw, seed.view().size())};
  if (!key)
    return fail(refuse(errc::internal, "make the node's key", "Ed25519 is not there"));
  return key;
}

result<certificate_ptr> make_certificate(EVP_PKEY& key, clock::wall_time now, random_source& random) {
  constexpr auto attempted = "make the node's certificate";
  auto serial = random_below(random, UINT64_MAX >> 1);
  if (!serial)
    return fail(serial.error().within(attempted));
  certificate_ptr made{X509_new()};
  if (!made || X509_set_version(made.get(), X509_VERSION_3) != 1 || !set_serial(*made, *serial + 1) || !set_dates(*made, now)
      || !set_names(*made) || X509_set_pubkey(made.get(), &key) != 1 || X509_sign(made.get(), &key, nullptr) == 0)
    return fail(refuse(errc::internal, attempted, "OpenSSL makes none"));
  return made;
}

result<peer_identity> check_certificate(X509& from, clock::wall_time now) {
  constexpr auto attempted = "check a node's certificate";
  auto* key = X509_get0_pubkey(&from);
  if (key == nullptr)
    return fail(refuse(errc::peer_refused, attempted, "its key can not be read"));
  auto open = ed25519_key(*key);
  if (!open)
    return fail(open.error());
  if (X509_get_version(&from) != X509_VERSION_3 || has_critical_extension(from))
    return fail(refuse(errc::peer_refused, attempted, "it is not a plain certificate of version 3"));
  // Also that the algorithm within the signed part is the one outside of it.
  if (X509_verify(&from, key) != 1)
    return fail(refuse(errc::peer_refused, attempted, "it is not signed with its own key"));
  auto at = seconds_of(now);
  // 0 would mean that a date can not be read.
  if (X509_cmp_time(X509_get0_notBefore(&from), &at) != -1)
    return fail(refuse(errc::peer_refused, attempted, "it is not valid yet; is the clock right?"));
  if (X509_cmp_time(X509_get0_notAfter(&from), &at) != 1)
    return fail(refuse(errc::peer_refused, attempted, "it has expired; is the clock right?"));
  return peer_of(*open).map([&](const peer_id& id) { return peer_identity{id, *open}; });
}

} // namespace datamesh::network
