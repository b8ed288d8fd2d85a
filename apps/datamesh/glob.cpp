#include "glob.hpp"

#include <algorithm>
#include <bitset>
#include <cstdint>
#include <vector>

namespace datamesh::cli {

namespace {

constexpr std::string_view special = "*?[\\";

struct step {
  enum class kind : uint8_t { bytes, star, globstar } what = kind::bytes;
  std::bitset<256> set; ///< Bytes that the step takes.
};

size_t index_of(char c) {
  return static_cast<unsigned char>(c);
}

/// Reads "[...]" at the front of *pattern*; answers its length, or 0 when it is not closed.
size_t read_set(std::string_view pattern, std::bitset<256>& set) {
  size_t i = 1;
  auto inverted = i < pattern.size() && (pattern[i] == '!' || pattern[i] == '^');
  if (inverted)
    ++i;
  for (auto first = true; i < pattern.size(); first = false) {
    if (pattern[i] == ']' && !first) {
      if (inverted)
        set.flip();
      set.reset(index_of('/'));
      return i + 1;
    }
    if (pattern[i] == '\\' && i + 1 < pattern.size())
      ++i;
    auto low = index_of(pattern[i]);
    auto high = low;
    if (i + 2 < pattern.size() && pattern[i + 1] == '-' && pattern[i + 2] != ']') {
      high = index_of(pattern[i + 2]);
      i += 2;
    }
    for (auto b = low; b <= high; ++b)
      set.set(b);
    ++i;
  }
  return 0;
}

std::vector<step> compile(std::string_view pattern) {
  std::vector<step> steps;
  for (size_t i = 0; i < pattern.size();) {
    step next;
    if (pattern[i] == '*') {
      auto end = pattern.find_first_not_of('*', i);
      auto stars = (end == std::string_view::npos ? pattern.size() : end) - i;
      next.what = stars > 1 ? step::kind::globstar : step::kind::star;
      i += stars;
    } else if (pattern[i] == '?') {
      next.set.set();
      next.set.reset(index_of('/'));
      ++i;
    } else if (auto length = pattern[i] == '[' ? read_set(pattern.substr(i), next.set) : 0; length > 0) {
      i += length;
    } else {
      if (pattern[i] == '\\' && i + 1 < pattern.size())
        ++i;
      next.set.reset();
      next.set.set(index_of(pattern[i]));
      ++i;
    }
    steps.push_back(next);
  }
  return steps;
}

} // namespace

bool is_glob(std::string_view text) {
  return text.find_first_of(special) != std::string_view::npos;
}

bool glob_match(std::string_view pattern, std::string_view path) {
  auto steps = compile(pattern);
  std::vector<char> now(steps.size() + 1, 0);
  std::vector<char> next(steps.size() + 1, 0);
  // A star may match nothing, so its successor is live as soon as it is.
  auto close = [&](std::vector<char>& live) {
    for (size_t i = 0; i < steps.size(); ++i)
      if (live[i] && steps[i].what != step::kind::bytes)
        live[i + 1] = 1;
  };
  now[0] = 1;
  close(now);
  for (auto c : path) {
    std::fill(next.begin(), next.end(), 0);
    auto any = false;
    for (size_t i = 0; i < steps.size(); ++i) {
      if (!now[i])
        continue;
      auto& s = steps[i];
      if (s.what == step::kind::bytes) {
        if (s.set.test(index_of(c))) {
          next[i + 1] = 1;
          any = true;
        }
      } else if (s.what == step::kind::globstar || c != '/') {
        next[i] = 1;
        any = true;
      }
    }
    if (!any)
      return false;
    close(next);
    now.swap(next);
  }
  return now[steps.size()] != 0;
}

std::string glob_folder(std::string_view pattern) {
  auto first = pattern.find_first_of(special);
  auto slash = pattern.rfind('/', first);
  if (slash == 0 || slash == std::string_view::npos)
    return "/";
  return std::string{pattern.substr(0, slash)};
}

bool glob_is_flat(std::string_view pattern) {
  auto first = pattern.find_first_of(special);
  if (first == std::string_view::npos)
    return true;
  return pattern.find('/', first) == std::string_view::npos && pattern.find("**") == std::string_view::npos;
}

} // namespace datamesh::cli
