#include "json_line.hpp"

#include "display.hpp"
#include "units.hpp"

#include <cmath>

#include <fmt/format.h>

namespace datamesh::cli {

namespace {

template <class Range, class Render>
std::string json_array(const Range& values, Render render) {
  std::string result = "[";
  for (auto& value : values) {
    if (result.size() > 1)
      result += ',';
    result += render(value);
  }
  return result + "]";
}

/// Length of the UTF-8 character at the front, 0 when it is none.
size_t character_length(std::string_view text) {
  for (size_t length = 1; length <= 4 && length <= text.size(); ++length)
    if (is_utf8(text.substr(0, length)))
      return length;
  return 0;
}

} // namespace

std::string json_quoted(std::string_view text) {
  std::string result = "\"";
  while (!text.empty()) {
    auto c = static_cast<unsigned char>(text[0]);
    size_t length = 1;
    if (c == '"' || c == '\\') {
      result += '\\';
      result += text[0];
    } else if (c == '\n') {
      result += "\\n";
    } else if (c < 0x20 || c == 0x7f) {
      result += fmt::format("\\u{:04x}", c);
    } else if (c < 0x80) {
      result += text[0];
    } else if (length = character_length(text); length > 0) {
      result += text.substr(0, length);
    } else {
      length = 1;
      result += "\xef\xbf\xbd";
    }
    text.remove_prefix(length);
  }
  return result + "\"";
}

std::string base64(std::string_view data) {
  static constexpr char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string result;
  result.reserve((data.size() + 2) / 3 * 4);
  for (size_t i = 0; i < data.size(); i += 3) {
    uint32_t bits = 0;
    auto count = std::min<size_t>(3, data.size() - i);
    for (size_t j = 0; j < 3; ++j)
      bits = bits << 8 | (j < count ? static_cast<uint8_t>(data[i + j]) : 0u);
    for (size_t j = 0; j < 4; ++j)
      result += j <= count ? digits[bits >> (18 - 6 * j) & 63] : '=';
  }
  return result;
}

json_line& json_line::add(std::string_view key, std::string_view value) {
  return raw(key, json_quoted(value));
}

json_line& json_line::add(std::string_view key, bool value) {
  return raw(key, value ? "true" : "false");
}

json_line& json_line::add(std::string_view key, double value) {
  return raw(key, std::isfinite(value) ? fmt::format("{:.6g}", value) : "null");
}

json_line& json_line::add(std::string_view key, std::span<const json_line> values) {
  return raw(key, json_array(values, [](auto& v) { return v.text(); }));
}

json_line& json_line::add(std::string_view key, std::span<const std::string> values) {
  return raw(key, json_array(values, [](auto& v) { return json_quoted(v); }));
}

json_line& json_line::name(std::string_view key, std::string_view value) {
  add(key, value);
  if (!is_utf8(value))
    add(std::string{key} + "_base64", std::string_view{base64(value)});
  return *this;
}

json_line& json_line::names(std::string_view key, std::span<const std::string> values) {
  add(key, values);
  std::vector<std::string> exact;
  for (auto& value : values)
    if (!is_utf8(value))
      exact.push_back(base64(value));
  if (!exact.empty())
    add(std::string{key} + "_base64", exact);
  return *this;
}

json_line& json_line::time(std::string_view key, int64_t ns) {
  return add(key, std::string_view{rfc3339(ns)});
}

json_line& json_line::raw(std::string_view key, std::string_view value) {
  if (!members_.empty())
    members_ += ',';
  members_ += json_quoted(key);
  members_ += ':';
  members_ += value;
  return *this;
}

} // namespace datamesh::cli
