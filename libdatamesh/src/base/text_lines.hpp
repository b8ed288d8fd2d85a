// Small files of the home that are lines of words: what each of their readers needs.
//
// Thread rule: functions are safe to call from any thread.
#pragma once

#include "datamesh/base/result.hpp"

#include <array>
#include <charconv>
#include <optional>
#include <string_view>

namespace datamesh {

/// Decimal digits without a sign or leading zeros.
template <class Number>
[[nodiscard]] std::optional<Number> parse_decimal(std::string_view text) {
  Number value{};
  auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failure != std::errc{} || end != text.data() + text.size() || text.front() == '-' || (text.size() > 1 && text.front() == '0'))
    return std::nullopt;
  return value;
}

/// Up to its line feed, which is taken, too.
[[nodiscard]] inline std::optional<std::string_view> take_line(std::string_view& rest) {
  auto end = rest.find('\n');
  if (end == std::string_view::npos)
    return std::nullopt;
  auto line = rest.substr(0, end);
  rest.remove_prefix(end + 1);
  return line;
}

/// Words with one blank between them; nothing where there are more or fewer.
template <size_t Count>
[[nodiscard]] std::optional<std::array<std::string_view, Count>> split_words(std::string_view line) {
  std::array<std::string_view, Count> words;
  for (size_t i = 0; i < Count; ++i) {
    auto end = line.find(' ');
    if ((end == std::string_view::npos) != (i + 1 == Count))
      return std::nullopt;
    words[i] = line.substr(0, end);
    line.remove_prefix(i + 1 == Count ? line.size() : end + 1);
  }
  return words;
}

/// Takes the first line, *title* and the version. `format_damaged`, `format_newer`.
[[nodiscard]] inline result<void> take_title(std::string_view& rest, std::string_view title, unsigned version, const char* attempted) {
  auto first = take_line(rest);
  if (!first || !first->starts_with(title))
    return fail(errc::format_damaged, attempted, "its first line");
  auto found = parse_decimal<unsigned>(first->substr(title.size()));
  if (found && *found > version)
    return fail(errc::format_newer, attempted);
  return found == version ? result<void>{} : fail(errc::format_damaged, attempted, "its version");
}

} // namespace datamesh
