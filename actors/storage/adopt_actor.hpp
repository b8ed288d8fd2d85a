// Finds packs that lie on drives but not in the catalog, and takes them in: after a
// crash, after a drive was adopted, and to make a lost catalog again. Operations in
// them are folded in as well; what is known already changes nothing.
#pragma once

#include "storage/job.hpp"
#include "storage/vault_context.hpp"

namespace datamesh::storage {

struct adopt_task {
  bool fresh = false; ///< The catalog is empty and is thrown away should this end early.
  bool again = false; ///< Packs were taken in whose operations could not be read.
  std::shared_ptr<storage::job> job;
  completion<rebuild_summary> done;
};

void start_adopt(std::shared_ptr<vault_context> context, adopt_task task);

} // namespace datamesh::storage
