// Reads a protobuf from outside: the whole of *data*, nested at most 16 deep
// (protobuf's own bound is 100).
#pragma once

#include "datamesh/base/bytes.hpp"

namespace google::protobuf {
class MessageLite;
} // namespace google::protobuf

namespace datamesh::crypto {

/// False when the bytes are garbled or something follows the message.
[[nodiscard]] bool parse_message(google::protobuf::MessageLite& message, byte_view data);

} // namespace datamesh::crypto
