#include "crypto/password.hpp"

#include "tests/libdatamesh/crypto/hex.hpp"

#include <catch2/catch.hpp>

using namespace datamesh;
using namespace datamesh::crypto;
using namespace datamesh::test;

namespace {

std::string stretch(std::string_view password, std::string_view salt, uint64_t kibibytes, uint32_t passes) {
  return hex(argon2id(as_view(password), as_view(salt), {kibibytes << 10, passes}).value().view());
}

errc refusal(std::string_view salt, const password_cost& cost) {
  auto stretched = argon2id(as_view("password"), as_view(salt), cost);
  REQUIRE_FALSE(stretched);
  return stretched.error().code();
}

} // namespace

TEST_CASE("Argon2id gives the bytes of the reference implementation", "[password]") {
  // RFC 9106's own vectors have four lanes and a secret, which libsodium does not
  // offer. These were computed with the authors' `argon2 SALT -id -v 13 -p 1 -r`
  // (phc-winner-argon2 20171227), which shares no code with libsodium's Argon2.
  CHECK(stretch("password", "somesaltsomesalt", 65536, 2) == "fc33b78139231d34b71626bd6245c1d72efa190ad605c3d8166a72adcedfa2c2");
  CHECK(stretch("correct horse battery staple", "0123456789abcdef", 8192, 1)
        == "134d180cae7bf730852877729435966ede036ffdf67eac851183c21a9a855d7c");
  CHECK(stretch("x", "0123456789abcdef", 8, 3) == "0d16c0a2d382eb3d979d2d729d903f568637a2ad827f1f765f86555390ed5375");
  std::string periodic;
  while (periodic.size() < 127)
    periodic += periodic.size() % 2 == 0 ? 'a' : 'b';
  CHECK(stretch(periodic, "fedcba9876543210", 256, 16) == "7725a067ededdf76934ae8718600c9df3a7d6ccd6b225bd17da0950f4bebf815");
}

TEST_CASE("a cost out of bounds is refused before memory is taken", "[password]") {
  for (const auto& cost :
       {password_cost{0, 1}, password_cost{4096, 1}, password_cost{8193, 1}, password_cost{(1ull << 30) + 1024, 1},
        password_cost{1ull << 63, 1}, password_cost{8192, 0}, password_cost{8192, 17}, password_cost{8192, 0xffffffff}}) {
    CAPTURE(cost.memory_bytes, cost.passes);
    CHECK_FALSE(is_acceptable(cost));
    CHECK(refusal("0123456789abcdef", cost) == errc::invalid_argument);
  }
  CHECK(is_acceptable({}));
  CHECK(is_acceptable({8192, 1}));
  CHECK(is_acceptable({1ull << 30, 16}));
}

TEST_CASE("a salt that is not of 16 bytes is refused", "[password]") {
  for (auto salt : {"", "0123456789abcde", "0123456789abcdefg"})
    CHECK(refusal(salt, {8192, 1}) == errc::invalid_argument);
}
