#include "network/capacity.hpp"

#include "base/text_lines.hpp"

namespace datamesh::network {

namespace {

constexpr std::string_view title = "datamesh capacity ";
constexpr unsigned version = 1;
constexpr auto reading = "read what is set aside for others";
constexpr size_t file_max = 4096;

} // namespace

std::string encode_capacity(uint64_t bytes) {
  return std::string{title} + std::to_string(version) + "\nbytes " + std::to_string(bytes) + "\n";
}

result<uint64_t> parse_capacity(std::string_view text) {
  constexpr std::string_view word = "bytes ";
  if (auto titled = take_title(text, title, version, reading); !titled)
    return fail(titled.error());
  auto line = take_line(text);
  auto bytes = line && line->starts_with(word) ? parse_decimal<uint64_t>(line->substr(word.size())) : std::nullopt;
  if (!bytes || !text.empty())
    return fail(errc::format_damaged, reading, "its line");
  return *bytes;
}

result<uint64_t> read_capacity(file_system& files, const std::string& path) {
  auto text = read_whole(files, path, file_max);
  if (!text && text.error().code() == errc::not_found)
    return 0;
  auto read = text.and_then([](const bytes& raw) { return parse_capacity(as_text(raw)); });
  if (!read)
    return fail(read.error().within(reading, path));
  return read;
}

} // namespace datamesh::network
