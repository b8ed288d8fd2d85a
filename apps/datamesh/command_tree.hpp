// The command line as data: every command with its arguments, options, texts and
// example. The parser, `--help`, shell completion, man pages, the table in the
// documents and the configuration file all read this one table.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace datamesh::cli {

/// What a value is: how it is checked, and what completes it.
enum class value_kind : uint8_t {
  flag,       ///< Takes no value.
  text,       ///< Anything.
  path,       ///< A file or folder of this machine.
  folder,     ///< A folder of this machine.
  size,       ///< "10M", "1.5GiB", "4096".
  number,     ///< A natural number.
  span,       ///< "30d", "12h".
  date,       ///< "2026-01-31", "2026-01-31T12:00:00Z", or a span before now.
  range,      ///< "A-B", "A+LENGTH", "A-".
  policy,     ///< "4+2".
  choice,     ///< One of `option_spec::choices`.
  vault_path, ///< A file or folder of the vault, or a glob over them.
  vault_name, ///< A vault of the node.
  new_name,   ///< What a vault is to be called.
  drive,      ///< A drive of the node: its folder, or the first digits of its id.
  code,       ///< "DM-NO-SPACE".
};

struct option_spec {
  std::string_view name; ///< Without dashes. The variable is DATAMESH_NAME, the key of the configuration `name`.
  char letter = 0;       ///< Short form, or 0.
  value_kind kind = value_kind::flag;
  std::string_view placeholder = {};
  std::string_view text = {};
  std::string_view fallback = {}; ///< What holds when nobody says anything.
  std::vector<std::string_view> choices = {};
  bool repeated = false;  ///< May be given several times; a variable separates by ':'.
  bool in_config = false; ///< May stand in the configuration file.
  uint64_t least = 0;     ///< Of a size or number.
  uint64_t most = UINT64_MAX;
};

// What a node takes; its own checks are the same.
inline constexpr uint64_t memory_least = 40ull << 20;
inline constexpr uint64_t threads_most = 1024;
inline constexpr uint64_t compression_most = 19;

struct argument_spec {
  std::string_view name; ///< As shown: "PATH".
  value_kind kind = value_kind::text;
  bool optional = false;
  bool repeated = false; ///< Only the last but one, or the last.
  std::vector<std::string_view> choices = {};
};

/// Options that several commands share.
enum option_group : uint8_t {
  group_none = 0,
  group_node = 1,  ///< Opens the node: memory, threads, compression.
  group_vault = 2, ///< Opens a vault: which, and with what.
  group_mesh = 4,  ///< Reaches other nodes: where no daemon holds the node, it is a member of its mesh meanwhile.
};

struct command_spec {
  std::string_view name;
  std::string_view summary;      ///< One line without a full stop.
  std::string_view text = {};    ///< Paragraphs, separated by an empty line.
  std::string_view example = {}; ///< One or several command lines.
  std::vector<argument_spec> arguments = {};
  std::vector<option_spec> options = {};
  uint8_t groups = group_none;
  std::vector<command_spec> children = {};
  std::string_view section = {}; ///< Heading in the overview.

  [[nodiscard]] bool leaf() const noexcept {
    return children.empty();
  }
};

/// A text that belongs to no command: `datamesh help exit-codes`.
struct help_topic {
  std::string_view name;
  std::string_view summary;
  std::string text;
};

/// The root, whose children are the commands. Built once; lives for ever.
[[nodiscard]] const command_spec& command_tree();

/// Options that every command takes.
[[nodiscard]] std::span<const option_spec> global_options();
[[nodiscard]] std::span<const option_spec> node_options_table();
[[nodiscard]] std::span<const option_spec> vault_options();

/// All options of *command*: its own, those of its groups, the global ones.
[[nodiscard]] std::vector<const option_spec*> options_of(const command_spec& command);

/// Every leaf with its full name ("drive add"), in the order of the table.
struct named_command {
  std::string path;
  const command_spec* command;
};
[[nodiscard]] std::vector<named_command> leaf_commands();

/// "DATAMESH_PASSWORD_FILE" for "password-file".
[[nodiscard]] std::string variable_of(std::string_view option);

[[nodiscard]] const std::vector<help_topic>& help_topics();

} // namespace datamesh::cli
