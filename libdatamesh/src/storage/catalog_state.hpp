// What a catalog holds in memory beside its store.
#pragma once

#include "storage/fold.hpp"

#include <atomic>
#include <mutex>
#include <set>

namespace datamesh::storage {

struct catalog::impl {
  std::unique_ptr<lasting_store> store;
  device_id device; ///< Whose log is written.
  device_id fresh;  ///< A log that nobody writes, for when that can not go on.
  std::string place;
  bool left = false;                      ///< `compare_drives` found that it is not to go on.
  bool moved = false;                     ///< It lies at another place than when it was last written.
  bool fenced = false;                    ///< What is in the head is not to go on, whether or not something is written.
  catalog_head head;                      ///< As committed.
  uint64_t lamport = 0;                   ///< Highest seen or handed out.
  uint64_t sequence = 0;                  ///< Last handed out.
  uint64_t known = 0;                     ///< Last that is committed.
  digest last_hash;                       ///< Of the operation with that sequence.
  uint64_t floor = 0;                     ///< Nothing at or below it is handed out any more; as a clock it is in the head.
  bool skipped = false;                   ///< No operation behind the floor is committed yet.
  std::vector<stamped_operation> stamped; ///< And not committed.
  bool closed = false;
  std::atomic<bool> interrupted = false;
  std::atomic<bool> behind = false;
  std::atomic<bool> older = false; ///< `may_be_older`.
  drive_marks opened_with;         ///< Those of the last `close`, as `compare_drives` found them.
  std::optional<error> refusal;    ///< Why no more is written.
  std::function<drive_marks()> drives_now;
  std::atomic<uint64_t> doubts = 0;
  std::mutex seen_mutex;
  std::set<drive_id> seen; ///< Drives whose packs are known here, all of them.

  /// Reads head and own log.
  result<void> load();
  result<void> mark(bool dirty);
  result<void> load_own_log();
  result<void> follow_own_log(fold& committed);
  /// Leaves out the numbers that operations of this device may carry which lie in a
  /// pack that is unknown here: so many behind the last that is committed, however often
  /// it is called.
  void skip_numbers();
  /// From here on another log is written: operations of this one may lie where nobody sees them.
  result<void> leave_log();
};

} // namespace datamesh::storage
