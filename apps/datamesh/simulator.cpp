#include "simulator.hpp"

#include <cerrno>
#include <cstring>
#include <filesystem>

#include <unistd.h>

namespace datamesh::cli {

failure run_simulator(const std::vector<std::string>& words) {
  std::error_code failed;
  auto self = std::filesystem::read_symlink("/proc/self/exe", failed);
  auto program = (self.parent_path() / "datamesh-sim").string();
  std::vector<std::string> given{program};
  given.insert(given.end(), words.begin(), words.end());
  std::vector<char*> arguments;
  for (auto& each : given)
    arguments.push_back(each.data());
  arguments.push_back(nullptr);
  if (!failed)
    execv(program.c_str(), arguments.data());
  auto why = failed ? failed.message() : std::string{std::strerror(errno)};
  return {errc::not_found, "run the simulator " + program + ": " + why,
          "in the source of DataMesh: cmake --build --preset release --target datamesh-sim datamesh-cli; it is not installed"};
}

} // namespace datamesh::cli
