// Writes one JSON object (RFC 8259), members in the order they are added. Any bytes
// may be handed over as text: what is not UTF-8 becomes U+FFFD, and `name` adds the
// exact bytes beside it.
#pragma once

#include <concepts>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace datamesh::cli {

/// *text* as a JSON string, quotes included.
[[nodiscard]] std::string json_quoted(std::string_view text);

/// RFC 4648 with padding.
[[nodiscard]] std::string base64(std::string_view data);

class json_line {
public:
  /// An object without members.
  json_line() = default;

  /// Begins a line of output: {"message_type": *type*.
  explicit json_line(std::string_view message_type) {
    add("message_type", message_type);
  }

  json_line& add(std::string_view key, std::string_view value);
  json_line& add(std::string_view key, const char* value) {
    return add(key, std::string_view{value});
  }
  json_line& add(std::string_view key, bool value);
  json_line& add(std::string_view key, double value);
  template <std::integral T>
  requires(!std::same_as<T, bool>) json_line& add(std::string_view key, T value) {
    return raw(key, std::to_string(value));
  }
  json_line& add(std::string_view key, const json_line& value) {
    return raw(key, value.text());
  }
  json_line& add(std::string_view key, std::span<const json_line> values);
  json_line& add(std::string_view key, std::span<const std::string> values);
  /// Leaves the member out when *value* is empty.
  template <class T>
  json_line& add(std::string_view key, const std::optional<T>& value) {
    return value ? add(key, *value) : *this;
  }
  /// A name of a file: *key* as text and, when it is not UTF-8, *key*_base64.
  json_line& name(std::string_view key, std::string_view value);
  /// A list of names; those that are not UTF-8 stand in *key*_base64, too.
  json_line& names(std::string_view key, std::span<const std::string> values);
  /// RFC 3339 in UTC.
  json_line& time(std::string_view key, int64_t ns);

  [[nodiscard]] std::string text() const {
    return "{" + members_ + "}";
  }

private:
  json_line& raw(std::string_view key, std::string_view value);
  std::string members_;
};

} // namespace datamesh::cli
