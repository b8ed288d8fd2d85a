// Moves shards off draining and failed drives, and from drives that are fuller than the rest
// onto emptier ones.
#pragma once

#include "storage/job.hpp"
#include "storage/vault_context.hpp"

namespace datamesh::storage {

struct rebalance_task {
  bool dry_run = false;
  std::shared_ptr<storage::job> job;
  completion<rebalance_summary> done;
};

void start_rebalance(std::shared_ptr<vault_context> context, rebalance_task task);

} // namespace datamesh::storage
