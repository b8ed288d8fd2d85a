// The program: reads the command line, opens what the command needs, prints, returns.
#include "display.hpp"
#include "documents.hpp"
#include "interruption.hpp"
#include "session.hpp"
#include "simulator.hpp"
#include "standard_streams.hpp"
#include "transfer_advice.hpp"

#include <algorithm>
#include <cstdio>

#include <unistd.h>

namespace datamesh::cli {

namespace {

/// Whether failures before the settings are known are told as JSON.
bool wants_json(const std::vector<std::string>& words, const variables& env) {
  auto end = std::find(words.begin(), words.end(), "--");
  for (auto i = words.begin(); i != end; ++i)
    if (*i == "--json" || *i == "-j" || *i == "--json=true")
      return true;
  auto variable = env("DATAMESH_JSON");
  return variable && parse_switch(*variable).value_or(false);
}

output_options output_for(const settings& set, const variables& env) {
  auto terminal = isatty(STDOUT_FILENO) == 1;
  auto no_color = env("NO_COLOR");
  auto force = env("CLICOLOR_FORCE");
  output_options result;
  result.json = set.flag("json");
  result.quiet = set.flag("quiet");
  result.verbose = set.flag("verbose");
  result.exact_bytes = set.flag("bytes");
  result.color =
      !result.json && use_color(set.text("color"), no_color && !no_color->empty(), force && !force->empty() && *force != "0", terminal);
  result.pager = terminal && !result.json && !set.flag("no-pager");
  result.pager_command = env("DATAMESH_PAGER").value_or(env("PAGER").value_or("less -FRX"));
  return result;
}

struct loaded {
  settings set;
  std::string config_file;
};

outcome<loaded> load_settings(const parsed_line& line, const variables& env) {
  auto paths = standard_paths(env, geteuid());
  auto named = line.options.find("config");
  auto variable = env("DATAMESH_CONFIG");
  auto explicitly = named != line.options.end() || variable;
  auto file = named != line.options.end() ? named->second.back() : variable.value_or(paths.config_file);
  // `config check` and `config set` read the file themselves, and help must not hang on it.
  auto needs_file =
      line.path != "config check" && line.path != "help" && line.path != "version" && line.path != "explain" && line.path != "completion";
  config_values config;
  if (needs_file) {
    constexpr uint64_t config_size_max = 1 << 20;
    auto files = system_files();
    std::vector<std::string> all{file};
    if (!explicitly && !paths.machine_config_file.empty())
      all.insert(all.begin(), paths.machine_config_file);
    for (const auto& from : all) {
      auto text = read_whole(*files, from, config_size_max);
      if (!text && !explicitly && text.error().code() == errc::not_found)
        continue;
      if (!text)
        return refuse(failure{text.error()});
      auto parsed = parse_config(std::string{as_text(*text)}, from);
      if (!parsed)
        return refuse(parsed.error());
      for (auto& [key, entry] : *parsed)
        config.insert_or_assign(key, std::move(entry));
    }
  }
  auto set = settings::resolve(line, env, config);
  if (!set)
    return refuse(set.error());
  set->set_fallback("home", paths.home);
  return loaded{std::move(*set), file};
}

/// Names that only the node knows. Never asks, never fails aloud.
std::vector<std::string> dynamic_candidates(session& s, value_kind kind, const std::string& current) {
  std::vector<std::string> result;
  if (kind == value_kind::code) {
    for (auto& facts : all_error_facts())
      result.emplace_back(facts.name);
    return result;
  }
  auto n = s.open_node();
  if (!n)
    return result;
  if (kind == value_kind::drive)
    for (auto& drive : (*n)->drives())
      result.push_back(drive.folder);
  if (kind == value_kind::vault_name)
    if (auto all = (*n)->vaults())
      for (auto& facts : *all)
        result.push_back(facts.name);
  if (kind != value_kind::vault_path)
    return result;
  auto v = s.open_vault(false);
  if (!v)
    return result;
  auto slash = current.rfind('/');
  auto folder = vault_path(slash == std::string::npos ? "" : current.substr(0, slash));
  if (!folder)
    return result;
  auto page = (*v)->list({.path = *folder, .limit = 200});
  if (!page)
    return result;
  auto prefix = slash == std::string::npos ? std::string{} : current.substr(0, slash + 1);
  for (auto& e : page->entries)
    result.push_back(prefix + e.name + (e.kind == entry_kind::folder ? "/" : ""));
  return result;
}

/// Tells what could not be printed, and answers the exit code.
int ended(output& out, int code) {
  code = out.finish(code);
  if (out.broken())
    end_by_broken_pipe();
  return code;
}

int print_candidates(const std::vector<std::string>& words, const variables& env) {
  output out{{.quiet = true}};
  auto answer = complete(words);
  auto current = words.empty() ? std::string{} : words.back();
  if (answer.dynamic != value_kind::flag) {
    parsed_line line;
    line.command = &command_tree();
    if (auto set = load_settings(line, env)) {
      session s{line, std::move(set->set), set->config_file, out, cancel_token{}};
      for (auto& word : dynamic_candidates(s, answer.dynamic, current))
        if (word.starts_with(current))
          answer.words.push_back(word);
    }
  }
  for (auto& word : answer.words)
    if (printable(word) == word)
      out.print("{}", word);
  if (answer.files != completion_files::none)
    out.print("{}", answer.files == completion_files::any ? ":files" : ":folders");
  return ended(out, 0);
}

int print_help(output& out, const parsed_line& line) {
  auto text = command_help(line.path, *line.command, std::min<size_t>(terminal_columns(STDOUT_FILENO), 100));
  out.line(json_line{"item"}.add("name", line.path.empty() ? "overview" : line.path).add("text", text));
  out.line(json_line{"summary"}.add("documents", 1));
  out.page(text);
  return ended(out, 0);
}

int run_line(const parsed_line& line, const variables& env, output& early, const cancel_token& cancel) {
  auto loaded = load_settings(line, env);
  auto help = line.options.find("help");
  if (!line.command->leaf() || (help != line.options.end() && help->second.back() == "true"))
    return print_help(early, line);
  if (!loaded)
    return ended(early, early.fail(line.path, loaded.error()));
  output out{output_for(loaded->set, env)};
  auto* run = find_command(line.path);
  auto code = 1;
  {
    session s{line, std::move(loaded->set), loaded->config_file, out, cancel};
    auto done = run(s);
    if (!done && done.error().next.empty())
      done.error().next = advice_for_home(done.error().code, done.error().what, s.home());
    if (!done && done.error().next.empty())
      done.error().next = advice_for_stall(done.error().code, done.error().what);
    if (!done && out.lost())
      code = facts_of(done.error().code).exit_code;
    else if (!done && cancel.cancelled())
      // What to run next holds for an interruption only when it was told for one.
      code =
          out.fail(line.path, failure{errc::cancelled, done.error().what, done.error().code == errc::cancelled ? done.error().next : ""});
    else
      code = done ? *done : out.fail(line.path, done.error());
  }
  return ended(out, code);
}

int run(const std::vector<std::string>& words) {
  auto env = process_variables();
  keep_memory_private();
  if (!words.empty() && words[0] == "__complete")
    return print_candidates({words.begin() + 1, words.end()}, env);
  output early{{.json = wants_json(words, env)}};
  if (!words.empty() && words[0] == "sim")
    return ended(early, early.fail("sim", run_simulator({words.begin() + 1, words.end()})));
  cancel_token cancel;
  watch_signals(cancel);
  auto line = parse_command_line(words);
  if (!line)
    return ended(early, early.fail(command_of(words), line.error()));
  return run_line(*line, env, early, cancel);
}

} // namespace

} // namespace datamesh::cli

int main(int argc, char** argv) {
  datamesh::cli::hold_standard_streams();
  try {
    return datamesh::cli::run({argv + 1, argv + argc});
  } catch (const std::exception& reason) {
    std::fprintf(stderr, "error: %s\n  why: DataMesh made a mistake of its own. (DM-INTERNAL)\n  next: datamesh doctor\n", reason.what());
    return 1;
  }
}
