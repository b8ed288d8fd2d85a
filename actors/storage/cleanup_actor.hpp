// Carries out a cleanup plan in two phases: what is dead is condemned by an
// operation first, living chunks of thin packs are copied forward as they are, and
// only then are shards deleted. Writers never stop: packs that running puts rely on
// are left for the next time.
#pragma once

#include "storage/cleanup.hpp"
#include "storage/job.hpp"
#include "storage/vault_context.hpp"

namespace datamesh::storage {

struct cleanup_task {
  retention rules;
  copy_protection copies;
  bool dry_run = false;
  std::shared_ptr<storage::job> job;
  completion<cleanup_summary> done;
};

void start_cleanup(std::shared_ptr<vault_context> context, cleanup_task task);

} // namespace datamesh::storage
