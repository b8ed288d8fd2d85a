// Versions, tags and purges as CRDTs; each of these is a function of the set of known
// operations, whatever their order:
//
// - A version is replaced when a known put_version names it; gone when a known
//   drop_version names it or when its put is not later than the latest purge of its
//   node. It lives when its put is known and it is not gone.
// - Of the versions that live, the current one is the unreplaced one with the highest
//   stamp; if all are replaced, the one with the highest stamp.
// - Of two puts that name the same version the one with the lower stamp counts.
// - A tag has the value that was set last; one that was not set after the latest
//   purge of its node is unset.
#pragma once

#include "storage/fold.hpp"

namespace datamesh::storage {

struct op_context {
  op_order at;
  int64_t wall_ns = 0;
};

void fold_put(fold& into, const op_context& how, const put_version& op);
void fold_extents(fold& into, const add_extents& op);
void fold_drop(fold& into, const drop_version& op);
void fold_purge(fold& into, const op_context& how, const purge_node& op);
void fold_tag(fold& into, const op_context& how, const set_tag& op);

/// The versions of a node that live, in order of id.
[[nodiscard]] std::vector<std::pair<version_id, version_row>> living_versions(const row_source& rows, const node_id& id,
                                                                              const node_row& node);

/// Packed extents of a version from *ordinal* on, at most *limit*.
/// `not_found` when they have not arrived.
[[nodiscard]] result<std::vector<extent>> read_extents(const row_source& rows, const version_id& id, const version_row& version,
                                                       uint64_t ordinal, size_t limit);

} // namespace datamesh::storage
