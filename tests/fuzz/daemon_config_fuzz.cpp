// The configuration file of the daemon.
#include "daemon_config.hpp"
#include "fuzz.hpp"
#include "network/mesh_settings.hpp"

using namespace datamesh;

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string text{as_text(fuzz::view(data, size))};
  auto standard = daemon::standard_config([](const std::string&) { return std::nullopt; }, 1000);
  auto read = daemon::read_config(text, "datameshd.toml", standard);
  if (!read) {
    fuzz::require(!read.error().what.empty(), "a refusal says why");
    return 0;
  }
  fuzz::require(read->home.starts_with('/') && read->socket.starts_with('/'), "paths are absolute");
  fuzz::require(read->memory_bytes >= 40 << 20 && read->threads <= 1024 && read->compression <= 19, "numbers are within bounds");
  fuzz::require(read->connections >= 1 && read->connections <= 1024, "there is a connection");
  fuzz::require(read->notify.empty() || read->notify.front().starts_with('/'), "a hook is named by its path");
  fuzz::require(read->mesh.network.empty() || network::read_mesh_options(read->mesh), "a mesh comes about");
  fuzz::require(daemon::need_restart(*read, *read).empty(), "what is the same needs no restart");
  return 0;
}
