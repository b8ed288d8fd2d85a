#include "client_mesh.hpp"

#include "daemon_file.hpp"
#include "drive_folders.hpp"
#include "presets.hpp"
#include "settings.hpp"
#include "toml.hpp"

#include <algorithm>
#include <filesystem>
#include <thread>

#include <unistd.h>

namespace datamesh::cli {

namespace {

constexpr auto looked_again = std::chrono::milliseconds{50};

/// As the daemon takes it.
std::string home_of_settings(const std::string& text, const std::string& file) {
  auto env = process_variables();
  auto parsed = parse_toml(text, file);
  auto said = parsed ? (*parsed)["home"].value<std::string>() : std::nullopt;
  auto set = env("DATAMESH_HOME");
  if (said)
    return *said;
  return set && set->starts_with('/') ? *set : standard_paths(env, geteuid()).home;
}

bool is_same(const std::string& one, const std::string& other) {
  std::error_code failed;
  auto path = std::filesystem::weakly_canonical(one, failed);
  return !failed && path == std::filesystem::weakly_canonical(other, failed) && !failed;
}

/// Whether a daemon with these settings says on the local network that it is there.
bool is_on_lan(const preset& settings) {
  auto is_loopback = [](const std::string& at) {
    return at.starts_with("127.") || at.starts_with("[::1]") || at.starts_with("/ip4/127.") || at.starts_with("/ip6/::1/");
  };
  return settings.lan.value_or(settings.local && !std::ranges::all_of(settings.listen, is_loopback));
}

} // namespace

outcome<std::optional<mesh_options>> client_mesh(const std::string& home) {
  auto path = daemon_config_file();
  auto text = read_daemon_file(path);
  if (!text && text.error().code != errc::permission_denied)
    return refuse(text.error());
  if (!text || !is_same(home_of_settings(*text, path), home))
    return std::optional<mesh_options>{};
  auto settings = mesh_of_settings(*text, path);
  if (!settings)
    return refuse(settings.error());
  if (!*settings || (*settings)->network.empty())
    return std::optional<mesh_options>{};
  mesh_options mesh;
  mesh.network = (*settings)->network;
  mesh.seeds = (*settings)->seeds;
  mesh.local = (*settings)->local;
  mesh.lan = is_on_lan(**settings);
  mesh.members = (*settings)->members;
  return std::optional{std::move(mesh)};
}

std::vector<std::string> await_nodes(const node& of, std::chrono::milliseconds limit, const cancel_token& stop) {
  auto until = std::chrono::steady_clock::now() + limit;
  for (;;) {
    std::vector<std::string> silent;
    for (const auto& drive : of.drives())
      if (is_node_name(drive.folder) && drive.state == "missing")
        silent.push_back(drive.folder);
    if (silent.empty() || stop.cancelled() || std::chrono::steady_clock::now() >= until)
      return silent;
    std::this_thread::sleep_for(looked_again);
  }
}

} // namespace datamesh::cli
