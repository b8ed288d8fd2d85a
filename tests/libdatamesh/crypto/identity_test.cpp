#include "crypto/identity.hpp"

#include "crypto/keyring.hpp"
#include "tests/libdatamesh/crypto/hex.hpp"
#include "tests/support/seeded_random.hpp"

#include <catch2/catch.hpp>

#include <set>

using namespace datamesh;
using namespace datamesh::crypto;
using namespace datamesh::test;

namespace {

struct known_signature {
  std::string_view seed;
  std::string_view open;
  std::string_view message;
  std::string_view sig;
};

// RFC 8032, 7.1: tests 1, 2, 3, SHA(abc) and 1024.
constexpr known_signature known_signatures[] = {
    {"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60", "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
     "",
     "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"},
    {"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb", "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
     "72",
     "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"},
    {"c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7", "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
     "af82",
     "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"},
    {"833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42", "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
     "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
     "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704"},
    {"f5e5767cf153319517630f226876b86c8160cc583bc013744c6bf255f5cc0ee5", "278117fc144c72340f67d0f2316e8386ceffbf2b2428c9c51fef7c597f1d426e",
     "08b8b2b733424243760fe426a4b54908632110a66c2f6591eabd3345e3e4eb98fa6e264bf09efe12ee50f8f54e9f77b1e355f6c50544e23fb1433ddf73be84d8"
     "79de7c0046dc4996d9e773f4bc9efe5738829adb26c81b37c93a1b270b20329d658675fc6ea534e0810a4432826bf58c941efb65d57a338bbd2e26640f89ffbc"
     "1a858efcb8550ee3a5e1998bd177e93a7363c344fe6b199ee5d02e82d522c4feba15452f80288a821a579116ec6dad2b3b310da903401aa62100ab5d1a36553e"
     "06203b33890cc9b832f79ef80560ccb9a39ce767967ed628c6ad573cb116dbefefd75499da96bd68a8a97b928a8bbc103b6621fcde2beca1231d206be6cd9ec7"
     "aff6f6c94fcd7204ed3455c68c83f4a41da4af2b74ef5c53f1d8ac70bdcb7ed185ce81bd84359d44254d95629e9855a94a7c1958d1f8ada5d0532ed8a5aa3fb2"
     "d17ba70eb6248e594e1a2297acbbb39d502f1a8c6eb6f1ce22b3de1a1f40cc24554119a831a9aad6079cad88425de6bde1a9187ebb6092cf67bf2b13fd65f270"
     "88d78b7e883c8759d2c4f5c65adb7553878ad575f9fad878e80a0c9ba63bcbcc2732e69485bbc9c90bfbd62481d9089beccf80cfe2df16a2cf65bd92dd597b07"
     "07e0917af48bbb75fed413d238f5555a7a569d80c3414a8d0859dc65a46128bab27af87a71314f318c782b23ebfe808b82b0ce26401d2e22f04d83d1255dc51a"
     "ddd3b75a2b1ae0784504df543af8969be3ea7082ff7fc9888c144da2af58429ec96031dbcad3dad9af0dcbaaaf268cb8fcffead94f3c7ca495e056a9b47acdb7"
     "51fb73e666c6c655ade8297297d07ad1ba5e43f1bca32301651339e22904cc8c42f58c30c04aafdb038dda0847dd988dcda6f3bfd15c4b4c4525004aa06eeff8"
     "ca61783aacec57fb3d1f92b0fe2fd1a85f6724517b65e614ad6808d6f6ee34dff7310fdc82aebfd904b01e1dc54b2927094b2db68d6f903b68401adebf5a7e08"
     "d78ff4ef5d63653a65040cf9bfd4aca7984a74d37145986780fc0b16ac451649de6188a7dbdf191f64b5fc5e2ab47b57f7f7276cd419c17a3ca8e1b939ae49e4"
     "88acba6b965610b5480109c8b17b80e1b7b750dfc7598d5d5011fd2dcc5600a32ef5b52a1ecc820e308aa342721aac0943bf6686b64b2579376504ccc493d97e"
     "6aed3fb0f9cd71a43dd497f01f17c0e2cb3797aa2a2f256656168e6c496afc5fb93246f6b1116398a346f1a641f3b041e989f7914f90cc2c7fff357876e506b5"
     "0d334ba77c225bc307ba537152f3f1610e4eafe595f6d9d90d11faa933a15ef1369546868a7f3a45a96768d40fd9d03412c091c6315cf4fde7cb68606937380d"
     "b2eaaa707b4c4185c32eddcdd306705e4dc1ffc872eeee475a64dfac86aba41c0618983f8741c5ef68d3a101e8a3b8cac60c905c15fc910840b94c00a0b9d0",
     "0aab4c900501b3e24d7cdf4663326a3a87df5e4843b2cbdb67cbf6e460fec350aa5371b1508f9f4528ecea23c436d94b5e8fcd4f681e30a6ac00a9704a188a03"},
};

// The group order, little-endian.
const auto order = unhex("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");

signature with_order_added(signature sig) {
  unsigned carry = 0;
  for (size_t i = 0; i < 32; ++i) {
    carry += std::to_integer<unsigned>(sig[32 + i]) + std::to_integer<unsigned>(order[i]);
    sig[32 + i] = static_cast<std::byte>(carry);
    carry >>= 8;
  }
  return sig;
}

std::string shared(std::string_view secret, std::string_view peer) {
  return hex(x25519_shared(key_from(secret), array_from<32>(peer)).value().view());
}

} // namespace

TEST_CASE("Ed25519 gives the keys and signatures of RFC 8032", "[identity]") {
  for (const auto& row : known_signatures) {
    auto message = unhex(row.message);
    CHECK(hex(ed25519_public(key_from(row.seed)).value()) == row.open);
    CHECK(hex(ed25519_sign(key_from(row.seed), message).value()) == row.sig);
    CHECK(ed25519_verify(array_from<32>(row.open), message, array_from<64>(row.sig)));
  }
}

TEST_CASE("a changed signature, message or key does not verify", "[identity]") {
  for (const auto& row : known_signatures) {
    auto key = array_from<32>(row.open);
    auto message = unhex(row.message);
    auto sig = array_from<64>(row.sig);
    for (size_t bit = 0; bit < 512; ++bit) {
      auto bad = sig;
      bad[bit / 8] ^= static_cast<std::byte>(1 << bit % 8);
      CHECK_FALSE(ed25519_verify(key, message, bad));
    }
    for (size_t bit = 0; bit < 256; bit += 5) {
      auto bad = key;
      bad[bit / 8] ^= static_cast<std::byte>(1 << bit % 8);
      CHECK_FALSE(ed25519_verify(bad, message, sig));
    }
    auto longer = message;
    longer.push_back({});
    CHECK_FALSE(ed25519_verify(key, longer, sig));
    CHECK_FALSE(ed25519_verify(key, message, {}));
  }
}

TEST_CASE("a signature whose S is not canonical does not verify", "[identity]") {
  for (const auto& row : known_signatures) {
    auto twin = with_order_added(array_from<64>(row.sig));
    CHECK_FALSE(ed25519_verify(array_from<32>(row.open), unhex(row.message), twin));
  }
}

TEST_CASE("a key of small order signs nothing", "[identity]") {
  // With the neutral element as key and as R, S = 0 fits every message.
  public_key neutral{std::byte{1}};
  signature sig{std::byte{1}};
  CHECK_FALSE(ed25519_verify(neutral, as_view("anything"), sig));
  CHECK_FALSE(ed25519_verify({}, as_view("anything"), sig));
}

TEST_CASE("X25519 gives the shared secrets of RFC 7748", "[identity]") {
  CHECK(shared("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
               "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c")
        == "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552");
  CHECK(shared("4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
               "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493")
        == "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957");
  auto alice = "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a";
  auto alice_open = "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a";
  auto bob = "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb";
  auto bob_open = "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f";
  CHECK(hex(x25519_public(key_from(alice)).value()) == alice_open);
  CHECK(hex(x25519_public(key_from(bob)).value()) == bob_open);
  CHECK(shared(alice, bob_open) == "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
  CHECK(shared(bob, alice_open) == shared(alice, bob_open));
}

TEST_CASE("X25519 repeated a thousand times ends where RFC 7748 says", "[identity]") {
  auto k = key_from("0900000000000000000000000000000000000000000000000000000000000000");
  auto u = array_from<32>("0900000000000000000000000000000000000000000000000000000000000000");
  for (int i = 0; i < 1000; ++i) {
    auto next = x25519_shared(k, u).value();
    std::copy_n(k.view().begin(), 32, u.begin());
    k = next;
    if (i == 0)
      CHECK(hex(k.view()) == "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079");
  }
  CHECK(hex(k.view()) == "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51");
}

TEST_CASE("X25519 refuses peers of small order", "[identity]") {
  auto secret = key_from("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a");
  for (auto peer : {"0000000000000000000000000000000000000000000000000000000000000000",
                    "0100000000000000000000000000000000000000000000000000000000000000",
                    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
                    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
                    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
                    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
                    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"}) {
    CAPTURE(peer);
    auto agreed = x25519_shared(secret, array_from<32>(peer));
    REQUIRE_FALSE(agreed);
    CHECK(agreed.error().code() == errc::authentication_failed);
  }
}

TEST_CASE("a new keyring is named by its identity and has one space of epoch 1", "[keyring]") {
  seeded_random random{1};
  auto keys = make_keyring(random).value();
  CHECK(hex(ed25519_public(keys.identity_seed).value()) == keys.vault.hex());
  REQUIRE(keys.spaces.size() == 1);
  const auto& space = keys.spaces[0];
  CHECK(space.name == "main");
  CHECK(space.epoch == 1);
  CHECK(space.epoch_keys.size() == 1);
  CHECK(keys.find(space.id) == &space);
  CHECK(keys.find(space_id{}) == nullptr);
  std::set<std::string> distinct{hex(keys.identity_seed.view()), hex(keys.catalog_key.view()), hex(space.id_key.view()),
                                 hex(space.chunker_key.view()), hex(space.epoch_keys.at(1).view())};
  CHECK(distinct.size() == 5);
}

TEST_CASE("rotation adds a key, keeps the old ones and the id key", "[keyring]") {
  seeded_random random{1};
  auto keys = make_keyring(random).value();
  auto before = keys.spaces[0];
  REQUIRE(rotate(keys, before.id, random));
  const auto& after = keys.spaces[0];
  CHECK(keys.revision == 2);
  CHECK(after.epoch == 2);
  CHECK(hex(after.epoch_keys.at(1).view()) == hex(before.epoch_keys.at(1).view()));
  CHECK(hex(after.epoch_keys.at(2).view()) != hex(before.epoch_keys.at(1).view()));
  CHECK(hex(after.id_key.view()) == hex(before.id_key.view()));
  CHECK(hex(after.chunker_key.view()) == hex(before.chunker_key.view()));
  CHECK(rotate(keys, space_id{}, random).error().code() == errc::not_found);
  CHECK(keys.revision == 2);
}

TEST_CASE("a keyring is refused when there is no randomness", "[keyring]") {
  struct dry_source : random_source {
    int left;
    explicit dry_source(int calls) : left(calls) {}
    result<void> fill(byte_span out) override {
      if (left-- == 0)
        return fail(errc::random_failed, "draw random bytes");
      std::fill(out.begin(), out.end(), std::byte{7});
      return {};
    }
    static tl::unexpected<error> fail(errc code, std::string attempted) {
      return datamesh::fail(code, std::move(attempted));
    }
  };
  int calls = 0;
  for (;; ++calls) {
    dry_source source{calls};
    auto keys = make_keyring(source);
    if (keys)
      break;
    CHECK(keys.error().code() == errc::random_failed);
  }
  CHECK(calls == 6);
}
