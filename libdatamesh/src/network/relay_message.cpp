#include "network/relay_message.hpp"

#include "crypto/parse_message.hpp"
#include "datamesh/v1/relay.pb.h"

namespace datamesh::network {

namespace {

constexpr auto attempted = "read a node's request to pass something on";

void put(const relay_reserve&, v1::RelayRequest& to) {
  (void) to.mutable_reserve();
}
void put(const relay_open& what, v1::RelayRequest& to) {
  to.mutable_open()->set_to(std::string{what.to.text()});
  to.mutable_open()->set_token(what.token);
}
void put(const relay_offer& what, v1::RelayRequest& to) {
  to.mutable_offer()->set_from(std::string{what.from.text()});
  to.mutable_offer()->set_stream(what.stream);
}
void put(const relay_piece& what, v1::RelayRequest& to) {
  to.mutable_piece()->set_stream(what.stream);
  to.mutable_piece()->set_offset(what.offset);
  to.mutable_piece()->set_by_relay(what.by_relay);
}
void put(const relay_end& what, v1::RelayRequest& to) {
  to.mutable_end()->set_stream(what.stream);
  to.mutable_end()->set_by_relay(what.by_relay);
}

result<peer_id> read_peer(const std::string& raw) {
  if (raw.size() != peer_id::size)
    return fail(errc::protocol_violated, attempted, "a node's id has 32 bytes");
  return peer_id::from(as_view(raw));
}

result<relay_request> read_what(const v1::RelayRequest& from) {
  switch (from.what_case()) {
  case v1::RelayRequest::kReserve:
    return relay_reserve{};
  case v1::RelayRequest::kOpen:
    return read_peer(from.open().to()).map([&](const peer_id& to) { return relay_request{relay_open{to, from.open().token()}}; });
  case v1::RelayRequest::kOffer:
    return read_peer(from.offer().from()).map([&](const peer_id& whom) { return relay_request{relay_offer{whom, from.offer().stream()}}; });
  case v1::RelayRequest::kPiece:
    return relay_piece{from.piece().stream(), from.piece().offset(), from.piece().by_relay()};
  case v1::RelayRequest::kEnd:
    return relay_end{from.end().stream(), from.end().by_relay()};
  case v1::RelayRequest::WHAT_NOT_SET:
    break;
  }
  return fail(errc::protocol_violated, attempted);
}

} // namespace

std::string encode(const relay_request& message) {
  v1::RelayRequest to;
  std::visit([&](const auto& what) { put(what, to); }, message);
  return to.SerializeAsString();
}

std::string encode_relay_answer(uint64_t stream) {
  v1::RelayAnswer to;
  to.set_stream(stream);
  return to.SerializeAsString();
}

result<relay_request> decode_relay_request(byte_view message, size_t body) {
  v1::RelayRequest from;
  if (message.size() > relay_message_max || !crypto::parse_message(from, message))
    return fail(errc::protocol_violated, attempted);
  auto what = read_what(from);
  if (!what)
    return what;
  bool is_piece = std::holds_alternative<relay_piece>(*what);
  if (is_piece ? body == 0 || body > relay_piece_max : body != 0)
    return fail(errc::protocol_violated, attempted, "other bytes beside it than are due");
  return what;
}

result<uint64_t> decode_relay_answer(byte_view message) {
  v1::RelayAnswer from;
  if (message.size() > relay_message_max || !crypto::parse_message(from, message))
    return fail(errc::protocol_violated, "read a node's answer about what it passes on");
  return from.stream();
}

} // namespace datamesh::network
