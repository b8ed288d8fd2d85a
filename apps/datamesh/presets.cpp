#include "presets.hpp"

#include "datamesh/base/file_system.hpp"

#include "daemon_file.hpp"
#include "display.hpp"
#include "json_line.hpp"
#include "toml.hpp"
#include "units.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace datamesh::cli {

namespace {

constexpr size_t name_max = 64;
constexpr std::string_view file_end = ".toml";

const std::vector<preset>& built_in() {
  static const std::vector<preset> all{
      {.name = "local",
       .summary = "one house: nodes find each other on the local network",
       .built_in = true,
       .listen = {"0.0.0.0:7000"},
       .local = true,
       .lan = true},
      {.name = "home",
       .summary = "nodes anywhere, of which this one is behind a router that is asked for a port",
       .built_in = true,
       .needs_seeds = true,
       .listen = {"0.0.0.0:7000"},
       .lan = false,
       .map_port = true},
      {.name = "public",
       .summary = "nodes anywhere, which are reached from everywhere and know seeds",
       .built_in = true,
       .needs_seeds = true,
       .listen = {"0.0.0.0:7000", "[::]:7000"},
       .lan = false},
      {.name = "test",
       .summary = "this machine alone, by its loopback address",
       .built_in = true,
       .listen = {"127.0.0.1:7000"},
       .local = true,
       .lan = false},
  };
  return all;
}

std::string presets_folder() {
  return parent_path(daemon_config_file()) + "/presets";
}

outcome<void> check_name(const std::string& name) {
  auto is_good = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
  };
  if (name.empty() || name.size() > name_max || name.front() == '.' || !std::ranges::all_of(name, is_good))
    return refuse(errc::name_invalid, fmt::format("'{}' can not be the name of a preset", printable(name)),
                  "use 1 to 64 letters, digits, '.', '_' or '-', and not a dot first");
  return {};
}

const preset* find_built_in(const std::string& name) {
  auto found = std::ranges::find(built_in(), name, &preset::name);
  return found == built_in().end() ? nullptr : &*found;
}

/// Whether the value is what the daemon takes under that key.
bool take(preset& to, std::string_view key, const toml::node& node) {
  auto text = node.value_exact<std::string>();
  auto yes = node.value_exact<bool>();
  auto texts = [&](std::vector<std::string>& into) {
    const auto* list = node.as_array();
    if (list == nullptr)
      return false;
    for (const auto& one : *list)
      if (auto each = one.value_exact<std::string>())
        into.push_back(*each);
      else
        return false;
    return true;
  };
  if (key == "mesh_listen")
    return texts(to.listen);
  if (key == "mesh_announce")
    return texts(to.announce);
  if (key == "mesh_seeds")
    return texts(to.seeds);
  if (key == "mesh_local")
    return (to.local = yes.value_or(false), yes.has_value());
  if (key == "mesh_lan")
    return (to.lan = yes, yes.has_value());
  if (key == "mesh_map_port")
    return (to.map_port = yes.value_or(false), yes.has_value());
  if (key == "mesh_relay") {
    auto number = node.value_exact<int64_t>();
    auto rate = text ? parse_size(*text) : number && *number >= 0 ? std::optional<uint64_t>{*number} : std::nullopt;
    return (to.relay = rate.value_or(0), rate.has_value());
  }
  if (key == "mesh_network")
    return (to.network = text.value_or(""), text.has_value());
  if (key == "mesh_members")
    return (to.members = text.value_or(""), text.has_value());
  return false;
}

outcome<preset> read_preset(const std::string& name) {
  auto path = preset_file(name);
  if (auto there = system_files()->status(path); !there && there.error().code() == errc::not_found)
    return refuse(errc::not_found, fmt::format("there is no preset '{}'", name), "datamesh preset list");
  auto text = read_daemon_file(path);
  if (!text)
    return refuse(text.error());
  auto read = mesh_of_settings(*text, path);
  if (!read)
    return refuse(read.error());
  auto found = read->value_or(preset{});
  found.name = name;
  found.summary = "saved here";
  return found;
}

} // namespace

std::string preset::lines() const {
  std::string all;
  auto add_list = [&](const char* key, const std::vector<std::string>& texts) {
    if (!texts.empty())
      all += fmt::format("{} = {}\n", key, toml_list(texts));
  };
  if (!network.empty())
    all += fmt::format("mesh_network = {}\n", json_quoted(network));
  add_list("mesh_listen", listen);
  add_list("mesh_announce", announce);
  add_list("mesh_seeds", seeds);
  all += fmt::format("mesh_local = {}\n", local);
  if (lan)
    all += fmt::format("mesh_lan = {}\n", *lan);
  if (map_port)
    all += "mesh_map_port = true\n";
  if (relay > 0)
    all += fmt::format("mesh_relay = {}\n", relay);
  if (!members.empty())
    all += fmt::format("mesh_members = {}\n", json_quoted(members));
  return all;
}

outcome<std::optional<preset>> mesh_of_settings(const std::string& text, const std::string& file) {
  auto wrong = [&](uint32_t line, const std::string& what) {
    return refuse(errc::config_invalid, fmt::format("{}, line {}: {}", printable(file), line, what), "mend that line");
  };
  auto parsed = parse_toml(text, file);
  if (!parsed)
    return wrong(parsed.error().line, parsed.error().what);
  std::optional<preset> found;
  for (const auto& [key, node] : *parsed) {
    if (!key.str().starts_with("mesh_"))
      continue;
    if (!found)
      found.emplace();
    if (!take(*found, key.str(), node))
      return wrong(node.source().begin.line,
                   fmt::format("'{}' is no setting of a mesh, or has a wrong value", printable(std::string{key.str()})));
  }
  return found;
}

std::string preset_file(const std::string& name) {
  return presets_folder() + "/" + name + std::string{file_end};
}

outcome<preset> find_preset(const std::string& name) {
  if (const auto* found = find_built_in(name))
    return *found;
  if (auto good = check_name(name); !good)
    return refuse(good.error());
  return read_preset(name);
}

outcome<std::vector<preset>> all_presets() {
  auto all = built_in();
  auto there = system_files()->list(presets_folder());
  if (!there && there.error().code() != errc::not_found)
    return refuse(failure{there.error()});
  std::vector<std::string> names;
  if (there)
    for (const auto& one : *there)
      if (one.name.size() > file_end.size() && one.name.ends_with(file_end))
        if (auto name = one.name.substr(0, one.name.size() - file_end.size()); check_name(name) && find_built_in(name) == nullptr)
          names.push_back(name);
  std::ranges::sort(names);
  for (const auto& name : names) {
    auto one = read_preset(name);
    if (!one)
      return refuse(one.error());
    all.push_back(std::move(*one));
  }
  return all;
}

outcome<void> save_preset(const preset& what, bool force) {
  if (auto good = check_name(what.name); !good)
    return refuse(good.error());
  if (find_built_in(what.name) != nullptr)
    return refuse(errc::already_exists, fmt::format("the preset '{}' comes with the program", what.name), "use another name");
  auto files = system_files();
  auto path = preset_file(what.name);
  if (!force && files->status(path))
    return refuse(errc::already_exists, fmt::format("there is a preset '{}' already", what.name),
                  "run it again with --force, or use another name");
  if (auto made = make_folders(*files, parent_path(path), 0700); !made)
    return refuse(failure{made.error()});
  // Who knows an open mesh is let in.
  if (auto written = write_whole(*files, path, as_view(what.lines()), 0600); !written)
    return refuse(failure{written.error()});
  return {};
}

outcome<void> remove_preset(const std::string& name, bool dry_run) {
  if (find_built_in(name) != nullptr)
    return refuse(errc::invalid_argument, fmt::format("the preset '{}' comes with the program", name), "datamesh preset list");
  if (auto good = check_name(name); !good)
    return refuse(good.error());
  auto files = system_files();
  auto path = preset_file(name);
  if (auto there = files->status(path); !there)
    return there.error().code() == errc::not_found
               ? refuse(errc::not_found, fmt::format("there is no preset '{}'", name), "datamesh preset list")
               : refuse(failure{there.error()});
  if (dry_run)
    return {};
  if (auto gone = files->remove(path); !gone)
    return refuse(failure{gone.error()});
  return {};
}

} // namespace datamesh::cli
