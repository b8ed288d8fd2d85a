#include "network/line_service_actor.hpp"

#include "network/line_course.hpp"
#include "network/line_message.hpp"

namespace datamesh::network {

namespace {

constexpr auto attempted = "let another node measure the line";

struct service_state {
  static inline constexpr const char* name = "line-service";
  line_service_parts parts;
  line_budget budget;
  bytes noise; ///< Made when the first bytes are wanted.
};
using service_pointer = peer_handler_actor::stateful_pointer<service_state>;

caf::result<v1::PeerAnswer, bytes> serve(service_state& state, const v1::PeerRequest& request, const bytes& body) {
  if (request.peer().size() != peer_id::size)
    return to_caf(error{errc::invalid_argument, attempted, "a node's id has 32 bytes"});
  auto what = decode_line_request(as_view(request.message()));
  if (!what)
    return to_caf(what.error());
  if (body.size() > line_piece_max || (what->want > 0 && !body.empty()))
    return to_caf(error{errc::protocol_violated, attempted, "more bytes than are due"});
  if (what->want > 0 && state.noise.empty()) {
    auto made = make_line_noise(*state.parts.random);
    if (!made)
      return to_caf(made.error());
    state.noise = std::move(*made);
  }
  auto peer = peer_id::from(as_view(request.peer()));
  auto now = state.parts.time->monotonic();
  line_answer says;
  says.refused = !state.budget.take(peer, what->want + body.size(), now);
  auto there = state.budget.left(peer, now);
  says.left = there.bytes;
  says.refilled_in = std::chrono::ceil<std::chrono::milliseconds>(there.refilled_in);
  says.limits = state.parts.pace->limits(state.parts.time->wall());
  v1::PeerAnswer answer;
  answer.set_message(encode(says));
  return {std::move(answer), says.refused ? bytes{} : state.noise.slice(0, what->want)};
}

peer_handler_actor::behavior_type service(service_pointer self, const line_service_parts& parts) {
  self->state.parts = parts;
  self->state.budget = line_budget{parts.limits};
  return {
      [=](const v1::PeerRequest& request, const bytes& body) { return serve(self->state, request, body); },
  };
}

} // namespace

result<bytes> make_line_noise(random_source& random) {
  std::vector<std::byte> noise(line_piece_max);
  if (auto filled = random.fill(noise); !filled)
    return fail(filled.error());
  return bytes::take(std::move(noise));
}

peer_handler_actor spawn_line_service(caf::actor_system& sys, const line_service_parts& parts) {
  return sys.spawn(service, parts);
}

} // namespace datamesh::network
