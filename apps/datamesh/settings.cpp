#include "settings.hpp"

#include "display.hpp"
#include "toml.hpp"
#include "units.hpp"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include <fmt/format.h>

namespace datamesh::cli {

namespace {

/// Every option that may stand in a configuration file, once.
const std::map<std::string, const option_spec*, std::less<>>& config_options() {
  static const auto table = [] {
    std::map<std::string, const option_spec*, std::less<>> result;
    for (auto& leaf : leaf_commands())
      for (auto* option : options_of(*leaf.command))
        if (option->in_config)
          result.emplace(option->name, option);
    return result;
  }();
  return table;
}

std::optional<std::string> text_of(const toml::node& node, const option_spec& option) {
  if (auto text = node.value_exact<std::string>())
    return *text;
  if (auto yes = node.value_exact<bool>(); yes && option.kind == value_kind::flag)
    return *yes ? "true" : "false";
  auto numeric = option.kind == value_kind::number || option.kind == value_kind::size;
  if (auto number = node.value_exact<int64_t>(); number && numeric)
    return std::to_string(*number);
  return std::nullopt;
}

tl::unexpected<failure> refuse_config(const std::string& file, uint32_t line, const std::string& what) {
  return refuse(errc::config_invalid, fmt::format("{}, line {}: {}", printable(file), line, what), "datamesh config check");
}

outcome<config_entry> read_entry(const std::string& key, const toml::node& node, const std::string& file) {
  auto line = node.source().begin.line;
  auto& known = config_options();
  auto found = known.find(key);
  if (found == known.end()) {
    std::vector<std::string_view> names;
    for (auto& [name, option] : known)
      names.push_back(name);
    auto near = nearest(key, names);
    return refuse_config(file, line, fmt::format("unknown key '{}'{}", printable(key), near ? "; did you mean '" + *near + "'?" : ""));
  }
  auto& option = *found->second;
  config_entry entry{{}, line, file};
  auto add = [&](const toml::node& value) -> outcome<void> {
    auto text = text_of(value, option);
    if (!text)
      return refuse_config(file, line, fmt::format("'{}' has a value of the wrong type", key));
    if (auto wrong = check_value(option, *text); !wrong.empty())
      return refuse_config(file, line, fmt::format("'{}': {}", key, wrong));
    entry.values.push_back(std::move(*text));
    return {};
  };
  if (auto* list = node.as_array()) {
    if (!option.repeated)
      return refuse_config(file, line, fmt::format("'{}' takes one value, not a list", key));
    for (auto& value : *list)
      if (auto added = add(value); !added)
        return refuse(added.error());
  } else if (auto added = add(node); !added) {
    return refuse(added.error());
  }
  return entry;
}

std::string toml_quoted(std::string_view text) {
  std::string result = "\"";
  for (auto c : text) {
    if (c == '"' || c == '\\')
      result += '\\';
    auto code = static_cast<unsigned char>(c);
    if (code < 0x20 || code == 0x7f)
      result += fmt::format("\\u{:04X}", code);
    else
      result += c;
  }
  return result + "\"";
}

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> result;
  size_t from = 0;
  for (size_t at; (at = text.find(separator, from)) != std::string::npos; from = at + 1)
    result.push_back(text.substr(from, at - from));
  result.push_back(text.substr(from));
  std::erase_if(result, [](auto& s) { return s.empty(); });
  return result;
}

bool same_but_for(const std::string& key, config_values a, config_values b) {
  a.erase(key);
  b.erase(key);
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& one, const auto& other) {
    return one.first == other.first && one.second.values == other.second.values;
  });
}

outcome<setting> from_variable(const option_spec& option, const std::string& name, const std::string& text) {
  setting result{{}, origin::environment, name};
  result.values = option.repeated ? split(text, ':') : std::vector<std::string>{text};
  for (auto& value : result.values) {
    if (auto wrong = check_value(option, value); !wrong.empty())
      return refuse(errc::usage, fmt::format("variable {}: {}", name, wrong), "unset " + name);
    if (option.kind == value_kind::flag)
      value = *parse_switch(value) ? "true" : "false";
  }
  return result;
}

} // namespace

variables process_variables() {
  return [](const std::string& name) -> std::optional<std::string> {
    auto* value = std::getenv(name.c_str());
    // An empty one counts as not set, as the XDG specification has it.
    return value != nullptr && *value != '\0' ? std::optional<std::string>{value} : std::nullopt;
  };
}

machine_paths standard_paths(const variables& env, uint32_t uid) {
  auto folder = [&](const char* variable, const char* below_home, const char* of_system) -> std::string {
    // The specification says that relative paths are to be ignored.
    if (auto named = env(variable); named && named->starts_with('/'))
      return *named;
    auto user_home = env("HOME");
    auto system_user = uid < 1000 || !user_home || user_home->empty();
    return system_user ? of_system : *user_home + below_home;
  };
  constexpr auto file = "/datamesh/config.toml";
  machine_paths result{
      folder("XDG_CONFIG_HOME", "/.config", "/etc") + file, {}, folder("XDG_DATA_HOME", "/.local/share", "/var/lib") + "/datamesh"};
  // What root sets for itself is no setting of the machine.
  auto named = env("XDG_CONFIG_HOME");
  auto own = env("HOME");
  if (uid == 0 && own && own->starts_with('/') && !(named && named->starts_with('/')))
    result.machine_config_file = std::exchange(result.config_file, *own + "/.config" + file);
  return result;
}

outcome<config_values> parse_config(const std::string& text, const std::string& file) {
  auto parsed = parse_toml(text, file);
  if (!parsed)
    return refuse_config(file, parsed.error().line, parsed.error().what);
  config_values result;
  for (auto& [key, node] : *parsed) {
    auto entry = read_entry(std::string{key.str()}, node, file);
    if (!entry)
      return refuse(entry.error());
    result.emplace(std::string{key.str()}, std::move(*entry));
  }
  return result;
}

outcome<std::string> set_in_config(const std::string& text, const std::string& file, const std::string& key, const std::string& value) {
  auto parsed = parse_config(text, file);
  if (!parsed)
    return refuse(parsed.error());
  auto line = key + " = " + toml_quoted(value);
  // Some editors put a byte order mark before all else.
  size_t begin = text.starts_with("\xEF\xBB\xBF") ? 3 : 0;
  auto found = parsed->find(key);
  if (found == parsed->end())
    return text.substr(0, begin) + line + "\n" + text.substr(begin);
  auto line_number = found->second.line;
  for (uint32_t i = 1; i < line_number; ++i)
    begin = text.find('\n', begin) + 1;
  auto end = text.find('\n', begin);
  auto changed = text.substr(0, begin) + line + (end == std::string::npos ? "\n" : text.substr(end));
  // A value over several lines can not be replaced line by line: what is left of it
  // does not parse, or parses as something else.
  auto after = parse_config(changed, file);
  if (!after || !same_but_for(key, std::move(*parsed), std::move(*after)))
    return refuse_config(file, line_number, "'" + key + "' is not on a line of its own; change it by hand");
  return changed;
}

outcome<settings> settings::resolve(const parsed_line& line, const variables& env, const config_values& config) {
  settings result;
  std::map<std::string_view, const option_spec*> wanted;
  for (auto& [name, option] : config_options())
    wanted.emplace(option->name, option);
  for (auto* option : options_of(*line.command))
    wanted[option->name] = option;
  for (auto& [name, option] : wanted) {
    auto key = std::string{name};
    setting value;
    if (auto flag = line.options.find(key); flag != line.options.end()) {
      value = {flag->second, origin::flag, "--" + key};
    } else if (auto variable = name == "help" ? std::nullopt : env(variable_of(name))) {
      auto read = from_variable(*option, variable_of(name), *variable);
      if (!read)
        return refuse(read.error());
      value = std::move(*read);
    } else if (auto entry = option->in_config ? config.find(key) : config.end(); entry != config.end()) {
      value = {entry->second.values, origin::config, fmt::format("{}:{}", entry->second.file, entry->second.line)};
    } else if (option->kind == value_kind::flag) {
      value.values = {"false"};
    } else if (!option->fallback.empty()) {
      value.values = {std::string{option->fallback}};
    }
    result.values_.emplace(std::move(key), std::move(value));
  }
  return result;
}

bool settings::flag(std::string_view option) const {
  return text(option) == "true";
}

std::string settings::text(std::string_view option) const {
  auto i = values_.find(option);
  return i == values_.end() || i->second.values.empty() ? std::string{} : i->second.values.back();
}

std::vector<std::string> settings::list(std::string_view option) const {
  auto i = values_.find(option);
  return i == values_.end() ? std::vector<std::string>{} : i->second.values;
}

uint64_t settings::number(std::string_view option) const {
  auto value = text(option);
  if (auto seconds = parse_span(value))
    return *seconds;
  return parse_size(value).value_or(0);
}

bool settings::given(std::string_view option) const {
  auto i = values_.find(option);
  return i != values_.end() && i->second.from != origin::fallback;
}

void settings::answer(const std::string& option, std::vector<std::string> values) {
  values_[option] = {std::move(values), origin::flag, "--" + option};
}

std::string settings::said_by(std::string_view option) const {
  auto i = values_.find(option);
  if (i == values_.end() || (i->second.from != origin::config && i->second.from != origin::environment))
    return {};
  return fmt::format(" ({} says so)", printable(i->second.where));
}

void settings::set_fallback(const std::string& option, std::string value) {
  auto& entry = values_[option];
  if (entry.from == origin::fallback)
    entry.values = {std::move(value)};
}

} // namespace datamesh::cli
