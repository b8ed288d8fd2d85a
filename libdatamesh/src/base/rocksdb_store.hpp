// RocksDB as an ordered store. Settings and why: docs/formats/ordered-store.md.
#pragma once

#include "datamesh/base/ordered_store.hpp"
#include "datamesh/base/random_source.hpp"

#include <functional>

namespace rocksdb {
class Env;
class FileSystem;
} // namespace rocksdb

namespace datamesh {

/// Puts RocksDB's threads and clock beside a file system.
using rocksdb_env_maker = std::function<std::unique_ptr<rocksdb::Env>(std::shared_ptr<rocksdb::FileSystem>)>;

/// Opens RocksDB stores on *files*; `rocksdb_stores()` is this on the machine's
/// own. A snapshot keeps the store open, and locked, until both are gone.
/// @param random for the IVs of encrypted files
/// @param make_env the machine's threads and clock when empty
[[nodiscard]] std::shared_ptr<ordered_store_opener>
rocksdb_stores_on(std::shared_ptr<rocksdb::FileSystem> files, std::shared_ptr<random_source> random, rocksdb_env_maker make_env = {});

} // namespace datamesh
