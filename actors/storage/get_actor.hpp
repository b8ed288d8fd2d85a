// Carries out one get and ends. Chunks that lie together in a pack are fetched
// together: the shards' blocks they cover are read side by side and checked, what
// is missing or wrong is rebuilt from other shards, the chunks are opened, and the
// sink writes them in order while the next ones are on their way.
//
// A shard that is missing or lies is an event, never a failed get while k good ones
// are left. A file of which a chunk is lost is reported, and all others are written.
#pragma once

#include "storage/job.hpp"
#include "storage/restore_plan.hpp"
#include "storage/vault_context.hpp"

namespace datamesh::storage {

struct get_task {
  std::vector<restore_plan::root> roots;
  byte_range range;
  std::shared_ptr<restore_writer> writer;
  bool resumable = false; ///< Long files are asked for what is there of them.
  std::shared_ptr<storage::job> job;
  completion<get_summary> done;
};

/// The get begins once its memory is reserved, first in, first out.
void start_get(std::shared_ptr<vault_context> context, get_task task);

} // namespace datamesh::storage
