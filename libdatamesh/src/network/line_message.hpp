// What nodes say to each other when one measures the line between them, and how it is written:
// proto/datamesh/v1/line.proto, docs/formats/line.md. Random bytes ride beside a message.
//
// Thread rule: values; functions are safe to call from any thread.
#pragma once

#include "datamesh/mesh.hpp"

#include <string>

namespace datamesh::network {

/// Bytes of a message, at most.
inline constexpr size_t line_message_max = 256;

struct line_request {
  uint32_t want = 0; ///< Bytes that the answer is to have, at most `line_piece_max`.
};

struct line_answer {
  bool refused = false;                    ///< Nothing was done: there is not so much left.
  uint64_t left = 0;                       ///< Bytes that there are for more of this.
  std::chrono::milliseconds refilled_in{}; ///< Until there are as many as that peer ever has.
  rate_limits limits;                      ///< What the operator of that node lets it take of its line.
};

[[nodiscard]] std::string encode(const line_request& message);
[[nodiscard]] std::string encode(const line_answer& message);
/// `protocol_violated` for what is too long or is none.
[[nodiscard]] result<line_request> decode_line_request(byte_view message);
[[nodiscard]] result<line_answer> decode_line_answer(byte_view message);

} // namespace datamesh::network
