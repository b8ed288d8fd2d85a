#include "network/certificate.hpp"

#include "tests/libdatamesh/crypto/hex.hpp"
#include "tests/libdatamesh/network/node.hpp"

#include <catch2/catch.hpp>
#include <openssl/evp.h>
#include <openssl/x509v3.h>

using namespace datamesh;
using namespace datamesh::network;
using namespace datamesh::test;

namespace {

constexpr auto day = std::chrono::hours{24};

struct fixture {
  manual_clock wall;
  seeded_random chance{1};
  crypto::key256 seed = crypto::key256::random(chance).value();
  key_ptr key = private_key(seed).value();
  certificate_ptr certificate = make_certificate(*key, wall.wall(), chance).value();
  peer_id id = peer_of(crypto::ed25519_public(seed).value()).value();

  errc refusal() {
    auto checked = check_certificate(*certificate, wall.wall());
    REQUIRE_FALSE(checked);
    CHECK(checked.error().code() == errc::peer_refused);
    return checked.error().code();
  }
  std::string reason(clock::wall_time at) {
    auto checked = check_certificate(*certificate, at);
    REQUIRE_FALSE(checked);
    CHECK(checked.error().code() == errc::peer_refused);
    return checked.error().object();
  }
};

key_ptr other_kind_of_key() {
  return key_ptr{EVP_EC_gen("P-256")};
}

} // namespace

TEST_CASE("a node's id is the SHA-256 of its key as SubjectPublicKeyInfo", "[certificate]") {
  // The key of RFC 8032, 7.1, test 1, between the bytes that RFC 8410 puts before it; hashed
  // with `openssl pkey -pubin -outform DER | sha256sum`.
  crypto::public_key key;
  auto raw = unhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
  std::copy(raw.begin(), raw.end(), key.begin());
  CHECK(peer_of(key).value().hex() == "06e3fd8fda29bb60ab59557de61edb0aecdb231134be30e75b455f8e1b792fa9");
}

TEST_CASE("a certificate stands for the key that made it", "[certificate]") {
  fixture f;
  CHECK(check_certificate(*f.certificate, f.wall.wall()).value().id == f.id);
}

TEST_CASE("two certificates of one node have different serial numbers and one id", "[certificate]") {
  fixture f;
  auto other = make_certificate(*f.key, f.wall.wall(), f.chance).value();
  CHECK(ASN1_INTEGER_cmp(X509_get0_serialNumber(f.certificate.get()), X509_get0_serialNumber(other.get())) != 0);
  CHECK(check_certificate(*other, f.wall.wall()).value().id == f.id);
}

TEST_CASE("a certificate is refused outside of its dates", "[certificate]") {
  fixture f;
  auto now = f.wall.wall();
  CHECK(check_certificate(*f.certificate, now - clock_error_max + std::chrono::seconds{1}));
  CHECK(check_certificate(*f.certificate, now + certificate_lifetime - std::chrono::seconds{1}));
  CHECK(f.reason(now - clock_error_max - day).find("not valid yet") != std::string::npos);
  CHECK(f.reason(now + certificate_lifetime + day).find("expired") != std::string::npos);
}

TEST_CASE("a certificate that another key signed is refused", "[certificate]") {
  fixture f;
  auto fresh = private_key(crypto::key256::random(f.chance).value()).value();
  REQUIRE(X509_sign(f.certificate.get(), fresh.get(), nullptr) > 0);
  f.refusal();
}

TEST_CASE("a certificate of another kind of key is refused", "[certificate]") {
  fixture f;
  auto key = other_kind_of_key();
  REQUIRE(X509_set_pubkey(f.certificate.get(), key.get()) == 1);
  REQUIRE(X509_sign(f.certificate.get(), key.get(), EVP_sha256()) > 0);
  f.refusal();
}

TEST_CASE("an Ed25519 key that something else signed for is refused", "[certificate]") {
  fixture f;
  auto key = other_kind_of_key();
  REQUIRE(X509_sign(f.certificate.get(), key.get(), EVP_sha256()) > 0);
  f.refusal();
}

TEST_CASE("a certificate with a critical extension is refused", "[certificate]") {
  fixture f;
  auto* extension = X509V3_EXT_conf_nid(nullptr, nullptr, NID_basic_constraints, "critical,CA:TRUE");
  REQUIRE(extension != nullptr);
  REQUIRE(X509_add_ext(f.certificate.get(), extension, -1) == 1);
  X509_EXTENSION_free(extension);
  REQUIRE(X509_sign(f.certificate.get(), f.key.get(), nullptr) > 0);
  f.refusal();
}

TEST_CASE("a certificate of version 1 is refused", "[certificate]") {
  fixture f;
  REQUIRE(X509_set_version(f.certificate.get(), X509_VERSION_1) == 1);
  REQUIRE(X509_sign(f.certificate.get(), f.key.get(), nullptr) > 0);
  f.refusal();
}

TEST_CASE("no changed bit of a certificate goes unnoticed", "[certificate]") {
  fixture f;
  unsigned char* raw = nullptr;
  auto size = i2d_X509(f.certificate.get(), &raw);
  REQUIRE(size > 0);
  std::vector<unsigned char> good{raw, raw + size};
  OPENSSL_free(raw);
  auto now = f.wall.wall();
  for (size_t bit = 0; bit < 8 * good.size(); ++bit) {
    auto changed = good;
    changed[bit / 8] = static_cast<unsigned char>(changed[bit / 8] ^ (1u << bit % 8));
    const auto* in = changed.data();
    certificate_ptr parsed{d2i_X509(nullptr, &in, static_cast<long>(changed.size()))};
    if (!parsed)
      continue;
    INFO("bit " << bit);
    CHECK_FALSE(check_certificate(*parsed, now));
  }
}
