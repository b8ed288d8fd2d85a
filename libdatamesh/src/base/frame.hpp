// Frames of a byte stream: u32 length of what follows | u8 type | u8 flags, 0 | u16
// version | u32 header length | header, a protobuf | body, raw bytes; little-endian.
// Bytes in, frames out; no socket here. What a frame may hold is the protocol's to say:
//
//   struct Protocol {
//     using type = ...;                                     // An enum of uint8_t.
//     static constexpr uint16_t version = 1;
//     static constexpr const char* name = "a ... frame";
//     std::optional<frame_caps> caps(type) const noexcept;  // Nothing: not taken.
//   };
//
// A reader refuses a frame by its first twelve bytes, before it allocates anything,
// and takes memory for others as their bytes arrive. Not thread-safe.
#pragma once

#include "base/little_endian.hpp"
#include "datamesh/base/bytes.hpp"
#include "datamesh/base/result.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <cstring>
#include <memory>
#include <optional>

namespace datamesh {

struct frame_caps {
  uint32_t header_max = 0;
  uint32_t body_max = 0;
  bool secret = false; ///< May carry a password: wiped when it goes.
};

inline constexpr size_t frame_prefix_size = 12;
using frame_prefix = std::array<std::byte, frame_prefix_size>;

/// Memory of a frame. What is in it at first is not said.
struct frame_memory {
  frame_memory() = default;
  explicit frame_memory(size_t room) : start(std::make_shared_for_overwrite<std::byte[]>(room)), size(room) {}
  [[nodiscard]] byte_span span() const noexcept {
    return {start.get(), size};
  }
  void wipe() const noexcept {
    if (size > 0)
      ::explicit_bzero(start.get(), size);
  }

  std::shared_ptr<std::byte[]> start;
  size_t size = 0;
};

template <class Type>
class basic_frame {
public:
  basic_frame() = default;
  basic_frame(Type t, frame_memory payload, size_t header_size, bool is_secret = false)
      : type(t), payload_(std::move(payload)), header_size_(header_size), secret_(is_secret) {
    assert(header_size_ <= payload_.size);
  }
  basic_frame(basic_frame&& other) noexcept {
    *this = std::move(other);
  }
  basic_frame& operator=(basic_frame&& other) noexcept {
    std::swap(type, other.type);
    std::swap(payload_, other.payload_);
    std::swap(header_size_, other.header_size_);
    std::swap(secret_, other.secret_);
    return *this;
  }
  ~basic_frame() {
    if (secret_)
      payload_.wipe();
  }

  Type type{};
  [[nodiscard]] byte_view header() const noexcept {
    return payload_.span().first(header_size_);
  }
  [[nodiscard]] byte_view body() const noexcept {
    return payload_.span().subspan(header_size_);
  }
  /// The body without a copy, as long as it is wanted. @pre nothing of it is secret
  [[nodiscard]] bytes kept_body() const noexcept {
    assert(!secret_);
    return {payload_.start, body()};
  }

private:
  frame_memory payload_;
  size_t header_size_ = 0;
  bool secret_ = false;
};

template <class Protocol>
class basic_frame_reader {
public:
  using frame = basic_frame<typename Protocol::type>;

  explicit basic_frame_reader(Protocol protocol) : protocol_(protocol) {}

  /// Where the next bytes belong; never empty.
  [[nodiscard]] byte_span wanted() noexcept {
    if (filled_ < frame_prefix_size)
      return byte_span{prefix_}.subspan(filled_);
    return payload_.span().subspan(filled_ - frame_prefix_size);
  }

  /// *count* bytes were written to the front of `wanted()`. Answers the frame that
  /// they complete. After an error the reader is of no more use: `format_newer` for
  /// another version, `capacity_exceeded` beyond the caps, else `format_damaged`.
  [[nodiscard]] result<std::optional<frame>> filled(size_t count) {
    assert(count <= wanted().size());
    filled_ += count;
    if (filled_ == frame_prefix_size && count > 0)
      if (auto read = read_prefix(); !read)
        return fail(read.error());
    if (filled_ < frame_prefix_size)
      return std::nullopt;
    if (filled_ < frame_prefix_size + payload_size_) {
      if (filled_ == frame_prefix_size + payload_.size)
        grow();
      return std::nullopt;
    }
    filled_ = 0;
    return frame{type_, std::exchange(payload_, {}), header_size_, caps_.secret};
  }

  /// Bytes of memory that it holds: none between two frames, and ahead of those that came.
  [[nodiscard]] size_t room() const noexcept {
    return payload_.size;
  }

  /// True between two frames.
  [[nodiscard]] bool at_boundary() const noexcept {
    return filled_ == 0;
  }

private:
  /// What a frame that was only announced takes, in bytes.
  static constexpr size_t first_step = 64 << 10;

  result<void> read_prefix() {
    byte_view prefix{prefix_};
    auto length = load_le<uint32_t>(prefix);
    type_ = static_cast<typename Protocol::type>(prefix[4]);
    auto flags = std::to_integer<uint8_t>(prefix[5]);
    auto version = load_le<uint16_t>(prefix.subspan(6));
    auto header = load_le<uint32_t>(prefix.subspan(8));
    auto attempted = std::string{"read "} + Protocol::name;
    if (version > Protocol::version)
      return fail(errc::format_newer, attempted);
    auto caps = protocol_.caps(type_);
    if (version != Protocol::version || flags != 0 || !caps || length < frame_prefix_size - 4)
      return fail(errc::format_damaged, attempted);
    auto payload = length - (frame_prefix_size - 4);
    if (header > payload)
      return fail(errc::format_damaged, attempted);
    if (header > caps->header_max || payload - header > caps->body_max)
      return fail(errc::capacity_exceeded, attempted);
    caps_ = *caps;
    header_size_ = header;
    payload_size_ = payload;
    grow();
    return {};
  }

  // With the bytes that come: twelve of them must not take megabytes. What is left
  // behind may be secret.
  void grow() {
    frame_memory larger{std::min(std::max(4 * payload_.size, first_step), payload_size_)};
    if (payload_.size > 0)
      std::memcpy(larger.start.get(), payload_.start.get(), payload_.size);
    if (caps_.secret)
      payload_.wipe();
    payload_ = std::move(larger);
  }

  Protocol protocol_;
  frame_prefix prefix_{};
  size_t filled_ = 0; ///< Bytes of the frame that are there.
  typename Protocol::type type_{};
  frame_caps caps_;
  size_t header_size_ = 0;
  size_t payload_size_ = 0; ///< As announced.
  frame_memory payload_;    ///< Room for the first bytes of it.
};

/// The twelve bytes before a header and a body of so many bytes, for a reader that
/// follows *protocol*. `capacity_exceeded` beyond the caps. @pre it takes that type
template <class Protocol>
[[nodiscard]] result<frame_prefix> make_frame_prefix(const Protocol& protocol, typename Protocol::type type, size_t header, size_t body) {
  auto caps = protocol.caps(type);
  assert(caps);
  if (header > caps->header_max || body > caps->body_max)
    return fail(errc::capacity_exceeded, std::string{"send "} + Protocol::name);
  frame_prefix prefix{};
  byte_span out{prefix};
  store_le<uint32_t>(out, static_cast<uint32_t>(frame_prefix_size - 4 + header + body));
  out[4] = static_cast<std::byte>(type);
  store_le<uint16_t>(out.subspan(6), Protocol::version);
  store_le<uint32_t>(out.subspan(8), static_cast<uint32_t>(header));
  return prefix;
}

} // namespace datamesh
