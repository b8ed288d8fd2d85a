// What a catalog holds in memory beside its store.
#pragma once

#include "storage/fold.hpp"

namespace datamesh::storage {

struct catalog::impl {
  std::unique_ptr<ordered_store> store;
  device_id device;
  catalog_head head;     ///< As committed.
  uint64_t lamport = 0;  ///< Highest seen or handed out.
  uint64_t sequence = 0; ///< Last handed out.
  digest last_hash;      ///< Of the operation with that sequence.
  bool interrupted = false;
  std::optional<error> refusal; ///< Why no more is written.

  result<void> mark(bool dirty);
  result<void> load_own_log();
  result<void> follow_own_log(fold& committed);
};

} // namespace datamesh::storage
