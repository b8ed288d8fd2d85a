// Puts shards of a pack where they should be: rebuilds what is missing or wrong
// from k good ones, moves what lies on the wrong drive. Needs no key. Used by verify
// and rebalance, inside their actor.
#pragma once

#include "storage/ask.hpp"
#include "storage/pack_reader_actor.hpp"

#include <set>

namespace datamesh::storage {

/// To be called before shards change of which no commit tells first: a crash among them is known
/// as one. That the catalog takes no writes keeps nobody from it.
void note_change(caf::blocking_actor* self, const vault_context& context);

class shard_healer {
public:
  shard_healer(caf::blocking_actor* self, std::shared_ptr<vault_context> context, std::shared_ptr<storage::job> job);
  ~shard_healer();

  struct outcome {
    uint64_t stored = 0;   ///< Shards rebuilt or moved, durable and in the catalog.
    uint64_t unplaced = 0; ///< No drive takes them.
    uint64_t bytes = 0;
    std::vector<uint8_t> healed; ///< Which were stored.
    std::vector<drive_id> where; ///< Of each of these, the drive.
  };

  /// Which domains the shards of *pack* are kept apart by. Of a pack that was stored when there was
  /// but one drive several go to each, or it could never leave that drive for fewer than it has
  /// shards. To be asked before the first of them moves.
  [[nodiscard]] domain_level level_of(const pack_record& pack) const;

  /// Makes the shards *wanted* of *pack* anew. A shard whose drive is at work stays
  /// there, unless *elsewhere*. `damaged` when fewer than k others are good.
  [[nodiscard]] result<outcome> rebuild(const pack_record& pack, const std::vector<uint8_t>& wanted, bool elsewhere, domain_level level);

  /// What `rebuild` would do with the room that there is now, of a pack that can be read. Drives that are *full* get nothing.
  [[nodiscard]] outcome foresee(const pack_record& pack, const std::vector<uint8_t>& wanted, bool elsewhere, domain_level level,
                                const std::set<drive_id>& full = {}) const;

  /// True when pack bytes [begin, end) can be read.
  [[nodiscard]] bool readable(const pack_record& pack, uint32_t begin, uint32_t end);

private:
  [[nodiscard]] result<slices> bodies_of(const pack_record& pack, const std::vector<uint8_t>& wanted);
  [[nodiscard]] std::optional<drive_id> choose_drive(const pack_record& pack, uint8_t index, bool elsewhere, domain_level level,
                                                     const std::set<drive_id>& refused) const;
  [[nodiscard]] result<void> store(const pack_record& pack, uint8_t index, const bytes& body, const drive_id& where);

  caf::blocking_actor* self_;
  std::shared_ptr<vault_context> context_;
  std::shared_ptr<storage::job> job_;
  pack_reader_actor reader_;
  bool noted_ = false; ///< `note_change` was called.
};

} // namespace datamesh::storage
