// A transport that sends and reads no faster than the operator of a node lets it: all of its
// sockets share what may go out in a second, and what may come in, in turns. What is over is a
// debt that is paid by waiting (`token_bucket`), so a limit holds over some seconds and not
// within one.
//
// Thread rule: as `transport`.
#pragma once

#include "network/line_pace.hpp"
#include "network/token_bucket.hpp"
#include "network/transport.hpp"

#include <deque>
#include <memory>
#include <optional>
#include <unordered_map>

namespace datamesh::network {

class paced_transport final : public transport, private transport_user {
public:
  paced_transport(std::unique_ptr<transport> below, std::shared_ptr<const clock> time, std::shared_ptr<line_pace> pace);
  ~paced_transport() override;

  void start(transport_user& user) override;
  void stop() override;
  void post(std::function<void()> what) override;
  [[nodiscard]] socket_id dial(const endpoint& to) override;
  [[nodiscard]] size_t send(socket_id socket, byte_view data) override;
  void read(socket_id socket, bool wanted) override;
  void shut(socket_id socket) override;
  void close(socket_id socket) override;
  void wake_at(clock::monotonic_time when) override;

private:
  /// One direction of all sockets together.
  struct direction {
    std::optional<token_bucket> bucket; ///< None where nothing is limited.
    uint64_t limit = 0;
    size_t turn = 0;               ///< Bytes that one socket may move before the others have their turn.
    std::deque<socket_id> waiting; ///< In the order in which they came; some may be gone.
    clock::monotonic_time next{};  ///< When the next of them has its turn, at the soonest.
  };
  struct waits {
    bool reading = false; ///< The user wants bytes.
    bool held = false;    ///< They are not asked for: others have their turn.
    bool starved = false; ///< `writable` is due.
  };

  bool accepted(socket_id socket, const endpoint& from) override;
  void connected(socket_id socket) override;
  void received(socket_id socket, byte_view data) override;
  void writable(socket_id socket) override;
  void ended(socket_id socket, const error& reason) override;
  void tick() override;

  void look_at_limits(clock::monotonic_time now);
  static void set_limit(direction& of, uint64_t limit);
  void give_turns(clock::monotonic_time now);
  /// The first that still waits, taken off the queue; none where that is nobody.
  [[nodiscard]] std::optional<socket_id> take_next(direction& of, bool waits::*which);
  void arm();

  std::unique_ptr<transport> below_;
  std::shared_ptr<const clock> time_;
  std::shared_ptr<line_pace> pace_;
  transport_user* user_ = nullptr;
  std::unordered_map<socket_id, waits> sockets_;
  direction up_;
  direction down_;
  uint64_t version_ = 0;
  clock::monotonic_time looked_{};
  bool looked_once_ = false;
  std::optional<clock::monotonic_time> user_wakes_;
};

} // namespace datamesh::network
