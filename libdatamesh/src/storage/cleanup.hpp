// Decides what cleanup does: which versions and trashed nodes have run out, which
// packs hold nothing that lives, and which hold so little that their living
// chunks are copied, sealed as they are, into a new pack. No copy survives the loss
// of fewer drives than the pack that it is made from. A pure planner: the dry
// run prints the same plan that the real run carries out.
#pragma once

#include "storage/checkpoint.hpp"
#include "storage/placement.hpp"

#include <set>

namespace datamesh::storage {

/// Times are wall times; what is stamped in the future is young, unless nothing is kept.
struct retention {
  int64_t trash_ns = 30ll * 24 * 3600 * 1'000'000'000; ///< `rm` can be undone for so long; 0: no more.
  uint32_t versions_kept = 0;                          ///< Per file, the current among them; 0 = no limit.
  int64_t versions_kept_ns = 0;                        ///< Older ones go; 0 = no limit.
  double live_ratio_min = 0.6;                         ///< Packs below it are copied forward.
  uint32_t short_pack_bytes = 4 << 20;                 ///< Several shorter ones are merged.
};

/// How copies are protected.
struct copy_protection {
  policy how;          ///< Of what survives the loss of fewer drives as it is.
  size_t drives = 1;   ///< Others keep their k+m as long as so many are enough, or stay where they are.
  bool raised = false; ///< What survives the loss of fewer is copied for that alone.
};

struct cleanup_plan {
  std::vector<operation_body> forget; ///< drop_version, purge_node
  std::vector<pack_id> dead;          ///< Nothing in them lives.
  struct copy {
    pack_id pack;
    space_id space; ///< Only packs of one space and for one policy are merged.
    policy how;     ///< Of the pack that it goes into.
    std::vector<chunk_entry> living;
    std::vector<operations_entry> operations;
    uint64_t bytes = 0; ///< Sealed bytes to copy, operations included.
  };
  std::vector<copy> copied; ///< Copied forward, then dead.
  uint64_t bytes_freed = 0; ///< On drives, with parity, less what copies take.
  uint64_t versions_forgotten = 0;
  uint64_t nodes_forgotten = 0;
};

/// A chunk lives while a version that stays names it. Its place is the one that
/// `catalog::locate_chunk` tells; further copies of it count as dead. Operation batches
/// and parts of checkpoints live until *cover* drops them: they go along with each copy,
/// and a pack is dead only without any, or after they were copied. A condemned pack is
/// emptied whatever it holds. Memory: 16 bytes a living chunk and node that goes, plus the plan itself.
///
/// *pinned* packs are in use by puts that are running; they are left alone.
[[nodiscard]] result<cleanup_plan> plan_cleanup(const catalog& names, const retention& rules, const copy_protection& copies, int64_t now_ns,
                                                const std::set<pack_id>& pinned, const checkpoint_cover& cover = {});

} // namespace datamesh::storage
