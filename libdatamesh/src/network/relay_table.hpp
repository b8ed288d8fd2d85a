// What a node passes on between others: who may be reached through it, the streams that are open,
// and how much of what may go when. It holds no bytes and no link; who has those asks it first.
// docs/formats/relay.md.
//
// Not thread-safe.
#pragma once

#include "datamesh/mesh.hpp"
#include "network/relay_message.hpp"
#include "network/token_bucket.hpp"

#include <array>
#include <map>
#include <set>
#include <vector>

namespace datamesh::network {

struct relay_limits {
  uint64_t bytes_per_second = 0; ///< Passed on, of all together; at least `relay_rate_min`.
  size_t streams = 32;           ///< And no more than each has `relay_rate_min` of what may be passed on; one at least.
  size_t opened_by_one = 4;
  size_t led_to_one = 16;
  size_t reserved = 256;
  /// Over a link there is a sign of life each 15 seconds.
  std::chrono::milliseconds idle{60'000};
};

class relay_table {
public:
  using time = clock::monotonic_time;

  /// @pre at least `relay_rate_min` bytes a second
  explicit relay_table(const relay_limits& limits);

  /// A stream that is over, and both of its ends.
  struct ended {
    uint64_t stream = 0;
    std::array<peer_id, 2> ends;
  };
  struct opening {
    uint64_t stream = 0;
    bool is_new = true; ///< Else it was asked for before.
  };
  struct passing {
    peer_id to;
    time due; ///< When it may go.
  };

  /// From now on others may reach that node, until it is `gone`. `capacity_exceeded`.
  [[nodiscard]] result<void> reserve(const peer_id& peer);
  /// `invalid_argument` where nobody can be reached, `unavailable` for a node that did not ask to be,
  /// `capacity_exceeded`. Nothing is passed on before `opened`.
  [[nodiscard]] result<opening> open(const peer_id& from, const relay_open& what, time now);
  /// The other end takes it.
  void opened(uint64_t stream);
  /// A piece of so many bytes came. `not_found` for a stream that is not *from*'s, `protocol_violated` for more than is
  /// due. Else `passed` follows.
  [[nodiscard]] result<passing> pass(uint64_t stream, const peer_id& from, size_t size, time now);
  /// The other end has taken it.
  void passed(uint64_t stream, const peer_id& from, size_t size);
  /// Nothing where it is not there, or *by* is none of its ends.
  [[nodiscard]] std::optional<ended> end(uint64_t stream, const peer_id& by);
  /// There is no link with that node any more. What ended by it.
  [[nodiscard]] std::vector<ended> gone(const peer_id& peer);
  /// What ended because nothing came over it.
  [[nodiscard]] std::vector<ended> expire(time now);

  [[nodiscard]] relay_report report() const;

private:
  struct joined {
    std::array<peer_id, 2> ends; ///< Who opened it, and to whom.
    uint64_t token = 0;
    bool is_open = false;
    std::array<size_t, 2> held{}; ///< Pieces of each that the other has not taken.
    time used{};
  };
  [[nodiscard]] joined* find(uint64_t number);
  [[nodiscard]] size_t count(size_t which, const peer_id& peer) const;

  relay_limits limits_;
  token_bucket pace_;
  std::set<peer_id> reserved_;
  std::map<uint64_t, joined> streams_;
  uint64_t last_ = 0;
  uint64_t bytes_ = 0;
};

} // namespace datamesh::network
