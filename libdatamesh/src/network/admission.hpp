// Who may come in, before anything is known of him but his address. Bounds what
// strangers take: links that are half open, links of one host, and how often anybody
// comes, since a handshake costs time on a processor even when it ends at once.
//
// A host is an IPv4 address or a /64 of IPv6. Links that we dial do not count here.
// Not thread-safe.
#pragma once

#include "datamesh/base/result.hpp"
#include "network/token_bucket.hpp"

#include <map>
#include <optional>
#include <unordered_map>

namespace datamesh::network {

struct admission_limits {
  size_t half_open = 64;
  size_t half_open_per_host = 4;
  size_t links = 4096;
  size_t links_per_host = 64;
  rate arrivals{256, 512};
  rate arrivals_per_host{4, 32};
  /// With so much time behind it, the oldest half-open link makes room for a new one.
  std::chrono::milliseconds patience{1000};
};

class admission {
public:
  using time = clock::monotonic_time;

  explicit admission(const admission_limits& limits) : limits_(limits), arrivals_(limits.arrivals) {}

  struct admitted {
    /// A half-open link that has to go, and is forgotten already.
    std::optional<uint64_t> instead_of;
  };
  /// Somebody comes. *link* is greater than every number before. `capacity_exceeded`
  /// names the limit.
  [[nodiscard]] result<admitted> arrive(uint64_t link, uint64_t host, time now);
  /// It has proven who it is.
  void opened(uint64_t link);
  /// It has gone; also for numbers that are not known.
  void left(uint64_t link);

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
    size_t half_open = 0;
    size_t links = 0;
  };
  [[nodiscard]] result<void> check(uint64_t host, time now);
  void sweep(time now);

  admission_limits limits_;
  token_bucket arrivals_;
  std::map<uint64_t, host> hosts_;               ///< Not hashed: strangers choose the keys.
  std::unordered_map<uint64_t, uint64_t> links_; ///< Every link with its host.
  std::map<uint64_t, time> half_open_;           ///< Oldest first, by when it came.
  time swept_{};
};

} // namespace datamesh::network
