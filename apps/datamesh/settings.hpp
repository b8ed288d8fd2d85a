// What holds for a run: each option's value and where it comes from. The command line
// counts more than a variable, a variable more than the configuration file, that more
// than the default.
#pragma once

#include "command_line.hpp"

#include <functional>
#include <map>
#include <string>
#include <vector>

namespace datamesh::cli {

/// Looks up an environment variable.
using variables = std::function<std::optional<std::string>(const std::string&)>;
[[nodiscard]] variables process_variables();

/// Where things lie on this machine (XDG base directories; /etc and /var/lib for system users who set none).
/// Root has settings of its own like everybody, and a node in /var/lib.
struct machine_paths {
  std::string config_file;         ///< Of the user who runs the program; settings are written there.
  std::string machine_config_file; ///< Read before it, for root; else empty.
  std::string home;                ///< Of the node.
};
/// @param uid of the user who runs the program
[[nodiscard]] machine_paths standard_paths(const variables& env, uint32_t uid);

struct config_entry {
  std::vector<std::string> values;
  uint32_t line = 0;
  std::string file;
};
using config_values = std::map<std::string, config_entry, std::less<>>;

/// Reads TOML. Unknown keys and values of the wrong kind are `errc::config_invalid`
/// with file, line and a suggestion.
[[nodiscard]] outcome<config_values> parse_config(const std::string& text, const std::string& file);

/// *text* with the line that sets *key* replaced, or with a new first line; comments
/// and all else stay. @pre text parses
[[nodiscard]] outcome<std::string> set_in_config(const std::string& text, const std::string& file, const std::string& key,
                                                 const std::string& value);

enum class origin : uint8_t { fallback, config, environment, flag };

struct setting {
  std::vector<std::string> values; ///< Empty when nothing was said and there is no default.
  origin from = origin::fallback;
  std::string where; ///< "config.toml:3", "DATAMESH_HOME", "--home"
};

class settings {
public:
  /// Resolves every option that *line*'s command takes, and those that may stand in a
  /// configuration file.
  static outcome<settings> resolve(const parsed_line& line, const variables& env, const config_values& config);

  [[nodiscard]] bool flag(std::string_view option) const;
  /// The last value, or "".
  [[nodiscard]] std::string text(std::string_view option) const;
  [[nodiscard]] std::vector<std::string> list(std::string_view option) const;
  /// Numbers, sizes and spans (in seconds); 0 when not set.
  [[nodiscard]] uint64_t number(std::string_view option) const;
  /// True when somebody said something about it.
  [[nodiscard]] bool given(std::string_view option) const;

  [[nodiscard]] const std::map<std::string, setting, std::less<>>& all() const noexcept {
    return values_;
  }
  /// What was answered to a question about *option*: as if it had been given.
  void answer(const std::string& option, std::vector<std::string> values);

  /// " (DATAMESH_VAULT says so)" for errors about a value that does not stand on the
  /// command line; else "".
  [[nodiscard]] std::string said_by(std::string_view option) const;

  /// For a default that is known only at run time, as that of `home`.
  void set_fallback(const std::string& option, std::string value);

private:
  std::map<std::string, setting, std::less<>> values_;
};

} // namespace datamesh::cli
