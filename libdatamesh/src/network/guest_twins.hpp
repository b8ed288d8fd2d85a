// Shards that more than one drive of a node keeps for the same owner. A drive that was away comes back, or a write that
// failed was written all the same, when the shard had gone to another drive meanwhile: one of them is enough.
//
// Thread rule: const.
#pragma once

#include "network/guest_drive.hpp"

#include <functional>
#include <span>
#include <string>
#include <vector>

namespace datamesh::network {

/// Told once for each shard and owner, with where it is: positions in *drives*, at least two. Reads all keys of tickets,
/// a page of each drive at a time, and stops at the first error of *found*.
[[nodiscard]] result<void>
find_twins(std::span<const guest_drive> drives,
           const std::function<result<void>(const std::string& ticket_key, const std::vector<size_t>& at)>& found);

} // namespace datamesh::network
