#include "network/admission.hpp"

namespace datamesh::network {

namespace {

constexpr auto attempted = "take a link";
constexpr auto sweep_every = std::chrono::seconds{10};

} // namespace

// What one host may do is looked at before what all may, so that one that does too much
// takes nothing from the others.
result<void> admission::check(uint64_t host_number, time now) {
  if (auto known = hosts_.find(host_number); known != hosts_.end()) {
    auto& from = known->second;
    if (from.links >= limits_.links_per_host)
      return fail(errc::capacity_exceeded, attempted, "too many from this host");
    if (from.half_open >= limits_.half_open_per_host)
      return fail(errc::capacity_exceeded, attempted, "too many from this host are half open");
    if (!from.arrivals.try_take(1, now))
      return fail(errc::capacity_exceeded, attempted, "this host comes too often");
  }
  if (links_.size() >= limits_.links)
    return fail(errc::capacity_exceeded, attempted, "there are too many");
  if (!arrivals_.try_take(1, now))
    return fail(errc::capacity_exceeded, attempted, "too many come at once");
  return {};
}

result<admission::admitted> admission::arrive(uint64_t link, uint64_t host_number, time now) {
  sweep(now);
  if (auto fine = check(host_number, now); !fine)
    return fail(fine.error());
  admitted in;
  if (half_open_.size() >= limits_.half_open) {
    auto [oldest, came] = *half_open_.begin();
    if (now < came + limits_.patience)
      return fail(errc::capacity_exceeded, attempted, "too many are half open");
    left(oldest);
    in.instead_of = oldest;
  }
  auto [at, is_new] = hosts_.try_emplace(host_number, host{token_bucket{limits_.arrivals_per_host}});
  if (is_new)
    at->second.arrivals.take(1, now);
  ++at->second.links;
  ++at->second.half_open;
  links_.emplace(link, host_number);
  half_open_.emplace(link, now);
  return in;
}

void admission::opened(uint64_t link) {
  if (half_open_.erase(link) != 0)
    --hosts_.at(links_.at(link)).half_open;
}

void admission::left(uint64_t link) {
  opened(link);
  if (auto known = links_.find(link); known != links_.end()) {
    --hosts_.at(known->second).links;
    links_.erase(known);
  }
}

// A host is remembered for as long as it could gain by being forgotten.
void admission::sweep(time now) {
  if (now < swept_ + sweep_every)
    return;
  swept_ = now;
  std::erase_if(hosts_, [now](const auto& each) { return each.second.links == 0 && each.second.arrivals.is_full(now); });
}

} // namespace datamesh::network
