// Frames of the control socket: u32 length | u8 type | u8 flags | u16 version |
// u32 header length | protobuf header | raw body. Layout and caps:
// docs/formats/control.md. Bytes in, frames out; no socket here.
//
// A reader refuses a frame by its first twelve bytes, before it allocates anything,
// and takes memory for others as their bytes arrive.
// Not thread-safe.
#pragma once

#include "datamesh/base/bytes.hpp"
#include "datamesh/base/result.hpp"

#include <array>
#include <optional>
#include <vector>

namespace datamesh::control {

enum class frame_type : uint8_t {
  request = 1, ///< Client: do something.
  reply = 2,   ///< Daemon: what came of it.
  call = 3,    ///< Daemon, while a request runs: read or write a file of the client's.
  answer = 4,  ///< Client: what came of the call.
  event = 5,   ///< Daemon: progress, damage.
  cancel = 6,  ///< Client: end the running request.
};

/// Which side reads: each takes only what the other may send.
enum class side : uint8_t { daemon, client };

inline constexpr uint16_t frame_version = 1;
inline constexpr size_t prefix_size = 12;
/// Bytes that a single call moves, at most.
inline constexpr size_t body_max = 1 << 20;

struct frame_caps {
  uint32_t header_max = 0;
  uint32_t body_max = 0;
};

/// What a frame of *type* may hold; nothing when *reader* must not be sent one.
[[nodiscard]] std::optional<frame_caps> caps_of(frame_type type, side reader) noexcept;

/// Wiped when it goes: it may have carried a password.
class frame {
public:
  frame() = default;
  frame(frame_type t, std::vector<std::byte> payload, size_t header_size);
  frame(frame&&) noexcept = default;
  frame& operator=(frame&& other) noexcept;
  ~frame();

  frame_type type = frame_type::request;
  [[nodiscard]] byte_view header() const noexcept {
    return byte_view{payload_}.first(header_size_);
  }
  [[nodiscard]] byte_view body() const noexcept {
    return byte_view{payload_}.subspan(header_size_);
  }

private:
  std::vector<std::byte> payload_;
  size_t header_size_ = 0;
};

class frame_reader {
public:
  explicit frame_reader(side reader) : side_(reader) {}

  /// Where the next bytes belong; never empty.
  [[nodiscard]] byte_span wanted() noexcept;

  /// *count* bytes were written to the front of `wanted()`. Answers the frame that
  /// they complete. After an error the reader is of no more use: `format_newer` for
  /// another version, `capacity_exceeded` beyond the caps, else `format_damaged`.
  [[nodiscard]] result<std::optional<frame>> filled(size_t count);

  /// True between two frames.
  [[nodiscard]] bool at_boundary() const noexcept {
    return filled_ == 0;
  }

private:
  [[nodiscard]] result<void> read_prefix();
  void grow();

  side side_;
  std::array<std::byte, prefix_size> prefix_{};
  size_t filled_ = 0; ///< Bytes of the frame that are there.
  frame_type type_ = frame_type::request;
  size_t header_size_ = 0;
  size_t payload_size_ = 0;        ///< As announced.
  std::vector<std::byte> payload_; ///< Room for the first bytes of it.
};

/// The twelve bytes before *header* and *body*. `capacity_exceeded` beyond the caps.
[[nodiscard]] result<std::array<std::byte, prefix_size>> write_prefix(frame_type type, side reader, size_t header, size_t body);

} // namespace datamesh::control
