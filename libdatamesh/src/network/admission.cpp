#include "network/admission.hpp"

#include <cassert>

namespace datamesh::network {

namespace {

constexpr auto attempted = "take a link";
constexpr auto sweep_every = std::chrono::seconds{10};

} // namespace

result<void> admission::check(uint64_t host_number, time now) {
  if (auto known = hosts_.find(host_number); known != hosts_.end()) {
    auto& from = known->second;
    if (from.links >= limits_.links_per_host)
      return fail(errc::capacity_exceeded, attempted, "too many from this host");
    if (from.unproven >= limits_.unproven_per_host)
      return fail(errc::capacity_exceeded, attempted, "too many from this host have not proven who they are");
    if (!from.arrivals.try_take(1, now))
      return fail(errc::capacity_exceeded, attempted, "this host comes too often");
  }
  if (links_.size() >= limits_.links)
    return fail(errc::capacity_exceeded, attempted, "there are too many");
  return {};
}

result<admission::admitted> admission::arrive(uint64_t link, uint64_t host_number, time now) {
  sweep(now);
  if (auto fine = check(host_number, now); !fine)
    return fail(fine.error());
  admitted in;
  if (at_door_.size() >= limits_.at_door) {
    auto oldest = *at_door_.begin();
    if (now < links_.at(oldest).since + limits_.patience)
      return fail(errc::capacity_exceeded, attempted, "too many are at the door");
    left(oldest);
    in.instead_of = oldest;
  }
  auto [at, is_new] = hosts_.try_emplace(host_number, host{token_bucket{limits_.arrivals_per_host}});
  if (is_new)
    at->second.arrivals.take(1, now);
  ++at->second.links;
  ++at->second.unproven;
  links_.emplace(link, place{host_number, now, {}});
  at_door_.insert(link);
  return in;
}

void admission::knock(uint64_t link) {
  auto& who = links_.at(link);
  assert(at_door_.contains(link) && !who.order);
  who.order = {hosts_.at(who.host).served, -++knocks_};
  waiting_.emplace(*who.order, link);
}

std::optional<admission::turn> admission::next(time now) {
  auto ready = next_at();
  if (!ready || now < *ready || !handshakes_.try_take(1, now))
    return std::nullopt;
  turn given;
  if (half_open_.size() >= limits_.half_open) {
    given.instead_of = half_open_.begin()->second;
    left(*given.instead_of);
  }
  given.link = waiting_.begin()->second;
  waiting_.erase(waiting_.begin());
  at_door_.erase(given.link);
  auto& who = links_.at(given.link);
  who.order.reset();
  who.since = now;
  hosts_.at(who.host).served = now;
  half_open_.emplace(now, given.link);
  return given;
}

std::optional<admission::time> admission::next_at() const {
  if (waiting_.empty())
    return std::nullopt;
  auto ready = handshakes_.has_at(1);
  return half_open_.size() < limits_.half_open ? ready : std::max(ready, half_open_.begin()->first + limits_.patience);
}

void admission::opened(uint64_t link) {
  auto known = links_.find(link);
  if (known != links_.end() && half_open_.erase({known->second.since, link}) != 0)
    --hosts_.at(known->second.host).unproven;
}

void admission::left(uint64_t link) {
  opened(link);
  auto known = links_.find(link);
  if (known == links_.end())
    return;
  auto& from = hosts_.at(known->second.host);
  if (known->second.order)
    waiting_.erase(*known->second.order);
  if (at_door_.erase(link) != 0)
    --from.unproven;
  --from.links;
  links_.erase(known);
}

// A host is remembered for as long as it could gain by being forgotten.
void admission::sweep(time now) {
  if (now < swept_ + sweep_every)
    return;
  swept_ = now;
  std::erase_if(hosts_, [&](const auto& each) {
    const auto& one = each.second;
    return one.links == 0 && one.arrivals.is_full(now) && now >= one.served + limits_.remembered;
  });
}

} // namespace datamesh::network
