// Which pack holds which chunk. The first place of a chunk in a pack that is not
// condemned is its place; further copies are remembered, so that a pack can go
// without taking the last known place of a chunk with it.
#pragma once

#include "storage/fold.hpp"

namespace datamesh::storage {

/// Adds a pack with its chunks; one that is known keeps its chunks and gets the
/// new placement.
void add_pack(fold& into, const catalog_commit::new_pack& pack);

/// Replaces the record of a pack; one that is not known is passed over.
void place_pack(fold& into, const pack_record& record);

void condemn_pack(fold& into, const pack_id& id);

/// Forgets a pack; chunks of it move on to another copy, or are gone.
void forget_pack(fold& into, const pack_id& id);

/// Fewer than k of its shards were good when a verify last looked.
[[nodiscard]] bool is_lost(const row_source& rows, const pack_id& id);

/// Sorted; see `pack_record`.
[[nodiscard]] std::vector<uint8_t> faulty_shards(const row_source& rows, const pack_id& id);

/// See `catalog::mark_shards`.
void mark_shard(fold& into, const seen_shard& shard, bool faulty);

[[nodiscard]] bool is_condemned(const row_source& rows, const pack_id& id);

[[nodiscard]] std::optional<pack_record> load_pack(const row_source& rows, const pack_id& id);
[[nodiscard]] std::optional<pack_table> load_table(const row_source& rows, const pack_id& id);

/// A place of the chunk in a pack that is neither condemned nor lost; failing that, in
/// any, if *any*.
[[nodiscard]] std::optional<chunk_location> locate(const row_source& rows, const chunk_id& id, bool any);

} // namespace datamesh::storage
