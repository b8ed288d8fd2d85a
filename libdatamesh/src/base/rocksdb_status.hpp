// Between our errors and RocksDB's: the only place where either is turned into
// the other.
#pragma once

#include "datamesh/base/error.hpp"

namespace rocksdb {
class IOStatus;
class Status;
} // namespace rocksdb

namespace datamesh {

/// What a failed *status* means to us. @pre `!status.ok()`
[[nodiscard]] error from_rocksdb(const rocksdb::Status& status, std::string attempted, std::string object);

/// What RocksDB shall hear about a failure of a file below it.
[[nodiscard]] rocksdb::IOStatus to_rocksdb(const error& reason);

} // namespace datamesh
