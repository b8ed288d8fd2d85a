#include "display.hpp"

#include <catch2/catch.hpp>

#include <cstdlib>
#include <random>

using namespace datamesh::cli;

TEST_CASE("control characters, wrong bytes and reordering marks are made visible", "[display]") {
  CHECK(printable("plain name.txt") == "plain name.txt");
  CHECK(printable("\x1b[31mred") == "\\x1b[31mred");
  CHECK(printable("a\nb\tc\x7f") == "a\\x0ab\\x09c\\x7f");
  CHECK(printable("\xff\xfe") == "\\xff\\xfe");
  CHECK(printable("\xc2\x9b"
                  "31m")
        == "\\u009b31m");
  CHECK(printable("gpj.\u202e") == "gpj.\\u202e");
  CHECK(printable("grün 日本") == "grün 日本");
  CHECK(printable(std::string_view{"a\0b", 3}) == "a\\x00b");
}

TEST_CASE("no two names look the same", "[display]") {
  CHECK(printable_name("a\x1b") == "a\\x1b");
  CHECK(printable_name("a\\x1b") == "a\\\\x1b");
  CHECK(printable("a\\b") == "a\\b");
}

TEST_CASE("words of a shown command line come back from a shell as they were", "[display]") {
  CHECK(shell_word("/plain/name.txt") == "/plain/name.txt");
  CHECK(shell_word("") == "''");
  CHECK(shell_word("a b; rm *") == "'a b; rm *'");
  CHECK(shell_word("it's \\") == "'it'\\''s \\'");
  CHECK(shell_word("it's\x1b\\") == "$'it\\'s\\x1b\\\\'");
  CHECK(shell_word("\xff") == "$'\\xff'");
  CHECK(shell_word("grün") == "'grün'");
}

TEST_CASE("overlong forms and surrogates are not UTF-8", "[display]") {
  CHECK(is_utf8("grün"));
  CHECK_FALSE(is_utf8("\xc0\xaf"));
  CHECK_FALSE(is_utf8("\xe0\x80\xaf"));
  CHECK_FALSE(is_utf8("\xed\xa0\x80"));
  CHECK_FALSE(is_utf8("\xf4\x90\x80\x80"));
  CHECK_FALSE(is_utf8("\xe2\x82"));
}

TEST_CASE("no bytes whatsoever come out as a control character", "[display]") {
  auto* text = std::getenv("DATAMESH_SEED");
  auto seed = text != nullptr ? std::strtoull(text, nullptr, 10) : 3;
  CAPTURE(seed);
  std::mt19937_64 random{seed};
  for (auto i = 0; i < 5'000; ++i) {
    std::string bytes(random() % 12, '\0');
    for (auto& b : bytes)
      b = static_cast<char>(random());
    auto shown = printable(bytes);
    CHECK(is_utf8(shown));
    for (auto c : shown)
      CHECK((static_cast<unsigned char>(c) >= 0x20 && c != 0x7f));
    CHECK(printable(shown) == shown);
  }
}

TEST_CASE("wide characters take two columns and combining ones none", "[display]") {
  CHECK(display_width("abc") == 3);
  CHECK(display_width("日本") == 4);
  CHECK(display_width("e\u0301") == 1);
  CHECK(display_width("grün") == 4);
}

TEST_CASE("a text that is too long loses its middle", "[display]") {
  CHECK(shortened("abcdefghij", 10) == "abcdefghij");
  CHECK(shortened("abcdefghij", 9) == "abc...hij");
  CHECK(shortened("abcdefghij", 2) == "..");
  CHECK(display_width(shortened("日本語日本語日本語", 9)) <= 9);
}

TEST_CASE("columns line up by what is seen and lines have no blanks at their ends", "[display]") {
  text_table table{{text_table::align::left, text_table::align::right, text_table::align::left}};
  table.heading({"NAME", "SIZE", ""});
  table.row({"日本", "5", "x"});
  table.row({"abcdef", "12345", ""});
  CHECK(table.render() == "NAME     SIZE\n日本        5  x\nabcdef  12345\n");
}
