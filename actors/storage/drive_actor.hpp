// One drive: a writer that batches what waits for it, and readers beside it. All
// run on threads of their own, since a disk may take its time.
#pragma once

#include "messages.hpp"
#include "storage/shard_place.hpp"

namespace datamesh::storage {

using drive_writer_actor = caf::typed_actor<
    // Stores shards: the headers, and beside them one body each. Answered after fsync.
    caf::replies_to<v1::StoreShards, slices>::with<v1::Done>,
    // Removes shards; those that are not there are no error.
    caf::replies_to<v1::RemoveShards>::with<v1::Done>,
    // Puts the drive into service, drains or fails it.
    caf::replies_to<v1::SetDriveState>::with<v1::Done>,
    // Removes shard files that a crash left without a row.
    caf::replies_to<v1::SweepDrive>::with<v1::Done>,
    // Brings the index up to date with what lies there for a vault.
    caf::replies_to<v1::RelistDrive>::with<v1::DriveRelisted>,
    // INTERNAL: stores all that came in meanwhile in one go.
    caf::reacts_to<caf::flush_atom>,
    // Writes what its index holds in memory, before it closes.
    caf::replies_to<caf::close_atom>::with<v1::Done>>;

using drive_reader_actor = caf::typed_actor<
    // Fills the memory with whole blocks, each checked against the pack's seal.
    caf::replies_to<v1::ReadBlocks, memory>::with<v1::Done>,
    // Presence and roots, or every block.
    caf::replies_to<v1::CheckShard>::with<v1::Done>>;

/// At most this many store requests wait at a writer.
inline constexpr size_t drive_queue_max = 256;

[[nodiscard]] drive_writer_actor spawn_drive_writer(caf::actor_system& sys, std::shared_ptr<shard_place> store);
[[nodiscard]] drive_reader_actor spawn_drive_reader(caf::actor_system& sys, std::shared_ptr<const shard_place> store);
/// One whose thread gives way to all others that want the disk, by `yield_disk` of *files*.
[[nodiscard]] drive_reader_actor spawn_yielding_drive_reader(caf::actor_system& sys, std::shared_ptr<const shard_place> store,
                                                             std::shared_ptr<file_system> files);

} // namespace datamesh::storage
