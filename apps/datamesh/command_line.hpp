// Reads a command line by the table of commands. Options stand anywhere; `--x=v`,
// `--x v`, `-xv`, `-x v` and grouped `-ab` are understood, `--` ends them; nothing is
// ever guessed from an abbreviation, but a near miss gets a suggestion.
#pragma once

#include "command_tree.hpp"
#include "failure.hpp"

#include <map>
#include <optional>

namespace datamesh::cli {

struct parsed_line {
  const command_spec* command = nullptr; ///< The root or a group when none was named.
  std::string path;                      ///< "drive add"
  /// Values by option; "true" or "false" for a flag.
  std::map<std::string, std::vector<std::string>, std::less<>> options;
  std::vector<std::string> arguments;
};

/// @param words the command line without the program's name
/// `errc::usage` with the sentence to print. A line with `--help` is not checked for
/// missing arguments.
[[nodiscard]] outcome<parsed_line> parse_command_line(const std::vector<std::string>& words);

/// The command that *words* are about as far as they can be read, or what stands in its place.
[[nodiscard]] std::string command_of(const std::vector<std::string>& words);

/// The candidate nearest to *word*, when it is near enough to be meant.
[[nodiscard]] std::optional<std::string> nearest(std::string_view word, const std::vector<std::string_view>& candidates);

/// Checks *value* by the option's kind; answers what is wrong with it, or "".
[[nodiscard]] std::string check_value(value_kind kind, const std::vector<std::string_view>& choices, std::string_view value);

/// The same, and whether it lies within the bounds of *option*.
[[nodiscard]] std::string check_value(const option_spec& option, std::string_view value);

/// "true" or "false" for what a flag may be set to; empty on anything else.
[[nodiscard]] std::optional<bool> parse_switch(std::string_view text);

/// `command [OPTION]... SOURCE... TARGET`
[[nodiscard]] std::string usage_line(std::string_view path, const command_spec& command);

} // namespace datamesh::cli
