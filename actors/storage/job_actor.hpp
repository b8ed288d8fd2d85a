// What the actors that carry out one job have in common: a tick, at which they look
// whether the job must end.
#pragma once

#include "messages.hpp"
#include "storage/job.hpp"

namespace datamesh::storage {

using job_actor = caf::typed_actor<caf::reacts_to<caf::tick_atom>>;

/// So often who works on a job looks whether it must end.
inline constexpr auto end_check_interval = std::chrono::milliseconds{100};

/// For the begin of *self* and each tick: why it must end, or nothing; then the next tick
/// is on its way.
[[nodiscard]] inline std::optional<error> ended_or_look_later(job_actor::pointer self, const job& what) {
  auto reason = what.ended();
  if (!reason)
    self->delayed_send(self, end_check_interval, caf::tick_atom_v);
  return reason;
}

} // namespace datamesh::storage
