// Closes a gap that RocksDB leaves to a disk which keeps unsynced names in any
// order: it renames a new CURRENT into place when the manifest that it names is
// synced, but that manifest's own name is not.
#pragma once

#include <memory>
#include <string>

namespace rocksdb {
class FileSystem;
class IOStatus;
} // namespace rocksdb

namespace datamesh {

/// Makes the names in a folder durable before a new CURRENT replaces the old one.
[[nodiscard]] std::shared_ptr<rocksdb::FileSystem> careful_files(std::shared_ptr<rocksdb::FileSystem> below);

/// Makes the names in *folder* durable.
[[nodiscard]] rocksdb::IOStatus sync_names(rocksdb::FileSystem& files, const std::string& folder);

} // namespace datamesh
