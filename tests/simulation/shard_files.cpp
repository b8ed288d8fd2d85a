#include "tests/simulation/shard_files.hpp"

namespace datamesh::test {

std::vector<shard_file> shard_files(const simulated_files& disk) {
  std::vector<shard_file> found;
  for (const auto& [path, status] : disk.list_all()) {
    if (status.kind != file_kind::regular || path.find("/shards/") == std::string::npos)
      continue;
    auto name = path.substr(path.rfind('/') + 1);
    found.push_back({path, name.substr(0, name.find('.')), status.size});
  }
  return found;
}

} // namespace datamesh::test
