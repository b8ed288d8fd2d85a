// Looks at every pack, or at those that some paths need, and mends what it finds.
// Needs no key for shards. Says exactly which files are lost when a pack is.
#pragma once

#include "storage/job.hpp"
#include "storage/vault_context.hpp"

namespace datamesh::storage {

struct verify_task {
  verify_request request;
  std::shared_ptr<storage::job> job;
  completion<verify_summary> done;
};

void start_verify(std::shared_ptr<vault_context> context, verify_task task);

/// What the files below some paths need.
struct needed_data {
  std::set<pack_id> packs;
  std::unordered_set<chunk_id> nowhere; ///< Chunks that no known pack holds.
};
[[nodiscard]] result<needed_data> data_of(const vault_context& context, const std::vector<std::string>& paths);

/// Names for a report of the files that need a chunk that no known pack holds: of packs that a
/// rebuild could not read. Looks at every reference, so it takes some microseconds a chunk.
[[nodiscard]] result<std::set<std::string>> files_without_data(const catalog& names);

/// How a file is called in a report: its path, with the version when it is not the
/// current one, or its name in the trash.
[[nodiscard]] std::string name_for_report(const catalog& names, const node_id& node, const version_id& version);

} // namespace datamesh::storage
