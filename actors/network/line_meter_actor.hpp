// Measures the line to another node: its round trip by some empty requests, and then each way by
// random bytes. docs/formats/line.md.
//
// One actor for each test. It ends when it has answered, and by an exit message.
#pragma once

#include "network/discovery_actor.hpp"

#include <functional>

namespace datamesh::network {

/// Dials the node where there is no link. Fails with what it was asked to end with, with what the link
/// fails with, and with `format_newer` where the node knows of no such tests.
using line_meter_actor = caf::typed_actor<caf::replies_to<v1::MeasureLine>::with<line_measured>>;

struct line_meter_parts {
  std::shared_ptr<const clock> time;
  std::shared_ptr<random_source> random;
  link_actor links;
  discovery_actor discovery;
  rate_limits own; ///< Of this node's line.
  /// Why the test is to end now, or nothing. Called on a thread of the actors, ten times a second.
  std::function<std::optional<error>()> ended;
  /// Bytes that were moved, and that are to be. Called on a thread of the actors.
  std::function<void(uint64_t, uint64_t)> progress;
};

[[nodiscard]] line_meter_actor spawn_line_meter(caf::actor_system& sys, const line_meter_parts& parts);

} // namespace datamesh::network
