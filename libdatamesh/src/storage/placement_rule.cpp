#include "storage/placement_rule.hpp"

#include "base/text_lines.hpp"
#include "storage/drive_label_file.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace datamesh {

namespace {

constexpr std::string_view title = "datamesh rule ";
constexpr unsigned version = 1;
constexpr auto reading = "read where data may lie";
constexpr size_t file_max = 64 << 10;

constexpr label_kind kinds[] = {label_kind::region, label_kind::zone, label_kind::operated_by};

const std::string& value_of(const drive_labels& labels, label_kind kind) {
  switch (kind) {
  case label_kind::region:
    return labels.region;
  case label_kind::zone:
    return labels.zone;
  case label_kind::operated_by:
    break;
  }
  return labels.operated_by;
}

drive_labels labels_of(const drive_label& one) {
  return {one.kind == label_kind::region ? one.value : "", one.kind == label_kind::zone ? one.value : "",
          one.kind == label_kind::operated_by ? one.value : ""};
}

/// None, and not the one that no drive has.
bool is_possible(const drive_label& one) {
  return !one.value.empty() && storage::check_labels(labels_of(one));
}

/// "region=eu"
std::optional<drive_label> parse_label(std::string_view text) {
  auto equals = text.find('=');
  auto kind = std::ranges::find(kinds, text.substr(0, equals), [](label_kind one) { return to_string(one); });
  if (equals == std::string_view::npos || kind == std::end(kinds))
    return std::nullopt;
  drive_label read{*kind, std::string{text.substr(equals + 1)}};
  return is_possible(read) ? std::optional{std::move(read)} : std::nullopt;
}

std::string text_of(std::string_view word, const drive_label& one) {
  return fmt::format("{} {}={}", word, to_string(one.kind), one.value);
}

std::vector<std::string> lines_of(const placement_rule& rule) {
  std::vector<std::string> lines;
  for (const auto& one : rule.only)
    lines.push_back(text_of("only", one));
  for (const auto& one : rule.never)
    lines.push_back(text_of("never", one));
  return lines;
}

} // namespace

bool allows(const placement_rule& rule, const drive_labels& labels) {
  auto has = [&](const drive_label& one) {
    return value_of(labels, one.kind) == one.value;
  };
  if (std::ranges::any_of(rule.never, has))
    return false;
  return std::ranges::all_of(kinds, [&](label_kind kind) {
    auto is_of_kind = [&](const drive_label& one) {
      return one.kind == kind;
    };
    return std::ranges::none_of(rule.only, is_of_kind)
           || std::ranges::any_of(rule.only, [&](const drive_label& one) { return is_of_kind(one) && has(one); });
  });
}

result<void> check_rule(const placement_rule& rule) {
  constexpr auto attempted = "say where data may lie";
  if (rule.only.size() + rule.never.size() > rule_labels_max)
    return fail(errc::invalid_argument, attempted,
                fmt::format("{} labels, and at most {}", rule.only.size() + rule.never.size(), rule_labels_max));
  auto lines = lines_of(rule);
  for (const auto* labels : {&rule.only, &rule.never})
    for (const auto& one : *labels)
      if (!is_possible(one))
        return fail(errc::name_invalid, attempted, one.value);
  std::ranges::sort(lines);
  if (auto twice = std::ranges::adjacent_find(lines); twice != lines.end())
    return fail(errc::invalid_argument, attempted, *twice + " twice");
  return {};
}

namespace storage {

std::string text_of(const placement_rule& rule) {
  return fmt::format("{}", fmt::join(lines_of(rule), ", "));
}

std::string encode_rule(const placement_rule& rule) {
  auto text = fmt::format("{}{}\n", title, version);
  for (const auto& line : lines_of(rule))
    text += line + '\n';
  return text;
}

result<placement_rule> parse_rule(std::string_view text) {
  auto damaged = [](const char* what) {
    return fail(errc::format_damaged, reading, what);
  };
  if (auto titled = take_title(text, title, version, reading); !titled)
    return fail(titled.error());
  placement_rule rule;
  while (!text.empty()) {
    auto line = take_line(text);
    auto blank = line ? line->find(' ') : std::string_view::npos;
    if (blank == std::string_view::npos)
      return damaged("a line");
    auto word = line->substr(0, blank);
    auto label = parse_label(line->substr(blank + 1));
    if (!label || (word != "only" && word != "never"))
      return damaged("a line");
    (word == "only" ? rule.only : rule.never).push_back(std::move(*label));
  }
  if (!check_rule(rule))
    return damaged("its labels");
  return rule;
}

result<placement_rule> read_rule(file_system& files, const std::string& path) {
  auto text = read_whole(files, path, file_max);
  if (!text && text.error().code() == errc::not_found)
    return placement_rule{};
  if (!text)
    return fail(text.error().within(reading, path));
  auto read = parse_rule(as_text(*text));
  if (!read)
    return fail(read.error().within(reading, path));
  return read;
}

} // namespace storage

} // namespace datamesh
