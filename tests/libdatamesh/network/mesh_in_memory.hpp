// Many nodes' discovery in one process: a queue of events in place of a network, with
// delay, loss that delays, nodes that are gone and nodes that lie. One seed replays a run.
#pragma once

#include "network/discovery.hpp"
#include "tests/libdatamesh/network/mesh_fixture.hpp"

#include <tuple>

namespace datamesh::test {

struct mesh_rules {
  size_t nodes = 300;
  unsigned loss_percent = 1;
  network::ip_rules ips;
};

class mesh_in_memory {
public:
  mesh_in_memory(const mesh_rules& rules, uint64_t seed);

  /// Another node, which knows one that is there already; its number.
  size_t join(const network::peer_id& id, const network::ip_address& ip, bool lies = false);
  size_t join(bool lies = false);
  /// Everyone of `rules.nodes` joins, one after the other, and looks around.
  void join_all();
  /// Lets time pass, but for at least *time*.
  void run(network::mesh_time::duration time);
  struct begun_lookup {
    size_t from = 0;
    uint64_t number = 0;
  };
  begun_lookup begin_lookup(size_t from, const network::lookup_goal& goal);
  /// Lets time pass until the lookup has ended.
  network::lookup_outcome await(const begun_lookup& which);
  network::lookup_outcome look_up(size_t from, const network::lookup_goal& goal) {
    return await(begin_lookup(from, goal));
  }
  /// ... until the record has been sent; the number of copies.
  size_t publish(size_t from, const network::signed_record& record);

  void kill(size_t node);
  /// From now on the node answers with nodes of its own gang, has no records and keeps none.
  void turn(size_t node);
  /// Stops it and starts it again from what it saved.
  void restart(size_t node);

  struct node {
    network::contact self;
    std::unique_ptr<network::discovery> engine;
    bool alive = true;
    bool lies = false;
    network::mesh_time woken_at = network::mesh_time::max(); ///< For when a tick is queued.
    std::map<uint64_t, network::lookup_outcome> ended;
    std::map<network::record_name, size_t> sent;
    size_t conflicts = 0;
    size_t renewals = 0;
  };
  [[nodiscard]] const node& at(size_t number) const {
    return *nodes_.at(number);
  }
  [[nodiscard]] size_t size() const noexcept {
    return nodes_.size();
  }
  /// One that lives, and does not lie.
  [[nodiscard]] size_t some_honest();
  /// The *count* nearest to *target* that live.
  [[nodiscard]] std::vector<network::peer_id> truly_nearest(const network::point& target, size_t count) const;
  /// Nodes that keep the record.
  [[nodiscard]] size_t keepers(const network::record_name& name) const;
  [[nodiscard]] network::discovery_time time() const;
  [[nodiscard]] seeded_random& random() noexcept {
    return random_;
  }
  [[nodiscard]] size_t messages() const noexcept {
    return messages_;
  }

private:
  struct event {
    network::mesh_time when;
    uint64_t order = 0;
    size_t to = 0;
    size_t from = 0;
    uint64_t number = 0; ///< Of the request; 0 wakes the node.
    std::optional<network::discovery_request> request;
    std::optional<network::discovery_answer> answer;

    friend bool operator>(const event& a, const event& b) {
      return std::tie(a.when, a.order) > std::tie(b.when, b.order);
    }
  };

  void queue(event what, network::mesh_time::duration after);
  /// With the network's delay.
  void send(event what);
  void step();
  void serve(const event& what);
  /// Sends what the node has to send, and notes what it tells.
  void look_at(size_t number);
  network::discovery_answer lie(const node& liar, const network::discovery_request& what) const;

  mesh_rules rules_;
  seeded_random random_;
  network::mesh_time now_{std::chrono::hours{1}};
  uint64_t events_ = 0;
  std::vector<std::unique_ptr<node>> nodes_;
  std::map<network::ip_address, size_t> by_address_;
  std::vector<network::contact> gang_;
  std::vector<event> queue_; ///< A heap, the next on top.
  size_t messages_ = 0;
};

} // namespace datamesh::test
