// How many bytes a node takes and gives for tests of its line, since anybody in an open mesh may
// ask for them. Sans-IO.
//
// Not thread-safe.
#pragma once

#include "network/peer_id.hpp"
#include "network/token_bucket.hpp"

#include <map>

namespace datamesh::network {

struct line_budget_limits {
  /// Of one peer: two tests of 16 MiB each way and some more at once, and as many again 10 minutes later.
  rate of_peer{(uint64_t{72} << 20) / 600, uint64_t{72} << 20};
  /// Of all together: four such peers at once, and as many an hour later. That is 84 KB a second in the
  /// long run, whoever asks, and however many ids he makes up.
  rate of_all{(uint64_t{288} << 20) / 3600, uint64_t{288} << 20};
  /// Peers of whom is known what they had of late; there are no more links that others dialed.
  size_t peers_max = 4096;
};

/// What a request counts as at least: it costs more than its bytes.
inline constexpr uint64_t line_request_cost = 4 << 10;

/// What there is for one peer.
struct line_allowance {
  uint64_t bytes = 0;
  std::chrono::nanoseconds refilled_in{}; ///< Until there is as much as he ever has; 0 then.
};

class line_budget {
public:
  using time = clock::monotonic_time;

  /// @pre one peer may have no more than all
  explicit line_budget(const line_budget_limits& limits = {}) : limits_(limits), all_(limits.of_all) {}

  /// Takes what a request of *bytes* counts as; false, and nothing is taken, where there is less.
  [[nodiscard]] bool take(const peer_id& peer, uint64_t bytes, time now);
  [[nodiscard]] line_allowance left(const peer_id& peer, time now) const;

private:
  line_budget_limits limits_;
  token_bucket all_;
  std::map<peer_id, token_bucket> peers_; ///< Who is not here has all of his.
};

} // namespace datamesh::network
