#include "tests/simulation/mesh/stage.hpp"

#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/rand.h>

#include <cstdio>
#include <cstdlib>

namespace datamesh::test {

namespace {

// -- what OpenSSL draws ------------------------------------------------------------------------

seeded_random* drawn_from = nullptr;

int draw(unsigned char* out, int size) {
  return drawn_from->fill(std::as_writable_bytes(std::span{out, static_cast<size_t>(size)})) ? 1 : 0;
}
int can_draw() {
  return 1;
}
const RAND_METHOD seeded_method{nullptr, draw, nullptr, nullptr, draw, can_draw};

// -- CAF's time ----------------------------------------------------------------------------------

/// To see what is due next, which CAF does not show.
struct shown_clock : caf::detail::test_actor_clock {
  static const schedule_map& schedule(const caf::detail::test_actor_clock& of) {
    return of.*(&shown_clock::schedule_);
  }
};

thread_local sim_bench* current_bench = nullptr;

[[noreturn]] void give_up(const char* why) {
  std::fprintf(stderr, "the simulation can not go on: %s\n", why);
  std::abort();
}

} // namespace

// -- benches -------------------------------------------------------------------------------------

sim_bench::sim_bench()
    : thread_([this] {
        current_bench = this;
        work();
      }) {}

sim_bench::~sim_bench() {
  if (!is_free())
    give_up("an actor still waits when it ends");
  {
    std::lock_guard guard{mutex_};
    ends_ = true;
    changed_.notify_all();
  }
  thread_.join();
}

void sim_bench::work() {
  for (;;) {
    {
      std::unique_lock lock{mutex_};
      changed_.wait(lock, [&] { return theirs_ || ends_; });
      if (ends_)
        return;
    }
    what_();
    what_ = nullptr;
    busy_ = false;
    std::lock_guard guard{mutex_};
    theirs_ = false;
    changed_.notify_all();
  }
}

void sim_bench::hand_over() {
  std::unique_lock lock{mutex_};
  theirs_ = true;
  changed_.notify_all();
  changed_.wait(lock, [&] { return !theirs_; });
}

void sim_bench::begin(std::function<void()> what) {
  what_ = std::move(what);
  busy_ = true;
  hand_over();
}

void sim_bench::go_on() {
  waits_.reset();
  hand_over();
}

void sim_bench::wait(std::function<bool()> ready, std::optional<clock::monotonic_time> until) {
  waits_ = waiting{std::move(ready), until};
  std::unique_lock lock{mutex_};
  theirs_ = false;
  changed_.notify_all();
  changed_.wait(lock, [&] { return theirs_; });
}

// -- the stage -----------------------------------------------------------------------------------

class sim_stage::unit : public caf::execution_unit {
public:
  unit(caf::actor_system& sys, caf::scheduler::test_coordinator& scheduler) : caf::execution_unit(&sys), scheduler_(scheduler) {}
  void exec_later(caf::resumable* job) override {
    scheduler_.jobs.push_back(job);
  }

private:
  caf::scheduler::test_coordinator& scheduler_;
};

class sim_stage::workplace : public storage::workplace {
public:
  explicit workplace(sim_stage& of) : stage_(of) {}

  [[nodiscard]] std::shared_ptr<caf::blocking_actor> make_asker(caf::actor_system& sys) override {
    caf::actor_config cfg{stage_.unit_.get()};
    auto made = caf::make_actor<waiting_actor, caf::strong_actor_ptr>(sys.next_actor_id(), sys.node(), &sys, cfg);
    auto* self = static_cast<caf::blocking_actor*>(caf::actor_cast<caf::abstract_actor*>(made));
    return {self, [made, host = stage_.unit_.get()](caf::blocking_actor* ended) {
              ended->cleanup(caf::exit_reason::normal, host);
            }};
  }
  void pass(std::chrono::nanoseconds time, const std::function<bool()>& ended) override {
    wait(ended, stage_.now() + time);
  }

private:
  class waiting_actor : public caf::blocking_actor {
  public:
    using caf::blocking_actor::blocking_actor;
    void await_data() override {
      wait([this] { return has_next_message(); }, std::nullopt);
    }
  };
  static void wait(std::function<bool()> ready, std::optional<clock::monotonic_time> until) {
    if (ready())
      return;
    if (current_bench == nullptr)
      give_up("an actor waits that is not known to");
    current_bench->wait(std::move(ready), until);
  }

  sim_stage& stage_;
};

sim_stage::config::config() {
  add_message_types<caf::id_block::datamesh>();
  add_message_types<caf::id_block::datamesh_mesh>();
  set("scheduler.policy", caf::atom("testing"));
}

sim_stage::sim_stage(uint64_t seed)
    : chance(std::make_shared<seeded_random>(seed)), drawn_(~seed),
      scheduler_(dynamic_cast<caf::scheduler::test_coordinator&>(sys.scheduler())), unit_(std::make_unique<unit>(sys, scheduler_)),
      place_(std::make_shared<workplace>(*this)) {
  drawn_from = &drawn_;
  RAND_set_rand_method(&seeded_method);
  sys.await_actors_before_shutdown(false);
}

sim_stage::~sim_stage() {
  after_step = nullptr;
  events_.clear();
  settle([] { return false; });
  RAND_set_rand_method(nullptr);
}

std::shared_ptr<storage::workplace> sim_stage::place() {
  return place_;
}

void sim_stage::at(clock::monotonic_time when, std::function<void()> what) {
  events_.emplace(std::pair{std::max(when, now()), ++events_made_}, std::move(what));
}

void sim_stage::note(std::string_view what, byte_view detail) {
  auto when = now().time_since_epoch().count();
  trace_.update(std::as_bytes(std::span{&when, 1})).update(as_view(what)).update(detail);
}

std::string sim_stage::trace() const {
  return trace_.finish().hex().substr(0, 16);
}

sim_bench& sim_stage::free_bench() {
  for (auto& each : benches_)
    if (each->is_free())
      return *each;
  return *benches_.emplace_back(std::make_unique<sim_bench>());
}

void sim_stage::finish(caf::resumable* job, caf::resumable::resume_result outcome) {
  if (outcome == caf::resumable::resume_later)
    scheduler_.jobs.push_back(job);
  else if (outcome != caf::resumable::shutdown_execution_unit)
    caf::intrusive_ptr_release(job);
}

void sim_stage::resume(caf::resumable* job, sim_bench* on) {
  auto run = [this, job] {
    finish(job, job->resume(unit_.get(), 1));
  };
  if (on != nullptr)
    on->begin(run);
  else
    run();
}

bool sim_stage::run_job() {
  auto& jobs = scheduler_.jobs;
  if (jobs.empty())
    return false;
  auto which = jobs.begin() + static_cast<ptrdiff_t>(chance->below(std::min<size_t>(jobs.size(), 8)));
  auto* job = *which;
  jobs.erase(which);
  auto* actor = dynamic_cast<caf::local_actor*>(job);
  auto blocks = actor != nullptr && std::string_view{actor->name()} == "siblings";
  resume(job, blocks ? &free_bench() : nullptr);
  return true;
}

bool sim_stage::run_event() {
  if (events_.empty() || events_.begin()->first.first > now())
    return false;
  auto what = std::move(events_.extract(events_.begin()).mapped());
  what();
  return true;
}

bool sim_stage::step() {
  for (auto& each : benches_)
    if (each->may_go_on(now())) {
      each->go_on();
      return true;
    }
  return chance->below(2) == 0 ? run_job() || run_event() : run_event() || run_job();
}

std::optional<clock::monotonic_time> sim_stage::next_due() const {
  std::optional<clock::monotonic_time> next;
  auto take = [&](clock::monotonic_time when) {
    next = std::min(next.value_or(when), when);
  };
  if (!events_.empty())
    take(events_.begin()->first.first);
  const auto& timeouts = shown_clock::schedule(scheduler_.clock());
  if (!timeouts.empty())
    take(now() + std::max(timeouts.begin()->first - scheduler_.clock().now(), std::chrono::nanoseconds{0}));
  for (const auto& each : benches_)
    if (auto due = each->due())
      take(*due);
  return next;
}

void sim_stage::advance_to(clock::monotonic_time when) {
  auto span = when - now();
  time->advance(span);
  scheduler_.clock().advance_time(span);
}

bool sim_stage::settle(const std::function<bool()>& enough) {
  while (!enough()) {
    if (!step())
      return false;
    ++steps_;
    if (after_step)
      after_step();
  }
  return true;
}

bool sim_stage::pass(std::chrono::nanoseconds span, const std::function<bool()>& enough) {
  auto end = now() + span;
  for (;;) {
    if (settle(enough))
      return true;
    if (now() >= end)
      return enough();
    auto next = next_due();
    advance_to(std::min(next.value_or(end), end));
  }
}

} // namespace datamesh::test
