// The small ordered store: a map in memory, a log of batches and a written-out
// state, on whatever file system it is given. Does the same calls in the same
// order each time, so the simulator can replay it; tests use it where RocksDB's
// background threads would be in the way. Formats: docs/formats/simple-store.md.
//
// Everything lives in memory: meant for up to some 10^5 rows. A snapshot costs
// nothing; it stays readable after the store is closed.
#pragma once

#include "datamesh/base/file_system.hpp"
#include "datamesh/base/ordered_store.hpp"
#include "datamesh/base/random_source.hpp"

namespace datamesh {

/// Opens small stores on *files*.
/// @param random for the IVs of encrypted files; may be null without encryption
[[nodiscard]] std::shared_ptr<ordered_store_opener> simple_stores(std::shared_ptr<file_system> files,
                                                                  std::shared_ptr<random_source> random = nullptr);

} // namespace datamesh
