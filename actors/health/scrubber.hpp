// Looks after the vaults of a node that trust this device: opens them, has them
// verified as the schedule says, and mends what is found. How far it is lies in
// `<home>/vaults/<name>/scrub`, so it goes on after a restart.
//
// Thread rule: any thread. The node outlives it.
#pragma once

#include "datamesh/node.hpp"
#include "health/scrub_schedule.hpp"

#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>

namespace datamesh::health {

class scrubber {
public:
  scrubber(node& of, environment env);
  /// Cancels what runs and waits for it.
  ~scrubber();

  /// Does what is due whenever a minute has passed, on a thread of its own.
  void start();
  void stop();

  /// Does all that is due now. Answers how many steps it took.
  size_t tick();

  /// Lets go of a vault until the answer is dropped.
  [[nodiscard]] std::shared_ptr<void> release(const std::string& name);

private:
  struct lease;
  [[nodiscard]] size_t look_after(const vault_facts& facts);
  [[nodiscard]] bool take_step(vault& of, scrub_step step, scrub_state& state);
  [[nodiscard]] vault* opened(const std::string& name);
  [[nodiscard]] scrub_state load(const std::string& name) const;
  void save(const std::string& name, const scrub_state& state);

  node& node_;
  environment env_;
  std::mutex working_; ///< Held while vaults are used.
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  cancel_token cancel_;
  std::map<std::string, vault> vaults_;
  std::map<std::string, size_t> released_;
  std::thread thread_;
};

} // namespace datamesh::health
