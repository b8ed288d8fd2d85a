#include "network/port_mapper_actor.hpp"

#include "network/mapping_plan.hpp"

#include <algorithm>

namespace datamesh::network {

namespace {

/// It wakes no sooner after it was woken.
constexpr auto wake_soonest = std::chrono::milliseconds{10};

using port_mapper_core = port_mapper_actor::extend<caf::reacts_to<v1::MapPort>>;

class asker;
struct asker_state {
  static inline constexpr const char* name = "port-mapper";
  std::unique_ptr<asker> does;
};
using asker_pointer = port_mapper_core::stateful_pointer<asker_state>;

/// What the actor does, on its thread.
class asker {
public:
  asker(asker_pointer self, const port_mapper_parts& parts)
      : self_(self), parts_(parts), mapper_(*parts_.wire, *parts_.env.random), plan_(now()) {}

  void wake() {
    plan_.expire(now());
    if (plan_.is_due(now()) && !ask())
      return;
    tell();
    set_wake();
  }

  v1::Done close() {
    parts_.wire->resume();
    // A router that does not take it back lets it end by itself.
    if (plan_.held())
      (void) mapper_.unmap(wish(), *plan_.held());
    self_->quit();
    return {};
  }

private:
  [[nodiscard]] mesh_time now() const {
    return parts_.env.clock->monotonic();
  }

  /// For the port that it has already, if it has one.
  [[nodiscard]] port_wish wish() const {
    auto wish = parts_.wish;
    if (plan_.held())
      wish.outside = plan_.held()->outside.port;
    return wish;
  }

  /// False when it is about to be closed.
  [[nodiscard]] bool ask() {
    auto given = mapper_.map(wish(), parts_.rules);
    if (given)
      plan_.gave(*given, now());
    else if (given.error().code() == errc::cancelled)
      return false;
    else
      plan_.failed(given.error(), now());
    return true;
  }

  void tell() {
    port_facts facts;
    if (mapper_.gateway())
      facts.report.gateway = to_string(*mapper_.gateway());
    facts.report.failure = plan_.failure();
    if (const auto& held = plan_.held()) {
      facts.outside = held->outside;
      facts.report.address = held->outside.text();
      facts.report.protocol = name_of(held->by);
    }
    if (auto ends = plan_.ends())
      facts.report.until_ns = (parts_.env.clock->wall() + (*ends - now())).time_since_epoch().count();
    parts_.changed(facts);
  }

  void set_wake() {
    self_->delayed_send(self_, std::max<mesh_time::duration>(plan_.next() - now(), wake_soonest), v1::MapPort{});
  }

  asker_pointer self_;
  port_mapper_parts parts_;
  port_mapper mapper_;
  mapping_plan plan_;
};

port_mapper_core::behavior_type keep_port(asker_pointer self, const port_mapper_parts& parts) {
  self->state.does = std::make_unique<asker>(self, parts);
  self->send(self, v1::MapPort{});
  return {
      [=](caf::close_atom) { return self->state.does->close(); },
      [=](const v1::MapPort&) { self->state.does->wake(); },
  };
}

} // namespace

port_mapper_actor spawn_port_mapper_actor(caf::actor_system& sys, const port_mapper_parts& parts) {
  return caf::actor_cast<port_mapper_actor>(sys.spawn<caf::detached>(keep_port, parts));
}

} // namespace datamesh::network
