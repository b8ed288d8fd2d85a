// Lets other nodes measure the line to this one: throws away what they send for it, and sends
// them random bytes, within a budget. docs/formats/line.md.
//
// It ends by an exit message.
#pragma once

#include "network/line_budget.hpp"
#include "network/line_pace.hpp"
#include "network/link_actor.hpp"

#include "datamesh/base/random_source.hpp"

namespace datamesh::network {

struct line_service_parts {
  std::shared_ptr<const clock> time;
  std::shared_ptr<random_source> random;
  std::shared_ptr<line_pace> pace; ///< Whose limits are told.
  line_budget_limits limits{};
};

/// A `peer_handler_actor`, for the router. It holds 1 MiB once somebody has asked.
[[nodiscard]] peer_handler_actor spawn_line_service(caf::actor_system& sys, const line_service_parts& parts);

/// `line_piece_max` random bytes. Nothing that goes over a link is compressed or kept, so the same ones
/// serve for all.
[[nodiscard]] result<bytes> make_line_noise(random_source& random);

} // namespace datamesh::network
