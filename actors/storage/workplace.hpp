// Where actors work that wait for drives and for answers: on threads of their own, or all on one, in the time of a
// simulation.
#pragma once

#include "messages.hpp"

#include <chrono>
#include <functional>
#include <memory>
#include <optional>

namespace datamesh::storage {

/// In place of threads. Whoever waits lets everything else go on until then. Thread rule: as its maker says.
class workplace {
public:
  virtual ~workplace() = default;
  /// Asks actors and waits for their answers. The actor ends with the last that holds it.
  [[nodiscard]] virtual std::shared_ptr<caf::blocking_actor> make_asker(caf::actor_system& sys) = 0;
  /// Lets that time pass, or less once *ended* holds.
  virtual void pass(std::chrono::nanoseconds time, const std::function<bool()>& ended) = 0;
};

/// On a thread of its own where there is no *place*.
template <class Spawner, class Behavior, class... Ts>
auto spawn_worker(const std::shared_ptr<workplace>& place, Spawner& by, Behavior behavior, Ts&&... arguments) {
  return place ? by.spawn(behavior, std::forward<Ts>(arguments)...)
               : by.template spawn<caf::detached>(behavior, std::forward<Ts>(arguments)...);
}

/// A `caf::scoped_actor`, or what stands for it in that place.
class asker {
public:
  asker(caf::actor_system& sys, const std::shared_ptr<workplace>& place) {
    if (place)
      placed_ = place->make_asker(sys);
    else
      scoped_.emplace(sys);
  }
  [[nodiscard]] caf::blocking_actor* ptr() const {
    return placed_ ? placed_.get() : scoped_->ptr();
  }

private:
  std::shared_ptr<caf::blocking_actor> placed_;
  std::optional<caf::scoped_actor> scoped_;
};

} // namespace datamesh::storage
