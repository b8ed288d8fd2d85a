#include "documents.hpp"

#include "command_line.hpp"
#include "display.hpp"

#include <algorithm>
#include <functional>

#include <fmt/format.h>

namespace datamesh::cli {

namespace {

/// Breaks *text* into lines of at most *columns*; an empty line separates paragraphs.
std::string wrapped(std::string_view text, size_t indent, size_t columns) {
  std::string result;
  std::string line;
  auto flush = [&] {
    if (!line.empty())
      result += std::string(indent, ' ') + line + "\n";
    line.clear();
  };
  while (!text.empty()) {
    auto end = text.find_first_of(" \n");
    auto word = text.substr(0, end);
    auto separator = end == std::string_view::npos ? '\0' : text[end];
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (!line.empty() && indent + display_width(line) + 1 + display_width(word) > columns)
      flush();
    if (!word.empty())
      line += (line.empty() ? "" : " ") + std::string{word};
    if (separator == '\n') {
      flush();
      if (text.starts_with('\n')) {
        result += "\n";
        text.remove_prefix(1);
      }
    }
  }
  flush();
  return result;
}

std::string option_forms(const option_spec& option) {
  auto text = option.letter != 0 ? fmt::format("-{}, --{}", option.letter, option.name) : fmt::format("    --{}", option.name);
  if (option.kind != value_kind::flag)
    text += fmt::format(" {}", option.placeholder);
  return text;
}

std::string option_sentence(const option_spec& option) {
  std::string text{option.text};
  if (!option.fallback.empty())
    text += fmt::format(" Default: {}.", option.fallback);
  if (option.repeated)
    text += " May be given several times.";
  return text;
}

std::string options_text(std::string_view heading, const std::vector<const option_spec*>& options, size_t columns) {
  if (options.empty())
    return "";
  constexpr size_t margin = 30;
  auto text = fmt::format("\n{}:\n", heading);
  for (auto* option : options) {
    auto forms = "  " + option_forms(*option);
    auto body = wrapped(option_sentence(*option), margin, columns);
    if (forms.size() + 2 <= margin)
      text += forms + body.substr(forms.size());
    else
      text += forms + "\n" + body;
  }
  return text;
}

struct grouped_options {
  std::vector<const option_spec*> own, vault, node, global;
};

grouped_options group(const command_spec& command) {
  grouped_options result;
  for (auto& option : command.options)
    result.own.push_back(&option);
  auto add = [](std::span<const option_spec> from, std::vector<const option_spec*>& to) {
    for (auto& option : from)
      to.push_back(&option);
  };
  if ((command.groups & group_vault) != 0)
    add(vault_options(), result.vault);
  if ((command.groups & group_node) != 0)
    add(node_options_table(), result.node);
  add(global_options(), result.global);
  return result;
}

std::vector<std::string> lines_of(std::string_view text) {
  std::vector<std::string> result;
  while (!text.empty()) {
    auto end = std::min(text.find('\n'), text.size());
    result.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return result;
}

void each_child(const command_spec& of, const std::string& prefix,
                const std::function<void(const std::string&, const command_spec&)>& take) {
  for (auto& child : of.children)
    take(prefix.empty() ? std::string{child.name} : prefix + " " + std::string{child.name}, child);
}

std::string children_text(const command_spec& of, const std::string& prefix) {
  std::string text;
  std::string_view section;
  size_t widest = 0;
  for (auto& child : of.children)
    widest = std::max(widest, child.name.size());
  each_child(of, prefix, [&](const std::string&, const command_spec& child) {
    if (child.section != section) {
      section = child.section;
      text += fmt::format("\n{}:\n", section);
    } else if (text.empty()) {
      text += "\nCommands:\n";
    }
    text += fmt::format("  {:<{}}  {}\n", child.name, widest, child.summary);
  });
  return text;
}

} // namespace

std::string overview_text() {
  auto& root = command_tree();
  auto text = fmt::format("{}\n\nUsage: {}\n", root.summary, usage_line("", root));
  text += children_text(root, "");
  text += "\nFirst steps:\n";
  for (auto& line : lines_of(root.example))
    text += "  " + line + "\n";
  text += "\nMore: datamesh help COMMAND, datamesh help exit-codes\n";
  return text;
}

std::string command_help(std::string_view path, const command_spec& command, size_t columns) {
  if (path.empty())
    return overview_text();
  auto text = fmt::format("{}\n\nUsage: {}\n", command.summary, usage_line(path, command));
  if (!command.text.empty())
    text += "\n" + wrapped(command.text, 0, columns);
  text += children_text(command, std::string{path});
  if (command.leaf()) {
    auto options = group(command);
    text += options_text("Options", options.own, columns);
    text += options_text("Options for the vault", options.vault, columns);
    text += options_text("Options for the work", options.node, columns);
    text += options_text("Options of every command", options.global, columns);
  }
  text += command.example.find('\n') == std::string_view::npos ? "\nExample:\n" : "\nExamples:\n";
  for (auto& line : lines_of(command.example))
    text += "  " + line + "\n";
  return text;
}

// -- completion -----------------------------------------------------------------------

std::string completion_script(std::string_view shell) {
  // The program answers one candidate a line; a last line ":files" or ":folders" says
  // that the shell's own completion of names joins in.
  if (shell == "bash")
    return R"(# bash completion of datamesh, made by "datamesh completion bash".
_datamesh() {
  local IFS=$'\n' line current words
  current=${COMP_WORDS[COMP_CWORD]}
  words=("${COMP_WORDS[@]:1:COMP_CWORD}")
  # bash splits at '='; the program sees "--option value".
  local given=() word
  for word in "${words[@]}"; do
    [ "$word" = '=' ] && { word=; [ "$current" = '=' ] && current= && given+=(''); continue; }
    given+=("$word")
  done
  COMPREPLY=()
  while read -r line; do
    case $line in
      :files) compopt -o filenames; COMPREPLY+=($(compgen -f -- "$current")) ;;
      :folders) compopt -o filenames; COMPREPLY+=($(compgen -d -- "$current")) ;;
      */) compopt -o nospace; COMPREPLY+=("$line") ;;
      ?*) COMPREPLY+=("$line") ;;
    esac
  done < <("${COMP_WORDS[0]}" __complete "${given[@]}" 2>/dev/null)
}
complete -F _datamesh datamesh
)";
  if (shell == "zsh")
    return R"(#compdef datamesh
# zsh completion of datamesh, made by "datamesh completion zsh".
_datamesh() {
  local line
  local -a candidates
  for line in "${(@f)$("${words[1]}" __complete "${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
    case $line in
      :files) _files ;;
      :folders) _files -/ ;;
      ?*) candidates+=("$line") ;;
    esac
  done
  (( ${#candidates} )) && compadd -- "${candidates[@]}"
}
if [ "${funcstack[1]}" = _datamesh ]; then
  _datamesh "$@"
else
  compdef _datamesh datamesh
fi
)";
  return R"(# fish completion of datamesh, made by "datamesh completion fish".
function __datamesh_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    for line in ($words[1] __complete $words[2..-1] "$current" 2>/dev/null)
        switch $line
            case :files
                __fish_complete_path "$current"
            case :folders
                __fish_complete_directories "$current"
            case '*'
                echo $line
        end
    end
end
complete -c datamesh -f -a '(__datamesh_complete)'
)";
}

namespace {

void complete_value(value_kind kind, const std::vector<std::string_view>& choices, completion_answer& answer) {
  switch (kind) {
  case value_kind::path:
    answer.files = completion_files::any;
    break;
  case value_kind::folder:
    answer.files = completion_files::folders;
    break;
  case value_kind::choice:
    answer.words.assign(choices.begin(), choices.end());
    break;
  case value_kind::policy:
    answer.words = {"1+1", "2+1", "2+2", "4+2", "8+4", "10+2"};
    break;
  case value_kind::vault_path:
  case value_kind::vault_name:
  case value_kind::drive:
  case value_kind::code:
    answer.dynamic = kind;
    break;
  default:
    break;
  }
}

const option_spec* option_named(const std::vector<const option_spec*>& options, std::string_view word) {
  for (auto* option : options) {
    auto is_long = word.starts_with("--") && word.substr(2) == option->name;
    auto is_short = word.size() == 2 && option->letter != 0 && word[1] == option->letter;
    if (word.starts_with('-') && (is_long || is_short))
      return option;
  }
  return nullptr;
}

} // namespace

completion_answer complete(const std::vector<std::string>& words) {
  completion_answer answer;
  auto* command = &command_tree();
  const option_spec* waiting = nullptr;
  auto only_arguments = false;
  size_t arguments = 0;
  auto current = words.empty() ? std::string{} : words.back();
  for (size_t i = 0; i + 1 < words.size(); ++i) {
    auto& word = words[i];
    if (waiting != nullptr) {
      waiting = nullptr;
    } else if (!only_arguments && word == "--") {
      only_arguments = true;
    } else if (!only_arguments && word.size() > 1 && word.starts_with('-')) {
      auto* option = option_named(options_of(*command), word);
      if (option != nullptr && option->kind != value_kind::flag)
        waiting = option;
    } else if (command->leaf()) {
      ++arguments;
    } else {
      auto child = std::find_if(command->children.begin(), command->children.end(), [&](auto& c) { return c.name == word; });
      if (child == command->children.end())
        return answer;
      command = &*child;
    }
  }
  if (waiting != nullptr) {
    complete_value(waiting->kind, waiting->choices, answer);
  } else if (!only_arguments && current.starts_with('-')) {
    for (auto* option : options_of(*command))
      answer.words.push_back("--" + std::string{option->name});
  } else if (!command->leaf()) {
    for (auto& child : command->children)
      answer.words.emplace_back(child.name);
  } else if (command->name == "help") {
    for (auto& child : command_tree().children)
      answer.words.emplace_back(child.name);
    for (auto& topic : help_topics())
      answer.words.emplace_back(topic.name);
  } else if (auto& specs = command->arguments; !specs.empty()) {
    auto& spec = specs[std::min(arguments, specs.size() - 1)];
    if (arguments < specs.size() || std::any_of(specs.begin(), specs.end(), [](auto& a) { return a.repeated; }))
      complete_value(spec.kind, spec.choices, answer);
  }
  std::erase_if(answer.words, [&](auto& word) { return !word.starts_with(current); });
  return answer;
}

// -- manual pages -----------------------------------------------------------------------

namespace {

/// Text of a page: backslashes and leading dots and quotes mean something to roff.
std::string roff(std::string_view text) {
  std::string result;
  for (auto c : text) {
    if (c == '\\')
      result += "\\e";
    else if (c == '-')
      result += "\\-";
    else
      result += c;
  }
  if (result.starts_with('.') || result.starts_with('\''))
    result.insert(0, "\\&");
  return result;
}

/// Arguments of a macro: quoted, so that no word is taken for a macro.
std::string roff_argument(std::string_view text) {
  std::string result = "\"";
  for (auto c : roff(text)) {
    if (c == '"')
      result += '"';
    result += c;
  }
  return result + "\"";
}

std::string roff_paragraphs(std::string_view text) {
  std::string result;
  for (auto& line : lines_of(text)) {
    if (line.empty()) {
      result += ".Pp\n";
      continue;
    }
    // Each sentence on a line of its own.
    std::string_view rest = line;
    for (;;) {
      auto end = rest.find(". ");
      auto sentence = rest.substr(0, end == std::string_view::npos ? end : end + 1);
      // Escapes make a line longer than it is read; mandoc warns beyond 80 bytes.
      for (auto& part : lines_of(wrapped(sentence, 0, 72)))
        result += roff(part) + "\n";
      if (end == std::string_view::npos)
        break;
      rest.remove_prefix(end + 2);
    }
  }
  return result;
}

std::string roff_options(const std::vector<const option_spec*>& options) {
  std::string result = ".Bl -tag -width Ds\n";
  for (auto* option : options) {
    result += ".It";
    if (option->letter != 0)
      result += fmt::format(" Fl {} ,", option->letter);
    result += fmt::format(" Fl Fl {}", roff(option->name));
    if (option->kind != value_kind::flag)
      result += fmt::format(" Ar {}", roff_argument(option->placeholder));
    result += "\n" + roff_paragraphs(option_sentence(*option));
  }
  return result + ".El\n";
}

std::string roff_example(std::string_view example) {
  std::string result = ".Bd -literal -offset indent\n";
  for (auto& line : lines_of(example))
    result += roff(line) + "\n";
  return result + ".Ed\n";
}

std::string page_head(std::string_view title, std::string_view summary) {
  std::string upper;
  for (auto c : title)
    upper += c == '-' ? '-' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return fmt::format(".Dd January 1, 2026\n.Dt {} 1\n.Os DataMesh\n.Sh NAME\n.Nm {}\n.Nd {}\n", upper, roff(title), roff(summary));
}

std::string program_page() {
  auto& root = command_tree();
  auto text = page_head("datamesh", root.summary);
  text += ".Sh SYNOPSIS\n.Nm datamesh\n.Op Ar OPTION ...\n.Ar COMMAND\n.Op Ar ARGUMENT ...\n";
  text += ".Sh DESCRIPTION\n" + roff_paragraphs(root.text);
  std::string_view section;
  for (auto& child : root.children) {
    if (child.section != section) {
      if (!section.empty())
        text += ".El\n";
      section = child.section;
      text += fmt::format(".Ss {}\n.Bl -tag -width Ds\n", section);
    }
    if (child.leaf())
      text += fmt::format(".It Xr datamesh-{} 1\n{}\n", child.name, roff(child.summary));
    else
      for (auto& below : child.children)
        text += fmt::format(".It Xr datamesh-{}-{} 1\n{}\n", child.name, below.name, roff(below.summary));
  }
  text += ".El\n.Sh OPTIONS\nEvery command takes these.\n";
  text += roff_options(group(root).global);
  for (auto& [topic, heading] : {std::pair{"environment", "ENVIRONMENT"},
                                 {"exit-codes", "EXIT STATUS"},
                                 {"patterns", "PATTERNS"},
                                 {"json", "OUTPUT FOR PROGRAMS"}}) {
    auto found = std::find_if(help_topics().begin(), help_topics().end(), [&, t = topic](auto& x) { return x.name == t; });
    text += fmt::format(".Sh {}\n.Bd -literal\n", heading);
    for (auto& line : lines_of(found->text))
      text += roff(line) + "\n";
    text += ".Ed\n";
  }
  return text + ".Sh EXAMPLES\n" + roff_example(root.example);
}

} // namespace

std::string manual_name(std::string_view path) {
  std::string name = "datamesh";
  if (!path.empty())
    name += "-" + std::string{path};
  std::replace(name.begin(), name.end(), ' ', '-');
  return name + ".1";
}

std::string manual_page(std::string_view path, const command_spec& command) {
  if (path.empty())
    return program_page();
  auto title = manual_name(path);
  title.resize(title.size() - 2);
  auto text = page_head(title, command.summary);
  text += fmt::format(".Sh SYNOPSIS\n.Nm datamesh {}\n.Op Ar OPTION ...\n", path);
  for (auto& argument : command.arguments) {
    auto shown = roff(argument.name) + (argument.repeated ? " ..." : "");
    text += argument.optional ? fmt::format(".Op Ar {}\n", shown) : fmt::format(".Ar {}\n", shown);
  }
  text += ".Sh DESCRIPTION\n";
  text += roff_paragraphs(command.text.empty() ? std::string{command.summary} + "." : std::string{command.text});
  text += ".Sh OPTIONS\n";
  auto options = group(command);
  auto own = options.own;
  own.insert(own.end(), options.vault.begin(), options.vault.end());
  own.insert(own.end(), options.node.begin(), options.node.end());
  if (!own.empty())
    text += roff_options(own);
  text +=
      fmt::format("{}Options of every command, variables and exit codes are described in\n.Xr datamesh 1 .\n", own.empty() ? "" : ".Pp\n");
  return text + ".Sh EXAMPLES\n" + roff_example(command.example) + ".Sh SEE ALSO\n.Xr datamesh 1\n";
}

// -- the page of the documents -----------------------------------------------------------

namespace {

std::string cell(std::string_view text) {
  std::string result;
  for (auto c : text)
    result += c == '|' ? std::string{"\\|"} : std::string(1, c);
  return result;
}

std::string option_rows(const std::vector<const option_spec*>& options) {
  std::string text = "| option | variable | what it does |\n|---|---|---|\n";
  for (auto* option : options) {
    auto forms = fmt::format("`--{}{}`", option->name, option->kind == value_kind::flag ? "" : " " + std::string{option->placeholder});
    if (option->letter != 0)
      forms = fmt::format("`-{}`, ", option->letter) + forms;
    text += fmt::format("| {} | {} | {} |\n", cell(forms), option->name == "help" ? "" : "`" + variable_of(option->name) + "`",
                        cell(option_sentence(*option)));
  }
  return text + "\n";
}

} // namespace

std::string commands_markdown() {
  std::string text = "# Commands\n\nMade from the table of commands by `datamesh-documents`; a test compares the two.\n\n"
                     "| command | what it does |\n|---|---|\n";
  auto anchor = [](std::string path) {
    std::replace(path.begin(), path.end(), ' ', '-');
    return "datamesh-" + path;
  };
  for (auto& [path, command] : leaf_commands())
    text += fmt::format("| [`datamesh {}`](#{}) | {} |\n", path, anchor(path), command->summary);
  text += "\n## Options of every command\n\n" + option_rows(group(command_tree()).global);
  command_spec all = {.name = {}, .summary = {}, .groups = group_node | group_vault};
  text += "## Options for a vault\n\n" + option_rows(group(all).vault);
  text += "## Options for the work\n\n" + option_rows(group(all).node);
  for (auto& [path, command] : leaf_commands()) {
    text += fmt::format("## datamesh {}\n\n{}.\n\n    {}\n\n", path, command->summary, usage_line(path, *command));
    if (!command->text.empty())
      text += std::string{command->text} + "\n\n";
    if (auto own = group(*command).own; !own.empty())
      text += option_rows(own);
    text += "```sh\n" + std::string{command->example} + "\n```\n\n";
  }
  for (auto& topic : help_topics()) {
    text += fmt::format("## {}\n\n", topic.summary);
    for (auto& line : lines_of(topic.text))
      text += line.empty() ? "\n" : "    " + line + "\n";
    text += "\n";
  }
  text.pop_back();
  return text;
}

} // namespace datamesh::cli
