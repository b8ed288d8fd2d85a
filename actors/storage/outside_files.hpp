// The source and the target of a job, so that its `outside_watch` knows when it waits for
// them. What takes long while it goes on is done in parts, of which each counts.
#pragma once

#include "datamesh/base/file_system.hpp"
#include "datamesh/node.hpp"
#include "storage/outside_watch.hpp"

namespace datamesh::storage {

[[nodiscard]] std::shared_ptr<file_system> watched(std::shared_ptr<file_system> files, std::shared_ptr<outside_watch> by,
                                                   outside_watch::side whom);
[[nodiscard]] std::shared_ptr<source> watched(std::shared_ptr<source> from, std::shared_ptr<outside_watch> by);
[[nodiscard]] std::shared_ptr<sink> watched(std::shared_ptr<sink> to, std::shared_ptr<outside_watch> by);

} // namespace datamesh::storage
