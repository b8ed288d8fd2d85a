// The inside of a `vault` handle.
#pragma once

#include "node/node_core.hpp"

namespace datamesh {

struct vault::impl {
  std::shared_ptr<vault_runtime> runtime;
};

/// Locks as the facade shows them.
[[nodiscard]] std::vector<key_lock> describe(const std::vector<crypto::lock_facts>& locks);

} // namespace datamesh
