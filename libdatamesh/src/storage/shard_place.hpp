// Where shards of this node's vaults lie: a drive of its own (`shard_store`), or room that another
// node gives them. To all who store, read, check and move shards both are drives.
//
// Thread rule: `store`, `remove`, `set_state`, `sweep`, `relist`, `flush` from one writer thread;
// all const members from any thread meanwhile.
#pragma once

#include "base/work_kind.hpp"
#include "datamesh/audit_report.hpp"
#include "datamesh/base/environment.hpp"
#include "storage/shard.hpp"

namespace datamesh::storage {

/// Kept in the drive's index; numbers are stored.
enum class drive_state : uint8_t { ok = 0, draining = 1, failed = 2 };

struct shard_key {
  pack_id pack;
  uint8_t index = 0;
  friend auto operator<=>(const shard_key&, const shard_key&) = default;
};

/// What is stored: something new, or only what lies here already and is copied so that more
/// can be freed. That may use half of the reserve, or a full drive could not be cleaned.
enum class room_for : uint8_t { data, upkeep };

/// One shard on its way to the drive.
struct shard_write {
  shard_header header;
  bytes body; ///< `shape.shard_length` bytes; aligned memory is written directly.
  room_for what = room_for::data;
  vault_id vault{}; ///< Whose it is, for `shards_changed`; zero for nobody's.
  work_kind work = work_kind::client;
};

/// What the index knows of a shard.
struct shard_record {
  shard_key key;
  geometry shape;
  int64_t stored_ns = 0;
  bool in_index = false; ///< Lies inside the index and not in a file.
};

struct drive_usage {
  uint64_t shard_count = 0;
  uint64_t shard_bytes = 0; ///< Headers and bodies.
  disk_space disk;
  uint64_t reserve = 0;   ///< Bytes of the disk that `store` leaves alone.
  bool read_only = false; ///< The file system takes no writes now.

  /// Bytes that may be stored.
  [[nodiscard]] uint64_t room(room_for what) const noexcept {
    auto kept = what == room_for::upkeep ? reserve / 2 : reserve;
    return !read_only && disk.available > kept ? disk.available - kept : 0;
  }
};

/// A node, and how often the drive had changed hands when it became that node's.
struct drive_owner {
  device_id node;
  uint64_t term = 0;

  friend bool operator==(const drive_owner&, const drive_owner&) = default;
};

class shard_place {
public:
  shard_place() = default;
  virtual ~shard_place() = default;
  shard_place(const shard_place&) = delete;
  shard_place& operator=(const shard_place&) = delete;

  [[nodiscard]] virtual const drive_id& id() const noexcept = 0;
  /// A path, or what stands for one.
  [[nodiscard]] virtual const std::string& folder() const noexcept = 0;
  [[nodiscard]] virtual drive_state state() const noexcept = 0;
  /// How far it is relied upon, up to 1: as much less is placed on it.
  [[nodiscard]] virtual double trust() const {
    return 1;
  }
  /// What it has shown of itself, where it is another node's.
  [[nodiscard]] virtual std::optional<audit_report> audits() const {
    return std::nullopt;
  }

  /// Stores all of *writes* or none that counts: after an error no index row of
  /// this call exists. Storing a shard that is there already succeeds (its bytes
  /// are equal by construction) unless the stored one is damaged, which it replaces.
  /// `drive_full` (nothing written), `read_only`, `drive_failed`.
  [[nodiscard]] virtual result<void> store(std::span<const shard_write> writes) = 0;

  /// Removes shards of *vault*, or of nobody; those that are not there are no error.
  [[nodiscard]] virtual result<void> remove(std::span<const shard_key> keys, const vault_id& vault = {}) = 0;

  /// Persists the state. `failed` is also entered by a failing sync, and then never
  /// left (`drive_failed`), not even when the drive is opened again.
  [[nodiscard]] virtual result<void> set_state(drive_state next) = 0;

  /// Removes shard files that have no row (a crash between link and row) and are
  /// older than *grace_ns*; answers how many.
  [[nodiscard]] virtual result<uint64_t> sweep(int64_t grace_ns) = 0;

  /// Brings the index up to date with what lies here for *vault*, where somebody else keeps it
  /// and the index may be new, or others may have stored; one that lies beside its shards is.
  /// Answers in how many shards it was not.
  [[nodiscard]] virtual result<uint64_t> relist(const vault_id& vault) = 0;

  [[nodiscard]] virtual result<shard_header> read_header(const shard_key& key) const = 0;

  /// Reads blocks [first_block, ...] that cover *out* and checks each against the
  /// header. *out* begins at a block border and ends at one or at the shard's end.
  [[nodiscard]] virtual result<void> read_checked(const shard_header& header, uint32_t first_block, byte_span out,
                                                  work_kind work = work_kind::client) const = 0;

  [[nodiscard]] virtual result<std::optional<shard_record>> find(const shard_key& key) const = 0;

  /// Presence and roots: the row, the file's length and the header agree.
  [[nodiscard]] virtual result<void> check_quick(const shard_key& key) const = 0;

  /// Every block of the shard. `shard_missing`, `shard_damaged` or fine.
  [[nodiscard]] virtual result<void> check_deep(const shard_key& key) const = 0;

  /// Up to *limit* rows behind *after* (or from the start), in order of key.
  [[nodiscard]] virtual result<std::vector<shard_record>> list(const std::optional<shard_key>& after, size_t limit) const = 0;

  [[nodiscard]] virtual result<drive_usage> usage() const = 0;

  /// This node's, as it is to be given when the drive is opened the next time.
  [[nodiscard]] virtual uint64_t term() const noexcept = 0;
  /// Writes down who has the drive, after it was opened to be taken over. A drive that takes no
  /// writes is told when it does. @pre nothing is stored or removed yet
  [[nodiscard]] virtual result<void> claim() = 0;

  /// How many shards of *vault* were ever stored here, and removed. Who knew the number when it
  /// last looked, and finds another, knows that somebody wrote meanwhile.
  [[nodiscard]] virtual uint64_t shards_changed(const vault_id& vault) const = 0;

  /// False where the drive is not to be reached: its folder is an empty mount point or another
  /// disk, or its node does not answer. Returns soon.
  [[nodiscard]] virtual bool is_in_place() const = 0;

  /// Brings the index into the state in which it opens fastest.
  [[nodiscard]] virtual result<void> flush() = 0;
};

} // namespace datamesh::storage
