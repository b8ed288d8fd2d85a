// Reads stretches of packs for one job: the blocks that a stretch covers from the
// shards they lie in, side by side, and where a shard is missing or wrong, the same
// columns of k others, from which it is rebuilt. Every block is checked against the
// pack id before it is used. What is found bad is reported as an event, once.
//
// A drive that is late or hangs is read around in the same way (see read_pace.hpp): what
// comes first is taken, and what comes late is dropped, into memory that nobody reads. A
// read that is not answered by `read_deadline` counts as a missing shard. So a request is
// answered in any case.
#pragma once

#include "base/work_kind.hpp"
#include "storage/job.hpp"
#include "storage/vault_context.hpp"

namespace datamesh::storage {

using pack_reader_actor = caf::typed_actor<
    // A stretch as it is: where its bytes begin in the pack, and the bytes.
    caf::replies_to<v1::ReadStretch>::with<v1::StretchRead, bytes>,
    // Chunks of a stretch, opened into the memory. `damaged` when fewer than k
    // shards are good where it matters.
    caf::replies_to<v1::OpenStretch, memory>::with<v1::StretchRead>,
    // INTERNAL: looks for reads that are late.
    caf::reacts_to<caf::tick_atom>>;

/// A part of *buffer*, which is kept for as long as somebody may write there.
[[nodiscard]] inline memory memory_in(const buffer_pool::buffer& buffer, size_t offset, size_t size) {
  return {std::make_shared<bytes>(buffer.freeze(offset, size)), buffer.span().subspan(offset, size)};
}

/// *job* may be null; events then belong to none.
/// @param work `client`, or `repair`: what that asks of other nodes gives way to clients, and it hedges
///        nothing, since nobody waits
[[nodiscard]] pack_reader_actor spawn_pack_reader(caf::actor_system& sys, std::shared_ptr<vault_context> context,
                                                  std::shared_ptr<storage::job> job, work_kind work = work_kind::client);

} // namespace datamesh::storage
