// Opens chunks for the readers of ranges and ends: those that lie together in a pack are
// fetched together, and where that fails, one by one. One stretch of a pack at a time.
#pragma once

#include "storage/job.hpp"
#include "storage/vault_context.hpp"

namespace datamesh::storage {

struct opened_chunk {
  bytes plain; ///< Memory of its own.
  uint64_t shards_bad = 0;
  uint64_t reads_hedged = 0;
};

struct load_task {
  std::vector<chunk_location> chunks;
  std::shared_ptr<storage::job> job; ///< Its end ends the load.
  /// Called once for each chunk, on threads of the node.
  std::function<void(const chunk_id&, result<opened_chunk>)> opened;
  std::function<void()> done; ///< Last of all.
};

/// What a load holds: a stretch of a pack, the plain bytes, and a pack for a rebuild.
inline constexpr uint64_t load_memory = 2 * segment_size + pack_buffer_size;

/// Waits for memory first.
void start_load(std::shared_ptr<vault_context> context, load_task task);
/// Has its memory.
void start_load(std::shared_ptr<vault_context> context, load_task task, memory_budget::reservation memory);

} // namespace datamesh::storage
