// Batches of chunks on their way through codec workers into packs, for the packer.
#pragma once

#include "storage/intake_jobs.hpp"
#include "storage/pack_line.hpp"
#include "storage/packer_actor.hpp"

#include <functional>

namespace datamesh::storage {

/// Lives in the packer and asks in its name; not thread safe.
class pack_filler {
public:
  struct listener {
    /// There is a pack that takes chunks, or one was opened.
    std::function<bool()> open;
    /// A worker has let go of a pack, and a job may be idle.
    std::function<void()> worker_left;
    /// What a worker answered is in its pack; what did not fit is in the queue.
    std::function<void()> went_on;
    std::function<void(const run_ptr&, const error&)> failed;
  };

  pack_filler(packer_actor::pointer self, std::shared_ptr<codec_team> team, intake_jobs& jobs, pack_line& line, listener tell)
      : self_(self), team_(std::move(team)), jobs_(jobs), line_(line), tell_(std::move(tell)) {}

  void push(intake_batch batch) {
    queue_.push_back(std::move(batch));
  }
  /// Those that no worker has yet.
  [[nodiscard]] const std::deque<intake_batch>& queue() const noexcept {
    return queue_;
  }
  [[nodiscard]] bool workers_are_out() const {
    return under_way_ >= 2 * team_->size();
  }

  /// Gives workers what they can take.
  void fill();

  /// Answers what no worker has yet of those jobs.
  void drop(const std::function<bool(uint64_t job)>& of_job, const caf::error& reason);

private:
  void send(std::shared_ptr<intake_batch> batch, const run_ptr& run);
  void leave(size_t worker, pack_run& run, uint64_t job);
  void take(intake_batch& batch, const run_ptr& run, v1::SealedChunks& reply);
  void sort_out(intake_batch& batch, const run_ptr& run, size_t done);

  packer_actor::pointer self_;
  std::shared_ptr<codec_team> team_;
  intake_jobs& jobs_;
  pack_line& line_;
  listener tell_;
  std::deque<intake_batch> queue_;
  size_t under_way_ = 0; ///< Batches at workers.
};

} // namespace datamesh::storage
