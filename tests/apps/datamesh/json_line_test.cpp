#include "json_line.hpp"

#include "display.hpp"

#include <catch2/catch.hpp>

#include <cmath>
#include <cstdlib>
#include <random>

using namespace datamesh::cli;

namespace {

/// Reads back a string of `json_quoted`.
std::string unquoted(std::string_view text) {
  REQUIRE(text.size() >= 2);
  text = text.substr(1, text.size() - 2);
  std::string result;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\') {
      REQUIRE(text[i] != '"');
      result += text[i];
    } else if (text[i + 1] == 'u') {
      result += static_cast<char>(std::stoi(std::string{text.substr(i + 2, 4)}, nullptr, 16));
      i += 5;
    } else {
      ++i;
      result += text[i] == 'n' ? '\n' : text[i];
    }
  }
  return result;
}

} // namespace

TEST_CASE("members keep their order and numbers are exact", "[json]") {
  json_line line{"item"};
  line.add("name", "x").add("big", UINT64_MAX).add("small", int64_t{-5}).add("yes", true).add("missing", std::optional<int>{});
  CHECK(line.text() == R"({"message_type":"item","name":"x","big":18446744073709551615,"small":-5,"yes":true})");
}

TEST_CASE("quotes, backslashes and control characters are escaped", "[json]") {
  CHECK(json_quoted("a\"b\\c\nd\x1b") == R"("a\"b\\c\nd\u001b")");
  CHECK(json_quoted(std::string_view{"\0", 1}) == R"("\u0000")");
}

TEST_CASE("a name that is not UTF-8 comes with its exact bytes", "[json]") {
  CHECK(json_line{}.name("path", "/grün").text() == "{\"path\":\"/grün\"}");
  CHECK(json_line{}.name("path", "/\xff").text() == "{\"path\":\"/\xef\xbf\xbd\",\"path_base64\":\"L/8=\"}");
}

TEST_CASE("a list of names tells the exact bytes of those that are not UTF-8", "[json]") {
  std::vector<std::string> names = {"a", "\xff"};
  CHECK(json_line{}.names("files", names).text() == "{\"files\":[\"a\",\"\xef\xbf\xbd\"],\"files_base64\":[\"/w==\"]}");
}

TEST_CASE("any bytes become a valid string, and UTF-8 comes back unchanged", "[json]") {
  auto* text = std::getenv("DATAMESH_SEED");
  auto seed = text != nullptr ? std::strtoull(text, nullptr, 10) : 5;
  CAPTURE(seed);
  std::mt19937_64 random{seed};
  for (auto i = 0; i < 5'000; ++i) {
    std::string bytes(random() % 16, '\0');
    for (auto& b : bytes)
      b = static_cast<char>(i % 2 == 0 ? random() : random() % 128);
    auto quoted = json_quoted(bytes);
    CHECK(is_utf8(quoted));
    for (auto c : quoted)
      CHECK(static_cast<unsigned char>(c) >= 0x20);
    if (is_utf8(bytes))
      CHECK(unquoted(quoted) == bytes);
  }
}

TEST_CASE("numbers that JSON does not know are null", "[json]") {
  CHECK(json_line{}.add("x", std::nan("")).add("y", 0.5).text() == R"({"x":null,"y":0.5})");
}

TEST_CASE("base64 pads as RFC 4648 says", "[json]") {
  CHECK(base64("") == "");
  CHECK(base64("f") == "Zg==");
  CHECK(base64("fo") == "Zm8=");
  CHECK(base64("foo") == "Zm9v");
  CHECK(base64("foobar") == "Zm9vYmFy");
}
