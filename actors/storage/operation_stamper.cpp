#include "storage/operation_stamper.hpp"

#include "storage/convert.hpp"

#include <algorithm>

namespace datamesh::storage {

namespace {

constexpr auto answer_timeout = std::chrono::minutes{5};

} // namespace

void operation_stamper::submit(submission what) {
  what.after_serial = line_.last_serial();
  waiting_bytes_ += what.size;
  waiting_.push_back(std::move(what));
}

bool operation_stamper::any_pending() const {
  auto pending = names_->pending_operations(1);
  return pending && !pending->empty();
}

void operation_stamper::drop(const std::function<bool(uint64_t)>& of_job, const caf::error& reason) {
  auto first = std::stable_partition(waiting_.begin(), waiting_.end(), [&](const auto& one) { return !of_job(one.job); });
  for (auto one = first; one != waiting_.end(); ++one) {
    waiting_bytes_ -= one->size;
    one->promise.deliver(reason);
  }
  waiting_.erase(first, waiting_.end());
}

void operation_stamper::announce(const run_ptr& run) {
  run->asks_catalog = true;
  self_->request(catalog_writer_, answer_timeout, v1::StampOperations{})
      .then(
          [this, run](v1::StampedOperations&) {
            announced_ = true;
            if (!run->dead)
              tell_.stamped(run);
          },
          [this, run](caf::error& reason) { tell_.failed(run, from_caf(reason)); });
}

void operation_stamper::stamp(const run_ptr& run) {
  v1::StampOperations request;
  uint32_t size = 0;
  auto takes = [&](const submission& next) {
    // Room was kept for what had been submitted when the pack was filled; what came
    // after that may not fit.
    if (next.after_serial > run->serial || (size > 0 && size + next.size > operation_bytes_max))
      return false;
    return run->pack->has_room_for(size + next.size + operation_batch_overhead) || (size == 0 && run->pack->empty());
  };
  while (!waiting_.empty() && takes(waiting_.front())) {
    auto& next = waiting_.front();
    size += next.size;
    run->upkeep = run->upkeep && next.bodies.empty();
    for (auto& body : next.bodies)
      request.add_bodies(std::move(body));
    for (auto& batch : next.copied)
      *run->finish.add_copied() = std::move(batch);
    waiting_bytes_ -= next.size;
    run->submissions.push_back(std::move(next));
    waiting_.pop_front();
  }
  ++stamping_;
  run->asks_catalog = true;
  self_->request(catalog_writer_, answer_timeout, std::move(request))
      .then([this, run, size](v1::StampedOperations& stamped) { take_stamped(run, size, stamped); },
            [this, run](caf::error& reason) {
              --stamping_;
              run->stamped = true; // The catalog may answer later than we wait.
              if (run->dead)
                answered_dead(*run);
              else
                tell_.failed(run, from_caf(reason));
            });
}

void operation_stamper::take_stamped(const run_ptr& run, uint32_t taken, v1::StampedOperations& stamped) {
  --stamping_;
  announced_ = true;
  run->stamped = stamped.operations_size() > 0;
  if (run->dead)
    return answered_dead(*run);
  if (run == line_.all().front())
    add_pending_runs(*run, taken);
  if (run->stamped)
    *run->finish.add_runs() = std::move(stamped);
  tell_.stamped(run);
}

void operation_stamper::answered_dead(pack_run& run) {
  disown(run);
  take_back_if_due();
  tell_.stamps_void();
}

void operation_stamper::take_back_if_due() {
  auto is_stamped = [](const run_ptr& run) {
    return run->stamped;
  };
  if (!must_take_back_ || stamping_ > 0 || std::any_of(line_.all().begin(), line_.all().end(), is_stamped))
    return;
  must_take_back_ = false;
  self_->send(catalog_writer_, caf::delete_atom_v);
}

/// Operations that are in the catalog only travel along, in stretches without a
/// gap, as far as there is room behind the *taken* bytes.
void operation_stamper::add_pending_runs(pack_run& run, uint32_t taken) {
  constexpr size_t pending_max = 4096;
  auto pending = names_->pending_operations(pending_max);
  if (!pending)
    return;
  uint32_t size = 0;
  v1::StampedOperations* stretch = nullptr;
  uint64_t expected = 0;
  for (const auto& op : *pending) {
    auto encoded = encode(op);
    auto begins = stretch == nullptr || op.sequence != expected;
    size += static_cast<uint32_t>(encoded.size()) + 8 + (begins ? operation_batch_overhead : 0);
    if (size > operation_bytes_max / 4 || !run.pack->has_room_for(taken + size + operation_batch_overhead))
      break;
    if (begins) {
      stretch = run.finish.add_runs();
      stretch->set_device(write_id(op.at.device));
      stretch->set_first_sequence(op.sequence);
    }
    stretch->add_operations(std::move(encoded));
    run.pending = true;
    expected = op.sequence + 1;
  }
}

} // namespace datamesh::storage
