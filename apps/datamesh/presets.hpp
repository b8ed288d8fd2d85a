// Settings of a mesh under a name: those that come with the program, and files below `presets/` beside the
// daemon's settings.
#pragma once

#include "failure.hpp"

#include <optional>
#include <string>
#include <vector>

namespace datamesh::cli {

struct preset {
  std::string name;
  std::string summary;
  bool built_in = false;
  bool needs_seeds = false;
  // As `mesh_options`, and as they stand in datameshd.toml.
  std::string network{}; ///< Empty: it is for any mesh.
  std::vector<std::string> listen{};
  std::vector<std::string> announce{};
  std::vector<std::string> seeds{};
  bool local = false;
  std::optional<bool> lan{};
  bool map_port = false;
  uint64_t relay = 0;
  std::string members{};

  /// The lines of datameshd.toml.
  [[nodiscard]] std::string lines() const;
};

/// Of the settings of a daemon, what is about its mesh; nothing where there is nothing. `config_invalid`.
[[nodiscard]] outcome<std::optional<preset>> mesh_of_settings(const std::string& text, const std::string& file);

/// `not_found`, and `name_invalid` for what names none.
[[nodiscard]] outcome<preset> find_preset(const std::string& name);
/// In the order of names, those that come with the program first.
[[nodiscard]] outcome<std::vector<preset>> all_presets();
/// `already_exists` unless *force*, or for the name of one that comes with the program.
[[nodiscard]] outcome<void> save_preset(const preset& what, bool force);
[[nodiscard]] outcome<void> remove_preset(const std::string& name, bool dry_run);
[[nodiscard]] std::string preset_file(const std::string& name);

} // namespace datamesh::cli
