// What nodes say to each other when one passes on between two others, and how it is written:
// proto/datamesh/v1/relay.proto, docs/formats/relay.md. The bytes that are passed on ride beside a message.
//
// Thread rule: values; functions are safe to call from any thread.
#pragma once

#include "datamesh/base/bytes.hpp"
#include "datamesh/base/result.hpp"
#include "network/peer_id.hpp"

#include <string>
#include <variant>

namespace datamesh::network {

/// Bytes of a message, at most, and of what rides beside one.
inline constexpr size_t relay_message_max = 256;
inline constexpr size_t relay_piece_max = 64 << 10;
/// Pieces of one direction that a sender has unanswered, at most.
inline constexpr size_t relay_window = 4;
/// Those that others hold for it, at most: a window, and another one of a link that was lost and is asked again.
inline constexpr size_t relay_held_max = 2 * relay_window;

/// Others may reach the sender through the node that it asks.
struct relay_reserve {};
/// To that node, which must have asked for it.
struct relay_open {
  peer_id to;
  uint64_t token = 0; ///< The same again is the same stream.
};
/// Somebody wants to reach the node that is asked.
struct relay_offer {
  peer_id from;
  uint64_t stream = 0;
};
struct relay_piece {
  uint64_t stream = 0;
  uint64_t offset = 0;   ///< Of its first byte in this direction.
  bool by_relay = false; ///< The sender passes it on and numbered the stream; else it is one of the stream's ends.
};
struct relay_end {
  uint64_t stream = 0;
  bool by_relay = false;
};
using relay_request = std::variant<relay_reserve, relay_open, relay_offer, relay_piece, relay_end>;

[[nodiscard]] std::string encode(const relay_request& message);
/// The stream that was opened; 0 in all other answers.
[[nodiscard]] std::string encode_relay_answer(uint64_t stream);
/// `protocol_violated` for what is too long or is none. @param body bytes beside it
[[nodiscard]] result<relay_request> decode_relay_request(byte_view message, size_t body);
[[nodiscard]] result<uint64_t> decode_relay_answer(byte_view message);

} // namespace datamesh::network
