// What RocksDB's write-ahead logs claim to have been durable.
//
// RocksDB either refuses every record of a log that a crash tore, synced or not,
// or stops at it and silently drops what was acknowledged behind it. So each
// batch of ours carries, as log data, the number of the last change that was
// durable when it was written. Whoever recovers less than a later record
// claims has lost acknowledged rows.
//
// Reads the log format of RocksDB 7 (github.com/facebook/rocksdb/wiki/
// Write-Ahead-Log-File-Format): blocks of 32 KiB, records of CRC, length, type.
#pragma once

#include "datamesh/base/result.hpp"

#include <cstdint>
#include <string>

namespace rocksdb {
class FileSystem;
} // namespace rocksdb

namespace datamesh {

struct log_claims {
  bool damaged = false; ///< Some bytes are no whole record; perhaps only a torn end.
  uint64_t durable = 0; ///< The highest claim of any record.
};

/// The log data of a batch: must be put first.
[[nodiscard]] std::string durable_claim(uint64_t sequence);

/// Reads all logs of the store in *folder*.
[[nodiscard]] result<log_claims> read_log_claims(rocksdb::FileSystem& files, const std::string& folder);

} // namespace datamesh
