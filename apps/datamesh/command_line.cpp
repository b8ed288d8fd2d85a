#include "command_line.hpp"

#include "display.hpp"
#include "units.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace datamesh::cli {

namespace {

/// Insertions, removals, replacements and swaps of neighbours from *a* to *b*.
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::vector<size_t>> d(a.size() + 1, std::vector<size_t>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i)
    d[i][0] = i;
  for (size_t j = 0; j <= b.size(); ++j)
    d[0][j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    for (size_t j = 1; j <= b.size(); ++j) {
      d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + (a[i - 1] != b[j - 1] ? 1 : 0)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
    }
  }
  return d[a.size()][b.size()];
}

std::string suggestion(const std::optional<std::string>& near, std::string_view dashes = {}) {
  return near ? fmt::format("; did you mean '{}{}'?", dashes, *near) : std::string{};
}

class reader {
public:
  explicit reader(const std::vector<std::string>& words) : words_(words) {
    line_.command = &command_tree();
  }

  outcome<parsed_line> read() {
    for (auto only_arguments = false; at_ < words_.size(); ++at_) {
      auto& word = words_[at_];
      outcome<void> step;
      if (only_arguments || word == "-" || !word.starts_with('-'))
        step = positional(word);
      else if (word == "--")
        only_arguments = true;
      else if (word.starts_with("--"))
        step = long_option(word);
      else
        step = short_options(word);
      if (!step)
        return refuse(step.error());
    }
    if (auto checked = check(); !checked)
      return refuse(checked.error());
    return std::move(line_);
  }

  /// Of what could not be read, as far as it was.
  std::string command() const {
    return line_.path.empty() ? unknown_ : line_.path;
  }

private:
  std::string help_command() const {
    return "datamesh help" + (line_.path.empty() ? std::string{} : " " + line_.path);
  }

  tl::unexpected<failure> usage(std::string what) const {
    return refuse(errc::usage, std::move(what), help_command());
  }

  outcome<void> positional(const std::string& word) {
    if (line_.command->leaf()) {
      line_.arguments.push_back(word);
      return {};
    }
    std::vector<std::string_view> names;
    for (auto& child : line_.command->children) {
      if (child.name == word) {
        line_.command = &child;
        line_.path += (line_.path.empty() ? "" : " ") + word;
        return {};
      }
      names.push_back(child.name);
    }
    unknown_ = word;
    auto group = line_.path.empty() ? std::string{} : " of '" + line_.path + "'";
    return usage(fmt::format("unknown command '{}'{}{}", printable(word), group, suggestion(nearest(word, names))));
  }

  /// Before the command is known every shared option may come; `check` looks again.
  std::vector<const option_spec*> candidates() const {
    if (line_.command->leaf())
      return options_of(*line_.command);
    command_spec all = {.name = {}, .summary = {}, .groups = group_node | group_vault};
    return options_of(all);
  }

  const option_spec* find(std::string_view name) const {
    for (auto* option : candidates())
      if (option->name == name)
        return option;
    return nullptr;
  }

  outcome<void> long_option(const std::string& word) {
    auto equals = word.find('=');
    auto name = word.substr(2, equals == std::string::npos ? equals : equals - 2);
    if (name == "version" && !line_.command->leaf() && line_.path.empty() && equals == std::string::npos)
      return positional("version");
    auto* option = find(name);
    if (option == nullptr) {
      std::vector<std::string_view> names;
      for (auto* o : candidates())
        names.push_back(o->name);
      auto where = line_.path.empty() ? std::string{} : " of '" + line_.path + "'";
      return usage(fmt::format("unknown option '--{}'{}{}", printable(name), where, suggestion(nearest(name, names), "--")));
    }
    if (equals != std::string::npos)
      return take(*option, word.substr(equals + 1));
    return take_next(*option);
  }

  outcome<void> short_options(const std::string& word) {
    for (size_t i = 1; i < word.size(); ++i) {
      const option_spec* option = nullptr;
      for (auto* o : candidates())
        if (o->letter == word[i])
          option = o;
      if (option == nullptr)
        return usage(fmt::format("unknown option '-{}'", printable(word.substr(i, 1))));
      auto is_flag = option->kind == value_kind::flag;
      if (!is_flag && i + 1 < word.size())
        return take(*option, word.substr(i + 1 + (word[i + 1] == '=' ? 1 : 0)));
      if (auto taken = take_next(*option); !taken)
        return taken;
    }
    return {};
  }

  outcome<void> take_next(const option_spec& option) {
    if (option.kind == value_kind::flag)
      return take(option, "true");
    if (at_ + 1 >= words_.size())
      return usage(fmt::format("option '--{}' needs a value: {}", option.name, option.placeholder));
    return take(option, words_[++at_]);
  }

  outcome<void> take(const option_spec& option, std::string value) {
    if (auto wrong = check_value(option, value); !wrong.empty())
      return usage(fmt::format("option '--{}': {}", option.name, wrong));
    if (option.kind == value_kind::flag)
      value = *parse_switch(value) ? "true" : "false";
    auto& values = line_.options[std::string{option.name}];
    if (!option.repeated)
      values.clear();
    values.push_back(std::move(value));
    return {};
  }

  outcome<void> check() {
    auto wants_help = [&] {
      auto i = line_.options.find("help");
      return i != line_.options.end() && i->second.front() == "true";
    }();
    if (wants_help || (line_.path.empty() && !line_.command->leaf()))
      return {};
    if (!line_.command->leaf()) {
      std::vector<std::string_view> names;
      for (auto& child : line_.command->children)
        names.push_back(child.name);
      return usage(fmt::format("'{}' needs a command: {}", line_.path, fmt::join(names, ", ")));
    }
    for (auto& [name, values] : line_.options)
      if (find(name) == nullptr)
        return usage(fmt::format("'{}' has no option '--{}'", line_.path, name));
    return check_arguments();
  }

  outcome<void> check_arguments() {
    auto& specs = line_.command->arguments;
    size_t least = 0;
    auto open_ended = false;
    for (auto& spec : specs) {
      least += spec.optional ? 0 : 1;
      open_ended |= spec.repeated;
    }
    auto count = line_.arguments.size();
    if (count < least)
      return usage(fmt::format("'{}' needs {}; usage: {}", line_.path, specs[std::min(count, specs.size() - 1)].name,
                               usage_line(line_.path, *line_.command)));
    if (!open_ended && count > specs.size())
      return usage(fmt::format("'{}' does not take '{}'; usage: {}", line_.path, printable(line_.arguments[specs.size()]),
                               usage_line(line_.path, *line_.command)));
    for (size_t i = 0; i < count && i < specs.size(); ++i) {
      auto& spec = specs[i];
      if (auto wrong = check_value(spec.kind, spec.choices, line_.arguments[i]); !wrong.empty())
        return usage(fmt::format("{}: {}", spec.name, wrong));
    }
    return {};
  }

  const std::vector<std::string>& words_;
  size_t at_ = 0;
  parsed_line line_;
  std::string unknown_; ///< What stands where a command is due.
};

} // namespace

outcome<parsed_line> parse_command_line(const std::vector<std::string>& words) {
  return reader{words}.read();
}

std::string command_of(const std::vector<std::string>& words) {
  reader words_of{words};
  auto line = words_of.read();
  return line ? line->path : words_of.command();
}

std::optional<std::string> nearest(std::string_view word, const std::vector<std::string_view>& candidates) {
  std::optional<std::string> best;
  // One slip for each three letters; more would suggest at random.
  auto best_distance = std::max<size_t>(1, std::min<size_t>(word.size(), 30) / 3) + 1;
  for (auto candidate : candidates) {
    if (word.size() > candidate.size() + 8)
      continue;
    auto distance = edit_distance(word, candidate);
    if (distance < best_distance && distance < candidate.size()) {
      best_distance = distance;
      best = std::string{candidate};
    }
  }
  return best;
}

std::optional<bool> parse_switch(std::string_view text) {
  for (auto yes : {"1", "true", "yes", "on"})
    if (text == yes)
      return true;
  for (auto no : {"", "0", "false", "no", "off"})
    if (text == no)
      return false;
  return std::nullopt;
}

std::string check_value(value_kind kind, const std::vector<std::string_view>& choices, std::string_view value) {
  auto shown = printable(value);
  switch (kind) {
  case value_kind::flag:
    return parse_switch(value) ? "" : fmt::format("'{}' is neither true nor false", shown);
  case value_kind::size:
    return parse_size(value) ? "" : fmt::format("'{}' is no size; write 4096, 10M or 1.5GiB", shown);
  case value_kind::number: {
    auto good = !value.empty() && value.size() <= 9 && value.find_first_not_of("0123456789") == std::string_view::npos;
    return good ? "" : fmt::format("'{}' is no natural number below 1,000,000,000", shown);
  }
  case value_kind::span:
    return parse_span(value) ? "" : fmt::format("'{}' is no span of time; write 90s, 5m, 12h, 30d or 2w", shown);
  case value_kind::date:
    return parse_date(value, 0) ? "" : fmt::format("'{}' is no date; write 2026-01-31, 2026-01-31T12:00:00Z, or 7d for a week ago", shown);
  case value_kind::range:
    return parse_range(value) ? "" : fmt::format("'{}' is no range; write 0-99, 1M+64K or 100-", shown);
  case value_kind::policy:
    return valid_policy(value) ? "" : fmt::format("'{}' is no policy; write K+M with at most 128 shards, as in 4+2", shown);
  case value_kind::new_name:
    return valid_vault_name(value)
               ? ""
               : fmt::format("'{}' is no name for a vault; take up to 64 letters, digits, '_', '-' and '.', no '.' first", shown);
  case value_kind::choice:
    if (std::find(choices.begin(), choices.end(), value) != choices.end())
      return "";
    return fmt::format("'{}' is none of {}{}", shown, fmt::join(choices, ", "), suggestion(nearest(value, choices)));
  default:
    return value.find('\0') == std::string_view::npos ? "" : "the value holds a NUL byte";
  }
}

std::string check_value(const option_spec& option, std::string_view value) {
  auto wrong = check_value(option.kind, option.choices, value);
  if (!wrong.empty() || (option.kind != value_kind::size && option.kind != value_kind::number))
    return wrong;
  // A size without a unit is a number.
  auto number = parse_size(value).value_or(0);
  auto shown = [&](uint64_t bound) {
    return option.kind == value_kind::size ? human_size(bound) : std::to_string(bound);
  };
  if (number < option.least)
    return fmt::format("'{}' is too little; the least is {}", printable(value), shown(option.least));
  if (number > option.most)
    return fmt::format("'{}' is too much; the most is {}", printable(value), shown(option.most));
  return {};
}

std::string usage_line(std::string_view path, const command_spec& command) {
  std::string result = "datamesh";
  if (!path.empty())
    result += " " + std::string{path};
  result += " [OPTION]...";
  if (!command.leaf())
    return result + " COMMAND";
  for (auto& argument : command.arguments) {
    auto name = std::string{argument.name} + (argument.repeated ? "..." : "");
    result += argument.optional ? " [" + name + "]" : " " + name;
  }
  return result;
}

} // namespace datamesh::cli
