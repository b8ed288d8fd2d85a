#include "storage/packer_actor.hpp"

#include "storage/convert.hpp"
#include "storage/pack_run.hpp"
#include "storage/pack_storer.hpp"

#include <algorithm>
#include <deque>
#include <map>

namespace datamesh::storage {

namespace {

constexpr auto answer_timeout = std::chrono::minutes{5};
/// Packs that are stored while the catalog is behind.
constexpr size_t stored_max = 4;
constexpr auto company_wait = std::chrono::milliseconds{20};
/// Sealing costs so much beside the operations themselves, per batch and pack.
constexpr uint32_t operation_batch_overhead = 512;

/// Who uses the packer.
struct open_job {
  uint32_t shards_short = 0;          ///< Most that any pack lacked while the job ran.
  uint64_t last_serial = 0;           ///< Packs up to this one may hold chunks of it.
  size_t at_workers = 0;              ///< Batches.
  std::optional<done_promise> closed; ///< Told when nothing of it is on its way any more.
  std::optional<error> failure;       ///< Why something of it is lost.
  std::shared_ptr<stage_watch> watch; ///< Null where nobody wants to know.
  stage_wait waits;                   ///< For what; as it was told last.
};

struct packer_state {
  static inline constexpr const char* name = "packer";
  packer_context context;
  std::map<uint64_t, open_job> jobs;
  std::deque<intake_batch> queue;
  size_t under_way = 0; ///< Batches at workers.
  std::deque<run_ptr> runs;
  run_ptr current;
  std::vector<run_ptr> leaving; ///< Dead, and drives may still have something of them.
  uint64_t last_serial = 0;
  std::deque<submission> submissions;
  uint32_t submitted_bytes = 0;
  std::vector<flush_wait> flushes;
  bool close_wanted = false;
  bool tick_pending = false;
  bool announced = false;       ///< The catalog knows that packs are stored.
  size_t stamping = 0;          ///< Stamps that the catalog was asked for and has not given.
  bool stamps_are_void = false; ///< Some that it gave belong to packs that died.
  v1::PackFigures figures;
};

class packer {
public:
  using self_pointer = packer_actor::stateful_pointer<packer_state>;

  explicit packer(self_pointer self)
      : self_(self), state_(self->state), storer_(self, state_.context.drives, state_.context.how,
                                                  {[this](const run_ptr& run, result<void> outcome) {
                                                     if (outcome)
                                                       commit(run);
                                                     else
                                                       fail_from(run, outcome.error());
                                                   },
                                                   [this](const run_ptr&) { tell_waits(); },
                                                   [this](const run_ptr& run) {
                                                     std::erase(state_.leaving, run);
                                                     forget_idle_jobs();
                                                   }}) {}

  void begin_job(uint64_t number, std::shared_ptr<stage_watch> watch) {
    state_.jobs[number].watch = std::move(watch);
    tell_waits();
  }

  /// A job that lost chunks with a pack must not go on as if they were there.
  [[nodiscard]] result<void> admit(uint64_t number) {
    const auto& job = state_.jobs[number];
    if (job.failure)
      return fail(*job.failure);
    return {};
  }

  /// What is on its way goes on, the rest is dropped.
  void close_job(uint64_t number, done_promise promise) {
    drop_waiting([&](uint64_t job) { return job == number; }, error{errc::cancelled, "store in packs"});
    state_.jobs[number].closed = std::move(promise);
    forget_if_idle(number);
    // A dry run opens a pack that nobody closes.
    if (state_.jobs.empty() && state_.submissions.empty() && state_.current && state_.current->jobs == 0 && state_.current->pack->empty())
      drop_current();
  }

  void enqueue(intake_batch batch) {
    state_.queue.push_back(std::move(batch));
    dispatch();
  }

  void submit(submission what) {
    what.after_serial = state_.last_serial;
    state_.submitted_bytes += what.size;
    state_.submissions.push_back(std::move(what));
    if (state_.current) {
      state_.current->pack->set_operation_bytes(state_.submitted_bytes + operation_batch_overhead);
      if (state_.submitted_bytes >= operation_bytes_max / 2)
        close_current();
    }
    advance();
  }

  void flush(flush_wait waiter, bool at_once) {
    state_.flushes.push_back(std::move(waiter));
    if (at_once || state_.jobs.size() <= 1) {
      state_.close_wanted = true;
    } else if (!state_.tick_pending) {
      state_.tick_pending = true;
      self_->delayed_send(self_, company_wait, caf::tick_atom_v);
    }
    advance();
  }

  void tick() {
    state_.tick_pending = false;
    if (!state_.flushes.empty())
      state_.close_wanted = true;
    advance();
  }

private:
  // -- jobs ------------------------------------------------------------------------

  /// What a worker looks up is pinned, and what operations on their way need. So pins go
  /// only when neither is there.
  void forget_if_idle(uint64_t number) {
    auto job = state_.jobs.find(number);
    if (job == state_.jobs.end() || !job->second.closed || job->second.at_workers > 0 || is_carried(number))
      return;
    // The room that its packs took is there again when it is told.
    if (job->second.failure && !state_.leaving.empty())
      return;
    auto promise = std::move(*job->second.closed);
    state_.jobs.erase(job);
    state_.context.codec->claims->release(number);
    promise.deliver(v1::Done{});
  }

  void forget_idle_jobs() {
    std::vector<uint64_t> closed;
    for (const auto& [number, job] : state_.jobs)
      if (job.closed)
        closed.push_back(number);
    for (auto number : closed)
      forget_if_idle(number);
  }

  bool is_carried(uint64_t number) const {
    return std::any_of(state_.runs.begin(), state_.runs.end(), [&](const run_ptr& run) {
      return std::any_of(run->submissions.begin(), run->submissions.end(), [&](const submission& one) { return one.job == number; });
    });
  }

  bool is_closed(uint64_t number) const {
    auto job = state_.jobs.find(number);
    return job == state_.jobs.end() || job->second.closed;
  }

  /// Batches and operations that are in no pack yet.
  template <class Predicate>
  void drop_waiting(Predicate of_job, const error& reason) {
    auto told = to_caf(reason);
    auto batches = std::stable_partition(state_.queue.begin(), state_.queue.end(), [&](const auto& batch) { return !of_job(batch.job); });
    std::vector<intake_batch> gone{std::move_iterator{batches}, std::move_iterator{state_.queue.end()}};
    state_.queue.erase(batches, state_.queue.end());
    for (auto& batch : gone)
      answer(batch, told);
    auto first =
        std::stable_partition(state_.submissions.begin(), state_.submissions.end(), [&](const auto& one) { return !of_job(one.job); });
    for (auto one = first; one != state_.submissions.end(); ++one) {
      state_.submitted_bytes -= one->size;
      one->promise.deliver(told);
    }
    state_.submissions.erase(first, state_.submissions.end());
  }

  /// Until its operations are committed, nothing else says that a job needs the pack.
  void pin_for_jobs(const pack_id& pack) {
    for (const auto& [number, job] : state_.jobs)
      state_.context.codec->claims->pin(pack, number);
  }

  // -- filling ---------------------------------------------------------------------

  void dispatch() {
    fill_workers();
    tell_waits();
  }

  void fill_workers() {
    auto& team = *state_.context.team;
    while (!state_.queue.empty() && state_.under_way < 2 * team.size()) {
      if (!state_.current && !open_next())
        return;
      auto batch = std::make_shared<intake_batch>(std::move(state_.queue.front()));
      state_.queue.pop_front();
      send_to_worker(std::move(batch), state_.current);
    }
  }

  bool buffers_are_out() const {
    auto buffers = std::count_if(state_.runs.begin(), state_.runs.end(), [](const run_ptr& run) { return run->pack != nullptr; });
    return static_cast<size_t>(buffers) >= state_.context.packs_max;
  }

  bool open_next() {
    if (buffers_are_out() || state_.runs.size() >= state_.context.packs_max + stored_max)
      return false;
    auto run = std::make_shared<pack_run>();
    run->serial = ++state_.last_serial;
    run->pack = std::make_shared<open_pack>(run->serial, state_.context.pack_pool->take(), state_.context.pack_limit);
    run->pack->set_operation_bytes(state_.submitted_bytes + operation_batch_overhead);
    state_.runs.push_back(run);
    state_.current = std::move(run);
    return true;
  }

  void send_to_worker(std::shared_ptr<intake_batch> batch, run_ptr run) {
    ++state_.under_way;
    ++run->jobs;
    ++state_.jobs[batch->job].at_workers;
    tell_waits();
    auto [number, worker] = state_.context.team->pick();
    auto done = [this, batch, run, number = number](v1::SealedChunks& reply) {
      leave_worker(number, *run, batch->job);
      take_reply(*batch, run, reply);
    };
    auto failed = [this, batch, run, number = number](caf::error& reason) {
      leave_worker(number, *run, batch->job);
      answer(*batch, to_caf(from_caf(reason).within("seal chunks")));
      fail_from(run, from_caf(reason));
    };
    if (auto* seal = std::get_if<v1::SealChunks>(&batch->request)) {
      run->upkeep = false;
      self_->request(*worker, answer_timeout, *seal, batch->data, pack_ref{run->pack}).then(done, failed);
    } else {
      self_->request(*worker, answer_timeout, std::get<v1::CopyChunks>(batch->request), batch->data, pack_ref{run->pack})
          .then(done, failed);
    }
  }

  void leave_worker(size_t number, pack_run& run, uint64_t job) {
    state_.context.team->finished(number);
    --state_.under_way;
    --run.jobs;
    --state_.jobs[job].at_workers;
    forget_if_idle(job);
  }

  /// What did not fit goes to the next pack.
  void take_reply(intake_batch& batch, const run_ptr& run, v1::SealedChunks& reply) {
    auto done = static_cast<size_t>(reply.chunks_size());
    batch.reply.mutable_chunks()->MergeFrom(reply.chunks());
    if (auto job = state_.jobs.find(batch.job); job != state_.jobs.end()) {
      job->second.last_serial = state_.last_serial; // Known ones may be in any open pack.
      if (run->dead && !job->second.failure)
        job->second.failure = run->dead;
    }
    if (run->dead) {
      answer(batch, to_caf(*run->dead));
    } else if (done == 0 && !batch.data.empty() && run->pack->empty()) {
      answer(batch, to_caf(error{errc::capacity_exceeded, "put a chunk into a pack"}));
    } else if (done < batch.data.size() && is_closed(batch.job)) {
      answer(batch, to_caf(error{errc::cancelled, "seal chunks"}));
    } else if (done < batch.data.size()) {
      if (auto* copy = std::get_if<v1::CopyChunks>(&batch.request))
        copy->mutable_chunks()->DeleteSubrange(0, static_cast<int>(done));
      batch.data.erase(batch.data.begin(), batch.data.begin() + static_cast<ptrdiff_t>(done));
      state_.queue.push_front(std::move(batch));
      close(run);
    } else {
      answer(batch, caf::none);
    }
    advance();
  }

  static void answer(intake_batch& batch, const caf::error& reason) {
    if (auto* sealing = std::get_if<seal_promise>(&batch.promise)) {
      if (reason)
        sealing->deliver(reason);
      else
        sealing->deliver(std::move(batch.reply));
      return;
    }
    auto& copying = std::get<done_promise>(batch.promise);
    if (reason)
      copying.deliver(reason);
    else
      copying.deliver(v1::Done{});
  }

  // -- telling for what jobs wait ----------------------------------------------------

  /// Of the packs that keep another from being opened, the stage of the first.
  stage_wait stage_before_next() const {
    auto out = buffers_are_out();
    for (const auto& run : state_.runs)
      if (auto waits = stage_of(*run); waits != stage_wait{} && (!out || run->pack))
        return waits;
    return {};
  }

  void tell_waits() {
    std::map<uint64_t, stage_wait> found;
    for (const auto& [number, job] : state_.jobs)
      if (job.watch)
        found[number] = {job.at_workers > 0 ? transfer_stage::codec : transfer_stage::none};
    if (found.empty())
      return;
    auto note = [&](uint64_t number, const stage_wait& waits) {
      if (auto job = found.find(number); job != found.end() && job->second == stage_wait{})
        job->second = waits;
    };
    auto before_next = stage_before_next();
    auto workers_are_out = state_.under_way >= 2 * state_.context.team->size();
    for (const auto& batch : state_.queue)
      note(batch.job, workers_are_out ? stage_wait{transfer_stage::codec} : before_next);
    // A flush waits for all packs up to its own, so for the one that has farthest to go.
    stage_wait hindmost;
    auto at = std::optional<pack_run::stage>{};
    for (const auto& run : state_.runs) {
      if (run->at != pack_run::stage::coded && (!at || run->at < *at)) {
        at = run->at;
        hindmost = stage_of(*run);
      }
      for (const auto& waiter : run->flushes)
        note(waiter.job, hindmost);
    }
    if (state_.close_wanted)
      for (const auto& waiter : state_.flushes)
        note(waiter.job, before_next);
    for (const auto& [number, waits] : found)
      if (auto& job = state_.jobs[number]; job.waits != waits) {
        job.waits = waits;
        job.watch->pipeline_waits_for(waits);
      }
  }

  // -- closing ----------------------------------------------------------------------

  void close(const run_ptr& run) {
    run->closing = true;
    if (state_.current == run)
      state_.current = nullptr;
  }

  void close_current() {
    if (state_.current)
      close(state_.current);
  }

  /// A flush closes the current pack; what others have on its way goes to the next.
  /// With only operations or waiters there, it opens an empty one for them.
  void close_for_flush() {
    if (!state_.close_wanted)
      return;
    auto something_waits = !state_.submissions.empty() || has_pending();
    if (!state_.current && something_waits && !takes_operations_soon() && !open_next())
      return;
    state_.close_wanted = false;
    auto last = state_.current ? state_.current : state_.runs.empty() ? nullptr : state_.runs.back();
    if (state_.current && state_.current->jobs == 0 && state_.current->pack->empty() && !something_waits)
      last = drop_current();
    close_current();
    for (auto& waiter : state_.flushes) {
      if (last)
        last->flushes.push_back(std::move(waiter));
      else
        deliver(waiter);
    }
    state_.flushes.clear();
  }

  void deliver(flush_wait& waiter) {
    auto figures = state_.figures;
    auto job = state_.jobs.find(waiter.job);
    figures.set_shards_short(job == state_.jobs.end() ? 0 : job->second.shards_short);
    waiter.promise.deliver(std::move(figures));
  }

  /// True when a pack that is closing already will take all that waits.
  bool takes_operations_soon() const {
    return !state_.runs.empty() && state_.runs.back()->at <= pack_run::stage::ready && state_.runs.back()->closing
           && state_.submitted_bytes < operation_bytes_max / 2;
  }

  run_ptr drop_current() {
    state_.runs.pop_back();
    state_.current = nullptr;
    return state_.runs.empty() ? nullptr : state_.runs.back();
  }

  bool has_pending() const {
    auto pending = state_.context.names->pending_operations(1);
    return pending && !pending->empty();
  }

  // -- from closed to committed ------------------------------------------------------------

  /// Operations reach the drives in their order, and behind the chunks they name: a
  /// crash must leave no hole among them. So a pack that carries some is coded in its
  /// turn and stored when all before it are; the catalog is told in the same order.
  void advance() {
    close_for_flush();
    auto before = pack_run::stage::stored; // The stage of the hindmost before it.
    for (const auto& run : std::deque<run_ptr>{state_.runs}) {
      if (run->dead || !step(run, before))
        break;
      before = std::min(before, run->at);
    }
    dispatch();
  }

  /// False when those behind it have to wait for it.
  bool step(const run_ptr& run, pack_run::stage before) {
    if (run->at == pack_run::stage::filling && run->closing && run->jobs == 0)
      run->at = pack_run::stage::ready;
    if (run->at == pack_run::stage::coded && (!run->carries || before == pack_run::stage::stored)) {
      run->at = pack_run::stage::storing;
      tell_waits();
      storer_.store(run);
    }
    if (run->at != pack_run::stage::ready)
      return true;
    auto with_operations = !state_.submissions.empty() && state_.submissions.front().after_serial <= run->serial;
    auto for_pending = !with_operations && run->pack->empty(); // Opened for what waits in the catalog.
    if ((with_operations && before <= pack_run::stage::ready) || (for_pending && run != state_.runs.front()))
      return false;
    if ((with_operations || for_pending) && state_.stamps_are_void)
      return false;
    run->at = pack_run::stage::coding;
    run->carries = with_operations || for_pending;
    run->pending = for_pending;
    if (run->carries)
      stamp(run);
    else if (state_.announced)
      finish(run);
    else
      announce(run);
    return true;
  }

  /// The first pack: what a crash leaves of it must be looked for.
  void announce(const run_ptr& run) {
    run->asks_catalog = true;
    tell_waits();
    self_->request(state_.context.catalog_writer, answer_timeout, v1::StampOperations{})
        .then(
            [this, run](v1::StampedOperations&) {
              state_.announced = true;
              if (!run->dead)
                finish(run);
            },
            [this, run](caf::error& reason) { fail_from(run, from_caf(reason)); });
  }

  void stamp(const run_ptr& run) {
    v1::StampOperations request;
    uint32_t size = 0;
    auto takes = [&](const submission& next) {
      // Room was kept for what had been submitted when the pack was filled; what came
      // after that may not fit.
      if (next.after_serial > run->serial || (size > 0 && size + next.size > operation_bytes_max))
        return false;
      return run->pack->has_room_for(size + next.size + operation_batch_overhead) || (size == 0 && run->pack->empty());
    };
    while (!state_.submissions.empty() && takes(state_.submissions.front())) {
      auto& next = state_.submissions.front();
      size += next.size;
      run->upkeep = run->upkeep && next.bodies.empty();
      for (auto& body : next.bodies)
        request.add_bodies(std::move(body));
      for (auto& batch : next.copied)
        *run->finish.add_copied() = std::move(batch);
      state_.submitted_bytes -= next.size;
      run->submissions.push_back(std::move(next));
      state_.submissions.pop_front();
    }
    // Flushes wait for operations that did not fit.
    if (!state_.submissions.empty() && !run->flushes.empty()) {
      std::move(run->flushes.begin(), run->flushes.end(), std::back_inserter(state_.flushes));
      run->flushes.clear();
      state_.close_wanted = true;
    }
    ++state_.stamping;
    run->asks_catalog = true;
    tell_waits();
    self_->request(state_.context.catalog_writer, answer_timeout, std::move(request))
        .then(
            [this, run, size](v1::StampedOperations& stamped) {
              --state_.stamping;
              state_.announced = true;
              run->stamped = stamped.operations_size() > 0;
              if (run->dead)
                return void_stamps(*run);
              if (run == state_.runs.front())
                add_pending_runs(*run, size);
              if (run->stamped)
                *run->finish.add_runs() = std::move(stamped);
              if (run->finish.runs_size() == 0 && run->finish.copied_size() == 0 && run->pack->empty())
                return leave(run);
              finish(run);
            },
            [this, run](caf::error& reason) {
              --state_.stamping;
              run->stamped = true; // The catalog may answer later than we wait.
              if (run->dead)
                void_stamps(*run);
              else
                fail_from(run, from_caf(reason));
            });
  }

  void void_stamps(pack_run& dead) {
    state_.stamps_are_void = std::exchange(dead.stamped, false) || state_.stamps_are_void;
    take_back_stamps();
    advance();
  }

  /// The catalog takes back all stamps that it was not told to commit: time for it when
  /// none but those of dead packs are out.
  void take_back_stamps() {
    auto is_stamped = [](const run_ptr& run) {
      return run->stamped;
    };
    if (!state_.stamps_are_void || state_.stamping > 0 || std::any_of(state_.runs.begin(), state_.runs.end(), is_stamped))
      return;
    state_.stamps_are_void = false;
    self_->send(state_.context.catalog_writer, caf::delete_atom_v);
  }

  /// Operations that are in the catalog only travel along, in stretches without a
  /// gap, as far as there is room behind the *taken* bytes.
  void add_pending_runs(pack_run& run, uint32_t taken) {
    constexpr size_t pending_max = 4096;
    auto pending = state_.context.names->pending_operations(pending_max);
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

  void finish(const run_ptr& run) {
    run->asks_catalog = false;
    tell_waits();
    run->finish.set_k(state_.context.how.k);
    run->finish.set_m(state_.context.how.m);
    auto [number, worker] = state_.context.team->pick();
    self_->request(*worker, answer_timeout, run->finish, pack_ref{run->pack})
        .then(
            [this, run, number = number](v1::FinishedPack& finished, slices& bodies) {
              state_.context.team->finished(number);
              if (run->dead)
                return;
              run->finished = std::move(finished);
              run->bodies = std::move(bodies);
              auto record = from_proto(run->finished.pack().record());
              if (!record)
                return fail_from(run, record.error());
              run->record = std::move(*record);
              run->stored.assign(run->bodies.size(), false);
              run->at = pack_run::stage::coded;
              advance();
            },
            [this, run, number = number](caf::error& reason) {
              state_.context.team->finished(number);
              fail_from(run, from_caf(reason));
            });
  }

  // -- committing ------------------------------------------------------------------------

  void commit(const run_ptr& run) {
    pin_for_jobs(run->record.seal.id);
    v1::CommitCatalog request;
    auto* pack = request.add_packs();
    *pack = std::move(*run->finished.mutable_pack());
    *pack->mutable_record() = to_proto(run->record);
    request.set_operations_in_pack(true);
    for (auto& stretch : *run->finish.mutable_runs())
      for (auto& op : *stretch.mutable_operations())
        request.add_operations(std::move(op));
    // From here on the catalog itself takes stamps back when the commit fails.
    run->stamped = false;
    run->at = pack_run::stage::stored;
    run->pack.reset();
    run->bodies.clear();
    run->finish.Clear();
    tell_waits();
    self_->request(state_.context.catalog_writer, answer_timeout, std::move(request))
        .then(
            [this, run](v1::Done&) {
              if (!run->dead)
                committed(run);
            },
            [this, run](caf::error& reason) { fail_from(run, from_caf(reason)); });
    take_back_stamps();
    advance();
  }

  void committed(const run_ptr& run) {
    auto& figures = state_.figures;
    auto present = run->record.shards_present();
    figures.set_packs(figures.packs() + 1);
    figures.set_bytes_written(figures.bytes_written()
                              + present * (run->record.seal.shape.shard_length + shard_header_length(run->record.seal.shape, true)));
    for (auto& [number, job] : state_.jobs)
      job.shards_short = std::max(job.shards_short, static_cast<uint32_t>(run->stored.size() - present));
    pin_for_jobs(run->record.seal.id); // Those that came meanwhile found its chunks pending.
    state_.context.codec->claims->settle({state_.context.intake, run->serial});
    leave(run);
  }

  /// Nothing of this pack is left to be done; who waited for it is told. Packs
  /// without operations overtake each other, and a flush waits for all before it.
  void leave(const run_ptr& run) {
    for (auto& waiter : run->submissions)
      waiter.promise.deliver(state_.figures);
    auto at = std::find(state_.runs.begin(), state_.runs.end(), run);
    for (auto& waiter : run->flushes) {
      if (at == state_.runs.begin())
        deliver(waiter);
      else
        (*std::prev(at))->flushes.push_back(std::move(waiter));
    }
    state_.runs.erase(at);
    forget_idle_jobs();
    take_back_stamps();
    advance();
  }

  // -- failing ------------------------------------------------------------------------------

  /// A pack failed. Those before it need nothing of it and go on: what lies on drives
  /// must not come back after it was said to be lost. All behind it dies with it, and
  /// what jobs have there is lost.
  void fail_from(const run_ptr& failed, const error& reason) {
    if (failed->dead)
      return advance();
    auto first = std::find(state_.runs.begin(), state_.runs.end(), failed);
    std::vector<run_ptr> dead{first, state_.runs.end()};
    state_.runs.erase(first, state_.runs.end());
    state_.current = nullptr;
    for (auto& [number, job] : state_.jobs)
      if (job.last_serial >= failed->serial && !job.failure)
        job.failure = reason;
    auto told = to_caf(reason);
    std::vector<flush_wait> flushes;
    for (auto& run : dead) {
      run->dead = reason;
      if (!run->answers_due.empty() || run->removals_due > 0)
        state_.leaving.push_back(run);
      state_.stamps_are_void = std::exchange(run->stamped, false) || state_.stamps_are_void;
      state_.context.codec->claims->settle({state_.context.intake, run->serial});
      for (auto& one : run->submissions) {
        if (auto job = state_.jobs.find(one.job); job != state_.jobs.end() && !job->second.failure)
          job->second.failure = reason;
        one.promise.deliver(told);
      }
    }
    // Those who have nothing in these packs wait for the ones before them. But what is in
    // the catalog alone was to go with them.
    for (auto& run : dead)
      for (auto& waiter : run->flushes) {
        auto of_job = state_.jobs.count(waiter.job) > 0 && !has_failed(waiter.job);
        if (!of_job || run->pending || (run->pack && run->pack->empty()))
          waiter.promise.deliver(told);
        else
          flushes.push_back(std::move(waiter));
      }
    drop_waiting([this](uint64_t job) { return has_failed(job); }, reason);
    for (auto& waiter : flushes) {
      if (state_.runs.empty())
        deliver(waiter);
      else
        state_.runs.back()->flushes.push_back(std::move(waiter));
    }
    for (auto& waiter : std::exchange(state_.flushes, {})) {
      if (has_failed(waiter.job))
        waiter.promise.deliver(told);
      else
        state_.flushes.push_back(std::move(waiter));
    }
    state_.close_wanted = state_.close_wanted && !state_.flushes.empty();
    forget_idle_jobs();
    take_back_stamps();
    advance();
  }

  bool has_failed(uint64_t number) const {
    auto job = state_.jobs.find(number);
    return job != state_.jobs.end() && job->second.failure;
  }

  self_pointer self_;
  packer_state& state_;
  pack_storer storer_;
};

packer_actor::behavior_type packer_behavior(packer_actor::stateful_pointer<packer_state> self, packer_context context) {
  self->state.context = std::move(context);
  auto logic = std::make_shared<packer>(self);
  return {
      [=](const v1::OpenIntake& request) -> caf::result<v1::PackFigures> {
        self->state.jobs.try_emplace(request.job());
        return self->state.figures;
      },
      [=](const v1::OpenIntake& request, stage_watch_ref& watch) -> caf::result<v1::PackFigures> {
        logic->begin_job(request.job(), std::move(watch.it));
        return self->state.figures;
      },
      [=](const v1::CloseIntake& request) -> caf::result<v1::Done> {
        auto promise = self->make_response_promise<done_promise::promise_type>();
        logic->close_job(request.job(), {promise, "end a job's intake"});
        return promise;
      },
      [=](v1::SealChunks& request, slices& data) -> caf::result<v1::SealedChunks> {
        if (self->state.queue.size() >= packer_queue_max)
          return to_caf(error{errc::capacity_exceeded, "seal chunks"});
        if (std::any_of(data.begin(), data.end(), [](const bytes& plain) { return plain.empty() || plain.size() > chunk_plain_max; }))
          return to_caf(error{errc::invalid_argument, "seal chunks"});
        if (auto admitted = logic->admit(request.job()); !admitted)
          return to_caf(admitted.error());
        request.set_intake(self->state.context.intake);
        auto promise = self->make_response_promise<seal_promise::promise_type>();
        auto job = request.job();
        logic->enqueue({std::move(request), std::move(data), seal_promise{promise, "seal chunks"}, {}, job});
        return promise;
      },
      [=](v1::CopyChunks& request, slices& data) -> caf::result<v1::Done> {
        if (self->state.queue.size() >= packer_queue_max)
          return to_caf(error{errc::capacity_exceeded, "copy chunks"});
        if (static_cast<size_t>(request.chunks_size()) != data.size())
          return to_caf(error{errc::invalid_argument, "copy chunks"});
        if (auto admitted = logic->admit(request.job()); !admitted)
          return to_caf(admitted.error());
        auto promise = self->make_response_promise<done_promise::promise_type>();
        auto job = request.job();
        logic->enqueue({std::move(request), std::move(data), done_promise{promise, "copy chunks"}, {}, job});
        return promise;
      },
      [=](v1::SubmitOperations& request) -> caf::result<v1::PackFigures> {
        if (auto admitted = logic->admit(request.job()); !admitted)
          return to_caf(admitted.error());
        auto promise = self->make_response_promise<figures_promise::promise_type>();
        submission what;
        what.job = request.job();
        for (auto& body : *request.mutable_bodies()) {
          what.size += static_cast<uint32_t>(body.size()) + 80; // Its stamp and links come on top.
          what.bodies.push_back(std::move(body));
        }
        what.promise = {promise, "store operations"};
        logic->submit(std::move(what));
        return promise;
      },
      [=](v1::CopyOperations& request) -> caf::result<v1::PackFigures> {
        if (auto admitted = logic->admit(request.job()); !admitted)
          return to_caf(admitted.error());
        auto promise = self->make_response_promise<figures_promise::promise_type>();
        submission what;
        what.job = request.job();
        for (auto& batch : *request.mutable_batches()) {
          what.size += static_cast<uint32_t>(batch.sealed().size()) + operation_batch_overhead;
          what.copied.push_back(std::move(batch));
        }
        what.promise = {promise, "store operations"};
        logic->submit(std::move(what));
        return promise;
      },
      [=](const v1::FlushPacks& request) -> caf::result<v1::PackFigures> {
        auto job = self->state.jobs.find(request.job());
        if (job != self->state.jobs.end() && job->second.failure)
          return to_caf(*job->second.failure);
        auto promise = self->make_response_promise<figures_promise::promise_type>();
        logic->flush({request.job(), {promise, "flush packs"}}, request.at_once());
        return promise;
      },
      [=](caf::tick_atom) { logic->tick(); },
  };
}

} // namespace

packer_actor spawn_packer(caf::actor_system& sys, packer_context context) {
  return sys.spawn(packer_behavior, std::move(context));
}

} // namespace datamesh::storage
