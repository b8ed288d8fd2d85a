#include "control/frame.hpp"

#include "base/little_endian.hpp"

#include <algorithm>
#include <cassert>
#include <cstring>

namespace datamesh::control {

namespace {

/// What a frame that was only announced takes, in bytes.
constexpr size_t first_step = 64 << 10;

} // namespace

std::optional<frame_caps> caps_of(frame_type type, side reader) noexcept {
  auto for_daemon = reader == side::daemon;
  switch (type) {
  case frame_type::request:
    return for_daemon ? std::optional{frame_caps{1 << 20, 4 << 10}} : std::nullopt;
  case frame_type::answer:
    return for_daemon ? std::optional{frame_caps{16 << 20, body_max}} : std::nullopt;
  case frame_type::cancel:
    return for_daemon ? std::optional{frame_caps{0, 0}} : std::nullopt;
  case frame_type::reply:
    return for_daemon ? std::nullopt : std::optional{frame_caps{16 << 20, 4 << 10}};
  case frame_type::call:
    return for_daemon ? std::nullopt : std::optional{frame_caps{64 << 10, body_max}};
  case frame_type::event:
    return for_daemon ? std::nullopt : std::optional{frame_caps{64 << 10, 0}};
  }
  return std::nullopt;
}

frame::frame(frame_type t, std::vector<std::byte> payload, size_t header_size)
    : type(t), payload_(std::move(payload)), header_size_(header_size) {
  assert(header_size_ <= payload_.size());
}

frame& frame::operator=(frame&& other) noexcept {
  std::swap(type, other.type);
  std::swap(payload_, other.payload_);
  std::swap(header_size_, other.header_size_);
  return *this;
}

frame::~frame() {
  if (type != frame_type::answer && type != frame_type::call && !payload_.empty())
    ::explicit_bzero(payload_.data(), payload_.size());
}

byte_span frame_reader::wanted() noexcept {
  if (filled_ < prefix_size)
    return byte_span{prefix_}.subspan(filled_);
  return byte_span{payload_}.subspan(filled_ - prefix_size);
}

result<void> frame_reader::read_prefix() {
  byte_view prefix{prefix_};
  auto length = load_le<uint32_t>(prefix);
  type_ = static_cast<frame_type>(prefix[4]);
  auto flags = std::to_integer<uint8_t>(prefix[5]);
  auto version = load_le<uint16_t>(prefix.subspan(6));
  auto header = load_le<uint32_t>(prefix.subspan(8));
  if (version > frame_version)
    return fail(errc::format_newer, "read a control frame");
  auto caps = caps_of(type_, side_);
  if (version != frame_version || flags != 0 || !caps || length < prefix_size - 4)
    return fail(errc::format_damaged, "read a control frame");
  auto payload = length - (prefix_size - 4);
  if (header > payload)
    return fail(errc::format_damaged, "read a control frame");
  if (header > caps->header_max || payload - header > caps->body_max)
    return fail(errc::capacity_exceeded, "read a control frame");
  header_size_ = header;
  payload_size_ = payload;
  grow();
  return {};
}

// With the bytes that come: twelve of them must not take megabytes. What is left
// behind may hold a password.
void frame_reader::grow() {
  std::vector<std::byte> larger(std::min(std::max(2 * payload_.size(), first_step), payload_size_));
  std::copy(payload_.begin(), payload_.end(), larger.begin());
  if (!payload_.empty())
    ::explicit_bzero(payload_.data(), payload_.size());
  payload_ = std::move(larger);
}

result<std::optional<frame>> frame_reader::filled(size_t count) {
  assert(count <= wanted().size());
  filled_ += count;
  if (filled_ == prefix_size && count > 0)
    if (auto read = read_prefix(); !read)
      return fail(read.error());
  if (filled_ < prefix_size)
    return std::nullopt;
  if (filled_ < prefix_size + payload_size_) {
    if (filled_ == prefix_size + payload_.size())
      grow();
    return std::nullopt;
  }
  filled_ = 0;
  return frame{type_, std::exchange(payload_, {}), header_size_};
}

result<std::array<std::byte, prefix_size>> write_prefix(frame_type type, side reader, size_t header, size_t body) {
  auto caps = caps_of(type, reader);
  assert(caps);
  if (header > caps->header_max || body > caps->body_max)
    return fail(errc::capacity_exceeded, "send a control frame");
  std::array<std::byte, prefix_size> prefix{};
  byte_span out{prefix};
  store_le<uint32_t>(out, static_cast<uint32_t>(prefix_size - 4 + header + body));
  out[4] = static_cast<std::byte>(type);
  store_le<uint16_t>(out.subspan(6), frame_version);
  store_le<uint32_t>(out.subspan(8), static_cast<uint32_t>(header));
  return prefix;
}

} // namespace datamesh::control
