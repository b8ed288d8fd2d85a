#include "control/frame.hpp"

namespace datamesh::control {

std::optional<frame_caps> caps_of(frame_type type, side reader) noexcept {
  auto for_daemon = reader == side::daemon;
  switch (type) {
  case frame_type::request:
    return for_daemon ? std::optional{frame_caps{1 << 20, 4 << 10, true}} : std::nullopt;
  case frame_type::answer:
    return for_daemon ? std::optional{frame_caps{16 << 20, body_max}} : std::nullopt;
  case frame_type::cancel:
    return for_daemon ? std::optional{frame_caps{0, 0}} : std::nullopt;
  case frame_type::reply:
    return for_daemon ? std::nullopt : std::optional{frame_caps{16 << 20, 4 << 10, true}};
  case frame_type::call:
    return for_daemon ? std::nullopt : std::optional{frame_caps{64 << 10, body_max}};
  case frame_type::event:
    return for_daemon ? std::nullopt : std::optional{frame_caps{64 << 10, 0}};
  }
  return std::nullopt;
}

} // namespace datamesh::control
