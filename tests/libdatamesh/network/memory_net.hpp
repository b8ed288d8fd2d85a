// A network in memory, for tests: transports that reach each other by address, in the
// order in which things happen, at the time of a clock that is set.
#pragma once

#include "network/transport.hpp"
#include "tests/support/manual_clock.hpp"

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <vector>

namespace datamesh::test {

class memory_transport;

class memory_net {
public:
  explicit memory_net(std::shared_ptr<manual_clock> with) : time(std::move(with)) {}

  /// Lets happen what can, until nothing more does. Answers whether anything did.
  bool run();
  /// Lets happen what is under way, and then ring the alarms that are due, once. Answers whether anything did.
  bool step();
  /// Moves the clock from one alarm to the next and lets happen what comes of it.
  void pass(std::chrono::nanoseconds span);

  std::shared_ptr<manual_clock> time;
  /// What a connection holds in each direction before it takes no more.
  size_t buffer = 64 << 10;
  /// Bytes arrive in pieces of at most so many.
  size_t piece = SIZE_MAX;
  /// As long as it is true no byte arrives anywhere.
  bool dead = false;

private:
  friend class memory_transport;
  std::map<network::endpoint, memory_transport*> places_;
  std::vector<memory_transport*> all_;
  std::deque<std::function<void()>> events_;
};

/// Is reached at an address, or merely comes from there.
class memory_transport final : public network::transport {
public:
  memory_transport(memory_net& net, const network::endpoint& at, bool listens = true);
  ~memory_transport() override;

  void start(network::transport_user& user) override;
  void stop() override;
  void post(std::function<void()> what) override;
  [[nodiscard]] network::socket_id dial(const network::endpoint& to) override;
  [[nodiscard]] size_t send(network::socket_id socket, byte_view data) override;
  void read(network::socket_id socket, bool wanted) override;
  void shut(network::socket_id socket) override;
  void close(network::socket_id socket) override;
  void wake_at(clock::monotonic_time when) override;

  [[nodiscard]] const network::endpoint& at() const {
    return at_;
  }
  /// Sockets that are there.
  [[nodiscard]] size_t size() const {
    return ends_.size();
  }
  /// From where the next dial comes.
  void move_to(const network::endpoint& at) {
    at_ = at;
  }
  /// How often it was told to read or not to read.
  size_t reads = 0;

private:
  friend class memory_net;
  /// One direction of a connection.
  struct stream {
    std::vector<std::byte> data;
    bool shut = false;    ///< Nothing more will come.
    bool starved = false; ///< The sender has more.
  };
  struct end {
    memory_transport* there = nullptr; ///< Null when the other side has gone.
    network::socket_id other = 0;
    std::shared_ptr<stream> in;
    std::shared_ptr<stream> out;
    bool reading = false;
    bool ended = false; ///< The user knows.
  };
  end* find(network::socket_id socket);
  void later(network::socket_id socket, void (memory_transport::*what)(network::socket_id));
  void arrive(network::socket_id socket);
  void make_room(network::socket_id socket);
  void fail(network::socket_id socket, const char* why);

  memory_net& net_;
  network::endpoint at_;
  bool listens_;
  network::transport_user* user_ = nullptr;
  network::socket_id last_ = 0;
  std::map<network::socket_id, end> ends_;
  std::optional<clock::monotonic_time> alarm_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true); ///< For what is under way.
};

} // namespace datamesh::test
