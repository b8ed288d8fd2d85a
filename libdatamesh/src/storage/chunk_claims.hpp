// Which chunks need not be stored again, while puts run side by side. Knows three
// places: committed packs (the catalog), packs that are being filled or written
// (pending), and nothing. Pins the packs that running jobs rely on, so that
// cleanup leaves them alone, and forgets packs that cleanup has condemned.
//
// Thread rule: any thread.
#pragma once

#include "storage/catalog.hpp"

#include <map>
#include <mutex>
#include <set>
#include <unordered_map>

namespace datamesh::storage {

class chunk_claims {
public:
  /// Chunks of packs that are not *readable* are not found. It is asked on the caller's thread.
  explicit chunk_claims(const catalog& names, std::function<bool(const pack_id&)> readable = {})
      : names_(names), readable_(std::move(readable)) {}

  enum class standing : uint8_t { fresh, known, pending };

  /// A pack that is not committed yet: the *serial*-th of an intake. A chunk that
  /// is pending in another intake is fresh for this one, since nothing orders
  /// the commits of the two.
  struct place {
    uint64_t intake = 0;
    uint64_t serial = 0;
  };

  /// Where *id* stands for *intake*. A known chunk's pack is pinned for *job* until
  /// `release`.
  [[nodiscard]] result<standing> look_up(const chunk_id& id, uint64_t intake, uint64_t job);

  enum class outcome : uint8_t { added, pending, full };

  /// Calls *reserve* unless *id* is pending by now; when it answers true, *id* is
  /// pending *where* it says.
  template <class Reserve>
  [[nodiscard]] outcome add(const chunk_id& id, place where, Reserve reserve) {
    std::lock_guard guard{mutex_};
    auto& rows = pending_[where.intake];
    if (rows.count(id) > 0)
      return outcome::pending;
    if (!reserve())
      return outcome::full;
    rows.emplace(id, where.serial);
    return outcome::added;
  }

  /// That pack is committed, or failed: its chunks are pending no more.
  void settle(place which);

  /// *job* relies on *pack*, as on one that it wrote itself, until `release`.
  void pin(const pack_id& pack, uint64_t job);

  /// *job* ends: its pins go.
  void release(uint64_t job);

  /// Those of *packs* that no running job relies on; from now on `look_up` does
  /// not find chunks there.
  [[nodiscard]] std::vector<pack_id> condemn(const std::vector<pack_id>& packs);

  /// Cleanup leaves *packs* alone, or they are gone from the catalog.
  void spare(const std::vector<pack_id>& packs);

private:
  const catalog& names_;
  const std::function<bool(const pack_id&)> readable_;
  std::mutex mutex_;
  std::map<uint64_t, std::unordered_map<chunk_id, uint64_t>> pending_; ///< By intake.
  std::map<pack_id, std::set<uint64_t>> pins_;
  std::set<pack_id> condemned_;
};

} // namespace datamesh::storage
