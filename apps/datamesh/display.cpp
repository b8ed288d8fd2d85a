#include "display.hpp"

#include <algorithm>
#include <array>
#include <cstdint>

#include <fmt/format.h>

namespace datamesh::cli {

namespace {

struct decoded {
  uint32_t point = 0;
  size_t length = 0; ///< 0: not UTF-8.
};

/// The first character of *text* by RFC 3629: no overlong forms, no surrogates.
decoded decode(std::string_view text) {
  auto byte = [&](size_t i) {
    return static_cast<uint8_t>(text[i]);
  };
  auto lead = byte(0);
  if (lead < 0x80)
    return {lead, 1};
  size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || text.size() < length)
    return {};
  uint32_t point = lead & (0xffu >> (length + 1));
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80)
      return {};
    point = point << 6 | (byte(i) & 0x3fu);
  }
  constexpr std::array<uint32_t, 5> least = {0, 0, 0x80, 0x800, 0x10000};
  if (point < least[length] || point > 0x10ffff || (point >= 0xd800 && point < 0xe000))
    return {};
  return {point, length};
}

struct interval {
  uint32_t first, last;
};

template <size_t N>
bool within(const std::array<interval, N>& table, uint32_t point) {
  return std::any_of(table.begin(), table.end(), [&](auto& i) { return point >= i.first && point <= i.last; });
}

/// C1 controls, line and paragraph separators, and what reorders or hides text.
constexpr std::array<interval, 7> harmful = {
    {{0x80, 0x9f}, {0x061c, 0x061c}, {0x200b, 0x200f}, {0x2028, 0x202e}, {0x2060, 0x206f}, {0xfeff, 0xfeff}, {0xe0000, 0xe007f}}};

constexpr std::array<interval, 8> combining = {{{0x0300, 0x036f},
                                                {0x0483, 0x0489},
                                                {0x0591, 0x05bd},
                                                {0x064b, 0x065f},
                                                {0x1ab0, 0x1aff},
                                                {0x20d0, 0x20ff},
                                                {0xfe00, 0xfe0f},
                                                {0xfe20, 0xfe2f}}};

constexpr std::array<interval, 10> wide = {{{0x1100, 0x115f},
                                            {0x2e80, 0x303e},
                                            {0x3041, 0x33ff},
                                            {0x3400, 0x4dbf},
                                            {0x4e00, 0xa4cf},
                                            {0xac00, 0xd7a3},
                                            {0xf900, 0xfaff},
                                            {0xfe30, 0xfe6f},
                                            {0xff00, 0xff60},
                                            {0x1f300, 0x1faff}}};

size_t width_of(uint32_t point) {
  if (within(combining, point))
    return 0;
  return within(wide, point) || (point >= 0x20000 && point <= 0x3fffd) ? 2 : 1;
}

} // namespace

namespace {

std::string shown(std::string_view text, bool escape_backslash) {
  std::string result;
  while (!text.empty()) {
    auto c = decode(text);
    auto length = std::max<size_t>(c.length, 1);
    if (c.length == 0 || c.point < 0x20 || c.point == 0x7f)
      result += fmt::format("\\x{:02x}", static_cast<uint8_t>(text[0]));
    else if (within(harmful, c.point))
      result += c.point > 0xffff ? fmt::format("\\U{:08x}", c.point) : fmt::format("\\u{:04x}", c.point);
    else if (escape_backslash && c.point == '\\')
      result += "\\\\";
    else
      result += text.substr(0, length);
    text.remove_prefix(length);
  }
  return result;
}

} // namespace

std::string printable(std::string_view text) {
  return shown(text, false);
}

std::string printable_name(std::string_view name) {
  return shown(name, true);
}

std::string shell_word(std::string_view word) {
  constexpr std::string_view plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+:,@%";
  if (!word.empty() && word.find_first_not_of(plain) == std::string_view::npos)
    return std::string{word};
  auto harmless = printable(word) == word;
  std::string result = harmless ? "'" : "$'";
  for (auto c : harmless ? std::string{word} : printable_name(word))
    result += c != '\'' ? std::string(1, c) : harmless ? "'\\''" : "\\'";
  return result + "'";
}

size_t display_width(std::string_view text) {
  size_t width = 0;
  while (!text.empty()) {
    auto c = decode(text);
    width += c.length == 0 ? 1 : width_of(c.point);
    text.remove_prefix(std::max<size_t>(c.length, 1));
  }
  return width;
}

std::string shortened(std::string_view text, size_t columns) {
  if (display_width(text) <= columns)
    return std::string{text};
  if (columns <= 3)
    return std::string(columns, '.');
  std::vector<std::pair<std::string_view, size_t>> parts;
  while (!text.empty()) {
    auto c = decode(text);
    auto length = std::max<size_t>(c.length, 1);
    parts.emplace_back(text.substr(0, length), c.length == 0 ? 1 : width_of(c.point));
    text.remove_prefix(length);
  }
  auto room_front = (columns - 3) / 2;
  auto room_back = columns - 3 - room_front;
  std::string front;
  for (auto& [part, width] : parts) {
    if (width > room_front)
      break;
    room_front -= width;
    front += part;
  }
  std::string back;
  for (auto i = parts.rbegin(); i != parts.rend() && i->second <= room_back; ++i) {
    room_back -= i->second;
    back.insert(0, i->first);
  }
  return front + "..." + back;
}

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    auto c = decode(text);
    if (c.length == 0)
      return false;
    text.remove_prefix(c.length);
  }
  return true;
}

std::string text_table::render() const {
  std::vector<size_t> widths(columns_.size(), 0);
  auto measure = [&](const std::vector<std::string>& cells) {
    for (size_t i = 0; i < cells.size() && i < widths.size(); ++i)
      widths[i] = std::max(widths[i], display_width(cells[i]));
  };
  measure(heading_);
  for (auto& cells : rows_)
    measure(cells);
  std::string result;
  auto add = [&](const std::vector<std::string>& cells) {
    std::string line;
    for (size_t i = 0; i < cells.size() && i < widths.size(); ++i) {
      std::string padding(widths[i] - display_width(cells[i]), ' ');
      if (i > 0)
        line += "  ";
      line += columns_[i] == align::right ? padding + cells[i] : cells[i] + padding;
    }
    line.erase(line.find_last_not_of(' ') + 1);
    result += line + "\n";
  };
  if (!heading_.empty())
    add(heading_);
  for (auto& cells : rows_)
    add(cells);
  return result;
}

} // namespace datamesh::cli
