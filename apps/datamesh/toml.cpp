#include "toml.hpp"

#include "display.hpp"

#include <algorithm>

namespace datamesh::cli {

namespace {

bool is_control(char c) {
  return (static_cast<unsigned char>(c) < 0x20 && c != '\t' && c != '\n' && c != '\r') || c == '\x7f';
}

} // namespace

tl::expected<toml::table, toml_failure> parse_toml(const std::string& text, const std::string& file) {
  uint32_t line = 1;
  for (auto rest = std::string_view{text}; !rest.empty(); ++line) {
    auto now = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), now.size() + 1));
    if (!is_utf8(now))
      return tl::unexpected<toml_failure>{toml_failure{line, "not UTF-8"}};
    if (std::any_of(now.begin(), now.end(), is_control))
      return tl::unexpected<toml_failure>{toml_failure{line, "a control character"}};
  }
  auto parsed = toml::parse(std::string_view{text}, std::string_view{file});
  if (!parsed)
    return tl::unexpected<toml_failure>{toml_failure{parsed.error().source().begin.line, std::string{parsed.error().description()}}};
  return std::move(parsed).table();
}

} // namespace datamesh::cli
