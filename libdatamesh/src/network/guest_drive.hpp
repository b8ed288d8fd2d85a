// What owners on other nodes keep on one drive: their shards, and the index with the tickets of these.
//
// Thread rule: `write` and `drop_shard` from one writer thread, the others from any meanwhile.
#pragma once

#include "base/lasting_store.hpp"
#include "network/guest_rows.hpp"
#include "storage/shard_store.hpp"

#include <memory>
#include <vector>

namespace datamesh::network {

struct guest_drive {
  std::unique_ptr<storage::shard_store> shards;
  std::unique_ptr<lasting_store> rows;

  /// Synced. A sync that fails is never tried again: the drive takes no more writes.
  [[nodiscard]] result<void> write(const write_batch& changes) const;
  [[nodiscard]] result<std::optional<kept_guest>> find(const shard_key& shard, const vault_id& owner) const;
  [[nodiscard]] result<std::optional<std::pair<deletion, clock::wall_time>>> find_deletion(const vault_id& owner,
                                                                                           const pack_id& pack) const;
  [[nodiscard]] result<bool> has_tickets(const shard_key& shard) const;
  [[nodiscard]] result<std::vector<ticket>> siblings(const vault_id& owner, const pack_id& pack) const;
  /// Unless somebody else has a ticket for it.
  [[nodiscard]] result<void> drop_shard(const shard_key& shard) const;
};

/// The index of a drive, which is made where there are no shards yet. `store_corrupt`, `format_newer`, or what the store
/// of rows answers.
[[nodiscard]] result<std::unique_ptr<lasting_store>> open_rows(const environment& env, const storage::shard_store& shards);

} // namespace datamesh::network
