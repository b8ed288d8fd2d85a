// Who may come in, before anything is known of him but his address. Bounds what
// strangers take: sockets that say nothing yet, handshakes under way, links of one host, and
// how often anybody comes, since a handshake costs time on a processor even when it ends at once.
//
// Who comes is at the door until his first message is whole and it is his turn; then his handshake
// begins, and he is half open until he has proven who he is. Turns go to hosts that had none before,
// then to those whose last one was longest ago: so who comes again and again does not keep
// out who comes for the first time. Of several for whom that is the same it goes to the one that came last: where not all
// can be served in time, some are served at once, and not all of them late.
//
// A host is an IPv4 address or a /64 of IPv6. Links that we dial do not count here.
// Not thread-safe.
#pragma once

#include "datamesh/base/result.hpp"
#include "network/token_bucket.hpp"

#include <map>
#include <optional>
#include <set>
#include <unordered_map>

namespace datamesh::network {

struct admission_limits {
  size_t at_door = 1024;
  size_t half_open = 64;
  /// At the door or half open.
  size_t unproven_per_host = 4;
  size_t links = 4096;
  size_t links_per_host = 64;
  rate handshakes{64, 512};
  rate arrivals_per_host{4, 32};
  /// With so much time behind it, the oldest at the door makes room for who comes, and the oldest half-open link for the next
  /// turn.
  std::chrono::milliseconds patience{1000};
  /// How long a host is known to have had a turn.
  std::chrono::milliseconds remembered{60'000};
};

class admission {
public:
  using time = clock::monotonic_time;

  explicit admission(const admission_limits& limits) : limits_(limits), handshakes_(limits.handshakes) {}

  struct admitted {
    /// Somebody at the door who has to go, and is forgotten already.
    std::optional<uint64_t> instead_of;
  };
  /// Somebody comes. *link* is greater than every number before. `capacity_exceeded`
  /// names the limit.
  [[nodiscard]] result<admitted> arrive(uint64_t link, uint64_t host, time now);
  /// His first message is there: he waits for his turn. Once for each who is at the door.
  void knock(uint64_t link);
  struct turn {
    uint64_t link = 0;
    /// A half-open link that has to go, and is forgotten already.
    std::optional<uint64_t> instead_of;
  };
  /// Whose handshake begins now, if anybody's does.
  [[nodiscard]] std::optional<turn> next(time now);
  /// When there may be a next one, if nobody goes before; may be in the past.
  [[nodiscard]] std::optional<time> next_at() const;
  /// It has proven who it is.
  void opened(uint64_t link);
  /// It has gone; also for numbers that are not known.
  void left(uint64_t link);

  [[nodiscard]] size_t at_door() const noexcept {
    return at_door_.size();
  }
  [[nodiscard]] size_t half_open() const noexcept {
    return half_open_.size();
  }
  [[nodiscard]] size_t links() const noexcept {
    return links_.size();
  }
  /// Hosts of which something is known.
  [[nodiscard]] size_t hosts() const noexcept {
    return hosts_.size();
  }

private:
  struct host {
    token_bucket arrivals;
    time served{}; ///< When his last turn was.
    size_t unproven = 0;
    size_t links = 0;
  };
  /// When the last turn of its host was, and how often others had knocked, negative.
  using turn_order = std::pair<time, int64_t>;
  struct place {
    uint64_t host = 0;
    time since{};                    ///< When it came, and then when its turn was.
    std::optional<turn_order> order; ///< While it waits for its turn.
  };
  [[nodiscard]] result<void> check(uint64_t host, time now);
  void sweep(time now);

  admission_limits limits_;
  token_bucket handshakes_;
  std::map<uint64_t, host> hosts_; ///< Not hashed: strangers choose the keys.
  std::unordered_map<uint64_t, place> links_;
  std::set<uint64_t> at_door_;                    ///< Oldest first.
  std::map<turn_order, uint64_t> waiting_;        ///< Of those at the door who knocked.
  std::set<std::pair<time, uint64_t>> half_open_; ///< By when their turns were.
  int64_t knocks_ = 0;
  time swept_{};
};

} // namespace datamesh::network
