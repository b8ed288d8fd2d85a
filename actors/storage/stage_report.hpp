// What a put or a get says of the stages that it waited for.
#pragma once

#include "storage/job.hpp"
#include "storage/vault_context.hpp"

namespace datamesh::storage {

/// From here on the time of *running* is measured; first it waits for memory.
void watch_stages(job& running);

/// Up to now, with the folder of the drive that holds the others up.
[[nodiscard]] transfer_waits waits_of(const vault_context& context, const job& running);

} // namespace datamesh::storage
