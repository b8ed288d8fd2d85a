// A promise that is answered, whatever becomes of the actor that gave it.
#pragma once

#include "messages.hpp"

#include <memory>

namespace datamesh::storage {

/// A promise that waits in the state of an actor, or in a handler for somebody else's
/// answer. Copies are the same promise. When the last of them goes before an answer was
/// given, as when the actor falls, the answer is `unavailable`. Thread rule: those of
/// the actor.
template <class... Ts>
class kept_promise {
public:
  using promise_type = caf::typed_response_promise<Ts...>;

  kept_promise() = default;
  kept_promise(promise_type promise, const char* attempted) : held_(std::make_shared<held>(std::move(promise), attempted)) {}

  template <class... Us>
  void deliver(Us&&... answer) {
    held_->promise.deliver(std::forward<Us>(answer)...);
  }

private:
  struct held {
    promise_type promise;
    const char* attempted;
    held(promise_type p, const char* what) : promise(std::move(p)), attempted(what) {}
    held(const held&) = delete;
    held& operator=(const held&) = delete;
    ~held() {
      if (promise.pending())
        promise.deliver(to_caf(error{errc::unavailable, attempted}));
    }
  };
  std::shared_ptr<held> held_;
};

} // namespace datamesh::storage
