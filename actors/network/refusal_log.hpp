// Which refusals of nodes are told: each once an hour, and so many in all that nobody fills a log by
// coming again with other keys.
//
// Not thread-safe.
#pragma once

#include "datamesh/base/clock.hpp"
#include "datamesh/mesh.hpp"

#include <set>
#include <string>
#include <utility>

namespace datamesh::network {

inline constexpr size_t refusals_told_max = 32;
inline constexpr auto refusals_told_again = std::chrono::hours{1};

class refusal_log {
public:
  enum class what : uint8_t { tell, tell_that_there_are_more, nothing };

  [[nodiscard]] what seen(const peer_id& peer, const std::string& reason, clock::monotonic_time now) {
    if (!began_ || now >= *began_ + refusals_told_again) {
      began_ = now;
      told_.clear();
      full_ = false;
    }
    if (told_.size() >= refusals_told_max)
      return told_.contains({peer, reason}) || std::exchange(full_, true) ? what::nothing : what::tell_that_there_are_more;
    return told_.emplace(peer, reason).second ? what::tell : what::nothing;
  }

private:
  std::optional<clock::monotonic_time> began_;
  std::set<std::pair<peer_id, std::string>> told_;
  bool full_ = false;
};

} // namespace datamesh::network
