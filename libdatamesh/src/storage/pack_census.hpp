// Counts packs by how many of their shards are good, and asks what is left of them without some
// drives. By what a catalog says, and which drives serve; nothing is read.
//
// Thread rule: values, of one thread at a time.
#pragma once

#include "datamesh/node.hpp"
#include "storage/catalog.hpp"

#include <functional>
#include <set>

namespace datamesh::storage {

/// Whether a drive serves: it is there, and has not failed.
using drive_serves = std::function<bool(const drive_id&)>;

/// Shards of a pack by index: which of them count.
[[nodiscard]] std::vector<bool> good_shards(const pack_record& pack, const drive_serves& serves);

void count_pack(pack_standing& to, const pack_record& pack, size_t good);

/// Fewest domains whose loss leaves fewer than *k* shards, less one, of shards in these domains; negative with fewer than *k*.
[[nodiscard]] int domains_to_spare(const std::vector<std::string>& domain_of_each_good_shard, size_t k);

/// What a loss of drives would do, pack by pack. A repair is played with the room of the drives that
/// are left, in the order of the packs that are told.
class loss_census {
public:
  /// @param candidates all drives of the node, with the room that there is
  loss_census(std::set<drive_id> gone, std::vector<drive_candidate> candidates, drive_serves serves);

  void add(const pack_record& pack, domain_level level);

  [[nodiscard]] const loss_report& report() const noexcept {
    return report_;
  }

private:
  void play_repair(const pack_record& pack, const std::vector<bool>& good, domain_level level);

  std::set<drive_id> gone_;
  std::vector<drive_candidate> candidates_;
  drive_serves serves_;
  loss_report report_;
};

} // namespace datamesh::storage
