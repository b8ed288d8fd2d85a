// Waits for a job's share of the memory budget, no longer than the job may run.
#pragma once

#include "base/memory_budget.hpp"
#include "storage/job.hpp"
#include "storage/vault_context.hpp"

namespace datamesh::storage {

/// Calls *granted* once *size* bytes are free, first in, first out; or *refused* when
/// the job is cancelled or late before that, or when there are never as many. One of
/// the two, once, on any thread. Jobs that hold memory and have waited for their source or
/// target for 30 s are ended when somebody has waited for memory for as long.
void wait_for_memory(const vault_context& context, std::shared_ptr<job> job, uint64_t size,
                     std::function<void(std::shared_ptr<memory_budget::reservation>)> granted, std::function<void(error)> refused);

} // namespace datamesh::storage
