// datameshd.toml as the command line changes it: what begins with `mesh_`, and nothing else.
#pragma once

#include "failure.hpp"

#include <string>
#include <vector>

namespace datamesh::cli {

/// The settings of datameshd, where it looks for them by itself.
[[nodiscard]] std::string daemon_config_file();

/// Empty where there is no such file.
[[nodiscard]] outcome<std::string> read_daemon_file(const std::string& path);

/// *text* without the lines that set what begins with `mesh_`; refused without *force* where there are some.
/// @param again the command with which they may go
[[nodiscard]] outcome<std::string> without_mesh(const std::string& text, const std::string& file, bool force, const std::string& again);

/// As the file that was there, or for the daemon and nobody else: who knows an open mesh is let in.
[[nodiscard]] outcome<void> write_daemon_file(const std::string& path, const std::string& text);

/// `["a", "b"]`; what is JSON is TOML, too.
[[nodiscard]] std::string toml_list(const std::vector<std::string>& texts);

} // namespace datamesh::cli
