#include "network/line_budget.hpp"

namespace datamesh::network {

bool line_budget::take(const peer_id& peer, uint64_t bytes, time now) {
  if (peers_.size() >= limits_.peers_max && !peers_.contains(peer)) {
    std::erase_if(peers_, [&](const auto& one) { return one.second.is_full(now); });
    if (peers_.size() >= limits_.peers_max)
      return false;
  }
  auto cost = std::max(bytes, line_request_cost);
  if (all_.count(now) < cost)
    return false;
  if (!peers_.try_emplace(peer, limits_.of_peer).first->second.try_take(cost, now))
    return false;
  all_.take(cost, now);
  return true;
}

line_allowance line_budget::left(const peer_id& peer, time now) const {
  auto most = limits_.of_peer.burst;
  line_allowance there{std::min(all_.count(now), most), all_.has_at(most) - now};
  if (auto known = peers_.find(peer); known != peers_.end()) {
    there.bytes = std::min(there.bytes, known->second.count(now));
    there.refilled_in = std::max<std::chrono::nanoseconds>(there.refilled_in, known->second.has_at(most) - now);
  }
  there.refilled_in = std::max(there.refilled_in, std::chrono::nanoseconds{0});
  return there;
}

} // namespace datamesh::network
