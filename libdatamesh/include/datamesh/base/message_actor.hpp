// How our values ride in messages between CAF actors: bulk bytes as references, beside
// a protobuf header; errors of ours inside CAF's.
//
// Messages stay inside the process. A protobuf header could cross any border; bytes
// beside it can not, and have no content when CAF asks for it.
#pragma once

#include "datamesh/base/bytes.hpp"
#include "datamesh/base/error.hpp"

#include <caf/all.hpp>
#include <google/protobuf/message_lite.h>

#include <string>
#include <type_traits>
#include <vector>

namespace datamesh {

/// Bulk bytes beside a header.
using slices = std::vector<bytes>;

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, bytes&) {
  return f(caf::meta::type_name("bytes"));
}

/// Carries our error through CAF's: its own code has eight bits, so ours travels
/// as the message. Each level of the cause chain is one element.
[[nodiscard]] caf::error to_caf(const error& reason);

/// The way back. CAF's own errors (timeouts, dead receivers) become `timed_out`
/// or `unavailable`.
[[nodiscard]] error from_caf(const caf::error& reason);

} // namespace datamesh

namespace datamesh::v1 {

/// Serves all protobuf messages.
template <class Inspector, class Message>
requires std::is_base_of_v<google::protobuf::MessageLite, Message>
typename Inspector::result_type inspect(Inspector& f, Message& message) {
  std::string encoded;
  if constexpr (Inspector::reads_state)
    encoded = message.SerializeAsString();
  auto load = [&]() -> caf::error {
    return message.ParseFromString(encoded) ? caf::none : caf::make_error(caf::sec::invalid_argument);
  };
  return f(caf::meta::type_name("protobuf"), encoded, caf::meta::load_callback(load));
}

} // namespace datamesh::v1
