// Watches the actors of the node's drives. One that falls (an exception, a bug of
// ours) takes its drive out of service; the drive is opened anew after a wait that
// doubles from one second to a minute. Meanwhile its shards are read around and new
// ones go to other drives.
#pragma once

#include "messages.hpp"
#include "storage/drive_table.hpp"

#include <functional>

namespace datamesh {

using supervisor_actor = caf::typed_actor<
    // Watches the actors of a drive from now on.
    caf::reacts_to<drive_watch>,
    // INTERNAL: drives that wait for it are opened anew.
    caf::reacts_to<caf::tick_atom>>;

struct supervisor_tasks {
  /// A drive's actor fell: what is left of it is stopped, and it is reported.
  std::function<void(const drive_id&, const std::string& why)> fallen;
  /// Opens the drive anew; true when it is in service again.
  std::function<bool(const drive_id&)> restart;
};

[[nodiscard]] supervisor_actor spawn_supervisor(caf::actor_system& sys, supervisor_tasks tasks);

} // namespace datamesh
