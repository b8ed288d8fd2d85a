#include "network/relay_table.hpp"

#include <algorithm>
#include <cassert>

namespace datamesh::network {

namespace {

constexpr auto attempted = "pass on to another node";

/// A second's worth may go at once, and at least one piece.
rate pace_of(const relay_limits& limits) {
  assert(limits.bytes_per_second >= relay_rate_min);
  return {limits.bytes_per_second, std::max<uint64_t>(limits.bytes_per_second, relay_piece_max)};
}

} // namespace

relay_table::relay_table(const relay_limits& limits) : limits_(limits), pace_(pace_of(limits)) {
  limits_.streams = std::clamp<uint64_t>(limits.bytes_per_second / relay_rate_min, 1, limits.streams);
}

relay_table::joined* relay_table::find(uint64_t number) {
  auto at = streams_.find(number);
  return at == streams_.end() ? nullptr : &at->second;
}

size_t relay_table::count(size_t which, const peer_id& peer) const {
  return static_cast<size_t>(std::ranges::count_if(streams_, [&](const auto& each) { return each.second.ends[which] == peer; }));
}

result<void> relay_table::reserve(const peer_id& peer) {
  if (!reserved_.contains(peer) && reserved_.size() >= limits_.reserved)
    return fail(errc::capacity_exceeded, attempted, "too many nodes are reached through this one");
  reserved_.insert(peer);
  return {};
}

result<relay_table::opening> relay_table::open(const peer_id& from, const relay_open& what, time now) {
  if (from == what.to)
    return fail(errc::invalid_argument, attempted, "it is the one that asks");
  for (const auto& [number, each] : streams_)
    if (each.ends == std::array{from, what.to} && each.token == what.token)
      return opening{number, false};
  if (!reserved_.contains(what.to))
    return fail(errc::unavailable, attempted, "that node is not reached through this one");
  if (streams_.size() >= limits_.streams || count(0, from) >= limits_.opened_by_one || count(1, what.to) >= limits_.led_to_one)
    return fail(errc::capacity_exceeded, attempted, "too many streams are open");
  streams_[++last_] = {{from, what.to}, what.token, false, {}, now};
  return opening{last_, true};
}

void relay_table::opened(uint64_t stream) {
  if (auto* found = find(stream))
    found->is_open = true;
}

result<relay_table::passing> relay_table::pass(uint64_t stream, const peer_id& from, size_t size, time now) {
  auto* found = find(stream);
  auto side = found == nullptr ? size_t{2} : static_cast<size_t>(std::ranges::find(found->ends, from) - found->ends.begin());
  if (side == 2)
    return fail(errc::not_found, attempted, "there is no such stream");
  if (!found->is_open || found->held[side] >= relay_held_max)
    return fail(errc::protocol_violated, attempted, "more than is due");
  ++found->held[side];
  found->used = now;
  auto due = std::max(now, pace_.ready_at());
  pace_.take(size, now);
  return passing{found->ends[1 - side], due};
}

void relay_table::passed(uint64_t stream, const peer_id& from, size_t size) {
  bytes_ += size;
  if (auto* found = find(stream)) {
    auto& held = found->held[found->ends[0] == from ? 0 : 1];
    held -= std::min<size_t>(held, 1);
  }
}

std::optional<relay_table::ended> relay_table::end(uint64_t stream, const peer_id& by) {
  auto* found = find(stream);
  if (found == nullptr || std::ranges::find(found->ends, by) == found->ends.end())
    return std::nullopt;
  ended what{stream, found->ends};
  streams_.erase(stream);
  return what;
}

std::vector<relay_table::ended> relay_table::gone(const peer_id& peer) {
  reserved_.erase(peer);
  std::vector<ended> all;
  std::erase_if(streams_, [&](const auto& each) {
    if (std::ranges::find(each.second.ends, peer) == each.second.ends.end())
      return false;
    all.push_back({each.first, each.second.ends});
    return true;
  });
  return all;
}

std::vector<relay_table::ended> relay_table::expire(time now) {
  std::vector<ended> all;
  std::erase_if(streams_, [&](const auto& each) {
    if (now < each.second.used + limits_.idle)
      return false;
    all.push_back({each.first, each.second.ends});
    return true;
  });
  return all;
}

relay_report relay_table::report() const {
  return {limits_.bytes_per_second, bytes_, streams_.size(), reserved_.size()};
}

} // namespace datamesh::network
