// A sorted map of byte strings with atomic batches, snapshots and ordered
// iteration: where shard indexes and the catalog live. RocksDB in production, a
// small deterministic one in the simulator; a differential test drives both.
//
// Thread rule: reads and snapshots from any thread; one writer at a time.
#pragma once

#include "datamesh/base/bytes.hpp"
#include "datamesh/base/result.hpp"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace datamesh {

/// Changes that become visible, and durable, all or none.
class write_batch {
public:
  struct change {
    std::string key;
    std::optional<std::string> value; ///< Empty: the key is erased.
  };

  write_batch() = default;
  explicit write_batch(std::vector<change> changes) : changes_(std::move(changes)) {}

  void put(std::string_view key, std::string_view value) {
    changes_.push_back({std::string{key}, std::string{value}});
  }
  void erase(std::string_view key) {
    changes_.push_back({std::string{key}, std::nullopt});
  }
  void clear() noexcept {
    changes_.clear();
  }
  [[nodiscard]] bool empty() const noexcept {
    return changes_.empty();
  }
  /// In the order in which they were made; a later change of a key wins.
  [[nodiscard]] const std::vector<change>& changes() const noexcept {
    return changes_;
  }

private:
  std::vector<change> changes_;
};

enum class durability : uint8_t {
  relaxed, ///< May be lost in a crash, but only together with all later writes.
  synced,  ///< Durable, with all earlier writes, before the call returns.
};

/// Reading side: the live store or a snapshot of it.
class ordered_view {
public:
  virtual ~ordered_view() = default;

  /// The value of *key*, or nothing.
  [[nodiscard]] virtual result<std::optional<std::string>> get(std::string_view key) const = 0;

  /// Calls *visit* with each pair whose key is in [first, last), in ascending
  /// bytewise order, until it answers false. An empty *last* means no bound.
  [[nodiscard]] virtual result<void> scan(std::string_view first, std::string_view last,
                                          const std::function<bool(std::string_view key, std::string_view value)>& visit) const = 0;
};

class ordered_store : public ordered_view {
public:
  /// Applies *batch* atomically. After an error the store refuses every further
  /// write with the same error.
  [[nodiscard]] virtual result<void> write(const write_batch& batch, durability level) = 0;

  /// A frozen view that stays as it is while writes go on. It may outlive the
  /// store, and may then keep it locked: let go of views before opening again.
  [[nodiscard]] virtual std::unique_ptr<ordered_view> snapshot() const = 0;

  /// Reads everything back and checks every checksum. Counts as a write in the
  /// thread rule.
  [[nodiscard]] virtual result<void> check() = 0;

  /// Brings the store into the state in which it opens fastest.
  [[nodiscard]] virtual result<void> flush() = 0;

  /// False once every write is refused: after an error, or when the store was
  /// opened for reading alone. Counts as a write in the thread rule.
  [[nodiscard]] virtual bool writable() const = 0;

  /// Bytes it occupies on disk, about.
  [[nodiscard]] virtual uint64_t disk_bytes() const = 0;
};

struct ordered_store_options {
  std::string folder;
  bool create_if_missing = true;
  /// Where the file system is read-only or full, a store that is there opens for
  /// reading alone: every write answers `read_only` or `no_space`.
  bool or_read_only = false;
  /// When set, every file of the store is encrypted with AES-256-CTR under it.
  std::optional<bytes> encryption_key; ///< 32 bytes.
  /// Memory for write buffers and cache together, in bytes.
  uint64_t memory_bytes = 4 << 20;
};

class ordered_store_opener {
public:
  virtual ~ordered_store_opener() = default;

  /// `not_found` when it is not there and may not be created, `locked` when it
  /// is open already, `store_corrupt` when its files are damaged,
  /// `authentication_failed` when it is encrypted and the key is missing or
  /// another one, `invalid_argument` when a key is given for one that is not.
  /// Creates the folder, but none above it.
  [[nodiscard]] virtual result<std::unique_ptr<ordered_store>> open(const ordered_store_options& options) = 0;

  /// Removes a closed store with all its files. One that is not there is gone
  /// already; `locked` when it is open.
  [[nodiscard]] virtual result<void> destroy(const std::string& folder) = 0;
};

/// Opens RocksDB stores on the machine's own file system.
[[nodiscard]] DATAMESH_EXPORT std::shared_ptr<ordered_store_opener> rocksdb_stores();

/// The key just behind every key that begins with *prefix*; empty when there is none.
[[nodiscard]] DATAMESH_EXPORT std::string prefix_end(std::string_view prefix);

} // namespace datamesh
