#include "daemon_file.hpp"

#include "datamesh/base/file_system.hpp"

#include "display.hpp"
#include "json_line.hpp"
#include "settings.hpp"
#include "toml.hpp"

#include <fmt/format.h>

#include <algorithm>

#include <grp.h>
#include <sys/stat.h>
#include <unistd.h>

namespace datamesh::cli {

namespace {

constexpr uint64_t config_size_max = 1 << 20;

} // namespace

outcome<std::string> read_daemon_file(const std::string& path) {
  auto raw = read_whole(*system_files(), path, config_size_max);
  if (!raw && raw.error().code() != errc::not_found)
    return refuse(failure{raw.error()});
  return raw ? std::string{as_text(*raw)} : std::string{};
}

std::string daemon_config_file() {
  auto paths = standard_paths(process_variables(), geteuid());
  const auto& file = paths.machine_config_file.empty() ? paths.config_file : paths.machine_config_file;
  return file.substr(0, file.rfind('/')) + "/datameshd.toml";
}

std::string toml_list(const std::vector<std::string>& texts) {
  std::vector<std::string> quoted;
  for (const auto& one : texts)
    quoted.push_back(json_quoted(one));
  return fmt::format("[{}]", fmt::join(quoted, ", "));
}

outcome<std::string> without_mesh(const std::string& text, const std::string& file, bool force, const std::string& again) {
  auto parsed = parse_toml(text, file);
  if (!parsed)
    return refuse(errc::config_invalid, fmt::format("{}, line {}: {}", printable(file), parsed.error().line, parsed.error().what),
                  "datameshd --check-config");
  std::vector<bool> drop(static_cast<size_t>(std::ranges::count(text, '\n')) + 2, false);
  for (const auto& [key, node] : *parsed) {
    if (!key.str().starts_with("mesh_"))
      continue;
    auto where = node.source();
    if (!force)
      return refuse(errc::already_exists, fmt::format("{}, line {}: '{}' is set already", printable(file), where.begin.line, key.str()),
                    again + ", when these settings may go");
    for (auto line = where.begin.line; line <= where.end.line && line < drop.size(); ++line)
      drop[line] = true;
  }
  std::string kept;
  size_t line = 1;
  for (size_t begin = 0; begin < text.size(); ++line) {
    auto end = std::min(text.find('\n', begin), text.size() - 1) + 1;
    if (!drop[line])
      kept += text.substr(begin, end - begin);
    begin = end;
  }
  if (!kept.empty() && kept.back() != '\n')
    kept += '\n';
  return kept;
}

outcome<void> write_daemon_file(const std::string& path, const std::string& text) {
  struct stat before {};
  auto there = ::stat(path.c_str(), &before) == 0;
  const auto* group = there || geteuid() != 0 ? nullptr : ::getgrnam("datamesh");
  auto files = system_files();
  if (auto made = make_folders(*files, parent_path(path), 0755); !made)
    return refuse(failure{made.error()});
  auto mode = there ? before.st_mode & 0777 : group != nullptr ? 0640u : 0600u;
  if (auto written = write_whole(*files, path, as_view(text), mode); !written)
    return refuse(failure{written.error()});
  auto owned = there              ? ::chown(path.c_str(), before.st_uid, before.st_gid)
               : group != nullptr ? ::chown(path.c_str(), geteuid(), group->gr_gid)
                                  : 0;
  if (owned != 0)
    return refuse(failure{from_errno(errno, "let the daemon read", path)});
  return {};
}

} // namespace datamesh::cli
