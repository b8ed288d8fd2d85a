// Reads what a put stores, on a thread of its own, since files and pipes may block.
#pragma once

#include "messages.hpp"
#include "storage/tree_reader.hpp"

namespace datamesh::storage {

using source_actor = caf::typed_actor<
    // The next pieces, and beside them the bytes of the chunk pieces in order.
    caf::replies_to<v1::PullSource>::with<v1::SourceBatch, slices>,
    // A file to be read, come what may; its pieces come behind all others.
    caf::reacts_to<v1::ReadSource>>;

[[nodiscard]] source_actor spawn_source(caf::actor_system& sys, std::shared_ptr<tree_reader> reader);

} // namespace datamesh::storage
