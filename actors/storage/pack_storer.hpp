// Spreads the shards of a coded pack over drives, for the packer.
#pragma once

#include "storage/pack_run.hpp"
#include "storage/packer_actor.hpp"

#include <functional>

namespace datamesh::storage {

/// Lives in the packer and asks in its name; not thread safe.
class pack_storer {
public:
  using told = std::function<void(const run_ptr&)>;

  struct listener {
    /// Of each pack once: at least `shards_min` of its shards are stored, or all that
    /// drives may have of it is on its way out again. Not of a pack that died meanwhile.
    std::function<void(const run_ptr&, result<void>)> settled;
    /// A pack waits for one drive alone.
    told one_left;
    /// What drives may have of a pack that nobody was asked to commit is removed, or they
    /// did not answer in time; a cleanup finds what those keep.
    told gone;
  };

  pack_storer(packer_actor::pointer self, std::shared_ptr<drive_table> drives, const policy& how, listener tell);

  /// Chooses drives for the shards of *run* that are not stored yet. Drives that
  /// failed this pack are not asked again.
  void store(const run_ptr& run);

private:
  void store_on(const run_ptr& run, const drive_table::list& drives, const drive_id& id, const std::vector<size_t>& indexes);
  void settle_one(const run_ptr& run, const drive_id& drive);
  void all_answered(const run_ptr& run, bool try_others);
  void remove_all(const run_ptr& run);
  /// Folders of drives that would take shards of *run* if their file systems were not read-only.
  [[nodiscard]] bool barred_by_rule() const;
  [[nodiscard]] std::vector<std::string> closed_folders(const run_ptr& run) const;

  packer_actor::pointer self_;
  std::shared_ptr<drive_table> drives_;
  policy how_;
  listener tell_;
};

} // namespace datamesh::storage
