// Has the router lead a port to this node while it runs: asks for it, asks again before it ends, and gives it back.
// docs/mesh.md.
//
// It waits for the router, so it has a thread of its own. It ends by `close_atom`, which gives the port back, or by an
// exit message, which leaves it to its end. `router_wire::cancel` before either lets neither wait for a router that is
// silent.
#pragma once

#include "datamesh/base/environment.hpp"
#include "datamesh/mesh.hpp"
#include "network/link_messages.hpp"
#include "network/port_mapper.hpp"

#include <functional>
#include <memory>

namespace datamesh::network {

using port_mapper_actor = caf::typed_actor<caf::replies_to<caf::close_atom>::with<v1::Done>>;

/// What is known of the port now.
struct port_facts {
  port_mapping_report report;
  std::optional<endpoint> outside; ///< Where others reach this node by it.
};

struct port_mapper_parts {
  environment env; ///< Clock and random are used.
  port_wish wish;
  ip_rules rules;
  std::shared_ptr<router_wire> wire;
  /// Called on its thread, after each time that the router was asked, and when what it gave has ended.
  std::function<void(const port_facts&)> changed;
};

[[nodiscard]] port_mapper_actor spawn_port_mapper_actor(caf::actor_system& sys, const port_mapper_parts& parts);

} // namespace datamesh::network
