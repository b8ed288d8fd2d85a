#include "storage/packer_actor.hpp"

#include "storage/convert.hpp"
#include "storage/operation_stamper.hpp"
#include "storage/pack_filler.hpp"
#include "storage/pack_storer.hpp"

#include <algorithm>

namespace datamesh::storage {

namespace {

constexpr auto answer_timeout = std::chrono::minutes{5};
constexpr auto company_wait = std::chrono::milliseconds{20};

/// The order in which packs are closed, coded, stored and committed, and who is told when.
class packer {
public:
  packer(packer_actor::pointer self, packer_context context)
      : self_(self), context_(std::move(context)), jobs_(context_.codec->claims),
        line_(context_.pack_pool, context_.packs_max, context_.pack_limit),
        filler_(self, context_.team, jobs_, line_,
                {[this] { return line_.current() || open_next(); }, [this] { forget_idle_jobs(); }, [this] { advance(); },
                 [this](const run_ptr& run, const error& reason) {
                   fail_from(run, reason);
                 }}),
        operations_(self, context_.catalog_writer, context_.names, line_,
                    {[this](const run_ptr& run) { stamped(run); },
                     [this](const run_ptr& run, const error& reason) { fail_from(run, reason); },
                     [this] {
                       advance();
                     }}),
        storer_(self, context_.drives, context_.how,
                {[this](const run_ptr& run, result<void> outcome) {
                   if (outcome)
                     commit(run);
                   else
                     fail_from(run, outcome.error());
                 },
                 [this](const run_ptr&) { tell_waits(); },
                 [this](const run_ptr& run) {
                   std::erase(leaving_, run);
                   forget_idle_jobs();
                 }}) {}

  [[nodiscard]] const packer_context& context() const noexcept {
    return context_;
  }
  [[nodiscard]] const v1::PackFigures& figures() const noexcept {
    return figures_;
  }
  [[nodiscard]] bool queue_is_full() const noexcept {
    return filler_.queue().size() >= packer_queue_max;
  }

  void begin_job(uint64_t number) {
    jobs_.begin(number);
  }

  void begin_job(uint64_t number, std::shared_ptr<stage_watch> watch) {
    jobs_.begin(number, std::move(watch));
    tell_waits();
  }

  /// A job that lost chunks with a pack must not go on as if they were there.
  [[nodiscard]] result<void> admit(uint64_t number) {
    jobs_.begin(number);
    if (auto reason = jobs_.failure_of(number))
      return fail(*reason);
    return {};
  }

  [[nodiscard]] std::optional<error> failure_of(uint64_t number) const {
    return jobs_.failure_of(number);
  }

  /// What is on its way goes on, the rest is dropped.
  void close_job(uint64_t number, done_promise promise) {
    drop_waiting([&](uint64_t job) { return job == number; }, error{errc::cancelled, "store in packs"});
    jobs_.close(number, std::move(promise));
    forget_idle_jobs();
    // A dry run opens a pack that nobody closes.
    if (jobs_.size() == 0 && !operations_.any_wait() && current_is_unused())
      line_.drop_current();
  }

  void enqueue(intake_batch batch) {
    filler_.push(std::move(batch));
    dispatch();
  }

  void submit(submission what) {
    operations_.submit(std::move(what));
    if (const auto& current = line_.current()) {
      current->pack->set_operation_bytes(operations_.room_wanted());
      if (operations_.waiting_bytes() >= operation_bytes_max / 2)
        line_.close_current();
    }
    advance();
  }

  void flush(flush_wait waiter, bool at_once) {
    flushes_.push_back(std::move(waiter));
    if (at_once || jobs_.size() <= 1) {
      close_wanted_ = true;
    } else if (!tick_pending_) {
      tick_pending_ = true;
      self_->delayed_send(self_, company_wait, caf::tick_atom_v);
    }
    advance();
  }

  void tick() {
    tick_pending_ = false;
    if (!flushes_.empty())
      close_wanted_ = true;
    advance();
  }

private:
  // -- jobs ------------------------------------------------------------------------

  void forget_idle_jobs() {
    jobs_.forget_idle([this](uint64_t number, bool failed) {
      // The room that the packs of a failed job took is there again when it is told.
      return line_.carries_for(number) || (failed && !leaving_.empty());
    });
  }

  /// Batches and operations that are in no pack yet.
  void drop_waiting(const std::function<bool(uint64_t)>& of_job, const error& reason) {
    auto told = to_caf(reason);
    filler_.drop(of_job, told);
    operations_.drop(of_job, told);
  }

  void tell_waits() {
    auto found = jobs_.at_codec();
    if (found.empty())
      return;
    auto note = [&](uint64_t number, const stage_wait& waits) {
      if (auto job = found.find(number); job != found.end() && job->second == stage_wait{})
        job->second = waits;
    };
    auto before_next = line_.stage_before_next();
    for (const auto& batch : filler_.queue())
      note(batch.job, filler_.workers_are_out() ? stage_wait{transfer_stage::codec} : before_next);
    // A flush waits for all packs up to its own, so for the one that has farthest to go.
    stage_wait hindmost;
    auto at = std::optional<pack_run::stage>{};
    for (const auto& run : line_.all()) {
      if (run->at != pack_run::stage::coded && (!at || run->at < *at)) {
        at = run->at;
        hindmost = stage_of(*run);
      }
      for (const auto& waiter : run->flushes)
        note(waiter.job, hindmost);
    }
    if (close_wanted_)
      for (const auto& waiter : flushes_)
        note(waiter.job, before_next);
    jobs_.tell(found);
  }

  // -- opening and closing -----------------------------------------------------------

  void dispatch() {
    filler_.fill();
    tell_waits();
  }

  bool open_next() {
    return line_.open(operations_.room_wanted());
  }

  bool current_is_unused() const {
    const auto& current = line_.current();
    return current && current->jobs == 0 && current->pack->empty();
  }

  /// A flush closes the current pack; what others have on its way goes to the next.
  /// With only operations or waiters there, it opens an empty one for them.
  void close_for_flush() {
    if (!close_wanted_)
      return;
    auto something_waits = operations_.any_wait() || operations_.any_pending();
    if (!line_.current() && something_waits && !takes_operations_soon() && !open_next())
      return;
    close_wanted_ = false;
    if (!something_waits && current_is_unused())
      line_.drop_current();
    line_.close_current();
    for (auto& waiter : std::exchange(flushes_, {}))
      wait_for(line_.all().empty() ? nullptr : line_.all().back(), waiter);
  }

  /// True when a pack that is closing already will take all that waits.
  bool takes_operations_soon() const {
    if (line_.all().empty())
      return false;
    const auto& last = *line_.all().back();
    return last.at <= pack_run::stage::ready && last.closing && operations_.waiting_bytes() < operation_bytes_max / 2;
  }

  /// Who flushes is answered when *last* and all before it are committed; now when there is none.
  void wait_for(const run_ptr& last, flush_wait& waiter) {
    if (last)
      last->flushes.push_back(std::move(waiter));
    else
      deliver(waiter);
  }

  void deliver(flush_wait& waiter) {
    auto figures = figures_;
    figures.set_shards_short(jobs_.shards_short(waiter.job));
    waiter.promise.deliver(std::move(figures));
  }

  // -- from closed to committed ------------------------------------------------------------

  /// Operations reach the drives in their order, and behind the chunks they name: a
  /// crash must leave no hole among them. So a pack that carries some is coded in its
  /// turn and stored when all before it are; the catalog is told in the same order.
  void advance() {
    close_for_flush();
    auto before = pack_run::stage::stored; // The stage of the hindmost before it.
    for (const auto& run : std::deque<run_ptr>{line_.all()}) {
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
    auto with_operations = operations_.any_wait_for(*run);
    auto for_pending = !with_operations && run->pack->empty(); // Opened for what waits in the catalog.
    if ((with_operations && before <= pack_run::stage::ready) || (for_pending && run != line_.all().front()))
      return false;
    if ((with_operations || for_pending) && operations_.must_take_back())
      return false;
    run->at = pack_run::stage::coding;
    run->carries = with_operations || for_pending;
    run->pending = for_pending;
    if (run->carries)
      stamp(run);
    else if (operations_.is_announced())
      finish(run);
    else
      operations_.announce(run);
    return true;
  }

  void stamp(const run_ptr& run) {
    operations_.stamp(run);
    // Flushes wait for operations that did not fit.
    if (operations_.any_wait() && !run->flushes.empty()) {
      std::move(run->flushes.begin(), run->flushes.end(), std::back_inserter(flushes_));
      run->flushes.clear();
      close_wanted_ = true;
    }
  }

  void stamped(const run_ptr& run) {
    if (run->finish.runs_size() == 0 && run->finish.copied_size() == 0 && run->pack->empty())
      return leave(run);
    finish(run);
  }

  void finish(const run_ptr& run) {
    run->asks_catalog = false;
    tell_waits();
    run->finish.set_k(context_.how.k);
    run->finish.set_m(context_.how.m);
    auto [number, worker] = context_.team->pick();
    self_->request(*worker, answer_timeout, run->finish, pack_ref{run->pack})
        .then(
            [this, run, number = number](v1::FinishedPack& finished, slices& bodies) {
              context_.team->finished(number);
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
              context_.team->finished(number);
              fail_from(run, from_caf(reason));
            });
  }

  // -- committing ------------------------------------------------------------------------

  void commit(const run_ptr& run) {
    jobs_.pin(run->record.seal.id);
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
    self_->request(context_.catalog_writer, answer_timeout, std::move(request))
        .then(
            [this, run](v1::Done&) {
              if (!run->dead)
                committed(run);
            },
            [this, run](caf::error& reason) { fail_from(run, from_caf(reason)); });
    operations_.take_back_if_due();
    advance();
  }

  void committed(const run_ptr& run) {
    auto present = run->record.shards_present();
    figures_.set_packs(figures_.packs() + 1);
    figures_.set_bytes_written(figures_.bytes_written()
                               + present * (run->record.seal.shape.shard_length + shard_header_length(run->record.seal.shape, true)));
    jobs_.note_shards_short(static_cast<uint32_t>(run->stored.size() - present));
    jobs_.pin(run->record.seal.id); // Those that came meanwhile found its chunks pending.
    context_.codec->claims->settle({context_.intake, run->serial});
    leave(run);
  }

  /// Nothing of this pack is left to be done; who waited for it is told. Packs
  /// without operations overtake each other, and a flush waits for all before it.
  void leave(const run_ptr& run) {
    for (auto& waiter : run->submissions)
      waiter.promise.deliver(figures_);
    for (auto& waiter : run->flushes)
      wait_for(line_.before(run), waiter);
    line_.remove(run);
    forget_idle_jobs();
    operations_.take_back_if_due();
    advance();
  }

  // -- failing ------------------------------------------------------------------------------

  /// A pack failed. Those before it need nothing of it and go on: what lies on drives
  /// must not come back after it was said to be lost. All behind it dies with it, and
  /// what jobs have there is lost.
  void fail_from(const run_ptr& failed, const error& reason) {
    if (failed->dead)
      return advance();
    jobs_.fail_those_with(failed->serial, reason);
    auto dead = line_.cut(failed);
    for (auto& run : dead)
      kill(run, reason);
    auto has_failed = [this](uint64_t job) {
      return jobs_.failure_of(job).has_value();
    };
    fail_flushes(dead, reason);
    drop_waiting(has_failed, reason);
    for (auto& waiter : std::exchange(flushes_, {})) {
      if (has_failed(waiter.job))
        waiter.promise.deliver(to_caf(reason));
      else
        flushes_.push_back(std::move(waiter));
    }
    close_wanted_ = close_wanted_ && !flushes_.empty();
    forget_idle_jobs();
    operations_.take_back_if_due();
    advance();
  }

  void kill(const run_ptr& run, const error& reason) {
    run->dead = reason;
    if (!run->answers_due.empty() || run->removals_due > 0)
      leaving_.push_back(run);
    operations_.disown(*run);
    context_.codec->claims->settle({context_.intake, run->serial});
    for (auto& one : run->submissions) {
      jobs_.fail(one.job, reason);
      one.promise.deliver(to_caf(reason));
    }
  }

  /// Those who have nothing in these packs wait for the ones before them. But what is in
  /// the catalog alone was to go with them.
  void fail_flushes(const std::vector<run_ptr>& dead, const error& reason) {
    for (const auto& run : dead)
      for (auto& waiter : run->flushes) {
        if (!jobs_.is_alive(waiter.job) || run->pending || (run->pack && run->pack->empty()))
          waiter.promise.deliver(to_caf(reason));
        else
          wait_for(line_.all().empty() ? nullptr : line_.all().back(), waiter);
      }
  }

  packer_actor::pointer self_;
  packer_context context_;
  intake_jobs jobs_;
  pack_line line_;
  pack_filler filler_;
  operation_stamper operations_;
  pack_storer storer_;
  std::vector<run_ptr> leaving_;    ///< Dead, and drives may still have something of them.
  std::vector<flush_wait> flushes_; ///< For packs that are not closed yet.
  bool close_wanted_ = false;
  bool tick_pending_ = false;
  v1::PackFigures figures_;
};

struct packer_state {
  static inline constexpr const char* name = "packer";
  std::unique_ptr<packer> logic;
};

submission submission_of(v1::SubmitOperations& request) {
  submission what;
  for (auto& body : *request.mutable_bodies()) {
    what.size += static_cast<uint32_t>(body.size()) + 80; // Its stamp and links come on top.
    what.bodies.push_back(std::move(body));
  }
  return what;
}

submission submission_of(v1::CopyOperations& request) {
  submission what;
  for (auto& batch : *request.mutable_batches()) {
    what.size += static_cast<uint32_t>(batch.sealed().size()) + operation_batch_overhead;
    what.copied.push_back(std::move(batch));
  }
  return what;
}

packer_actor::behavior_type packer_behavior(packer_actor::stateful_pointer<packer_state> self, packer_context context) {
  self->state.logic = std::make_unique<packer>(self, std::move(context));
  auto* logic = self->state.logic.get();
  auto submit = [=](auto& request) -> caf::result<v1::PackFigures> {
    if (auto admitted = logic->admit(request.job()); !admitted)
      return to_caf(admitted.error());
    auto promise = self->make_response_promise<figures_promise::promise_type>();
    auto what = submission_of(request);
    what.job = request.job();
    what.promise = {promise, "store operations"};
    logic->submit(std::move(what));
    return promise;
  };
  return {
      [=](const v1::OpenIntake& request) -> caf::result<v1::PackFigures> {
        logic->begin_job(request.job());
        return logic->figures();
      },
      [=](const v1::OpenIntake& request, stage_watch_ref& watch) -> caf::result<v1::PackFigures> {
        logic->begin_job(request.job(), std::move(watch.it));
        return logic->figures();
      },
      [=](const v1::CloseIntake& request) -> caf::result<v1::Done> {
        auto promise = self->make_response_promise<done_promise::promise_type>();
        logic->close_job(request.job(), {promise, "end a job's intake"});
        return promise;
      },
      [=](v1::SealChunks& request, slices& data) -> caf::result<v1::SealedChunks> {
        if (logic->queue_is_full())
          return to_caf(error{errc::capacity_exceeded, "seal chunks"});
        if (std::any_of(data.begin(), data.end(), [](const bytes& plain) { return plain.empty() || plain.size() > chunk_plain_max; }))
          return to_caf(error{errc::invalid_argument, "seal chunks"});
        if (auto admitted = logic->admit(request.job()); !admitted)
          return to_caf(admitted.error());
        request.set_intake(logic->context().intake);
        auto promise = self->make_response_promise<seal_promise::promise_type>();
        auto job = request.job();
        logic->enqueue({std::move(request), std::move(data), seal_promise{promise, "seal chunks"}, {}, job});
        return promise;
      },
      [=](v1::CopyChunks& request, slices& data) -> caf::result<v1::Done> {
        if (logic->queue_is_full())
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
      [=](v1::SubmitOperations& request) { return submit(request); },
      [=](v1::CopyOperations& request) { return submit(request); },
      [=](const v1::FlushPacks& request) -> caf::result<v1::PackFigures> {
        if (auto lost = logic->failure_of(request.job()))
          return to_caf(*lost);
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
