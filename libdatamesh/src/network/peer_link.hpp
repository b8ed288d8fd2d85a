// A link to another node: who it is (TLS), which mesh it belongs to (Hello), and
// requests that go both ways at once. Bytes and time in, bytes and events out; no
// socket, no clock. Frames, caps and rules: docs/formats/wire.md.
//
// Not thread-safe.
#pragma once

#include "base/frame.hpp"
#include "network/network_id.hpp"
#include "network/peer_gate.hpp"
#include "network/tls_link.hpp"

#include <deque>
#include <map>
#include <variant>

namespace datamesh::network {

using link_time = clock::monotonic_time;

/// Bytes of a request's or answer's message and body.
inline constexpr uint32_t link_message_max = 64 << 10;
inline constexpr uint32_t link_body_max = (1 << 20) + 1024;

/// From dialing, or being dialed, to the peer's Hello.
inline constexpr auto handshake_time_max = std::chrono::seconds{5};
/// Silence after which the peer is asked for a sign of life, and after which it is given up.
inline constexpr auto ping_after = std::chrono::seconds{15};
inline constexpr auto silence_max = std::chrono::seconds{45};
/// How long a peer may go on with a request that nobody waits for any more.
inline constexpr auto overdue_max = std::chrono::seconds{60};

/// Unsent bytes at which nothing more is taken from the peer, and at which it is given up.
inline constexpr size_t output_high = 4 << 20;
inline constexpr size_t output_max = 16 << 20;

struct link_options {
  network_id network;
  /// What the peer may have unanswered at once.
  uint32_t requests_max = 64;
  /// ... and the bytes of messages and bodies in it. At least one request of the
  /// largest size.
  uint32_t bytes_max = 8 << 20;
  /// Who may have a link, or none where everybody may who knows the mesh. It is asked before the
  /// peer is told anything, and again when its hello comes.
  std::shared_ptr<const peer_gate> gate{};
};

/// The peer is known and belongs to our mesh; requests may be made.
struct link_opened {
  peer_id peer;
};
/// To be answered, once, also after it was cancelled.
struct link_request {
  uint64_t id = 0;
  link_time deadline;
  std::string message;
  bytes body;
};
/// The peer waits no longer for the answer.
struct link_cancelled {
  uint64_t id = 0;
};
/// Of a request of ours; exactly one for each.
struct link_answer {
  uint64_t id = 0;
  std::optional<error> failure;
  std::string message;
  bytes body;
  bool doubled = false; ///< Not answered, since the link ended as there is another with the peer.
};
/// The last event. All requests of ours have had their answers.
struct link_closed {
  error reason;
  link_refusal refused = link_refusal::none; ///< Of one of both by the other.
  bool doubled = false;                      ///< There is another with the peer.
};
using link_event = std::variant<link_opened, link_request, link_cancelled, link_answer, link_closed>;

class peer_link {
public:
  /// @pre *us* outlives the link
  [[nodiscard]] static result<peer_link> open(const tls_identity& us, link_side side, std::optional<peer_id> expected,
                                              const link_options& options, link_time now);
  peer_link(peer_link&&) noexcept;
  peer_link& operator=(peer_link&&) noexcept;
  ~peer_link();

  /// Bytes from the wire.
  void received(byte_view data, link_time now);
  /// The wire is gone.
  void lost(const error& reason);
  /// Time passes: deadlines, signs of life.
  void tick(link_time now);
  /// When `tick` has something to do, if nothing comes in before.
  [[nodiscard]] link_time next_tick() const;

  /// What is to be sent, until the link is used again; empty when there is nothing.
  [[nodiscard]] byte_view output() const noexcept;
  /// So many bytes of it were sent.
  void drop_output(size_t count, link_time now);
  /// Both in one.
  [[nodiscard]] std::vector<std::byte> take_output();
  /// False while so much is unsent that nothing should be read from the wire.
  [[nodiscard]] bool wants_input() const noexcept;
  [[nodiscard]] std::optional<link_event> take_event();

  /// What came so far that costs us more than its bytes: frames, and records of TLS
  /// that are small.
  [[nodiscard]] uint64_t items() const noexcept;
  /// Bytes that the peer makes us hold: unsent, of a frame that is not whole, of
  /// requests that are not answered. What we asked and what was to come of it is not among
  /// them: who asks bounds that.
  [[nodiscard]] size_t held() const noexcept;
  /// Requests of the peer that are not answered.
  [[nodiscard]] size_t owed() const noexcept;

  [[nodiscard]] bool is_open() const noexcept;
  /// @pre is_open()
  [[nodiscard]] const peer_id& peer() const noexcept;
  /// Who the peer has proved to be, also before and after the link is open.
  [[nodiscard]] std::optional<peer_id> proven() const;
  [[nodiscard]] bool is_closed() const noexcept;

  /// True when a request of so many bytes would be sent now.
  [[nodiscard]] bool has_credit(size_t size) const noexcept;
  /// Sends a request and answers its number. `capacity_exceeded` when it is too large
  /// or the peer or the wire takes no more now; `unavailable` when the link is not open.
  /// @param answer_max bytes of the body that is asked for
  [[nodiscard]] result<uint64_t> request(std::string message, byte_view body, link_time deadline, link_time now, size_t answer_max = 0);
  /// Nobody waits for it any more: it is answered `cancelled` at once.
  void cancel(uint64_t id);
  /// `not_found` when the peer waits for no such answer; `capacity_exceeded` when it is
  /// too large, and then another answer is still due.
  [[nodiscard]] result<void> answer(uint64_t id, std::string message, byte_view body);
  [[nodiscard]] result<void> answer(uint64_t id, errc failure);
  /// Tells the peer why, and closes.
  void close(errc reason);
  /// Closes it when the gate lets the peer in no more.
  void check_gate();

private:
  struct impl;
  explicit peer_link(std::unique_ptr<impl> with);
  std::unique_ptr<impl> impl_;
};

} // namespace datamesh::network
