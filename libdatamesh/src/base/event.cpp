#include "datamesh/event.hpp"

namespace datamesh {

std::string_view to_string(event_kind kind) noexcept {
  switch (kind) {
  case event_kind::job_progress:
    return "job-progress";
  case event_kind::item_done:
    return "item-done";
  case event_kind::item_failed:
    return "item-failed";
  case event_kind::damage_found:
    return "damage-found";
  case event_kind::damage_healed:
    return "damage-healed";
  case event_kind::data_lost:
    return "data-lost";
  case event_kind::drive_changed:
    return "drive-changed";
  case event_kind::node_changed:
    return "node-changed";
  }
  return "unknown";
}

} // namespace datamesh
