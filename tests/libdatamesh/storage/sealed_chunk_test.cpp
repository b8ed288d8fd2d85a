#include "storage/sealed_chunk.hpp"

#include "crypto/derive.hpp"
#include "crypto/hash.hpp"
#include "tests/libdatamesh/storage/seed.hpp"
#include "tests/support/seeded_random.hpp"

#include <catch2/catch.hpp>

#include <set>

using namespace datamesh;
using namespace datamesh::storage;

namespace {

class pair_recorder : public crypto::seal_observer {
public:
  void sealed(crypto::aead_suite, const crypto::key256& key, const crypto::nonce&) override {
    auto view = key.view();
    repeated |= !keys.emplace(view.begin(), view.end()).second;
  }
  std::set<std::vector<std::byte>> keys;
  bool repeated = false;
};

struct fixture {
  test::seeded_random random{test::seed()};
  crypto::aead cipher;
  crypto::key256 id_key = *crypto::key256::random(random);
  crypto::key256 epoch_key = *crypto::key256::random(random);
  std::vector<std::byte> plain = random.make(5000);
  chunk_facts facts{*random_id<vault_id>(random),
                    *random_id<space_id>(random),
                    7,
                    crypto::aead_suite::aes_256_gcm,
                    chunk_id_of(id_key, plain),
                    codec::none,
                    5000};

  std::vector<std::byte> seal() {
    std::vector<std::byte> sealed(plain.size() + seal_overhead);
    REQUIRE(seal_chunk(cipher, epoch_key, facts, plain, random, sealed));
    return sealed;
  }

  errc open(const chunk_facts& with, byte_view sealed, const crypto::key256& key) {
    std::vector<std::byte> out(sealed.size() - std::min(sealed.size(), seal_overhead));
    auto outcome = open_chunk(cipher, key, with, sealed, out);
    if (!outcome)
      return outcome.error().code();
    return out == plain ? errc{} : errc::internal;
  }
};

} // namespace

TEST_CASE("a sealed chunk opens to what it was", "[sealed_chunk]") {
  fixture f;
  f.facts.suite = GENERATE(crypto::aead_suite::aes_256_gcm, crypto::aead_suite::chacha20_poly1305);
  auto sealed = f.seal();
  CHECK(f.open(f.facts, sealed, f.epoch_key) == errc{});
  CHECK(std::search(sealed.begin(), sealed.end(), f.plain.begin(), f.plain.begin() + 16) == sealed.end());
}

TEST_CASE("an empty payload can be sealed", "[sealed_chunk]") {
  fixture f;
  f.plain.clear();
  CHECK(f.open(f.facts, f.seal(), f.epoch_key) == errc{});
}

TEST_CASE("a chunk can be sealed in place", "[sealed_chunk]") {
  fixture f;
  std::vector<std::byte> room(f.plain.size() + seal_overhead);
  auto payload = byte_span{room}.subspan(seal_prefix_size, f.plain.size());
  std::ranges::copy(f.plain, payload.begin());
  REQUIRE(seal_chunk(f.cipher, f.epoch_key, f.facts, payload, f.random, room));
  CHECK(f.open(f.facts, room, f.epoch_key) == errc{});
}

TEST_CASE("the layout is salt, commitment, ciphertext and tag", "[sealed_chunk]") {
  fixture f;
  auto sealed = f.seal();
  byte_view view = sealed;
  std::vector<std::byte> info;
  auto append = [](std::vector<std::byte>& to, byte_view part) {
    to.insert(to.end(), part.begin(), part.end());
  };
  append(info, as_view("dm/chunk/1"));
  append(info, f.facts.id.view());
  std::array<std::byte, 64> derived;
  crypto::hkdf_sha256(f.epoch_key.view(), view.first(32), info, derived);
  CHECK(std::ranges::equal(view.subspan(32, 32), byte_view{derived}.last(32)));
  std::vector<std::byte> aad;
  append(aad, as_view("dm/chunk/1"));
  aad.push_back(std::byte{1});
  append(aad, f.facts.vault.view());
  append(aad, f.facts.space.view());
  for (auto b : {7, 0, 0, 0})
    aad.push_back(static_cast<std::byte>(b));
  append(aad, f.facts.id.view());
  for (auto b : {0, 0x88, 0x13, 0, 0})
    aad.push_back(static_cast<std::byte>(b));
  std::vector<std::byte> out(f.plain.size());
  auto key = crypto::key256::from(byte_view{derived}.first(32));
  REQUIRE(f.cipher.open(crypto::aead_suite::aes_256_gcm, key, crypto::nonce{}, aad, view.subspan(64), out));
  CHECK(out == f.plain);
}

TEST_CASE("a chunk id is the keyed hash of the plaintext", "[sealed_chunk]") {
  fixture f;
  CHECK(chunk_id_of(f.id_key, f.plain).view().size() == 32);
  CHECK(std::ranges::equal(chunk_id_of(f.id_key, f.plain).view(), crypto::blake3_keyed(f.id_key, f.plain).view()));
  CHECK(chunk_id_of(f.epoch_key, f.plain) != chunk_id_of(f.id_key, f.plain));
}

TEST_CASE("every changed bit of a sealed chunk is found", "[sealed_chunk]") {
  fixture f;
  f.plain.resize(100);
  f.facts.plain_length = 100;
  auto sealed = f.seal();
  for (size_t bit = 0; bit < sealed.size() * 8; ++bit) {
    sealed[bit / 8] ^= std::byte{1} << (bit % 8);
    if (f.open(f.facts, sealed, f.epoch_key) != errc::authentication_failed)
      FAIL("bit " << bit);
    sealed[bit / 8] ^= std::byte{1} << (bit % 8);
  }
  CHECK(f.open(f.facts, sealed, f.epoch_key) == errc{});
}

TEST_CASE("a truncated or extended sealed chunk does not open", "[sealed_chunk]") {
  fixture f;
  f.plain.resize(50);
  auto sealed = f.seal();
  for (size_t size = 0; size < sealed.size(); ++size)
    REQUIRE(f.open(f.facts, byte_view{sealed}.first(size), f.epoch_key) == errc::authentication_failed);
  sealed.push_back(std::byte{0});
  CHECK(f.open(f.facts, sealed, f.epoch_key) == errc::authentication_failed);
}

TEST_CASE("every fact of a chunk is authenticated", "[sealed_chunk]") {
  fixture f;
  auto sealed = f.seal();
  auto with = [&](auto change) {
    auto facts = f.facts;
    change(facts);
    return f.open(facts, sealed, f.epoch_key);
  };
  CHECK(with([](auto&) {}) == errc{});
  CHECK(with([](auto& x) { x.vault.span()[0] ^= std::byte{1}; }) == errc::authentication_failed);
  CHECK(with([](auto& x) { x.space.span()[15] ^= std::byte{1}; }) == errc::authentication_failed);
  CHECK(with([](auto& x) { x.id.span()[31] ^= std::byte{1}; }) == errc::authentication_failed);
  CHECK(with([](auto& x) { ++x.epoch; }) == errc::authentication_failed);
  CHECK(with([](auto& x) { x.method = codec::zstd; }) == errc::authentication_failed);
  CHECK(with([](auto& x) { ++x.plain_length; }) == errc::authentication_failed);
  CHECK(with([](auto& x) { x.suite = crypto::aead_suite::chacha20_poly1305; }) == errc::authentication_failed);
  CHECK(with([](auto& x) { x.suite = static_cast<crypto::aead_suite>(9); }) == errc::authentication_failed);
}

TEST_CASE("another key does not open a chunk, whatever its commitment says", "[sealed_chunk]") {
  fixture f;
  auto sealed = f.seal();
  auto other = *crypto::key256::random(f.random);
  CHECK(f.open(f.facts, sealed, other) == errc::authentication_failed);
  // The other key's own commitment in front of the same ciphertext.
  std::vector<std::byte> info;
  for (auto part : {as_view("dm/chunk/1"), f.facts.id.view()})
    info.insert(info.end(), part.begin(), part.end());
  std::array<std::byte, 64> derived;
  crypto::hkdf_sha256(other.view(), byte_view{sealed}.first(32), info, derived);
  std::copy(derived.begin() + 32, derived.end(), sealed.begin() + 32);
  CHECK(f.open(f.facts, sealed, other) == errc::authentication_failed);
}

TEST_CASE("no key seals twice, even for one plaintext", "[sealed_chunk]") {
  fixture f;
  pair_recorder recorder;
  f.cipher = crypto::aead{&recorder};
  std::set<std::vector<std::byte>> outcomes;
  for (int i = 0; i < 200; ++i)
    outcomes.insert(f.seal());
  CHECK_FALSE(recorder.repeated);
  CHECK(recorder.keys.size() == 200);
  CHECK(outcomes.size() == 200);
}

TEST_CASE("without random bytes nothing is sealed", "[sealed_chunk]") {
  struct dry_source : random_source {
    result<void> fill(byte_span) override {
      return fail(errc::random_failed, "read random bytes");
    }
  } source;
  fixture f;
  std::vector<std::byte> sealed(f.plain.size() + seal_overhead);
  auto outcome = seal_chunk(f.cipher, f.epoch_key, f.facts, f.plain, source, sealed);
  REQUIRE_FALSE(outcome);
  CHECK(outcome.error().code() == errc::random_failed);
  CHECK(std::ranges::all_of(sealed, [](auto b) { return b == std::byte{0}; }));
}
