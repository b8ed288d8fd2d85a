#include "crypto/aead.hpp"

#include "tests/libdatamesh/crypto/hex.hpp"

#include <catch2/catch.hpp>

using namespace datamesh;
using namespace datamesh::test;
using crypto::aead;
using crypto::aead_suite;

namespace {

struct known_message {
  aead_suite suite;
  crypto::key256 key;
  crypto::nonce nonce;
  std::vector<std::byte> aad;
  std::vector<std::byte> plain;
  std::vector<std::byte> sealed;
};

known_message gcm(std::string_view key, std::string_view nonce, std::string_view aad, std::string_view plain, std::string_view sealed) {
  return {aead_suite::aes_256_gcm, key_from(key), array_from<12>(nonce), unhex(aad), unhex(plain), unhex(sealed)};
}

// RFC 8439, 2.8.2.
known_message sunscreen() {
  auto text = as_view("Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would "
                      "be it.");
  return {aead_suite::chacha20_poly1305,
          key_from("808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f"),
          array_from<12>("070000004041424344454647"),
          unhex("50515253c0c1c2c3c4c5c6c7"),
          {text.begin(), text.end()},
          unhex("d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9671282fafb69da92728b"
                "1a71de0a9e060b2905d6a5b67ecd3b3692ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc"
                "3ff4def08e4b7a9de576d26586cec64b6116"
                "1ae10b594f09e26a7e902ecbd0600691")};
}

// RFC 8439, A.5.
known_message internet_draft() {
  auto text = as_view("Internet-Drafts are draft documents valid for a maximum of six months and may be updated, replaced, or "
                      "obsoleted by other documents at any time. It is inappropriate to use Internet-Drafts as reference material "
                      "or to cite them other than as /\xe2\x80\x9cwork in progress./\xe2\x80\x9d");
  return {aead_suite::chacha20_poly1305,
          key_from("1c9240a5eb55d38af333888604f6b5f0473917c1402b80099dca5cbc207075c0"),
          array_from<12>("000000000102030405060708"),
          unhex("f33388860000000000004e91"),
          {text.begin(), text.end()},
          unhex("64a0861575861af460f062c79be643bd5e805cfd345cf389f108670ac76c8cb24c6cfc18755d43eea09ee94e382d26b0"
                "bdb7b73c321b0100d4f03b7f355894cf332f830e710b97ce98c8a84abd0b948114ad176e008d33bd60f982b1ff37c855"
                "9797a06ef4f0ef61c186324e2b3506383606907b6a7c02b0f9f6157b53c867e4b9166c767b804d46a59b5216cde7a4e9"
                "9040c5a40433225ee282a1b0a06c523eaf4534d7f83fa1155b0047718cbc546a0d072b04b3564eea1b422273f548271a"
                "0bb2316053fa76991955ebd63159434ecebb4e466dae5a1073a6727627097a1049e617d91d361094fa68f0ff77987130"
                "305beaba2eda04df997b714d6c6f2c29a6ad5cb4022b02709b"
                "eead9d67890cbb22392336fea1851f38")};
}

// Test cases 13 to 16 of McGrew and Viega, "The Galois/Counter Mode of
// Operation (GCM)", as submitted to NIST; then RFC 8439's.
std::vector<known_message> known_messages() {
  std::string zero_key(64, '0');
  std::string zero_nonce(24, '0');
  auto key = "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308";
  auto nonce = "cafebabefacedbaddecaf888";
  return {
      gcm(zero_key, zero_nonce, "", "", "530f8afbc74536b9a963b4f1c4cb738b"),
      gcm(zero_key, zero_nonce, "", "00000000000000000000000000000000",
          "cea7403d4d606b6e074ec5d3baf39d18 d0d1c8a799996bf0265b98b5d48ab919"),
      gcm(key, nonce, "",
          "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
          "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255",
          "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
          "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015ad"
          "b094dac5d93471bdec1a502270e3cc6c"),
      gcm(key, nonce, "feedfacedeadbeeffeedfacedeadbeefabaddad2",
          "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
          "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
          "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
          "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
          "76fc6ece0f4e1768cddf8853bb2d551b"),
      sunscreen(),
      internet_draft(),
  };
}

class seal_recorder : public crypto::seal_observer {
public:
  void sealed(aead_suite suite, const crypto::key256& key, const crypto::nonce& n) override {
    seen.push_back(std::to_string(static_cast<int>(suite)) + hex(key.view()) + hex(n));
  }
  std::vector<std::string> seen;
};

} // namespace

TEST_CASE("sealing gives the published ciphertexts and tags", "[aead]") {
  // One object for all, so that every message follows one under another key.
  aead cipher;
  for (int round = 0; round < 2; ++round)
    for (const auto& message : known_messages()) {
      std::vector<std::byte> sealed(message.sealed.size());
      REQUIRE(cipher.seal(message.suite, message.key, message.nonce, message.aad, message.plain, sealed));
      CHECK(hex(sealed) == hex(message.sealed));
      std::vector<std::byte> plain(message.plain.size());
      REQUIRE(cipher.open(message.suite, message.key, message.nonce, message.aad, sealed, plain));
      CHECK(plain == message.plain);
    }
}

TEST_CASE("sealing and opening work in place", "[aead]") {
  aead cipher;
  for (const auto& message : known_messages()) {
    auto room = message.plain;
    room.resize(message.sealed.size());
    auto plain = byte_span{room}.first(message.plain.size());
    REQUIRE(cipher.seal(message.suite, message.key, message.nonce, message.aad, plain, room));
    CHECK(room == message.sealed);
    REQUIRE(cipher.open(message.suite, message.key, message.nonce, message.aad, room, plain));
    CHECK(std::equal(plain.begin(), plain.end(), message.plain.begin(), message.plain.end()));
  }
}

TEST_CASE("what was changed, cut or moved does not open and leaves no plaintext", "[aead]") {
  aead cipher;
  auto refused = [&](const known_message& m) {
    std::vector<std::byte> out(m.sealed.size() < 16 ? 0 : m.sealed.size() - 16, std::byte{0xaa});
    auto opened = cipher.open(m.suite, m.key, m.nonce, m.aad, m.sealed, out);
    return !opened && opened.error().code() == errc::authentication_failed
           && std::all_of(out.begin(), out.end(), [](std::byte x) { return x == std::byte{0}; });
  };
  for (const auto& good : known_messages()) {
    for (size_t bit = 0; bit < 8 * good.sealed.size(); ++bit) {
      auto bad = good;
      bad.sealed[bit / 8] ^= static_cast<std::byte>(1 << bit % 8);
      CHECK(refused(bad));
    }
    for (size_t size = 0; size < good.sealed.size(); ++size) {
      auto bad = good;
      bad.sealed.resize(size);
      CHECK(refused(bad));
    }
    auto longer = good;
    longer.sealed.push_back({});
    CHECK(refused(longer));
    auto other_key = good;
    other_key.key.span()[0] ^= std::byte{1};
    CHECK(refused(other_key));
    auto other_nonce = good;
    other_nonce.nonce[11] ^= std::byte{1};
    CHECK(refused(other_nonce));
    auto other_aad = good;
    other_aad.aad.push_back({});
    CHECK(refused(other_aad));
    auto other_suite = good;
    other_suite.suite = good.suite == aead_suite::aes_256_gcm ? aead_suite::chacha20_poly1305 : aead_suite::aes_256_gcm;
    CHECK(refused(other_suite));
    other_suite.suite = static_cast<aead_suite>(7);
    CHECK(refused(other_suite));
    // A refusal spoils nothing for the next message.
    std::vector<std::byte> out(good.plain.size());
    REQUIRE(cipher.open(good.suite, good.key, good.nonce, good.aad, good.sealed, out));
    CHECK(out == good.plain);
  }
}

TEST_CASE("an unknown suite is refused before anything is sealed", "[aead]") {
  seal_recorder recorder;
  aead cipher{&recorder};
  std::array<std::byte, 20> out{};
  auto sealed = cipher.seal(static_cast<aead_suite>(0), {}, {}, {}, byte_span{out}.first(4), out);
  REQUIRE_FALSE(sealed);
  CHECK(sealed.error().code() == errc::invalid_argument);
  CHECK(recorder.seen.empty());
}

TEST_CASE("the observer sees what is sealed, not what is opened", "[aead]") {
  seal_recorder recorder;
  aead cipher{&recorder};
  for (const auto& message : known_messages()) {
    recorder.seen.clear();
    std::vector<std::byte> sealed(message.sealed.size());
    REQUIRE(cipher.seal(message.suite, message.key, message.nonce, message.aad, message.plain, sealed));
    std::vector<std::byte> plain(message.plain.size());
    REQUIRE(cipher.open(message.suite, message.key, message.nonce, message.aad, sealed, plain));
    auto expected = std::to_string(static_cast<int>(message.suite)) + hex(message.key.view()) + hex(message.nonce);
    CHECK(recorder.seen == std::vector<std::string>{expected});
  }
}

TEST_CASE("the preferred suite is one of the two and does not change", "[aead]") {
  auto suite = crypto::preferred_suite();
  CHECK((suite == aead_suite::aes_256_gcm || suite == aead_suite::chacha20_poly1305));
  CHECK(crypto::preferred_suite() == suite);
}
