// Asks actors from a test and takes their answers, now or later.
#pragma once

#include "messages.hpp"

#include "tests/support/code_of.hpp"

namespace datamesh::test {

/// The answer to a request that was sent before.
template <class Answer, class Pending>
result<Answer> answer_to(Pending& pending) {
  result<Answer> outcome = fail(errc::internal, "wait for an answer");
  pending.receive([&](Answer& answer) { outcome = std::move(answer); }, [&](caf::error& reason) { outcome = fail(from_caf(reason)); });
  return outcome;
}

template <class Answer, class Handle, class... Ts>
result<Answer> ask(caf::scoped_actor& self, const Handle& whom, Ts&&... message) {
  auto pending = self->request(whom, caf::infinite, std::forward<Ts>(message)...);
  return answer_to<Answer>(pending);
}

} // namespace datamesh::test
