// Looks after what a node keeps for owners whose keys it does not have: asks the other nodes of an
// owner's roster what they keep of the packs of which a shard is here, challenges them, and brings
// what no node keeps any more to one that has none of the pack. Of a node that is drained it brings
// what is here to the others instead. docs/formats/ticket.md, "Siblings".
//
// It works on a thread of its own, one shard after the other. It ends by its board and an exit
// message. End it before the actors that it asks.
#pragma once

#include "datamesh/mesh.hpp"
#include "network/guest_keeper.hpp"
#include "network/peer_access.hpp"
#include "network/range_memory.hpp"

#include <condition_variable>

namespace datamesh::network {

/// How often it is looked whether a round is due, and who answers.
inline constexpr auto siblings_looked_at = std::chrono::seconds{5};
/// A round for an owner is due so long after the one before, and sooner where his roster's patience
/// asks for it: four in that time.
inline constexpr auto sibling_round_max = std::chrono::hours{1};
/// The first round waits so long for links with all nodes of a roster.
inline constexpr auto siblings_awaited = std::chrono::minutes{1};
/// One in which nodes did not answer that have a link now is due again after this time, and twice it,
/// and so on.
inline constexpr auto sibling_round_again = std::chrono::seconds{10};
/// Bytes that are read from others and sent to them to make up for losses, a second and at once.
inline constexpr rate sibling_pace{16 << 20, 64 << 20};

using sibling_actor = caf::typed_actor<caf::reacts_to<v1::ShardWake>>;

/// What it and those who started it tell each other, from any thread.
class sibling_board {
public:
  /// Ends what is under way at its next step.
  void stop() {
    std::lock_guard guard{mutex_};
    stopped_ = true;
    changed_.notify_all();
  }
  [[nodiscard]] bool stopped() const {
    std::lock_guard guard{mutex_};
    return stopped_;
  }
  /// Holds from the next step on.
  void set(hosting how) {
    std::lock_guard guard{mutex_};
    how_ = how;
    stuck_.clear();
  }
  [[nodiscard]] hosting how() const {
    std::lock_guard guard{mutex_};
    return how_;
  }
  /// So many of the owner's shards were offered to others and not taken, in the last round of a node
  /// that is drained.
  void stuck(const vault_id& owner, uint64_t shards) {
    std::lock_guard guard{mutex_};
    if (how_ == hosting::draining)
      stuck_[owner] = shards;
  }
  /// He named other nodes since.
  void no_longer_stuck(const vault_id& owner) {
    std::lock_guard guard{mutex_};
    stuck_.erase(owner);
  }
  [[nodiscard]] std::optional<uint64_t> stuck(const vault_id& owner) const {
    std::lock_guard guard{mutex_};
    auto found = stuck_.find(owner);
    return found == stuck_.end() ? std::nullopt : std::optional{found->second};
  }
  /// False when it was stopped meanwhile.
  [[nodiscard]] bool wait(std::chrono::nanoseconds time) {
    std::unique_lock lock{mutex_};
    return !changed_.wait_for(lock, time, [&] { return stopped_; });
  }
  /// All that is kept for the owner was compared with what each other node of his roster keeps.
  void compared(const vault_id& owner, clock::wall_time when) {
    std::lock_guard guard{mutex_};
    compared_[owner] = when;
  }
  /// When that was last so; nothing where it was not since the node was started.
  [[nodiscard]] std::optional<clock::wall_time> last_compared(const vault_id& owner) const {
    std::lock_guard guard{mutex_};
    auto found = compared_.find(owner);
    return found == compared_.end() ? std::nullopt : std::optional{found->second};
  }

private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool stopped_ = false;
  hosting how_ = hosting::open;
  std::map<vault_id, uint64_t> stuck_;
  std::map<vault_id, clock::wall_time> compared_;
};

struct sibling_parts {
  environment env; ///< Clock and random are used.
  std::shared_ptr<const guest_store> guests;
  guest_keeper_actor keeper;
  std::shared_ptr<const peer_access> access;
  std::shared_ptr<sibling_board> board;
  /// Told what was made up for, and what could not be. Called on its thread.
  std::function<void(severity, std::string, std::optional<errc>)> tell;
  std::shared_ptr<storage::workplace> place = nullptr;
  range_plan ranges{};
  /// Of the home, where what is remembered of ranges outlives the program; empty: nowhere.
  std::string folder{};
};

[[nodiscard]] sibling_actor spawn_siblings(caf::actor_system& sys, const sibling_parts& parts);

} // namespace datamesh::network
