// config, explain, completion, help, version: what needs no node.
#include "command_line.hpp"
#include "display.hpp"
#include "documents.hpp"
#include "session.hpp"

#include "datamesh/version.hpp"

#include <algorithm>
#include <filesystem>

#include <unistd.h>

namespace datamesh::cli {

namespace {

std::string_view name_of(origin from) {
  switch (from) {
  case origin::fallback:
    return "default";
  case origin::config:
    return "config";
  case origin::environment:
    return "environment";
  case origin::flag:
    return "flag";
  }
  return "default";
}

outcome<std::string> read_config(const std::string& path) {
  constexpr uint64_t config_size_max = 1 << 20;
  auto files = system_files();
  auto text = read_whole(*files, path, config_size_max);
  if (!text && text.error().code() == errc::not_found)
    return std::string{};
  if (!text)
    return refuse(text.error());
  return std::string{as_text(*text)};
}

/// Every option that may stand in a configuration file, by name.
std::vector<const option_spec*> config_keys() {
  std::vector<const option_spec*> result;
  for (auto& leaf : leaf_commands())
    for (auto* option : options_of(*leaf.command))
      if (option->in_config && std::none_of(result.begin(), result.end(), [&](auto* o) { return o->name == option->name; }))
        result.push_back(option);
  std::sort(result.begin(), result.end(), [](auto* a, auto* b) { return a->name < b->name; });
  return result;
}

} // namespace

outcome<void> write_setting(const session& s, const std::string& key, const std::string& value) {
  auto text = read_config(s.config_file);
  if (!text)
    return refuse(text.error());
  auto changed = set_in_config(*text, s.config_file, key, value);
  if (!changed)
    return refuse(changed.error());
  auto files = system_files();
  if (auto made = make_folders(*files, parent_path(s.config_file)); !made)
    return refuse(made.error());
  if (auto written = write_whole(*files, s.config_file, as_view(*changed)); !written)
    return refuse(written.error());
  return {};
}

outcome<int> run_config_show(session& s) {
  auto keys = config_keys();
  text_table table{{text_table::align::left, text_table::align::left, text_table::align::left}};
  for (auto* key : keys) {
    auto found = s.set.all().find(key->name);
    if (found == s.set.all().end())
      continue;
    auto& value = found->second;
    json_line line{"item"};
    line.add("key", key->name).names("values", value.values).add("origin", name_of(value.from));
    if (!value.where.empty())
      line.name("where", value.where);
    s.out.line(line);
    std::vector<std::string> cells = {std::string{key->name}, printable(fmt::format("{}", fmt::join(value.values, ", ")))};
    if (s.set.flag("origin"))
      cells.push_back(printable(value.from == origin::fallback ? "default" : value.where));
    table.row(std::move(cells));
  }
  s.out.page(table.render());
  s.out.line(json_line{"summary"}.name("config", s.config_file));
  return 0;
}

outcome<int> run_config_check(session& s) {
  auto paths = standard_paths(process_variables(), geteuid());
  if (!s.set.given("config") && !paths.machine_config_file.empty()) {
    auto of_machine = read_config(paths.machine_config_file);
    if (!of_machine)
      return refuse(of_machine.error());
    if (auto good = parse_config(*of_machine, paths.machine_config_file); !good)
      return refuse(good.error());
  }
  auto text = read_config(s.config_file);
  if (!text)
    return refuse(text.error());
  auto parsed = parse_config(*text, s.config_file);
  if (!parsed)
    return refuse(parsed.error());
  std::error_code failed;
  auto there = std::filesystem::exists(s.config_file, failed);
  s.out.line(json_line{"summary"}.name("config", s.config_file).add("exists", there).add("keys", parsed->size()));
  s.out.print("{}: {}", printable(s.config_file),
              there ? fmt::format("{} settings, all understood", parsed->size()) : "not there, which is fine");
  return 0;
}

outcome<int> run_config_set(session& s) {
  auto& key = s.arguments()[0];
  auto& value = s.arguments()[1];
  auto keys = config_keys();
  auto found = std::find_if(keys.begin(), keys.end(), [&](auto* o) { return o->name == key; });
  if (found == keys.end()) {
    std::vector<std::string_view> names;
    for (auto* o : keys)
      names.push_back(o->name);
    auto near = nearest(key, names);
    return refuse(errc::usage, fmt::format("there is no setting '{}'{}", printable(key), near ? "; did you mean '" + *near + "'?" : ""),
                  "datamesh config show");
  }
  if (auto wrong = check_value(**found, value); !wrong.empty())
    return refuse(errc::usage, fmt::format("'{}': {}", key, wrong), "datamesh config show");
  if (!s.dry_run())
    if (auto written = write_setting(s, key, value); !written)
      return refuse(written.error());
  s.out.line(json_line{"summary"}.add("dry_run", s.dry_run()).add("key", key).name("value", value).name("config", s.config_file));
  s.out.print("{} {} to {} in {}.", s.dry_run() ? "Would set" : "Set", key, printable(value), printable(s.config_file));
  return 0;
}

outcome<int> run_explain(session& s) {
  std::vector<error_facts> rows;
  if (s.arguments().empty()) {
    for (auto& facts : all_error_facts())
      rows.push_back(facts);
  } else if (auto code = find_errc(s.arguments()[0])) {
    rows.push_back(facts_of(*code));
  } else {
    std::vector<std::string_view> names;
    for (auto& facts : all_error_facts())
      names.push_back(facts.name);
    auto near = nearest(s.arguments()[0], names);
    return refuse(errc::not_found,
                  fmt::format("there is no code '{}'{}", printable(s.arguments()[0]), near ? "; did you mean " + *near + "?" : ""),
                  "datamesh explain");
  }
  text_table table{{text_table::align::left, text_table::align::right, text_table::align::left}};
  table.heading({"CODE", "EXIT", "WHAT HAPPENED"});
  for (auto& facts : rows) {
    s.out.line(json_line{"item"}
                   .add("error", facts.name)
                   .add("title", facts.title)
                   .add("suggestion", facts.suggestion)
                   .add("exit_code", facts.exit_code)
                   .add("http_status", facts.http_status));
    table.row({std::string{facts.name}, std::to_string(facts.exit_code), std::string{facts.title}});
  }
  if (rows.size() == 1) {
    auto& facts = rows.front();
    s.out.print("{}: {}", s.out.paint(tone::strong, facts.name), facts.title);
    s.out.print("  next: {}", facts.suggestion);
    s.out.print("  exit code {}, HTTP status {}", facts.exit_code, facts.http_status);
  } else {
    s.out.page(table.render());
  }
  s.out.line(json_line{"summary"}.add("codes", rows.size()));
  return 0;
}

namespace {

int print_document(session& s, const std::string& name, const std::string& text) {
  s.out.line(json_line{"item"}.add("name", name).add("text", text));
  s.out.line(json_line{"summary"}.add("documents", 1));
  s.out.page(text);
  return 0;
}

} // namespace

outcome<int> run_completion(session& s) {
  auto& shell = s.arguments()[0];
  return print_document(s, shell, completion_script(shell));
}

outcome<int> run_help(session& s) {
  auto* command = &command_tree();
  std::string path;
  for (auto& word : s.arguments()) {
    std::vector<std::string_view> names;
    for (auto& child : command->children)
      names.push_back(child.name);
    auto child = std::find(names.begin(), names.end(), word);
    if (child != names.end()) {
      command = &command->children[static_cast<size_t>(child - names.begin())];
      path += (path.empty() ? "" : " ") + word;
      continue;
    }
    for (auto& topic : help_topics()) {
      if (path.empty() && topic.name == word)
        return print_document(s, word, fmt::format("{}\n\n{}", topic.summary, topic.text));
      if (path.empty())
        names.push_back(topic.name);
    }
    auto near = nearest(word, names);
    return refuse(errc::usage, fmt::format("there is no help on '{}'{}", printable(word), near ? "; did you mean '" + *near + "'?" : ""),
                  "datamesh help");
  }
  auto columns = std::min<size_t>(terminal_columns(STDOUT_FILENO), 100);
  return print_document(s, path.empty() ? "overview" : path, command_help(path, *command, columns));
}

outcome<int> run_version(session& s) {
  auto built = fmt::format("{}.{}.{}", DATAMESH_VERSION_MAJOR, DATAMESH_VERSION_MINOR, DATAMESH_VERSION_PATCH);
  s.out.line(json_line{"summary"}.add("program", built).add("library", std::string_view{version()}));
  s.out.print("datamesh {}{}", built, built == version() ? "" : fmt::format(", with library {}", version()));
  return 0;
}

} // namespace datamesh::cli
