// A shard that a node keeps for an owner on another node.
#pragma once

#include "network/shard_ticket.hpp"

namespace datamesh::network {

/// A shard that is here, durably.
struct kept_guest {
  ticket by;
  clock::wall_time stored;
};

} // namespace datamesh::network
