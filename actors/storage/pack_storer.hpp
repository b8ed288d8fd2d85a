// Spreads the shards of a coded pack over drives, for the packer.
#pragma once

#include "storage/pack_run.hpp"
#include "storage/packer_actor.hpp"

#include <functional>

namespace datamesh::storage {

/// Lives in the packer and asks in its name; not thread safe.
class pack_storer {
public:
  using done = std::function<void(const run_ptr&, result<void>)>;
  using told = std::function<void(const run_ptr&)>;

  /// *settled* is told of each pack once: at least `shards_min` of its shards are
  /// stored, or those that were are on their way out again. Of a pack that died
  /// meanwhile nothing is told. *one_left* hears of packs that wait for one drive alone.
  pack_storer(packer_actor::pointer self, std::shared_ptr<drive_table> drives, const policy& how, done settled, told one_left);

  /// Chooses drives for the shards of *run* that are not stored yet. Drives that
  /// failed this pack are not asked again.
  void store(const run_ptr& run);

private:
  void store_on(const run_ptr& run, const drive_table::list& drives, const drive_id& id, const std::vector<size_t>& indexes);
  void settle_one(const run_ptr& run, const drive_id& drive);
  void all_answered(const run_ptr& run, bool try_others);
  void remove_stored(const pack_run& run);

  packer_actor::pointer self_;
  std::shared_ptr<drive_table> drives_;
  policy how_;
  done settled_;
  told one_left_;
};

} // namespace datamesh::storage
