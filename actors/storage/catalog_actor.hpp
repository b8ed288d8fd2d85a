// The only writer of a vault's catalog. Runs on a thread of its own; everybody else
// reads the engine beside it.
//
// Operations that travel in a pack are stamped when the pack closes and committed
// when it is durable. Between the two nothing else is stamped, so that a device's
// log has no gap when the pack fails: other writers wait for that long. The stamp
// belongs to the actor that asked for it; when that ends, it is taken back.
#pragma once

#include "datamesh/base/clock.hpp"
#include "messages.hpp"
#include "storage/catalog.hpp"
#include "storage/name_claims.hpp"

namespace datamesh::storage {

using catalog_actor = caf::typed_actor<
    // Stamps operations for a pack, which may be none. Must be followed by a commit or a
    // release. From the first on a crash is noticed when the catalog is opened next:
    // asked for before anything is stored.
    caf::replies_to<v1::StampOperations>::with<v1::StampedOperations>,
    // The sender's pack with the stamped operations failed; the stamps are taken back.
    // A sender that holds none withdraws the first of its requests that wait.
    caf::reacts_to<caf::delete_atom>,
    // One durable, atomic step. Ends the wait that a stamp began.
    caf::replies_to<v1::CommitCatalog>::with<v1::Done>,
    // Stamps and commits operations that carry no data.
    caf::replies_to<v1::ApplyOperations>::with<v1::Done>,
    // Durable when it is answered, but for marks of shards.
    caf::replies_to<v1::MarkPacks>::with<v1::Done>,
    // Answered when they are found, not when they are durable; lost ones cost time alone.
    caf::replies_to<v1::RememberSources>::with<v1::Done>,
    // Opens the store anew where it refuses writes for what may have passed.
    caf::replies_to<caf::open_atom>::with<v1::Done>,
    // Closes the store in the state in which it opens fastest.
    caf::replies_to<caf::close_atom>::with<v1::Done>>;

/// At most this many requests wait for a pack that is being written.
inline constexpr size_t catalog_queue_max = 4096;

/// *claims* are freed of every name as soon as it is in the catalog.
[[nodiscard]] catalog_actor spawn_catalog(caf::actor_system& sys, std::shared_ptr<catalog> names, std::shared_ptr<clock> time,
                                          std::shared_ptr<name_claims> claims);

} // namespace datamesh::storage
