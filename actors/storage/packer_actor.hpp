// The intake of a vault under one policy: one open pack, shared by all puts. Takes
// chunks and operations, closes packs, spreads their shards over drives and commits
// them to the catalog.
//
// A pack closes when it is full, when a job flushes and nothing is behind it, or
// 20 ms after the first of several jobs asked for it. A pack that carries operations
// is written only when all packs before it are stored: so whatever operation is found
// on drives, the chunks it names are there, too. When a pack fails, those behind it
// fail with it, and the jobs that have something in them; those before it go on.
#pragma once

#include "storage/catalog_actor.hpp"
#include "storage/codec_actor.hpp"
#include "storage/drive_table.hpp"

namespace datamesh::storage {

using packer_actor = caf::typed_actor<
    // A job begins to use the packer; answers the figures so far.
    caf::replies_to<v1::OpenIntake>::with<v1::PackFigures>,
    // ... and is told from now on where it hangs in the pipeline.
    caf::replies_to<v1::OpenIntake, stage_watch_ref>::with<v1::PackFigures>,
    // A job is done, or gone. Answered when nothing of it is on its way to drives any
    // more and its pins are released: from then on its outcome does not change.
    caf::replies_to<v1::CloseIntake>::with<v1::Done>,
    // Seals what is not known yet into packs; answers with the names of all.
    caf::replies_to<v1::SealChunks, slices>::with<v1::SealedChunks>,
    // Stores chunks that are sealed already.
    caf::replies_to<v1::CopyChunks, slices>::with<v1::Done>,
    // Stores batches of operations that are sealed already.
    caf::replies_to<v1::CopyOperations>::with<v1::PackFigures>,
    // Answered when the operations are durable in a pack.
    caf::replies_to<v1::SubmitOperations>::with<v1::PackFigures>,
    // Answered when all that was submitted before is durable in packs.
    caf::replies_to<v1::FlushPacks>::with<v1::PackFigures>,
    // INTERNAL: the wait for more waiters is over.
    caf::reacts_to<caf::tick_atom>>;

struct packer_context {
  std::shared_ptr<codec_context> codec;
  std::shared_ptr<codec_team> team;
  std::shared_ptr<drive_table> drives;
  std::shared_ptr<catalog> names;
  catalog_actor catalog_writer;
  std::shared_ptr<buffer_pool> pack_pool; ///< Buffers of `pack_size_max` and slack.
  policy how;
  uint64_t intake = 0;  ///< Unique among the packers of a vault.
  size_t packs_max = 2; ///< Open and under way together.
  uint32_t pack_limit = pack_size_max;
};

/// Encoded operations of one pack, at most.
inline constexpr uint32_t operation_bytes_max = 4 << 20;
/// Chunk batches that wait for a worker, at most.
inline constexpr size_t packer_queue_max = 64;

[[nodiscard]] packer_actor spawn_packer(caf::actor_system& sys, packer_context context);

} // namespace datamesh::storage
