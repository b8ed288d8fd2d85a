// Operations on their way into packs, for the packer: they wait for a pack behind the
// chunks they name, and the catalog stamps those that go with it.
#pragma once

#include "storage/pack_line.hpp"
#include "storage/packer_actor.hpp"

#include <functional>

namespace datamesh::storage {

/// Sealing costs so much beside the operations themselves, per batch and pack.
inline constexpr uint32_t operation_batch_overhead = 512;

/// Lives in the packer and asks in its name; not thread safe.
class operation_stamper {
public:
  struct listener {
    /// All that the pack carries is in its `finish`.
    std::function<void(const run_ptr&)> stamped;
    std::function<void(const run_ptr&, const error&)> failed;
    /// The catalog answered for a pack that had died.
    std::function<void()> stamps_void;
  };

  operation_stamper(packer_actor::pointer self, catalog_actor catalog_writer, std::shared_ptr<catalog> names, const pack_line& line,
                    listener tell)
      : self_(self), catalog_writer_(std::move(catalog_writer)), names_(std::move(names)), line_(line), tell_(std::move(tell)) {}

  void submit(submission what);

  /// Of those that are in no pack yet.
  [[nodiscard]] uint32_t waiting_bytes() const noexcept {
    return waiting_bytes_;
  }
  /// What a pack keeps free for them.
  [[nodiscard]] uint32_t room_wanted() const noexcept {
    return waiting_bytes_ + operation_batch_overhead;
  }
  [[nodiscard]] bool any_wait() const noexcept {
    return !waiting_.empty();
  }
  /// Whether some may go with *run*: the chunks they name are there, or before it.
  [[nodiscard]] bool any_wait_for(const pack_run& run) const {
    return !waiting_.empty() && waiting_.front().after_serial <= run.serial;
  }
  /// Whether some are in the catalog alone.
  [[nodiscard]] bool any_pending() const;

  /// Answers those of these jobs that are in no pack yet.
  void drop(const std::function<bool(uint64_t job)>& of_job, const caf::error& reason);

  /// The catalog knows that packs are stored: what a crash leaves of them must be looked for.
  [[nodiscard]] bool is_announced() const noexcept {
    return announced_;
  }
  /// ... is told so by *run*, which carries nothing.
  void announce(const run_ptr& run);
  /// Moves as many into *run* as fit and has them stamped.
  /// @pre not `must_take_back`
  void stamp(const run_ptr& run);

  /// *run* died; what it was given is taken back in its time.
  void disown(pack_run& run) {
    must_take_back_ = std::exchange(run.stamped, false) || must_take_back_;
  }
  /// Some stamps that the catalog gave belong to packs that died.
  [[nodiscard]] bool must_take_back() const noexcept {
    return must_take_back_;
  }
  /// The catalog takes back all stamps that it was not told to commit, once none but those
  /// of dead packs are out.
  void take_back_if_due();

private:
  void take_stamped(const run_ptr& run, uint32_t taken, v1::StampedOperations& stamped);
  void add_pending_runs(pack_run& run, uint32_t taken);
  void answered_dead(pack_run& run);

  packer_actor::pointer self_;
  catalog_actor catalog_writer_;
  std::shared_ptr<catalog> names_;
  const pack_line& line_;
  listener tell_;
  std::deque<submission> waiting_;
  uint32_t waiting_bytes_ = 0;
  bool announced_ = false;
  size_t stamping_ = 0; ///< Requests that the catalog has not answered.
  bool must_take_back_ = false;
};

} // namespace datamesh::storage
