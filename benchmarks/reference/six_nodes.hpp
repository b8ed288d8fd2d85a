// A put and a get by way of six nodes on this machine's loopback address, each with a drive of its own, from a
// node that has none.
#pragma once

#include "datamesh/base/result.hpp"

#include <string>
#include <utility>

namespace datamesh::reference {

/// Seconds that storing *source* and fetching it again took, at 4+2; homes, drives and what is fetched lie below *folder*.
[[nodiscard]] result<std::pair<double, double>> store_and_fetch_by_nodes(const std::string& folder, const std::string& source);

} // namespace datamesh::reference
