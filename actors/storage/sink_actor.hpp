// Writes what a get brings back, on a thread of its own, since files and pipes may
// block.
#pragma once

#include "messages.hpp"
#include "storage/tree_writer.hpp"

namespace datamesh::storage {

using sink_actor = caf::typed_actor<
    // A long file begins; answers how much of it is there from an earlier get.
    caf::replies_to<v1::OpenTarget>::with<v1::TargetOpened>,
    // Files, folders, links and their bytes. What fails is reported and passed over.
    caf::replies_to<v1::WriteTarget, bytes>::with<v1::TargetWritten>,
    // All is written; links and attributes of folders follow.
    caf::replies_to<v1::FinishTargets>::with<v1::TargetWritten>>;

[[nodiscard]] sink_actor spawn_sink(caf::actor_system& sys, std::shared_ptr<restore_writer> writer);

} // namespace datamesh::storage
