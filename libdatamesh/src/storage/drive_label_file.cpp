#include "storage/drive_label_file.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace datamesh::storage {

namespace {

constexpr std::string_view title = "datamesh labels ";
constexpr unsigned version = 1;
constexpr auto reading = "read the labels of drives";
constexpr size_t file_max = 4 << 20;

constexpr std::string_view keys[] = {"region", "zone", "operator"};

std::string* field(drive_labels& of, std::string_view key) {
  std::string* fields[] = {&of.region, &of.zone, &of.operated_by};
  auto found = std::ranges::find(keys, key);
  return found == std::end(keys) ? nullptr : fields[found - std::begin(keys)];
}

bool is_label(std::string_view text) {
  auto letter_or_digit = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  };
  return !text.empty() && text.size() <= drive_label_max && letter_or_digit(text.front())
         && std::ranges::all_of(text, [&](char c) { return letter_or_digit(c) || c == '.' || c == '_' || c == '-'; });
}

std::optional<std::string_view> take_until(std::string_view& rest, char end) {
  auto at = rest.find(end);
  if (at == std::string_view::npos)
    return std::nullopt;
  auto taken = rest.substr(0, at);
  rest.remove_prefix(at + 1);
  return taken;
}

/// "drive ID KEY=VALUE ...", each key once.
std::optional<std::pair<drive_id, drive_labels>> parse_drive(std::string_view line) {
  constexpr std::string_view word = "drive ";
  if (!line.starts_with(word))
    return std::nullopt;
  line.remove_prefix(word.size());
  auto hex = take_until(line, ' ');
  auto id = hex ? drive_id::parse(*hex) : std::nullopt;
  if (!id || id->hex() != *hex)
    return std::nullopt;
  drive_labels labels;
  for (;;) {
    auto next = take_until(line, ' ');
    auto pair = next.value_or(line);
    auto key = take_until(pair, '=');
    auto* to = key ? field(labels, *key) : nullptr;
    if (to == nullptr || !to->empty() || !is_label(pair))
      return std::nullopt;
    *to = pair;
    if (!next)
      return std::pair{*id, labels};
  }
}

} // namespace

result<void> check_labels(const drive_labels& labels) {
  for (const auto* text : {&labels.region, &labels.zone, &labels.operated_by})
    if (!text->empty() && !is_label(*text))
      return fail(errc::name_invalid, "label a drive", *text);
  return {};
}

drive_labels changed_by(const drive_labels& old, const drive_label_change& change) {
  return {change.region.value_or(old.region), change.zone.value_or(old.zone), change.operated_by.value_or(old.operated_by)};
}

std::string encode_labels(const label_table& of) {
  auto text = fmt::format("{}{}\n", title, version);
  for (const auto& [id, labels] : of) {
    if (labels == drive_labels{})
      continue;
    text += "drive " + id.hex();
    auto copy = labels;
    for (auto key : keys)
      if (const auto& value = *field(copy, key); !value.empty())
        text += fmt::format(" {}={}", key, value);
    text += '\n';
  }
  return text;
}

result<label_table> parse_labels(std::string_view text) {
  auto damaged = [](const char* what) {
    return fail(errc::format_damaged, reading, what);
  };
  auto first = take_until(text, '\n');
  if (!first || !first->starts_with(title))
    return damaged("the first line");
  first->remove_prefix(title.size());
  unsigned found = 0;
  auto [end, wrong] = std::from_chars(first->data(), first->data() + first->size(), found);
  if (wrong != std::errc{} || end != first->data() + first->size() || found == 0)
    return damaged("the version");
  if (found > version)
    return fail(errc::format_newer, reading);
  label_table read;
  while (!text.empty()) {
    auto line = take_until(text, '\n');
    auto drive = line ? parse_drive(*line) : std::nullopt;
    if (!drive || !read.insert(*drive).second)
      return damaged("a line");
  }
  return read;
}

result<label_table> read_labels(file_system& files, const std::string& path) {
  auto text = read_whole(files, path, file_max);
  if (!text && text.error().code() == errc::not_found)
    return label_table{};
  if (!text)
    return fail(text.error().within(reading, path));
  auto read = parse_labels(as_text(*text));
  if (!read)
    return fail(read.error().within(reading, path));
  return read;
}

} // namespace datamesh::storage
