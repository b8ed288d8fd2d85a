// The shards that lie as files on the drives of a simulated disk.
#pragma once

#include "tests/support/simulated_files.hpp"

namespace datamesh::test {

struct shard_file {
  std::string path;
  std::string pack; ///< Its id as the file's name has it.
  uint64_t size = 0;
};

/// Sorted by path.
[[nodiscard]] std::vector<shard_file> shard_files(const simulated_files& disk);

} // namespace datamesh::test
