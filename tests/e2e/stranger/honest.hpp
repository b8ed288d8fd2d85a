// A node that keeps to the rules, by the library's own engine of a link.
#pragma once

#include "network/peer_link.hpp"
#include "tests/e2e/stranger/wire.hpp"

namespace datamesh::stranger {

/// What is asked of the part that finds nodes: a sign of life.
[[nodiscard]] std::string sign_of_life();

class honest_peer {
public:
  /// @pre *us* outlives it
  honest_peer(const persona& us, const target& to, uint32_t address) : us_(us), to_(to), address_(address) {}

  /// Has a link, or makes one within that time.
  [[nodiscard]] result<void> connect(std::chrono::milliseconds patience = std::chrono::seconds{5});
  /// Asks, and waits for the answer. The link is one that `connect` made.
  [[nodiscard]] result<network::link_answer> ask(std::string message, byte_view body = {},
                                                 std::chrono::milliseconds patience = std::chrono::seconds{5});
  /// Lets go of the link.
  void leave();
  /// Who answers there. @pre it is connected
  [[nodiscard]] const network::peer_id& node() const {
    return link_->peer();
  }
  /// Sends what there is to be sent and takes what comes, until then.
  void rest(std::chrono::steady_clock::time_point until);

private:
  using time = clock::monotonic_time;

  [[nodiscard]] std::optional<network::link_event> next_event(time until);
  [[nodiscard]] error lost() const;

  const persona& us_;
  target to_;
  uint32_t address_;
  descriptor socket_;
  std::optional<network::peer_link> link_;
  std::optional<error> why_;
};

} // namespace datamesh::stranger
