#include "storage/pack_filler.hpp"

#include "storage/convert.hpp"

#include <algorithm>

namespace datamesh::storage {

namespace {

constexpr auto answer_timeout = std::chrono::minutes{5};

} // namespace

void pack_filler::fill() {
  while (!queue_.empty() && !workers_are_out() && tell_.open()) {
    auto batch = std::make_shared<intake_batch>(std::move(queue_.front()));
    queue_.pop_front();
    send(std::move(batch), line_.current());
  }
}

void pack_filler::send(std::shared_ptr<intake_batch> batch, const run_ptr& run) {
  ++under_way_;
  ++run->jobs;
  jobs_.to_worker(batch->job);
  auto [number, worker] = team_->pick();
  auto done = [this, batch, run, number = number](v1::SealedChunks& reply) {
    leave(number, *run, batch->job);
    take(*batch, run, reply);
  };
  auto failed = [this, batch, run, number = number](caf::error& reason) {
    leave(number, *run, batch->job);
    answer(*batch, to_caf(from_caf(reason).within("seal chunks")));
    tell_.failed(run, from_caf(reason));
  };
  if (auto* seal = std::get_if<v1::SealChunks>(&batch->request)) {
    run->upkeep = false;
    self_->request(*worker, answer_timeout, *seal, batch->data, pack_ref{run->pack}).then(done, failed);
  } else {
    self_->request(*worker, answer_timeout, std::get<v1::CopyChunks>(batch->request), batch->data, pack_ref{run->pack}).then(done, failed);
  }
}

void pack_filler::leave(size_t worker, pack_run& run, uint64_t job) {
  team_->finished(worker);
  --under_way_;
  --run.jobs;
  jobs_.from_worker(job);
  tell_.worker_left();
}

void pack_filler::take(intake_batch& batch, const run_ptr& run, v1::SealedChunks& reply) {
  batch.reply.mutable_chunks()->MergeFrom(reply.chunks());
  jobs_.rely_on(batch.job, line_.last_serial()); // Known ones may be in any open pack.
  if (run->dead) {
    jobs_.fail(batch.job, *run->dead);
    answer(batch, to_caf(*run->dead));
  } else {
    sort_out(batch, run, static_cast<size_t>(reply.chunks_size()));
  }
  tell_.went_on();
}

/// What did not fit goes to the next pack.
void pack_filler::sort_out(intake_batch& batch, const run_ptr& run, size_t done) {
  if (done == 0 && !batch.data.empty() && run->pack->empty())
    return answer(batch, to_caf(error{errc::capacity_exceeded, "put a chunk into a pack"}));
  if (done >= batch.data.size())
    return answer(batch, caf::none);
  if (jobs_.is_closed(batch.job))
    return answer(batch, to_caf(error{errc::cancelled, "seal chunks"}));
  if (auto* copy = std::get_if<v1::CopyChunks>(&batch.request))
    copy->mutable_chunks()->DeleteSubrange(0, static_cast<int>(done));
  batch.data.erase(batch.data.begin(), batch.data.begin() + static_cast<ptrdiff_t>(done));
  queue_.push_front(std::move(batch));
  line_.close(run);
}

void pack_filler::drop(const std::function<bool(uint64_t)>& of_job, const caf::error& reason) {
  auto first = std::stable_partition(queue_.begin(), queue_.end(), [&](const auto& batch) { return !of_job(batch.job); });
  std::vector<intake_batch> gone{std::move_iterator{first}, std::move_iterator{queue_.end()}};
  queue_.erase(first, queue_.end());
  for (auto& batch : gone)
    answer(batch, reason);
}

} // namespace datamesh::storage
