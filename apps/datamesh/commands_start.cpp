// node start: the daemon in the place of this program.
#include "display.hpp"
#include "drive_folders.hpp"
#include "session.hpp"

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include <sys/stat.h>
#include <unistd.h>

namespace datamesh::cli {

namespace {

bool is_program(const std::string& path) {
  struct stat found {};
  return ::stat(path.c_str(), &found) == 0 && S_ISREG(found.st_mode) && ::access(path.c_str(), X_OK) == 0;
}

/// The one beside this program, for it is of the same version; else the first on PATH.
std::optional<std::string> find_daemon() {
  constexpr std::string_view name = "/datameshd";
  std::array<char, 4096> own{};
  if (auto length = ::readlink("/proc/self/exe", own.data(), own.size()); length > 0) {
    std::string_view path{own.data(), static_cast<size_t>(length)};
    auto beside = std::string{path.substr(0, path.rfind('/'))} + std::string{name};
    if (is_program(beside))
      return beside;
  }
  auto folders = process_variables()("PATH").value_or("");
  for (size_t from = 0; from <= folders.size();) {
    auto end = std::min(folders.find(':', from), folders.size());
    auto folder = folders.substr(from, end - from);
    from = end + 1;
    // An empty one is the present folder, from which nothing is run by accident.
    if (folder.starts_with('/') && is_program(folder + std::string{name}))
      return folder + std::string{name};
  }
  return std::nullopt;
}

} // namespace

outcome<int> run_node_start(session& s) {
  const auto& home = s.set.text("home");
  if (::access((home + "/drives").c_str(), F_OK) != 0)
    return refuse(errc::no_vault, fmt::format("there is no node in '{}'", printable(home)),
                  "datamesh node init --folder DIR, or datamesh init --drive DIR; or name another home with --home");
  auto program = find_daemon();
  if (!program)
    return refuse(errc::not_found, "datameshd is neither beside this program nor on PATH",
                  "install the package datameshd, and run it again");
  std::vector<std::string> words{*program};
  if (auto file = s.set.text("from"); !file.empty())
    words.insert(words.end(), {"--config", absolute_path(file)});
  s.out.line(json_line{"summary"}.add("dry_run", s.dry_run()).name("program", *program).name("home", home));
  if (s.dry_run()) {
    s.out.print("Would run {}", printable(fmt::format("{}", fmt::join(words, " "))));
    return 0;
  }
  if (std::fflush(stdout) != 0 || ::setenv("DATAMESH_HOME", home.c_str(), 1) != 0)
    return refuse(errc::io_failed, "start datameshd", "");
  std::vector<char*> arguments;
  for (auto& word : words)
    arguments.push_back(word.data());
  arguments.push_back(nullptr);
  ::execv(program->c_str(), arguments.data());
  return refuse(errc::io_failed, fmt::format("datameshd could not be run: {}", std::strerror(errno)),
                fmt::format("see whether {} is whole, or install it again", shell_word(*program)));
}

} // namespace datamesh::cli
