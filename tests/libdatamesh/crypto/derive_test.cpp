#include "crypto/derive.hpp"

#include "tests/libdatamesh/crypto/hex.hpp"

#include <catch2/catch.hpp>

#include <thread>

using namespace datamesh;
using namespace datamesh::test;

namespace {

std::string expand(byte_view key_material, byte_view salt, byte_view info, size_t size) {
  std::vector<std::byte> out(size);
  crypto::hkdf_sha256(key_material, salt, info, out);
  return hex(out);
}

} // namespace

TEST_CASE("HKDF-SHA256 gives the outputs of RFC 5869", "[derive]") {
  std::vector<std::byte> same(22, std::byte{0x0b});
  CHECK(expand(same, counting(0x00, 13), counting(0xf0, 10), 42)
        == "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865");
  CHECK(expand(counting(0x00, 80), counting(0x60, 80), counting(0xb0, 80), 82)
        == "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09"
           "da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87");
  CHECK(expand(same, {}, {}, 42) == "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8");
}

TEST_CASE("a short output is the beginning of a long one", "[derive]") {
  auto whole = expand(counting(1, 32), counting(2, 32), counting(3, 44), 255 * 32);
  for (size_t size : {0u, 1u, 31u, 32u, 33u, 64u, 65u, 1000u})
    CHECK(expand(counting(1, 32), counting(2, 32), counting(3, 44), size) == whole.substr(0, 2 * size));
  CHECK(hex(crypto::derive_key(counting(1, 32), counting(2, 32), counting(3, 44)).view()) == whole.substr(0, 64));
}

TEST_CASE("key material, salt and info each change the key", "[derive]") {
  auto base = expand(counting(1, 32), counting(2, 32), counting(3, 44), 32);
  CHECK(base != expand(counting(9, 32), counting(2, 32), counting(3, 44), 32));
  CHECK(base != expand(counting(1, 32), counting(9, 32), counting(3, 44), 32));
  CHECK(base != expand(counting(1, 32), counting(2, 32), counting(9, 44), 32));
}

TEST_CASE("threads derive the same keys side by side", "[derive]") {
  auto expected = expand(counting(1, 32), counting(2, 32), counting(3, 44), 64);
  std::vector<std::thread> threads;
  std::array<bool, 4> same{};
  for (auto& outcome : same)
    threads.emplace_back([&outcome, &expected] {
      outcome = true;
      for (int i = 0; i < 500; ++i)
        outcome = outcome && expand(counting(1, 32), counting(2, 32), counting(3, 44), 64) == expected;
    });
  for (auto& thread : threads)
    thread.join();
  CHECK(same == std::array<bool, 4>{true, true, true, true});
}
