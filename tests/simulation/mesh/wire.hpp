// The network of a simulated mesh: streams of bytes between addresses, as TCP gives them. So nothing is lost, doubled or
// reordered within a connection; what happens to one is that it is slow, stands still for as long as its two ends can not
// reach each other, or breaks. What a power loss takes is not told to the other end until it sends something to a machine
// that is there again and knows nothing of it.
//
// Thread rule: as the stage's.
#pragma once

#include "network/transport.hpp"
#include "tests/simulation/mesh/stage.hpp"

#include <deque>
#include <set>

namespace datamesh::test {

class sim_transport;

class sim_network {
public:
  explicit sim_network(sim_stage& on) : stage(on) {}

  /// Nothing gets from the one to the other until it is mended.
  void part(const network::ip_address& from, const network::ip_address& to);
  void mend();
  [[nodiscard]] bool is_parted(const network::ip_address& from, const network::ip_address& to) const {
    return parted_.contains({from, to});
  }
  /// Breaks some connection of that place, if it has any.
  void reset(const network::ip_address& at);

  sim_stage& stage;
  /// How long a byte takes from one place to another: between these.
  std::chrono::milliseconds delay_min{1};
  std::chrono::milliseconds delay_max{20};
  /// One piece in so many takes up to a hundred times as long; 0 for none.
  uint64_t slow_one_in = 0;
  /// How many were made between two places, by either.
  [[nodiscard]] uint64_t connections(const network::ip_address& a, const network::ip_address& b) const {
    auto found = connections_.find(std::minmax(a, b));
    return found == connections_.end() ? 0 : found->second;
  }
  /// Pieces that arrived, and their bytes.
  uint64_t pieces = 0;
  uint64_t bytes = 0;

private:
  friend class sim_transport;
  [[nodiscard]] std::chrono::nanoseconds draw_delay();

  std::map<network::endpoint, sim_transport*> places_;
  std::map<network::ip_address, sim_transport*> at_;
  std::set<std::pair<network::ip_address, network::ip_address>> parted_;
  std::map<std::pair<network::ip_address, network::ip_address>, uint64_t> connections_;
};

/// Reached at an address, from which it dials, too.
class sim_transport final : public network::transport {
public:
  sim_transport(sim_network& net, const network::endpoint& at) : net_(net), at_(at) {}
  ~sim_transport() override;

  void start(network::transport_user& user) override;
  void stop() override;
  void post(std::function<void()> what) override;
  [[nodiscard]] network::socket_id dial(const network::endpoint& to) override;
  [[nodiscard]] size_t send(network::socket_id socket, byte_view data) override;
  void read(network::socket_id socket, bool wanted) override;
  void shut(network::socket_id socket) override;
  void close(network::socket_id socket) override;
  void wake_at(clock::monotonic_time when) override;

  /// The power is gone: nothing is sent or heard any more, and nobody is told.
  void cut();

private:
  friend class sim_network;
  /// One direction of a connection.
  struct stream {
    std::deque<std::pair<clock::monotonic_time, std::vector<std::byte>>> pieces; ///< With the time of their arrival.
    size_t held = 0;
    clock::monotonic_time last{};
    bool shut = false;
    bool broken = false;
    bool starved = false; ///< The sender has more.
  };
  struct end {
    network::endpoint far;
    std::weak_ptr<sim_transport*> there; ///< Nothing once the other side has gone.
    network::socket_id other = 0;
    std::shared_ptr<stream> in;
    std::shared_ptr<stream> out;
    bool reading = false;
    bool ended = false; ///< The user knows.
  };
  [[nodiscard]] end* find(network::socket_id socket);
  [[nodiscard]] sim_transport* there(const end& of) const;
  void look_later(network::socket_id socket, clock::monotonic_time when);
  void look(network::socket_id socket);
  void arrive_at(network::socket_id socket, const network::endpoint& to);
  void finish(network::socket_id socket, const char* why);
  void tell(end& of);

  sim_network& net_;
  network::endpoint at_;
  network::transport_user* user_ = nullptr;
  bool is_cut_ = false;
  network::socket_id last_ = 0;
  uint64_t alarms_ = 0;
  std::map<network::socket_id, end> ends_;
  std::shared_ptr<sim_transport*> alive_ = std::make_shared<sim_transport*>(this); ///< For what is under way.
};

} // namespace datamesh::test
