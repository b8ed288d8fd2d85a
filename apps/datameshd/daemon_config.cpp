#include "daemon_config.hpp"

#include "command_line.hpp"
#include "display.hpp"
#include "network/mesh_settings.hpp"
#include "toml.hpp"
#include "units.hpp"

#include <fmt/format.h>

#include <array>

namespace datamesh::daemon {

namespace {

const std::vector<std::string_view> keys{"home",
                                         "socket",
                                         "group",
                                         "memory",
                                         "threads",
                                         "compression",
                                         "connections",
                                         "scrub",
                                         "notify",
                                         "webhook",
                                         "webhook_token_file",
                                         "webhook_ca_file",
                                         "drive_check",
                                         "drive_low",
                                         "drive_full",
                                         "mesh_network",
                                         "mesh_listen",
                                         "mesh_announce",
                                         "mesh_seeds",
                                         "mesh_local",
                                         "mesh_lan",
                                         "mesh_map_port",
                                         "mesh_relay",
                                         "mesh_members"};

std::string wrong(const std::string& key, const char* due) {
  return fmt::format("'{}' must be {}", key, due);
}

std::string read_path(const std::string& key, const toml::node& node, std::string& to) {
  auto text = node.value_exact<std::string>();
  if (!text || !text->starts_with('/'))
    return wrong(key, "an absolute path in quotes");
  to = *text;
  return {};
}

std::string read_number(const std::string& key, const toml::node& node, int64_t least, int64_t most, uint64_t& to) {
  auto number = node.value_exact<int64_t>();
  if (!number || *number < least || *number > most)
    return fmt::format("'{}' must be a number from {} to {}", key, least, most);
  to = static_cast<uint64_t>(*number);
  return {};
}

std::string read_size(const std::string& key, const toml::node& node, uint64_t& to) {
  auto number = node.value_exact<int64_t>();
  auto text = node.value_exact<std::string>();
  auto size = text ? cli::parse_size(*text) : number && *number > 0 ? std::optional<uint64_t>{*number} : std::nullopt;
  if (!size || *size < cli::memory_least)
    return wrong(key, "a size of at least 40 MiB, as in \"96MiB\"");
  to = *size;
  return {};
}

std::string read_span(const std::string& key, const toml::node& node, uint64_t& to) {
  constexpr uint64_t day = 86'400;
  auto text = node.value_exact<std::string>();
  auto seconds = text ? cli::parse_span(*text) : std::nullopt;
  if (!seconds || *seconds < 1 || *seconds > day)
    return wrong(key, "a time of at least a second and at most a day, as in \"5m\"");
  to = *seconds;
  return {};
}

std::string read_words(const std::string& key, const toml::node& node, std::vector<std::string>& to) {
  to.clear();
  if (auto* list = node.as_array())
    for (auto& word : *list)
      if (auto text = word.value_exact<std::string>(); text && text->find('\0') == std::string::npos)
        to.push_back(*text);
      else
        return wrong(key, "a list of texts");
  else
    return wrong(key, "a list: a program and its arguments");
  if (!to.empty() && !to.front().starts_with('/'))
    return wrong(key, "a program by its absolute path, then its arguments");
  return {};
}

std::string read_addresses(const std::string& key, const toml::node& node, std::vector<std::string>& to) {
  to.clear();
  auto* list = node.as_array();
  if (list == nullptr)
    return wrong(key, "a list of addresses, as in [\"192.0.2.7:4433\"]");
  for (auto& one : *list) {
    auto text = one.value_exact<std::string>();
    if (!text)
      return wrong(key, "a list of texts");
    to.push_back(*text);
  }
  return {};
}

std::string read_mesh(const std::string& key, const toml::node& node, mesh_options& to) {
  if (key == "mesh_listen")
    return read_addresses(key, node, to.listen);
  if (key == "mesh_announce")
    return read_addresses(key, node, to.announce);
  if (key == "mesh_seeds")
    return read_addresses(key, node, to.seeds);
  if (key == "mesh_members")
    return read_path(key, node, to.members);
  if (key == "mesh_local") {
    auto yes = node.value_exact<bool>();
    to.local = yes.value_or(false);
    return yes ? "" : wrong(key, "true or false");
  }
  if (key == "mesh_map_port") {
    auto yes = node.value_exact<bool>();
    to.map_port = yes.value_or(false);
    return yes ? "" : wrong(key, "true or false");
  }
  if (key == "mesh_relay") {
    auto text = node.value_exact<std::string>();
    auto number = node.value_exact<int64_t>();
    auto rate = text ? cli::parse_size(*text) : number && *number >= 0 ? std::optional<uint64_t>{*number} : std::nullopt;
    to.relay = rate.value_or(0);
    return rate ? "" : wrong(key, "so many bytes a second, as in \"1MiB\", or 0");
  }
  if (key == "mesh_lan") {
    to.lan = node.value_exact<bool>();
    return to.lan ? "" : wrong(key, "true or false");
  }
  auto text = node.value_exact<std::string>();
  to.network = text.value_or("");
  return text && !text->empty() ? "" : wrong(key, "the name or the id of a mesh in quotes");
}

/// What is wrong with the value, or nothing.
std::string read_value(const std::string& key, const toml::node& node, daemon_config& to) {
  if (key.starts_with("mesh_"))
    return read_mesh(key, node, to.mesh);
  if (key == "webhook_token_file")
    return read_path(key, node, to.webhook.token_file);
  if (key == "webhook_ca_file")
    return read_path(key, node, to.webhook.ca_file);
  if (key == "drive_check")
    return read_span(key, node, to.drives.every_s);
  if (key == "drive_low")
    return read_number(key, node, 0, 100, to.drives.low_percent);
  if (key == "drive_full")
    return read_number(key, node, 0, 100, to.drives.full_percent);
  if (key == "webhook") {
    to.webhook.url = node.value_exact<std::string>().value_or("");
    return node.is_string() ? "" : wrong(key, "a URL in quotes");
  }
  if (key == "home")
    return read_path(key, node, to.home);
  if (key == "socket")
    return read_path(key, node, to.socket);
  if (key == "memory")
    return read_size(key, node, to.memory_bytes);
  if (key == "threads")
    return read_number(key, node, 0, cli::threads_most, to.threads);
  if (key == "compression")
    return read_number(key, node, 0, cli::compression_most, to.compression);
  if (key == "connections")
    return read_number(key, node, 1, 1024, to.connections);
  if (key == "notify")
    return read_words(key, node, to.notify);
  if (key == "scrub") {
    auto yes = node.value_exact<bool>();
    to.scrub = yes.value_or(true);
    return yes ? "" : wrong(key, "true or false");
  }
  auto text = node.value_exact<std::string>();
  to.group = text.value_or("");
  return text ? "" : wrong(key, "the name of a group in quotes");
}

tl::unexpected<cli::failure> refuse_at(const std::string& file, uint32_t line, const std::string& what) {
  return cli::refuse(errc::config_invalid, fmt::format("{}, line {}: {}", cli::printable(file), line, what), "datameshd --check-config");
}

} // namespace

namespace {

/// The settings of the mesh are right each by itself; whether they are together.
cli::outcome<void> check_mesh(const toml::table& parsed, const std::string& file, const mesh_options& mesh) {
  auto refuse_key = [&](const char* key, const std::string& why) {
    const auto* node = parsed.get(key);
    return refuse_at(file, node != nullptr ? node->source().begin.line : 1, why);
  };
  if (!parsed.contains("mesh_network")) {
    for (const auto* key :
         {"mesh_listen", "mesh_announce", "mesh_seeds", "mesh_local", "mesh_lan", "mesh_map_port", "mesh_relay", "mesh_members"})
      if (parsed.contains(key))
        return refuse_key(key, fmt::format("'{}' needs 'mesh_network', which says what mesh it is", key));
    return {};
  }
  auto read = network::read_mesh_options(mesh);
  if (read)
    return {};
  constexpr std::array names{"mesh_network", "mesh_listen", "mesh_announce", "mesh_seeds", "mesh_map_port", "mesh_relay"};
  const auto* key = names[static_cast<size_t>(read.error().where)];
  const auto& why = read.error().reason;
  return refuse_key(key, fmt::format("'{}': {}", key, why.object().empty() ? why.message() : why.object()));
}

} // namespace

daemon_config standard_config(const cli::variables& env, uint32_t uid) {
  daemon_config result;
  auto home = env("DATAMESH_HOME");
  result.home = home && home->starts_with('/') ? *home : cli::standard_paths(env, uid).home;
  auto run = env("XDG_RUNTIME_DIR");
  result.socket = (run && run->starts_with('/') ? *run : "/run") + "/datamesh/control.sock";
  return result;
}

std::string standard_config_file(const cli::variables& env, uint32_t uid) {
  auto paths = cli::standard_paths(env, uid);
  const auto& file = paths.machine_config_file.empty() ? paths.config_file : paths.machine_config_file;
  return file.substr(0, file.rfind('/')) + "/datameshd.toml";
}

cli::outcome<daemon_config> read_config(const std::string& text, const std::string& file, daemon_config standard) {
  auto parsed = cli::parse_toml(text, file);
  if (!parsed)
    return refuse_at(file, parsed.error().line, parsed.error().what);
  for (auto& [name, node] : *parsed) {
    std::string key{name.str()};
    auto line = node.source().begin.line;
    if (std::find(keys.begin(), keys.end(), key) == keys.end()) {
      auto near = cli::nearest(key, keys);
      return refuse_at(file, line, fmt::format("unknown key '{}'{}", cli::printable(key), near ? "; did you mean '" + *near + "'?" : ""));
    }
    if (auto why = read_value(key, node, standard); !why.empty())
      return refuse_at(file, line, why);
  }
  if (auto why = what_is_wrong(standard.webhook); !why.empty())
    return refuse_at(file, (*parsed)["webhook"].node()->source().begin.line, why);
  if (auto good = check_mesh(*parsed, file, standard.mesh); !good)
    return cli::refuse(good.error());
  return standard;
}

std::vector<std::string> need_restart(const daemon_config& old, const daemon_config& next) {
  std::vector<std::string> names;
  auto compare = [&](const char* name, bool same) {
    if (!same)
      names.emplace_back(name);
  };
  compare("home", old.home == next.home);
  compare("socket", old.socket == next.socket);
  compare("group", old.group == next.group);
  compare("memory", old.memory_bytes == next.memory_bytes);
  compare("threads", old.threads == next.threads);
  compare("compression", old.compression == next.compression);
  compare("connections", old.connections == next.connections);
  compare("scrub", old.scrub == next.scrub);
  compare("mesh_network", old.mesh.network == next.mesh.network);
  compare("mesh_listen", old.mesh.listen == next.mesh.listen);
  compare("mesh_announce", old.mesh.announce == next.mesh.announce);
  compare("mesh_seeds", old.mesh.seeds == next.mesh.seeds);
  compare("mesh_local", old.mesh.local == next.mesh.local);
  compare("mesh_lan", old.mesh.lan == next.mesh.lan);
  compare("mesh_map_port", old.mesh.map_port == next.mesh.map_port);
  compare("mesh_relay", old.mesh.relay == next.mesh.relay);
  compare("mesh_members", old.mesh.members == next.mesh.members);
  return names;
}

} // namespace datamesh::daemon
