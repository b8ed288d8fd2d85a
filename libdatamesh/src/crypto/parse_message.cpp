#include "crypto/parse_message.hpp"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/message_lite.h>

#include <limits>

namespace datamesh::crypto {

bool parse_message(google::protobuf::MessageLite& message, byte_view data) {
  if (data.size() > std::numeric_limits<int>::max())
    return false;
  google::protobuf::io::CodedInputStream in{reinterpret_cast<const uint8_t*>(data.data()), static_cast<int>(data.size())};
  in.SetRecursionLimit(16);
  return message.ParseFromCodedStream(&in) && in.ConsumedEntireMessage();
}

} // namespace datamesh::crypto
