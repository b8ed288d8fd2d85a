// Carries out one put and ends: pulls from the source, has chunks sealed, writes
// operations for what is complete, and answers when all of it is durable.
#pragma once

#include "storage/job.hpp"
#include "storage/tree_reader.hpp"
#include "storage/vault_context.hpp"

namespace datamesh::storage {

struct put_task {
  std::vector<source_root> roots;
  std::shared_ptr<file_system> files; ///< Of the roots; the node's when empty.
  std::vector<std::string> exclude;
  if_exists conflict = if_exists::version;
  policy how;
  bool dry_run = false;
  std::shared_ptr<storage::job> job;
  completion<put_summary> done;
};

/// The put begins once its memory is reserved, first in, first out.
void start_put(std::shared_ptr<vault_context> context, put_task task);

} // namespace datamesh::storage
