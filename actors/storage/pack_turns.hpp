// Who changes where the shards of a pack are, or removes some, does it alone: repair, rebalance
// and cleanup may run side by side, but not on one pack. Puts and gets need no turn.
//
// Thread rule: any thread.
#pragma once

#include "datamesh/base/ids.hpp"
#include "storage/job.hpp"

#include <condition_variable>
#include <mutex>
#include <set>
#include <span>

namespace datamesh::storage {

class pack_turns {
public:
  /// Packs that nobody else changes while this lives. A record of one that was read before is old.
  class turn {
  public:
    turn(turn&& other) noexcept : of_(std::exchange(other.of_, nullptr)), packs_(std::move(other.packs_)) {}
    turn& operator=(turn&&) = delete;
    ~turn();

  private:
    friend class pack_turns;
    explicit turn(pack_turns& of) : of_(&of) {}
    pack_turns* of_;
    std::vector<pack_id> packs_;
  };

  /// Waits until nobody has any of *packs*; the reason when the job *waiting* ends before that. Who waits
  /// for several, each named once, has some of them meanwhile, so only one at a time may, and who has a turn
  /// takes no second one.
  [[nodiscard]] result<turn> take(std::span<const pack_id> packs, const job& waiting);

  /// How many turns are over. While that stays, records that were read are as they were, unless
  /// their packs are somebody's.
  [[nodiscard]] uint64_t count_over() const;

private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::set<pack_id> taken_;
  uint64_t over_ = 0;
};

} // namespace datamesh::storage
