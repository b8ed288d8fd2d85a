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

#include "storage/shard_place.hpp"

#include <atomic>
#include <memory>
#include <string>

namespace datamesh::storage {

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

class shard_store final : public shard_place {
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

  ~shard_store() override;

  [[nodiscard]] const drive_id& id() const noexcept override;
  [[nodiscard]] const std::string& folder() const noexcept override;
  [[nodiscard]] drive_state state() const noexcept override;
  [[nodiscard]] result<void> store(std::span<const shard_write> writes) override;
  [[nodiscard]] result<void> remove(std::span<const shard_key> keys, const vault_id& vault = {}) override;
  [[nodiscard]] result<void> set_state(drive_state next) override;
  [[nodiscard]] result<uint64_t> sweep(int64_t grace_ns) override;
  [[nodiscard]] result<uint64_t> relist(const vault_id&) override {
    return 0;
  }
  [[nodiscard]] result<shard_header> read_header(const shard_key& key) const override;
  /// Reads body bytes [offset, offset + out.size()) without checking them.
  /// `shard_missing` when there is no such shard.
  [[nodiscard]] result<void> read(const shard_key& key, uint32_t offset, byte_span out) const;
  [[nodiscard]] result<void> read_checked(const shard_header& header, uint32_t first_block, byte_span out,
                                          work_kind work = work_kind::client) const override;
  [[nodiscard]] result<std::optional<shard_record>> find(const shard_key& key) const override;
  [[nodiscard]] result<void> check_quick(const shard_key& key) const override;
  [[nodiscard]] result<void> check_deep(const shard_key& key) const override;
  [[nodiscard]] result<std::vector<shard_record>> list(const std::optional<shard_key>& after, size_t limit) const override;
  [[nodiscard]] result<drive_usage> usage() const override;
  [[nodiscard]] uint64_t term() const noexcept override;
  [[nodiscard]] result<void> claim() override;
  [[nodiscard]] uint64_t shards_changed(const vault_id& vault) const override;
  /// A look at the file system.
  [[nodiscard]] bool is_in_place() const override;
  [[nodiscard]] result<void> flush() override;

private:
  shard_store();
  struct impl;
  std::unique_ptr<impl> impl_;
};

} // namespace datamesh::storage
