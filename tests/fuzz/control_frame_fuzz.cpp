// What comes over the control socket. The first byte says how it is taken: as frames
// that a daemon or a client reads, in pieces of any size; or as the header of one frame.
// Every message that is understood is written and understood again.
#include "control/convert.hpp"
#include "control/frame.hpp"
#include "control/link.hpp"
#include "fuzz.hpp"

#include <algorithm>

using namespace datamesh;
using namespace datamesh::control;

namespace {

template <class T>
struct is_result : std::false_type {};
template <class T>
struct is_result<result<T>> : std::true_type {};

/// The message that *from* is written as again; nothing when it is refused.
template <class Message>
std::optional<Message> again(const Message& from) {
  auto understood = read(from);
  Message to;
  if constexpr (is_result<decltype(understood)>::value) {
    if (!understood)
      return std::nullopt;
    write(to, *understood);
  } else {
    write(to, understood);
  }
  return to;
}

template <class Message>
void check(const Message& from) {
  auto once = again(from);
  if (!once)
    return;
  auto twice = again(*once);
  fuzz::require(twice && twice->SerializeAsString() == once->SerializeAsString(), "what is written is understood as it was meant");
}

void check_request(const v1::ControlRequest& request) {
  check(request.put());
  check(request.put_stream());
  check(request.get());
  check(request.list());
  check(request.verify());
  check(request.cleanup());
  (void) read_conflict(request.move().conflict());
  (void) read_id<version_id>(request.revert().id());
}

void check_reply(const v1::ControlReply& reply) {
  check(reply.failure());
  for (const auto& drive : reply.drives().drives())
    check(drive);
  for (const auto& vault : reply.vaults().vaults())
    check(vault);
  for (const auto& entry : reply.page().entries())
    check(entry);
  check(reply.rebuilt());
  check(reply.put());
  check(reply.get());
  check(reply.info());
  check(reply.versions());
  check(reply.stats());
  check(reply.status());
  check(reply.verified());
  check(reply.cleaned());
  check(reply.rebalanced());
  check(reply.locks());
}

void check_header(frame_type type, byte_view header) {
  v1::ControlRequest request;
  v1::ControlReply reply;
  v1::ControlCall call;
  v1::ControlAnswer answer;
  v1::Event happened;
  switch (type) {
  case frame_type::request:
    if (parse(request, header))
      check_request(request);
    break;
  case frame_type::reply:
    if (parse(reply, header))
      check_reply(reply);
    break;
  case frame_type::call:
    (void) parse(call, header);
    break;
  case frame_type::answer:
    if (parse(answer, header)) {
      check(answer.status());
      check(answer.failure());
    }
    break;
  case frame_type::event:
    if (parse(happened, header))
      check(happened);
    break;
  case frame_type::cancel:
    fuzz::require(header.empty(), "nothing rides with a cancel");
    break;
  }
}

/// Feeds *stream* in pieces of at most *piece* bytes; the same frames come of it as
/// when it is fed whole.
std::vector<frame> frames_of(byte_view stream, side reader, size_t piece) {
  std::vector<frame> frames;
  frame_reader from{reader};
  while (!stream.empty()) {
    auto room = from.wanted();
    fuzz::require(!room.empty(), "a reader wants bytes");
    auto now = stream.first(std::min({room.size(), stream.size(), piece}));
    std::ranges::copy(now, room.begin());
    stream = stream.subspan(now.size());
    auto got = from.filled(now.size());
    if (!got)
      break;
    if (!*got)
      continue;
    fuzz::require(from.at_boundary(), "a frame ends at a boundary");
    auto caps = caps_of((*got)->type, reader);
    fuzz::require(caps && (*got)->header().size() <= caps->header_max && (*got)->body().size() <= caps->body_max, "the caps hold");
    fuzz::require(write_prefix((*got)->type, reader, (*got)->header().size(), (*got)->body().size()).has_value(), "it could be sent");
    frames.push_back(std::move(**got));
  }
  return frames;
}

void check_stream(byte_view stream, side reader, size_t piece) {
  auto whole = frames_of(stream, reader, stream.size());
  auto pieces = frames_of(stream, reader, piece);
  auto same = [](const frame& a, const frame& b) {
    return a.type == b.type && std::ranges::equal(a.header(), b.header()) && std::ranges::equal(a.body(), b.body());
  };
  fuzz::require(std::ranges::equal(whole, pieces, same), "frames do not depend on how their bytes arrive");
  for (const auto& one : whole)
    check_header(one.type, one.header());
}

} // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0)
    return 0;
  auto how = data[0] & 7;
  auto rest = fuzz::view(data + 1, size - 1);
  if (how == 0 || how == 7)
    check_stream(rest, how == 0 ? side::daemon : side::client, 1 + (data[0] >> 3));
  else
    check_header(static_cast<frame_type>(how), how == static_cast<int>(frame_type::cancel) ? byte_view{} : rest);
  return 0;
}
