// What the nodes of a simulated mesh ask each other, seen between a node's links and the rest of it: above TLS, where a request is
// a whole. Requests and answers are lost here, requests are served twice, and overtake each other, as it may be where links
// break and are made again, and as a node may do that lies. And what was asked and answered is counted: nothing is served that
// nobody asked, or more often than it was asked, and whoever asked is given an answer to his question, and each once.
//
// Thread rule: as the stage's.
#pragma once

#include "network/link_actor.hpp"
#include "tests/simulation/mesh/wire.hpp"

#include <cstring>
#include <set>
#include <stdexcept>
#include <unordered_map>

namespace datamesh::test {

/// Something happened that must not.
struct violation : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// One in so many of each; 0 for none.
struct courier_habits {
  uint64_t loses_request = 0;
  uint64_t loses_answer = 0;
  uint64_t doubles = 0;
  uint64_t delays = 0;
};

class sim_courier {
public:
  explicit sim_courier(sim_network& net) : net_(net) {}

  /// In place of the links of a node: what it asks others over them.
  [[nodiscard]] network::link_actor outgoing(const network::peer_id& self, const network::ip_address& at, network::link_actor links);
  /// In place of who answers at a node: what others ask it.
  [[nodiscard]] network::peer_handler_actor incoming(const network::peer_id& self, const network::ip_address& at,
                                                     network::peer_handler_actor handler);

  courier_habits habits;
  /// Told of each thing that was lost, doubled or delayed.
  std::function<void(const char*)> told;
  /// What must not be, once it was.
  std::optional<std::string> wrong;
  uint64_t answers = 0; ///< That came to whoever had asked.

private:
  struct question {
    network::peer_id from;
    network::peer_id to;
    digest name; ///< Of these, and of what was asked.
  };
  struct by_first_bytes {
    size_t operator()(const digest& name) const noexcept {
      size_t first = 0;
      std::memcpy(&first, name.view().data(), sizeof(first));
      return first;
    }
  };
  struct course {
    uint64_t asked = 0;
    uint64_t arrived = 0;
    std::multiset<digest> given; ///< Answers that are on their way.
    clock::monotonic_time last;  ///< Anything of it.
  };

  [[nodiscard]] static question question_of(const network::peer_id& from, const network::peer_id& to, std::string_view message,
                                            const bytes& body);
  [[nodiscard]] course& course_of(const question& what);
  void asked(const question& what);
  void arrived(const question& what, uint64_t connections);
  void given(const question& what, const digest& answer);
  void came(const question& what, const digest& answer);
  [[nodiscard]] bool happens(uint64_t one_in, const char* what);

  sim_network& net_;
  std::unordered_map<digest, course, by_first_bytes> courses_;
  std::map<network::peer_id, network::ip_address> at_;
};

} // namespace datamesh::test
