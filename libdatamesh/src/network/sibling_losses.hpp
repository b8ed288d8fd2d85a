// Which shards of an owner's packs no node keeps any more, as one of the nodes that keep the others
// sees it, and who of these is to make up for it. Pure; docs/formats/ticket.md, "Siblings".
//
// Thread rule: functions are safe to call from any thread.
#pragma once

#include "network/shard_ticket.hpp"

#include <map>

namespace datamesh::network {

/// A shard that a node keeps.
struct shard_source {
  peer_id node;
  ticket by;
};

/// A shard that nobody has, and those from which it can be made again.
struct shard_loss {
  ticket lost;
  std::vector<shard_source> sources; ///< In order of indexes, each once; without the own one.
  std::vector<peer_id> takers;       ///< That answered and have no shard of the pack, in the order in which they are asked.
  size_t turn = 0;                   ///< How many others of those that keep one come before this node.
};

struct sibling_view {
  peer_id self;
  std::vector<ticket> mine;                      ///< One owner's, that are kept here; some packs of these, each whole.
  std::map<peer_id, std::vector<ticket>> listed; ///< What each other node that answered keeps of these packs.
  std::vector<ticket> remembered;                ///< What was kept of them at any time, by anybody.
  clock::wall_time now;
};

/// In order of packs and indexes. A shard whose ticket is not remembered, or ran out, is no loss:
/// nobody could keep it. Whose turn it is changes from day to day, so that it is not always the same
/// who is asked first.
[[nodiscard]] std::vector<shard_loss> find_losses(const sibling_view& seen);

/// Who may be given a shard of this node: a node that has this very one, or else those without any
/// of the pack, in the order in which they are asked.
[[nodiscard]] std::vector<peer_id> find_takers(const sibling_view& seen, const shard_key& shard);

} // namespace datamesh::network
