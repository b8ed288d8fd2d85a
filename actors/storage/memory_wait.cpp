#include "storage/memory_wait.hpp"

#include "storage/job_actor.hpp"
#include "storage/read_cache.hpp"

namespace datamesh::storage {

namespace {

struct memory_wait {
  std::shared_ptr<storage::job> job;
  std::shared_ptr<memory_holders> holders;
  clock::monotonic_time since;
  std::function<void(std::shared_ptr<memory_budget::reservation>)> granted;
  std::function<void(error)> refused;
  std::atomic<bool> settled = false;

  /// Who settles it calls one of the two; both are let go, with all they hold.
  template <class Call>
  void settle(Call&& call) {
    if (settled.exchange(true))
      return;
    auto grant = std::exchange(granted, nullptr);
    auto refuse = std::exchange(refused, nullptr);
    call(grant, refuse);
  }
};

struct waiter_state {
  static inline constexpr const char* name = "memory-wait";
};

void look(job_actor::stateful_pointer<waiter_state> self, memory_wait& wait) {
  if (wait.settled)
    return self->quit();
  if (auto reason = ended_or_look_later(self, *wait.job)) {
    wait.settle([&](auto&, auto& refuse) { refuse(*reason); });
    return self->quit();
  }
  // Who holds memory may have nothing to do for as long as nobody else wants it.
  if (auto then = wait.job->time->monotonic() - outside_wait_max; wait.since <= then)
    wait.holders->end_stalled(then);
}

job_actor::behavior_type waiter_behavior(job_actor::stateful_pointer<waiter_state> self, std::shared_ptr<memory_wait> wait) {
  self->send(self, caf::tick_atom_v);
  return {[=](caf::tick_atom) {
    look(self, *wait);
  }};
}

} // namespace

void wait_for_memory(const vault_context& context, std::shared_ptr<job> job, uint64_t size,
                     std::function<void(std::shared_ptr<memory_budget::reservation>)> granted, std::function<void(error)> refused) {
  auto wait = std::make_shared<memory_wait>();
  wait->job = std::move(job);
  wait->holders = context.holders;
  wait->since = wait->job->time->monotonic();
  wait->granted = std::move(granted);
  wait->refused = std::move(refused);
  // The context may be gone by the time the memory is there.
  auto* sys = context.sys;
  auto cache = context.cache;
  auto reserved = context.budget->reserve(size, [wait](memory_budget::reservation reservation) {
    wait->settle([&](auto& grant, auto&) {
      wait->holders->add(wait->job->outside);
      grant(std::make_shared<memory_budget::reservation>(std::move(reservation)));
    });
  });
  if (!reserved)
    return wait->settle([&](auto&, auto& refuse) { refuse(reserved.error()); });
  if (!wait->settled && cache)
    cache->give_way(size);
  if (!wait->settled)
    sys->spawn(waiter_behavior, wait);
}

} // namespace datamesh::storage
