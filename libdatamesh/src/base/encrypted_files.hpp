// Lays encryption under RocksDB: every file that it writes through this file
// system is one of `file_cipher`'s, the log, the manifest and the options
// included. Names, sizes and times stay visible, and LOCK stays empty.
#pragma once

#include "base/file_cipher.hpp"

namespace rocksdb {
class FileSystem;
} // namespace rocksdb

namespace datamesh {

/// A file that was cut before its header was complete, or whose header is all
/// zeros because a crash took an unsynced write away, reads as empty.
[[nodiscard]] std::shared_ptr<rocksdb::FileSystem> encrypted_files(std::shared_ptr<rocksdb::FileSystem> below,
                                                                   std::shared_ptr<const file_cipher> cipher,
                                                                   std::shared_ptr<random_source> random);

} // namespace datamesh
