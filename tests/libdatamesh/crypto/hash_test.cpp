#include "crypto/hash.hpp"

#include "tests/libdatamesh/crypto/hex.hpp"

#include <catch2/catch.hpp>

using namespace datamesh;
using namespace datamesh::test;

namespace {

struct vector_row {
  size_t size;
  std::string_view hash;
  std::string_view keyed_hash;
};

// The first 32 bytes of `hash` and `keyed_hash` of BLAKE3's own test_vectors.json.
constexpr vector_row upstream_vectors[] = {
    {0, "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262",
     "92b2b75604ed3c761f9d6f62392c8a9227ad0ea3f09573e783f1498a4ed60d26"},
    {1, "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213",
     "6d7878dfff2f485635d39013278ae14f1454b8c0a3a2d34bc1ab38228a80c95b"},
    {1023, "10108970eeda3eb932baac1428c7a2163b0e924c9a9e25b35bba72b28f70bd11",
     "c951ecdf03288d0fcc96ee3413563d8a6d3589547f2c2fb36d9786470f1b9d6e"},
    {1024, "42214739f095a406f3fc83deb889744ac00df831c10daa55189b5d121c855af7",
     "75c46f6f3d9eb4f55ecaaee480db732e6c2105546f1e675003687c31719c7ba4"},
    {1025, "d00278ae47eb27b34faecf67b4fe263f82d5412916c1ffd97c8cb7fb814b8444",
     "357dc55de0c7e382c900fd6e320acc04146be01db6a8ce7210b7189bd664ea69"},
    {2048, "e776b6028c7cd22a4d0ba182a8bf62205d2ef576467e838ed6f2529b85fba24a",
     "879cf1fa2ea0e79126cb1063617a05b6ad9d0b696d0d757cf053439f60a99dd1"},
    {2049, "5f4d72f40d7a5f82b15ca2b2e44b1de3c2ef86c426c95c1af0b6879522563030",
     "9f29700902f7c86e514ddc4df1e3049f258b2472b6dd5267f61bf13983b78dd5"},
    {3072, "b98cb0ff3623be03326b373de6b9095218513e64f1ee2edd2525c7ad1e5cffd2",
     "044a0e7b172a312dc02a4c9a818c036ffa2776368d7f528268d2e6b5df191770"},
    {3073, "7124b49501012f81cc7f11ca069ec9226cecb8a2c850cfe644e327d22d3e1cd3",
     "68dede9bef00ba89e43f31a6825f4cf433389fedae75c04ee9f0cf16a427c95a"},
    {4096, "015094013f57a5277b59d8475c0501042c0b642e531b0a1c8f58d2163229e969",
     "befc660aea2f1718884cd8deb9902811d332f4fc4a38cf7c7300d597a081bfc0"},
    {4097, "9b4052b38f1c5fc8b1f9ff7ac7b27cd242487b3d890d15c96a1c25b8aa0fb995",
     "00df940cd36bb9fa7cbbc3556744e0dbc8191401afe70520ba292ee3ca80abbc"},
    {5121, "628bd2cb2004694adaab7bbd778a25df25c47b9d4155a55f8fbd79f2fe154cff",
     "6ccf1c34753e7a044db80798ecd0782a8f76f33563accaddbfbb2e0ea4b2d024"},
    {7169, "a003fc7a51754a9b3c7fae0367ab3d782dccf28855a03d435f8cfe74605e7817",
     "ed9b1a922c046fdb3d423ae34e143b05ca1bf28b710432857bf738bcedbfa511"},
    {8193, "bab6c09cb8ce8cf459261398d2e7aef35700bf488116ceb94a36d0f5f1b7bc3b",
     "954a2a75420c8d6547e3ba5b98d963e6fa6491addc8c023189cc519821b4a1f5"},
    {16384, "f875d6646de28985646f34ee13be9a576fd515f76b5b0a26bb324735041ddde4",
     "9e9fc4eb7cf081ea7c47d1807790ed211bfec56aa25bb7037784c13c4b707b0d"},
    {31744, "62b6960e1a44bcc1eb1a611a8d6235b6b4b78f32e7abc4fb4c6cdcce94895c47",
     "efa53b389ab67c593dba624d898d0f7353ab99e4ac9d42302ee64cbf9939a419"},
    {102400, "bc3e3d41a1146b069abffad3c0d44860cf664390afce4d9661f7902e7943e085",
     "1c35d1a5811083fd7119f5d5d1ba027b4d01c0c6c49fb6ff2cf75393ea5db4a7"},
};

std::vector<std::byte> upstream_input(size_t size) {
  std::vector<std::byte> result(size);
  for (size_t i = 0; i < size; ++i)
    result[i] = static_cast<std::byte>(i % 251);
  return result;
}

const auto upstream_key = crypto::key256::from(as_view("whats the Elvish word for friend"));

} // namespace

TEST_CASE("BLAKE3 gives upstream's digests", "[hash]") {
  for (const auto& row : upstream_vectors) {
    CAPTURE(row.size);
    auto input = upstream_input(row.size);
    CHECK(crypto::blake3(input).hex() == row.hash);
    CHECK(crypto::blake3_keyed(upstream_key, input).hex() == row.keyed_hash);
  }
}

TEST_CASE("a digest does not depend on how its input is cut", "[hash]") {
  for (const auto& row : upstream_vectors)
    for (size_t step : {1u, 63u, 64u, 1000u, 1024u, 4097u}) {
      if (row.size > 5000 && step < 1000)
        continue;
      CAPTURE(row.size, step);
      auto input = upstream_input(row.size);
      crypto::hasher plain;
      crypto::hasher keyed{upstream_key};
      for (byte_view rest = input; !rest.empty(); rest = rest.subspan(std::min(step, rest.size()))) {
        plain.update(rest.first(std::min(step, rest.size())));
        keyed.update(rest.first(std::min(step, rest.size())));
      }
      CHECK(plain.finish().hex() == row.hash);
      CHECK(keyed.finish().hex() == row.keyed_hash);
    }
}

TEST_CASE("a hasher can go on after it was asked", "[hash]") {
  auto input = upstream_input(2048);
  crypto::hasher hash;
  hash.update(byte_view{input}.first(1024));
  CHECK(hash.finish() == crypto::blake3(byte_view{input}.first(1024)));
  CHECK(hash.update(byte_view{input}.subspan(1024)).finish() == crypto::blake3(input));
}

TEST_CASE("an integer is hashed as four little-endian bytes", "[hash]") {
  CHECK(crypto::hasher{}.update_u32(0x01020304).finish() == crypto::blake3(unhex("04030201")));
}

TEST_CASE("the key changes the digest", "[hash]") {
  auto input = upstream_input(100);
  auto other = upstream_key;
  other.span()[31] ^= std::byte{1};
  CHECK(crypto::blake3_keyed(upstream_key, input) != crypto::blake3_keyed(other, input));
  CHECK(crypto::blake3_keyed(upstream_key, input) != crypto::blake3(input));
}

TEST_CASE("comparing in constant time tells equal from different", "[secret]") {
  auto a = upstream_input(100);
  auto b = a;
  CHECK(crypto::equal_in_constant_time(a, b));
  for (size_t i = 0; i < b.size(); ++i) {
    b[i] ^= std::byte{0x80};
    CHECK_FALSE(crypto::equal_in_constant_time(a, b));
    b[i] ^= std::byte{0x80};
  }
  CHECK_FALSE(crypto::equal_in_constant_time(a, byte_view{b}.first(99)));
  CHECK(crypto::equal_in_constant_time({}, {}));
}

TEST_CASE("secret bytes move and leave nothing behind", "[secret]") {
  crypto::secret_bytes password{as_view("correct horse")};
  auto copy = crypto::secret_bytes{password.view()};
  auto moved = std::move(password);
  CHECK(as_text(moved.view()) == "correct horse");
  CHECK(as_text(copy.view()) == "correct horse");
  CHECK(password.size() == 0);
  copy = std::move(moved);
  CHECK(as_text(copy.view()) == "correct horse");
  CHECK(moved.view().empty());
  std::array<std::byte, 64> room{};
  auto* key = new (room.data()) crypto::key256{crypto::key256::from(upstream_input(32))};
  key->~secret();
  CHECK(room == std::array<std::byte, 64>{});
}
