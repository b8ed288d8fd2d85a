// Writes a checkpoint of the catalog into packs, part by part, beside whatever else
// goes on. It counts once its last part is durable: the catalog then notes it.
#pragma once

#include "storage/checkpoint.hpp"
#include "storage/job.hpp"
#include "storage/vault_context.hpp"

namespace datamesh::storage {

struct checkpoint_task {
  policy how;
  std::shared_ptr<storage::job> job;
  completion<checkpoint_note> done;
};

void start_checkpoint(std::shared_ptr<vault_context> context, checkpoint_task task);

/// True when a checkpoint is due by now.
[[nodiscard]] bool wants_checkpoint(const vault_context& context);

} // namespace datamesh::storage
