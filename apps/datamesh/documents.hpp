// Texts made from the table of commands: help, shell completion, manual pages, and the
// page of the documents. Pure: the same table gives the same bytes.
#pragma once

#include "command_tree.hpp"

#include <string>

namespace datamesh::cli {

/// What `datamesh help` prints.
[[nodiscard]] std::string overview_text();

/// What `datamesh help PATH` prints, for a command or a group.
[[nodiscard]] std::string command_help(std::string_view path, const command_spec& command, size_t columns = 80);

/// The script for "bash", "zsh" or "fish". It asks the program for candidates.
[[nodiscard]] std::string completion_script(std::string_view shell);

/// The mdoc(7) page of a leaf command or, with an empty path, of the program.
[[nodiscard]] std::string manual_page(std::string_view path, const command_spec& command);
/// "datamesh-drive-add.1"
[[nodiscard]] std::string manual_name(std::string_view path);

/// docs/commands.md.
[[nodiscard]] std::string commands_markdown();

/// What the shell completes itself.
enum class completion_files : uint8_t { none, any, folders };

struct completion_answer {
  std::vector<std::string> words;
  completion_files files = completion_files::none;
  /// What only the node knows, if it is to be asked.
  value_kind dynamic = value_kind::flag;
};

/// Candidates for the last of *words*, which may be empty or begun.
[[nodiscard]] completion_answer complete(const std::vector<std::string>& words);

} // namespace datamesh::cli
