// Looks at the drives again and again, so that one that runs full, fails or is pulled
// out is told of before somebody's put finds it: how much is free, whether its marker
// is still there, and whether it still takes a page and a sync.
#pragma once

#include "datamesh/node.hpp"

#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <thread>

namespace datamesh::daemon {

struct drive_limits {
  uint64_t every_s = 300;    ///< Seconds between two looks.
  uint64_t low_percent = 10; ///< Of the disk, still free for shards: a warning.
  uint64_t full_percent = 1; ///< An error.
  friend bool operator==(const drive_limits&, const drive_limits&) = default;
};

/// What changed between two looks. Pure. The first look tells what is not well.
class drive_changes {
public:
  [[nodiscard]] std::vector<event> look(const std::vector<drive_report>& drives, const drive_limits& limits);

private:
  enum class health : uint8_t { well, low, full, draining, failed, missing };
  [[nodiscard]] static health judge(const drive_report& drive, const drive_limits& limits, health before);
  std::map<drive_id, health> seen_;
};

class drive_guard {
public:
  /// @param tell gets each event, on the guard's thread; the node outlives the guard
  drive_guard(node& of, environment env, drive_limits limits, std::function<void(const event&)> tell);
  ~drive_guard();

  void start();
  void stop();
  void set(drive_limits limits);
  /// One look, now.
  void tick();

private:
  [[nodiscard]] result<void> probe(const std::string& folder);
  node& node_;
  environment env_;
  std::function<void(const event&)> tell_;
  drive_changes changes_;
  std::mutex mutex_;
  std::condition_variable changed_;
  drive_limits limits_;
  bool stopping_ = false;
  bool look_now_ = false;
  std::thread thread_;
};

} // namespace datamesh::daemon
