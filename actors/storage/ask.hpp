// Asks an actor and waits for its answer, for jobs that run on a thread of their own
// from beginning to end.
#pragma once

#include "datamesh/base/result.hpp"
#include "messages.hpp"

#include <tuple>

namespace datamesh::storage {

/// For answers that may rightly take as long as they like: a source or sink that blocks,
/// a stretch that is rebuilt block by block, a pack behind slow disks. Whoever is asked
/// with it answers in any case: each of its own steps ends by itself or with the job,
/// what it has promised is a `kept_promise`, and CAF answers for one that is gone.
/// Everywhere else a request has a finite timeout.
inline constexpr auto until_answered = caf::infinite;

/// The answer, or the error that came instead of it.
template <class Answer, class Handle, class Timeout, class... Ts>
[[nodiscard]] result<Answer> ask(caf::blocking_actor* self, const Handle& whom, const Timeout& timeout, Ts&&... message) {
  result<Answer> outcome = fail(errc::unavailable, "ask a part of the node");
  self->request(whom, timeout, std::forward<Ts>(message)...)
      .receive([&](Answer& answer) { outcome = std::move(answer); }, [&](caf::error& reason) { outcome = fail(from_caf(reason)); });
  return outcome;
}

/// The same for answers with bytes beside them.
template <class Answer, class Beside, class Handle, class Timeout, class... Ts>
[[nodiscard]] result<std::pair<Answer, Beside>> ask_with(caf::blocking_actor* self, const Handle& whom, const Timeout& timeout,
                                                         Ts&&... message) {
  result<std::pair<Answer, Beside>> outcome = fail(errc::unavailable, "ask a part of the node");
  self->request(whom, timeout, std::forward<Ts>(message)...)
      .receive(
          [&](Answer& answer, Beside& beside) {
            outcome = std::pair{std::move(answer), std::move(beside)};
          },
          [&](caf::error& reason) { outcome = fail(from_caf(reason)); });
  return outcome;
}

} // namespace datamesh::storage
