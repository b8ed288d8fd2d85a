#include "glob.hpp"

#include <catch2/catch.hpp>

#include <cstdlib>
#include <functional>
#include <random>

using namespace datamesh::cli;

namespace {

/// The same language by plain recursion, for short inputs; without sets.
bool slow_match(std::string_view p, std::string_view t) {
  if (p.empty())
    return t.empty();
  if (p.starts_with("**")) {
    auto rest = p.substr(p.find_first_not_of('*') == std::string_view::npos ? p.size() : p.find_first_not_of('*'));
    for (size_t i = 0; i <= t.size(); ++i)
      if (slow_match(rest, t.substr(i)))
        return true;
    return false;
  }
  if (p[0] == '*') {
    for (size_t i = 0; i <= t.size(); ++i) {
      if (slow_match(p.substr(1), t.substr(i)))
        return true;
      if (i < t.size() && t[i] == '/')
        return false;
    }
    return false;
  }
  if (t.empty() || (p[0] == '?' ? t[0] == '/' : p[0] != t[0]))
    return false;
  return slow_match(p.substr(1), t.substr(1));
}

} // namespace

TEST_CASE("a star stays within one name and two stars cross folders", "[glob]") {
  CHECK(glob_match("/a/*.txt", "/a/b.txt"));
  CHECK(glob_match("/a/*.txt", "/a/.txt"));
  CHECK_FALSE(glob_match("/a/*.txt", "/a/b/c.txt"));
  CHECK(glob_match("/a/**.txt", "/a/b/c.txt"));
  CHECK(glob_match("/**/c", "/a/b/c"));
  CHECK_FALSE(glob_match("/a?b", "/a/b"));
  CHECK(glob_match("/a?b", "/axb"));
  CHECK_FALSE(glob_match("/a", "/ab"));
  CHECK_FALSE(glob_match("/ab", "/a"));
}

TEST_CASE("sets have ranges, negation and a literal bracket in front", "[glob]") {
  CHECK(glob_match("/[a-c]x", "/bx"));
  CHECK_FALSE(glob_match("/[a-c]x", "/dx"));
  CHECK(glob_match("/[!a-c]x", "/dx"));
  CHECK_FALSE(glob_match("/[!a-c]x", "/ax"));
  CHECK(glob_match("/[]a]", "/]"));
  CHECK(glob_match("/[a-]", "/-"));
  CHECK_FALSE(glob_match("a[!x]b", "a/b"));
  CHECK_FALSE(glob_match("/[z-a]", "/m"));
}

TEST_CASE("a set that is never closed and a last backslash are plain text", "[glob]") {
  CHECK(glob_match("/[abc", "/[abc"));
  CHECK(glob_match("/a\\", "/a\\"));
  CHECK(glob_match("/a\\*", "/a*"));
  CHECK_FALSE(glob_match("/a\\*", "/ab"));
}

TEST_CASE("bytes that are no characters match as bytes", "[glob]") {
  CHECK(glob_match("/\xff?*", "/\xff\xfe\x01"));
  CHECK(glob_match("/*", std::string_view{"/a\nb", 4}));
}

TEST_CASE("an escaped name matches itself and nothing is special in it", "[glob]") {
  CHECK(glob_match("/a\\*b\\[c]\\?\\\\d", "/a*b[c]?\\d"));
  CHECK_FALSE(glob_match("/a\\*b\\[c]\\?\\\\d", "/axb[c]?\\d"));
  CHECK_FALSE(is_glob("/plain name.txt"));
  CHECK(is_glob("/a*"));
}

TEST_CASE("the folder to look in is the part before the first pattern", "[glob]") {
  CHECK(glob_folder("/a/b/*.txt") == "/a/b");
  CHECK(glob_folder("/*") == "/");
  CHECK(glob_folder("/a*/b") == "/");
  CHECK(glob_is_flat("/a/b/*.txt"));
  CHECK_FALSE(glob_is_flat("/a/*/c"));
  CHECK_FALSE(glob_is_flat("/a/**"));
}

TEST_CASE("the automaton agrees with plain recursion on random patterns", "[glob]") {
  auto* text = std::getenv("DATAMESH_SEED");
  auto seed = text != nullptr ? std::strtoull(text, nullptr, 10) : 7;
  CAPTURE(seed);
  std::mt19937_64 random{seed};
  auto make = [&](std::string_view letters, size_t most) {
    std::string result;
    for (auto i = random() % (most + 1); i > 0; --i)
      result += letters[random() % letters.size()];
    return result;
  };
  auto matches = 0;
  for (auto i = 0; i < 30'000; ++i) {
    auto pattern = make("ab/*?", 7);
    auto path = make("ab/", 8);
    CAPTURE(pattern, path);
    auto expected = slow_match(pattern, path);
    matches += expected ? 1 : 0;
    CHECK(glob_match(pattern, path) == expected);
  }
  CHECK(matches > 500);
}

TEST_CASE("a pattern that makes others backtrack for ever is answered", "[glob]") {
  std::string pattern;
  for (auto i = 0; i < 200; ++i)
    pattern += "*a";
  CHECK_FALSE(glob_match(pattern + "b", std::string(4000, 'a')));
}
