#include "network/peer_router.hpp"

#include <map>

namespace datamesh::network {

namespace {

struct router_state {
  static inline constexpr const char* name = "router";
  std::map<uint8_t, peer_handler_actor> parts;
};

using router_pointer = peer_router_actor::stateful_pointer<router_state>;

bool is_known(uint32_t part) {
  return part >= static_cast<uint32_t>(peer_part::discovery) && part <= static_cast<uint32_t>(peer_part::relay);
}

caf::result<v1::PeerAnswer, bytes> hand_on(router_pointer self, v1::PeerRequest& request, const bytes& body) {
  constexpr auto attempted = "serve another node";
  auto& message = *request.mutable_message();
  if (message.empty())
    return to_caf(error{errc::protocol_violated, attempted, "its request is to no part of a node"});
  auto part = static_cast<uint8_t>(message.front());
  if (!is_known(part))
    return to_caf(error{errc::format_newer, attempted, "part " + std::to_string(part)});
  auto found = self->state.parts.find(part);
  if (found == self->state.parts.end())
    return to_caf(error{errc::unavailable, attempted, "part " + std::to_string(part)});
  message.erase(0, 1);
  return self->delegate(found->second, std::move(request), body);
}

peer_router_actor::behavior_type router(router_pointer self) {
  return {
      [=](v1::PeerRequest& request, const bytes& body) { return hand_on(self, request, body); },
      [=](const v1::ServePart& request, const caf::actor& by) -> caf::result<v1::Done> {
        if (!is_known(request.part()) || !by)
          return to_caf(error{errc::invalid_argument, "serve other nodes", "part " + std::to_string(request.part())});
        self->state.parts[static_cast<uint8_t>(request.part())] = caf::actor_cast<peer_handler_actor>(by);
        return v1::Done{};
      },
  };
}

} // namespace

peer_router_actor spawn_peer_router(caf::actor_system& sys) {
  return sys.spawn(router);
}

v1::ServePart serve_part(peer_part part) {
  v1::ServePart request;
  request.set_part(static_cast<uint32_t>(part));
  return request;
}

} // namespace datamesh::network
