// Frames over a socket.
//
// Thread rule: `send` from any thread, `receive` from one.
#pragma once

#include "base/local_socket.hpp"
#include "control/frame.hpp"

#include <mutex>

namespace google::protobuf {
class MessageLite;
} // namespace google::protobuf

namespace datamesh::control {

class link {
public:
  link(local_socket socket, side reader) : socket_(std::move(socket)), reader_(reader), us_(reader) {}

  struct received {
    waited why = waited::timed_out;
    std::optional<frame> what; ///< There when *why* is `readable`.
  };
  /// Waits between frames for *limit* or the bell; a frame that has begun must not
  /// stall for longer than the socket's deadline. `unavailable` at the end.
  [[nodiscard]] result<received> receive(const wake_up* bell, std::chrono::milliseconds limit);
  /// `capacity_exceeded` leaves the link usable, every other failure does not.
  [[nodiscard]] result<void> send(frame_type type, const google::protobuf::MessageLite* header, byte_view body = {});
  void shut() noexcept {
    socket_.shut();
  }

private:
  local_socket socket_;
  frame_reader reader_;
  side us_;
  std::mutex sending_;
};

/// The whole of *from*, nested at most 16 deep; `format_damaged` else.
[[nodiscard]] result<void> parse(google::protobuf::MessageLite& to, byte_view from);

} // namespace datamesh::control
