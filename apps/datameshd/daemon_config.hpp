// The daemon's settings: /etc/datamesh/datameshd.toml, or below XDG_CONFIG_HOME.
#pragma once

#include "datamesh/mesh.hpp"
#include "drive_guard.hpp"
#include "failure.hpp"
#include "settings.hpp"
#include "webhook_settings.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace datamesh::daemon {

struct daemon_config {
  std::string home;
  std::string socket;
  std::string group = "datamesh";
  uint64_t memory_bytes = 96ull << 20;
  uint64_t threads = 0;
  uint64_t compression = 2;
  uint64_t connections = 32;
  bool scrub = true;
  std::vector<std::string> notify; ///< A program and its arguments; gets events on stdin.
  webhook_settings webhook;
  drive_limits drives;
  mesh_options mesh; ///< In none when its network is empty.

  friend bool operator==(const daemon_config&, const daemon_config&) = default;
};

/// Folders and socket that hold when the file says nothing.
[[nodiscard]] daemon_config standard_config(const cli::variables& env, uint32_t uid);
[[nodiscard]] std::string standard_config_file(const cli::variables& env, uint32_t uid);

/// Reads TOML over *standard*. Unknown keys, and values of the wrong type or out of
/// bounds, are `config_invalid` with file, line and a suggestion.
[[nodiscard]] cli::outcome<daemon_config> read_config(const std::string& text, const std::string& file, daemon_config standard);

/// Names of settings that differ and that only a restart changes.
[[nodiscard]] std::vector<std::string> need_restart(const daemon_config& old, const daemon_config& next);

} // namespace datamesh::daemon
