// The rows of a drive's index over an ordered store: one row a shard, the bytes
// of small shards, tombstones of deletions under way, and one row with the
// format version, the drive's id and state and the totals, rewritten with every
// batch, so that opening costs the same for one shard and for a million. A row for each
// vault counts the shards that were ever stored or removed for it.
// Format: docs/formats/drive.md.
//
// Thread rule: reads from any thread; `write` and `reopen` from one writer thread.
#pragma once

#include "base/lasting_store.hpp"
#include "storage/shard_store.hpp"

#include <map>
#include <mutex>

namespace datamesh::storage {

inline constexpr uint16_t index_format_version = 1;

struct shard_totals {
  uint64_t shard_count = 0;
  uint64_t shard_bytes = 0; ///< Headers and bodies.
};

/// Bytes of a shard with its header, as a file or as a row.
[[nodiscard]] uint64_t stored_length(const geometry& shape) noexcept;

class shard_index {
public:
  /// Changes that become durable together.
  class batch {
  public:
    /// *replaces* tells that the shard has a row already. *content* is header and
    /// body of a shard that lives in the index, empty for one in a file.
    void put(const shard_record& record, bool replaces, std::string_view content);
    /// *tombstone*: its file is still to be unlinked.
    void erase(const shard_record& record, bool tombstone);
    void drop_tombstone(const shard_key& key);
    /// Counts a shard of *vault* that is stored or removed.
    void count_change(const vault_id& vault) {
      ++changed_[vault];
    }
    [[nodiscard]] bool empty() const noexcept {
      return rows_.empty();
    }

  private:
    friend class shard_index;
    write_batch rows_;
    shard_totals added_;
    shard_totals removed_;
    std::map<vault_id, uint64_t> changed_;
  };

  /// Makes the index of a new drive, durably.
  [[nodiscard]] static result<void> create(ordered_store_opener& stores, const std::string& folder, const drive_id& drive);

  /// `not_found` when there is none or one without its first row, `format_newer` when
  /// written by a later version, `store_corrupt` when damaged, and what the opener answers.
  [[nodiscard]] static result<std::unique_ptr<shard_index>> open(std::shared_ptr<ordered_store_opener> stores, std::string folder);

  /// Closes and opens the store after it refused a write, to learn what is in it.
  [[nodiscard]] result<void> reopen();

  /// False after a refused write, and where the file system is read-only or full:
  /// then the index is only read.
  [[nodiscard]] bool writable() const;

  [[nodiscard]] const drive_id& drive() const noexcept {
    return drive_;
  }
  [[nodiscard]] drive_state state() const;
  [[nodiscard]] shard_totals totals() const;
  /// Shards of *vault* that were stored or removed, ever.
  [[nodiscard]] uint64_t changes_of(const vault_id& vault) const;

  [[nodiscard]] result<std::optional<shard_record>> find(const shard_key& key) const;

  /// Header and body of a shard that lives in the index.
  [[nodiscard]] result<std::optional<std::string>> content(const shard_key& key) const;

  /// Up to *limit* rows behind *after*, of packs whose id begins with *first_byte* if given.
  [[nodiscard]] result<std::vector<shard_record>> list(const std::optional<shard_key>& after, size_t limit,
                                                       std::optional<uint8_t> first_byte = std::nullopt) const;

  [[nodiscard]] result<std::vector<shard_key>> tombstones() const;

  /// After an error nothing of *changes* is known to be there or not to be there;
  /// see `reopen`.
  [[nodiscard]] result<void> write(batch changes, durability level);

  /// Who serves the drive; nothing when nobody has said so.
  [[nodiscard]] result<std::optional<drive_owner>> owner() const;
  [[nodiscard]] result<void> write_owner(const drive_owner& owner);

  /// Synced, with all earlier writes.
  [[nodiscard]] result<void> write_state(drive_state next);

  /// What the index answers is durable, also what an earlier process wrote and did not sync.
  [[nodiscard]] result<void> sync();

  [[nodiscard]] result<void> flush();

private:
  shard_index(std::unique_ptr<lasting_store> store, std::string folder);
  [[nodiscard]] result<void> load();

  std::string folder_;
  drive_id drive_;
  std::unique_ptr<lasting_store> store_;
  mutable std::mutex meta_mutex_;
  drive_state state_ = drive_state::ok;
  shard_totals totals_;
  std::map<vault_id, uint64_t> changed_;
};

} // namespace datamesh::storage
