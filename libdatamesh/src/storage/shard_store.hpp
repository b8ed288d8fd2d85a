// The shards of one drive: a folder with a marker file, an id and its own index.
// It holds no key and no name, so it serves while every vault is locked, and a
// drive moves to another machine whole. Layout: docs/formats/drive.md.
//
//   <folder>/datamesh-drive      marker: format version and drive id
//   <folder>/index/              ordered store: one row a shard; small shards inside it
//   <folder>/shards/ab/<pack id>.<index>   ab = first byte of the pack id
//
// Write discipline of `store`: unnamed file, write, fdatasync, link, fsync of the
// folder, index row (synced), answer. One call shares folder syncs and the index
// sync between all its shards. Delete: the row becomes a tombstone (synced),
// unlink, fsync of the folder, row dropped. A failed sync fails the drive for good:
// every further write answers `drive_failed`.
//
// Thread rule: `store`, `remove`, `set_state`, `sweep`, `flush` from one writer thread;
// all const members from any thread meanwhile.
#pragma once

#include "datamesh/base/environment.hpp"
#include "storage/shard.hpp"

#include <atomic>
#include <memory>
#include <string>

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

struct shard_store_options {
  std::string folder;
  /// Shards are refused with `drive_full` when less than this would stay free:
  /// the larger of the two. Room for deletes, for the index to compact, and half of
  /// it for `room_for::upkeep`.
  uint64_t reserve_bytes = 64ull << 20;
  double reserve_ratio = 0.02;
  /// Writes shard files past the page cache where the file system can.
  bool direct_io = true;
  /// Who serves the drive. To a node that is not the one that has it, and has not taken it over
  /// later, it is refused as `drive_alien`. Zero: nobody is asked.
  drive_owner owner{};
  /// Whoever has it: from now on, see `claim`, it is this node's.
  bool take_over = false;
};

class shard_store {
public:
  /// Makes a drive of *folder* (created when missing; must be empty or hold
  /// nothing of a drive). `already_exists` when it is one already.
  [[nodiscard]] static result<drive_id> format(const environment& env, const std::string& folder);

  /// The id in a folder's marker. `drive_missing` when the folder is not there,
  /// `drive_alien` when it is no drive, `format_newer` when from a later version.
  [[nodiscard]] static result<drive_id> identify(file_system& files, const std::string& folder);

  /// `locked` when open elsewhere. Finishes deletions that a crash interrupted. On a
  /// file system that is read-only or full the drive opens, too, and is read.
  [[nodiscard]] static result<std::unique_ptr<shard_store>> open(const environment& env, shard_store_options options);

  ~shard_store();

  [[nodiscard]] const drive_id& id() const noexcept;
  [[nodiscard]] const std::string& folder() const noexcept;
  [[nodiscard]] drive_state state() const noexcept;

  /// Stores all of *writes* or none that counts: after an error no index row of
  /// this call exists. Storing a shard that is there already succeeds (its bytes
  /// are equal by construction) unless the stored one is damaged, which it replaces.
  /// `drive_full` (nothing written), `read_only`, `drive_failed`.
  [[nodiscard]] result<void> store(std::span<const shard_write> writes);

  /// Removes shards of *vault*, or of nobody; those that are not there are no error.
  [[nodiscard]] result<void> remove(std::span<const shard_key> keys, const vault_id& vault = {});

  /// Persists the state. `failed` is also entered by a failing sync, and then never
  /// left (`drive_failed`), not even when the drive is opened again.
  [[nodiscard]] result<void> set_state(drive_state next);

  /// Removes shard files that have no row (a crash between link and row) and are
  /// older than *grace_ns*; answers how many.
  [[nodiscard]] result<uint64_t> sweep(int64_t grace_ns);

  [[nodiscard]] result<shard_header> read_header(const shard_key& key) const;

  /// Reads body bytes [offset, offset + out.size()) without checking them.
  /// `shard_missing` when there is no such shard.
  [[nodiscard]] result<void> read(const shard_key& key, uint32_t offset, byte_span out) const;

  /// Reads blocks [first_block, ...] that cover *out* and checks each against the
  /// header. *out* begins at a block border and ends at one or at the shard's end.
  [[nodiscard]] result<void> read_checked(const shard_header& header, uint32_t first_block, byte_span out) const;

  [[nodiscard]] result<std::optional<shard_record>> find(const shard_key& key) const;

  /// Presence and roots: the row, the file's length and the header agree.
  [[nodiscard]] result<void> check_quick(const shard_key& key) const;

  /// Every block of the shard. `shard_missing`, `shard_damaged` or fine.
  [[nodiscard]] result<void> check_deep(const shard_key& key) const;

  /// Up to *limit* rows behind *after* (or from the start), in order of key.
  [[nodiscard]] result<std::vector<shard_record>> list(const std::optional<shard_key>& after, size_t limit) const;

  [[nodiscard]] result<drive_usage> usage() const;

  /// This node's, as it is to be given when the drive is opened the next time.
  [[nodiscard]] uint64_t term() const noexcept;
  /// Writes down who has the drive, after it was opened to be taken over. A drive that takes no
  /// writes is told when it does. @pre nothing is stored or removed yet
  [[nodiscard]] result<void> claim();

  /// How many shards of *vault* were ever stored here, and removed. Who knew the number when it
  /// last looked, and finds another, knows that somebody wrote meanwhile.
  [[nodiscard]] uint64_t shards_changed(const vault_id& vault) const;

  /// False where the folder is no more that of this drive: an empty mount point, or another
  /// disk. A look at the file system.
  [[nodiscard]] bool is_in_place() const;

  /// Brings the index into the state in which it opens fastest.
  [[nodiscard]] result<void> flush();

private:
  shard_store();
  struct impl;
  std::unique_ptr<impl> impl_;
};

} // namespace datamesh::storage
