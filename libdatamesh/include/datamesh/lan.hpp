// Who is on the local network, for programs that hold no node. docs/formats/beacon.md.
//
// Thread rule: functions are safe to call from any thread.
#pragma once

#include "datamesh/base/result.hpp"
#include "datamesh/mesh.hpp"

#include <chrono>

namespace datamesh {

/// Asks the nodes of *mesh* on the local network to say that they are there, listens for as long, and answers
/// whom it heard, those of the mesh first and in the order of ids. Without a mesh nobody is asked, and of all that
/// are heard there is no more than the address. `unavailable` where the machine has no network on which it can listen.
[[nodiscard]] DATAMESH_EXPORT result<std::vector<neighbour_report>> look_around(const std::optional<network_id>& mesh,
                                                                                std::chrono::milliseconds time);

} // namespace datamesh
