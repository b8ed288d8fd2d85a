// Frames of the control socket, in the form of base/frame.hpp. Types and caps:
// docs/formats/control.md.
#pragma once

#include "base/frame.hpp"

namespace datamesh::control {

enum class frame_type : uint8_t {
  request = 1, ///< Client: do something.
  reply = 2,   ///< Daemon: what came of it.
  call = 3,    ///< Daemon, while a request runs: read or write a file of the client's.
  answer = 4,  ///< Client: what came of the call.
  event = 5,   ///< Daemon: progress, damage.
  cancel = 6,  ///< Client: end the running request.
};

/// Which side reads: each takes only what the other may send.
enum class side : uint8_t { daemon, client };

/// Bytes that a single call moves, at most.
inline constexpr size_t body_max = 1 << 20;

/// What a frame of *type* may hold; nothing when *reader* must not be sent one.
[[nodiscard]] std::optional<frame_caps> caps_of(frame_type type, side reader) noexcept;

struct protocol {
  using type = frame_type;
  static constexpr uint16_t version = 1;
  static constexpr const char* name = "a control frame";
  side reader = side::daemon;

  [[nodiscard]] std::optional<frame_caps> caps(frame_type of) const noexcept {
    return caps_of(of, reader);
  }
};

using frame = basic_frame<frame_type>;

class frame_reader : public basic_frame_reader<protocol> {
public:
  explicit frame_reader(side reader) : basic_frame_reader(protocol{reader}) {}
};

/// The twelve bytes before *header* and *body*. `capacity_exceeded` beyond the caps.
[[nodiscard]] inline result<frame_prefix> write_prefix(frame_type type, side reader, size_t header, size_t body) {
  return make_frame_prefix(protocol{reader}, type, header, body);
}

} // namespace datamesh::control
