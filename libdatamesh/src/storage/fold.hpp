// The state of one commit: rows as they will be, nodes decoded once, and what has
// to be shown or hidden when all of its operations are in. The folds of moves,
// versions and packs work on it.
#pragma once

#include "storage/device_log.hpp"
#include "storage/overlay.hpp"

#include <unordered_map>

namespace datamesh::storage {

class fold {
public:
  fold(const ordered_view& store, const catalog_head& start) : rows(store), head(start) {}

  overlay rows;
  catalog_head head;

  /// A node's row to look at; of an unknown node the empty one.
  [[nodiscard]] const node_row& peek(const node_id& id) {
    return entry_of(id).row;
  }
  /// A node's row to change. References stay valid.
  [[nodiscard]] node_row& edit(const node_id& id);

  [[nodiscard]] device_log& log_of(const device_id& device);

  /// Brings name rows, child counts and totals up to what the nodes now say, and
  /// hands all changed rows to `rows`. The last step.
  void publish();

private:
  struct entry {
    node_row row;
    std::string loaded;                 ///< As it is in the store.
    std::optional<node_place> shown_at; ///< What name rows and totals say.
    uint64_t counted_bytes = 0;         ///< Of it in the totals.
    bool queued = false;
  };

  entry& entry_of(const node_id& id);
  void enqueue(const node_id& id, entry& e);
  void publish_node(const node_id& id);
  void count(const node_place& where, bool more);

  std::unordered_map<node_id, entry> nodes_;
  std::vector<node_id> queue_;
  std::map<device_id, device_log> logs_;
};

/// Whether a node is to be seen. A purged one is while something that came later
/// keeps it: a version, a child, or for a folder a move.
[[nodiscard]] bool is_shown(const node_row& row);

} // namespace datamesh::storage
