// The drives of a node as all its actors see them: who writes, who reads, how much
// room there is. A drive that is missing stays in the table without actors.
//
// Thread rule: any thread; `all` answers a frozen list, and waits while it is loaded.
#pragma once

#include "datamesh/node.hpp"
#include "storage/catalog.hpp"
#include "storage/drive_actor.hpp"
#include "storage/placement.hpp"

#include <atomic>
#include <functional>
#include <future>
#include <mutex>
#include <set>

namespace datamesh::storage {

/// Readers of one drive, at most.
inline constexpr size_t readers_per_drive = 2;

struct drive_entry {
  drive_id id;
  std::string folder;
  uint64_t term = 0; ///< How often it had changed hands when it came to this node.
  drive_labels labels;
  std::string node;                   ///< That it is room on; empty: this one.
  std::shared_ptr<shard_place> store; ///< Null while the drive is missing.
  drive_writer_actor writer;
  std::vector<drive_reader_actor> readers;
  drive_reader_actor care; ///< Its reads give way to all others.
  std::shared_ptr<std::atomic<uint32_t>> next_reader;
  std::optional<error> reason; ///< Why it is missing.
  /// It is to be emptied, and takes no write that would say so.
  bool leaving = false;
  /// Where `drive_table::look` last found it not to be in its folder.
  std::shared_ptr<std::atomic<bool>> away = std::make_shared<std::atomic<bool>>(false);

  /// @pre `store`
  [[nodiscard]] drive_state state() const {
    auto kept = store->state();
    return kept == drive_state::ok && leaving ? drive_state::draining : kept;
  }

  /// It is open, and was in its folder when that was last looked at.
  [[nodiscard]] bool is_there() const {
    return store && !*away;
  }

  [[nodiscard]] drive_domains domains() const {
    return domains_of(labels.region, labels.zone, labels.operated_by, node);
  }

  [[nodiscard]] const drive_reader_actor& reader() const {
    return readers[next_reader->fetch_add(1) % readers.size()];
  }
};

class drive_table {
public:
  using list = std::vector<drive_entry>;

  [[nodiscard]] std::shared_ptr<const list> all() const {
    std::lock_guard guard{mutex_};
    if (loading_.valid())
      drives_ = std::make_shared<const list>(loading_.get());
    return drives_;
  }

  /// Calls *make* on a thread of its own; until it is done, all who want the list wait.
  void load(std::function<list()> make) {
    std::lock_guard guard{mutex_};
    loading_ = std::async(std::launch::async, std::move(make));
  }

  void replace(list drives) {
    auto next = std::make_shared<const list>(std::move(drives));
    std::lock_guard guard{mutex_};
    if (loading_.valid())
      loading_.wait();
    loading_ = {};
    drives_ = std::move(next);
  }

  /// The drive of that id with its actors, or null.
  [[nodiscard]] static const drive_entry* find(const list& drives, const drive_id& id) {
    for (const auto& drive : drives)
      if (drive.id == id)
        return drive.store ? &drive : nullptr;
    return nullptr;
  }

  /// Looks which drives are in their folders; a few calls of the file system for each.
  void look() const;

  /// False when a drive is missing or failed.
  [[nodiscard]] bool complete() const;

  /// Whether enough shards lie on drives that are in service.
  [[nodiscard]] bool can_read(const pack_record& pack) const;

  /// Which drives may have data from now on.
  void set_rule(placement_rule rule);
  [[nodiscard]] placement_rule rule() const;
  [[nodiscard]] bool allows(const drive_entry& drive) const;
  /// Those that it leaves out, also while they are missing.
  [[nodiscard]] std::set<drive_id> outside_rule() const;

  /// All drives with the free space that there is for it. One that is missing is as one that failed.
  [[nodiscard]] std::vector<drive_candidate> candidates(const list& drives, room_for what) const;

private:
  mutable std::mutex mutex_;
  mutable std::future<list> loading_;
  mutable std::shared_ptr<const list> drives_ = std::make_shared<const list>();
  mutable std::mutex rule_mutex_; ///< Who loads the list may ask for the rule.
  placement_rule rule_;
};

} // namespace datamesh::storage
