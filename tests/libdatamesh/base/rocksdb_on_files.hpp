// RocksDB on one of our file systems, so that it can run on the simulated disk.
#pragma once

#include "datamesh/base/file_system.hpp"
#include "datamesh/base/ordered_store.hpp"
#include "datamesh/base/random_source.hpp"

namespace datamesh::test {

/// RocksDB stores with all our settings on *files*. Its threads run as ever, but
/// it does not sleep: after a failed flush it would wait for a second.
[[nodiscard]] std::shared_ptr<ordered_store_opener> rocksdb_stores_over(std::shared_ptr<file_system> files,
                                                                        std::shared_ptr<random_source> random);

} // namespace datamesh::test
