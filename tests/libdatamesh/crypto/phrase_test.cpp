#include "crypto/phrase.hpp"

#include "tests/libdatamesh/crypto/hex.hpp"
#include "tests/support/seeded_random.hpp"

#include <catch2/catch.hpp>

using namespace datamesh;
using namespace datamesh::crypto;
using namespace datamesh::test;
using Catch::Matchers::Contains;

namespace {

uint64_t seed() {
  const auto* text = std::getenv("DATAMESH_SEED");
  return text != nullptr ? std::strtoull(text, nullptr, 10) : 1;
}

std::string phrase_of(const key256& entropy) {
  return std::string{as_text(encode_phrase(entropy).view())};
}

std::string reason(std::string_view typed) {
  auto read = decode_phrase(as_view(typed));
  REQUIRE_FALSE(read);
  CHECK(read.error().code() == errc::phrase_invalid);
  return read.error().object();
}

const auto sample = key_from("7f000001 3f54dcc1 3f760723 8c62c18d 40ff06c8 801eea40 ffffffff 00000000");

} // namespace

TEST_CASE("words are those of the proquint proposal", "[phrase]") {
  // IPv4 addresses of Wilkerson's table: 127.0.0.1, 63.84.220.193, 63.118.7.35,
  // 140.98.193.141, 64.255.6.200 and 128.30.52.45's first half.
  CHECK_THAT(phrase_of(sample), Catch::Matchers::StartsWith("lusab-babad-gutih-tugad-gutuk-bisog-mudof-sakat-haguz-biram-mabiv-"));
  CHECK_THAT(phrase_of(sample), Contains("-zuzuz-zuzuz-babab-babab-"));
  CHECK(phrase_of(sample).size() == 17 * 6 - 1);
}

TEST_CASE("a phrase gives its secret back, however it is typed", "[phrase]") {
  CAPTURE(seed());
  seeded_random random{seed()};
  for (int i = 0; i < 200; ++i) {
    auto entropy = key256::random(random).value();
    auto phrase = phrase_of(entropy);
    auto same = [&](std::string_view typed) {
      return hex(decode_phrase(as_view(typed)).value().view()) == hex(entropy.view());
    };
    CHECK(same(phrase));
    std::string loud, spaced, joined, listed;
    int words = 0;
    for (char c : phrase) {
      loud += static_cast<char>(std::toupper(c));
      spaced += c == '-' ? std::string{"\r\n\t "} : std::string{c};
      if (listed.empty() || c == '-')
        listed += "\n" + std::to_string(++words) + ". ";
      if (c == '-')
        continue;
      joined += c;
      listed += c;
    }
    CHECK(same(loud));
    CHECK(same("  " + spaced + "\n"));
    CHECK(same(joined));
    CHECK(same(listed));
    CHECK(same("\xe2\x80\x9c" + phrase + "\xe2\x80\x9d"));
  }
}

TEST_CASE("a typing error names its word", "[phrase]") {
  auto phrase = phrase_of(sample);
  auto with = [&](size_t word, std::string_view text) {
    return std::string{phrase}.replace(6 * word, 5, text);
  };
  CHECK_THAT(reason(with(6, "mydof")), Contains("word 7 ") && Contains("letter 2"));
  CHECK_THAT(reason(with(0, "lusac")), Contains("word 1 ") && Contains("letter 5"));
  CHECK_THAT(reason(with(16, "abbab")), Contains("word 17 ") && Contains("letter 1"));
  CHECK_THAT(reason(with(3, "tugd")), Contains("word 4 has 4 letters"));
  CHECK_THAT(reason(with(3, "tugadd")), Contains("word 4 has 6 letters"));
  CHECK_THAT(reason(with(3, "tug4d")), Contains("word 4 has 3 letters"));
}

TEST_CASE("an error about a phrase does not repeat what was typed", "[phrase]") {
  CHECK_THAT(reason("hunter hunter2 secret"), !Contains("hunter"));
  CHECK_THAT(reason("qwert"), !Contains("qwert"));
}

TEST_CASE("a missing, doubled or foreign word is refused", "[phrase]") {
  auto phrase = phrase_of(sample);
  CHECK_THAT(reason(""), Contains("0 words"));
  CHECK_THAT(reason("- - \n"), Contains("0 words"));
  CHECK_THAT(reason(phrase.substr(6)), Contains("16 words"));
  CHECK_THAT(reason(phrase.substr(0, 16 * 6)), Contains("16 words"));
  CHECK_THAT(reason(phrase + "-babab"), Contains("more than 17"));
  CHECK_THAT(reason(std::string(5000, 'b')), Contains("too long"));
}

TEST_CASE("the checksum word finds a wrong word and two that changed places", "[phrase]") {
  auto phrase = phrase_of(sample);
  for (size_t word = 0; word < 17; ++word) {
    auto wrong = phrase;
    wrong[6 * word] = wrong[6 * word] == 'b' ? 'd' : 'b';
    CHECK_THAT(reason(wrong), Contains("last word"));
  }
  auto swapped = phrase.substr(6, 6) + phrase.substr(0, 6) + phrase.substr(12);
  CHECK_THAT(reason(swapped), Contains("last word"));
}
