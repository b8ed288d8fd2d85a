#include "control/link.hpp"

#include "crypto/parse_message.hpp"
#include "crypto/secret.hpp"

#include <google/protobuf/message_lite.h>

namespace datamesh::control {

result<link::received> link::receive(const wake_up* bell, std::chrono::milliseconds limit) {
  for (;;) {
    if (reader_.at_boundary()) {
      auto why = socket_.wait(bell, limit);
      if (!why)
        return fail(why.error());
      if (*why != waited::readable)
        return received{*why, std::nullopt};
    }
    auto got = socket_.receive(reader_.wanted());
    if (!got)
      return fail(got.error());
    if (*got == 0)
      return fail(errc::unavailable, "receive a control frame");
    auto whole = reader_.filled(*got);
    if (!whole)
      return fail(whole.error());
    if (*whole)
      return received{waited::readable, std::move(*whole)};
  }
}

result<void> link::send(frame_type type, const google::protobuf::MessageLite* header, byte_view body) {
  std::string encoded;
  if (header != nullptr && !header->SerializeToString(&encoded))
    return fail(errc::internal, "encode a control frame");
  auto prefix = write_prefix(type, us_ == side::daemon ? side::client : side::daemon, encoded.size(), body.size());
  if (!prefix)
    return fail(prefix.error());
  std::array<byte_view, 3> parts{byte_view{*prefix}, as_view(encoded), body};
  std::lock_guard guard{sending_};
  return socket_.send(parts);
}

result<void> parse(google::protobuf::MessageLite& to, byte_view from) {
  if (!crypto::parse_message(to, from))
    return fail(errc::format_damaged, "read a control message");
  return {};
}

} // namespace datamesh::control
