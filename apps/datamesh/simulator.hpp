// sim: the simulator of meshes, a program of its own that is built for tests and installed nowhere.
#pragma once

#include "failure.hpp"

#include <string>
#include <vector>

namespace datamesh::cli {

/// Runs `datamesh-sim`, which lies beside this program, in its place. Answers only where that can not be.
[[nodiscard]] failure run_simulator(const std::vector<std::string>& words);

} // namespace datamesh::cli
