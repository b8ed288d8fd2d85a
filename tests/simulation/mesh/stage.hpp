// Where the actors of a simulated mesh play: all of them, of all nodes, on one thread at a time, in the order that a seed
// draws, and in a time that goes from one thing that is due to the next. An actor that blocks gets a thread that waits
// while everything else goes on; never do two run at once.
//
// As long as there is one, what OpenSSL draws comes from the seed, too, so that links are replayed to the byte.
//
// Thread rule: one stage at a time in a process, used by one thread.
#pragma once

#include "crypto/hash.hpp"
#include "network/link_messages.hpp"
#include "storage/workplace.hpp"
#include "tests/support/manual_clock.hpp"
#include "tests/support/seeded_random.hpp"

#include <caf/all.hpp>
#include <caf/scheduler/test_coordinator.hpp>

#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>

namespace datamesh::test {

class sim_stage;

/// A thread that does one thing at a time, and stands still in the middle of it as often as it likes.
class sim_bench {
public:
  sim_bench();
  ~sim_bench();
  sim_bench(const sim_bench&) = delete;
  sim_bench& operator=(const sim_bench&) = delete;

  /// Begins it. Answers when it has ended or waits.
  void begin(std::function<void()> what);
  /// The same for what waits.
  void go_on();
  /// By what runs on it: stands still until *ready*, or until that time.
  void wait(std::function<bool()> ready, std::optional<clock::monotonic_time> until);

  [[nodiscard]] bool is_free() const {
    return !waits_ && !busy_;
  }
  [[nodiscard]] bool may_go_on(clock::monotonic_time now) const {
    return waits_ && (waits_->ready() || (waits_->until && now >= *waits_->until));
  }
  [[nodiscard]] std::optional<clock::monotonic_time> due() const {
    return waits_ ? waits_->until : std::nullopt;
  }

private:
  struct waiting {
    std::function<bool()> ready;
    std::optional<clock::monotonic_time> until;
  };
  void hand_over();
  void work();

  std::mutex mutex_;
  std::condition_variable changed_;
  bool theirs_ = false; ///< The thread runs; whoever began it stands still.
  bool ends_ = false;
  bool busy_ = false;
  std::function<void()> what_;
  std::optional<waiting> waits_;
  std::thread thread_;
};

class sim_stage {
public:
  explicit sim_stage(uint64_t seed);
  ~sim_stage();
  sim_stage(const sim_stage&) = delete;
  sim_stage& operator=(const sim_stage&) = delete;

  /// Calls *what* then; in order of times, and of calls of this.
  void at(clock::monotonic_time when, std::function<void()> what);
  void after(std::chrono::nanoseconds span, std::function<void()> what) {
    at(now() + span, std::move(what));
  }
  [[nodiscard]] clock::monotonic_time now() const {
    return time->monotonic();
  }

  /// Lets everything happen for so long, or until *enough* holds. Answers whether it does.
  bool pass(std::chrono::nanoseconds span, const std::function<bool()>& enough);
  /// The same without time passing.
  bool settle(const std::function<bool()>& enough);

  /// For actors that would block.
  [[nodiscard]] std::shared_ptr<storage::workplace> place();

  /// Notes what happened; runs that are alike note the same.
  void note(std::string_view what, byte_view detail);
  [[nodiscard]] std::string trace() const;
  /// What actors were given, and what was due by time: things that happened.
  [[nodiscard]] uint64_t steps() const {
    return steps_;
  }

  std::shared_ptr<manual_clock> time = std::make_shared<manual_clock>();
  std::shared_ptr<seeded_random> chance;
  /// Called after each step.
  std::function<void()> after_step;

private:
  class unit;
  class workplace;
  struct config : caf::actor_system_config {
    config();
  };
  friend class workplace;

  /// Of one step; false when nothing can be done before time passes.
  bool step();
  [[nodiscard]] bool run_job();
  [[nodiscard]] bool run_event();
  void resume(caf::resumable* job, sim_bench* on);
  void finish(caf::resumable* job, caf::resumable::resume_result outcome);
  [[nodiscard]] std::optional<clock::monotonic_time> next_due() const;
  void advance_to(clock::monotonic_time when);
  [[nodiscard]] sim_bench& free_bench();

  config cfg_;

public:
  caf::actor_system sys{cfg_};

private:
  seeded_random drawn_; ///< By OpenSSL.
  caf::scheduler::test_coordinator& scheduler_;
  std::unique_ptr<unit> unit_;
  std::shared_ptr<workplace> place_;
  std::vector<std::unique_ptr<sim_bench>> benches_;
  std::map<std::pair<clock::monotonic_time, uint64_t>, std::function<void()>> events_;
  uint64_t events_made_ = 0;
  uint64_t steps_ = 0;
  crypto::hasher trace_;
};

} // namespace datamesh::test
