#include "network/line_message.hpp"

#include "crypto/parse_message.hpp"
#include "datamesh/v1/line.pb.h"
#include "network/line_course.hpp"

namespace datamesh::network {

namespace {

/// Longer than any budget takes; what is told beyond counts as this.
constexpr uint64_t refill_ms_max = uint64_t{7} * 24 * 3600 * 1000;

} // namespace

std::string encode(const line_request& message) {
  v1::LineRequest to;
  to.set_want(message.want);
  return to.SerializeAsString();
}

std::string encode(const line_answer& message) {
  v1::LineAnswer to;
  to.set_refused(message.refused);
  to.set_left(message.left);
  to.set_refill_ms(static_cast<uint64_t>(message.refilled_in.count()));
  to.set_up(message.limits.up);
  to.set_down(message.limits.down);
  return to.SerializeAsString();
}

result<line_request> decode_line_request(byte_view message) {
  v1::LineRequest from;
  if (message.size() > line_message_max || !crypto::parse_message(from, message) || from.want() > line_piece_max)
    return fail(errc::protocol_violated, "read a node's request to measure the line");
  return line_request{from.want()};
}

result<line_answer> decode_line_answer(byte_view message) {
  v1::LineAnswer from;
  if (message.size() > line_message_max || !crypto::parse_message(from, message))
    return fail(errc::protocol_violated, "read a node's answer about the line");
  return line_answer{
      from.refused(), from.left(), std::chrono::milliseconds{std::min(from.refill_ms(), refill_ms_max)}, {from.up(), from.down()}};
}

} // namespace datamesh::network
