// The parts of a node that other nodes ask. The message of a request begins with the
// number of the part that it is for, one byte; what follows is for that part alone, and the
// answer is the part's as it is. docs/formats/wire.md.
#pragma once

#include "network/peer_link.hpp"

#include <string>
#include <string_view>

namespace datamesh::network {

/// Never used twice for different things.
enum class peer_part : uint8_t {
  discovery = 1, ///< docs/formats/discovery.md
  shards = 2,    ///< docs/formats/ticket.md
  members = 3,   ///< docs/formats/members.md; of closed meshes
  line = 4,      ///< docs/formats/line.md
  relay = 5,     ///< docs/formats/relay.md
};

/// Bytes of what a request says to a part, at most.
inline constexpr size_t part_message_max = link_message_max - 1;

[[nodiscard]] inline std::string message_to(peer_part part, std::string_view what) {
  std::string message;
  message.reserve(what.size() + 1);
  message += static_cast<char>(part);
  message += what;
  return message;
}

} // namespace datamesh::network
