#include "network/grants.hpp"

#include "base/text_lines.hpp"

namespace datamesh::network {

namespace {

constexpr std::string_view title = "datamesh grants ";
constexpr unsigned version = 1;
constexpr auto reading = "read what is granted";

std::optional<std::pair<vault_id, uint64_t>> parse_grant(std::string_view line) {
  constexpr std::string_view word = "owner ";
  constexpr auto digits = 2 * vault_id::size;
  if (!line.starts_with(word) || line.size() < word.size() + digits + 2 || line[word.size() + digits] != ' ')
    return std::nullopt;
  auto hex = line.substr(word.size(), digits);
  auto owner = vault_id::parse(hex);
  auto room = parse_decimal<uint64_t>(line.substr(word.size() + digits + 1));
  if (!owner || !room || owner->hex() != hex)
    return std::nullopt;
  return std::pair{*owner, *room};
}

} // namespace

std::string encode_grants(const grants& of) {
  auto text = std::string{title} + std::to_string(version) + "\n";
  for (const auto& [owner, room] : of)
    text += "owner " + owner.hex() + " " + std::to_string(room) + "\n";
  return text;
}

result<grants> parse_grants(std::string_view text) {
  auto damaged = [](const char* what) {
    return fail(errc::format_damaged, reading, what);
  };
  if (auto titled = take_title(text, title, version, reading); !titled)
    return fail(titled.error());
  grants read;
  while (!text.empty()) {
    auto line = take_line(text);
    auto grant = line ? parse_grant(*line) : std::nullopt;
    if (!grant || read.size() == grants_max || !read.insert(*grant).second)
      return damaged("a line of it");
  }
  return read;
}

result<grants> read_grants(file_system& files, const std::string& path) {
  auto text = read_whole(files, path, grants_file_max);
  if (!text && text.error().code() == errc::not_found)
    return grants{};
  if (!text)
    return fail(text.error().within(reading, path));
  auto read = parse_grants(as_text(*text));
  if (!read)
    return fail(read.error().within(reading, path));
  return read;
}

result<void> write_grants(file_system& files, const std::string& path, const grants& what) {
  constexpr auto attempted = "write what is granted";
  if (what.size() > grants_max)
    return fail(errc::invalid_argument, attempted, "too many owners");
  if (auto written = write_whole(files, path, as_view(encode_grants(what))); !written)
    return fail(written.error().within(attempted, path));
  return {};
}

} // namespace datamesh::network
