// What happens in a node, as one type: progress of a job, damage found and mended,
// life of drives. The command line, the log and the web console show the same.
#pragma once

#include "datamesh/base/errc.hpp"
#include "datamesh/base/ids.hpp"

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace datamesh {

enum class event_kind : uint8_t {
  job_progress = 1,  ///< Figures of a running job; at most ten a second a job.
  item_done = 2,     ///< One file or folder of a job is finished.
  item_failed = 3,   ///< One file or folder of a job failed; the job goes on.
  damage_found = 4,  ///< A shard is missing or wrong.
  damage_healed = 5, ///< A shard was rebuilt.
  data_lost = 6,     ///< A pack has fewer than k good shards.
  drive_changed = 7, ///< A drive failed, came back, is draining, full or gone.
  node_changed = 8,  ///< Opened, draining, closed; of its mesh, another node answers, or none does any more; what it keeps for others.
};

[[nodiscard]] DATAMESH_EXPORT std::string_view to_string(event_kind kind) noexcept;

/// Fields that do not apply are zero or empty.
struct event {
  event_kind kind = event_kind::job_progress;
  severity level = severity::info;
  uint64_t sequence = 0; ///< Of this node, from 1, without a gap.
  int64_t wall_ns = 0;
  uint64_t job = 0;    ///< The job it belongs to.
  std::string subject; ///< A path, a drive folder, a pack id.
  std::string detail;  ///< One sentence for people.
  std::optional<errc> code;
  uint64_t items_done = 0;
  uint64_t items_total = 0; ///< 0 while unknown.
  uint64_t bytes_done = 0;
  uint64_t bytes_total = 0; ///< 0 while unknown.
};

} // namespace datamesh
