#include "network/neighbourhood.hpp"

#include "network/certificate.hpp"

#include <algorithm>

namespace datamesh::network {

using std::chrono::milliseconds;

std::vector<endpoint> told_on(const lan_interface& interface, const std::vector<endpoint>& listens,
                              const std::vector<endpoint>& announces) {
  std::vector<endpoint> all;
  auto add = [&](const endpoint& at) {
    if (all.size() < contact_addresses_max && std::ranges::find(all, at) == all.end())
      all.push_back(at);
  };
  for (const auto& at : listens) {
    auto is_any = at.ip.raw == ip_address{}.raw;
    // Where it listens at all addresses it has others beside the loopback ones, and says those.
    if (is_any && !interface.loopback)
      for (const auto& ip : interface.addresses)
        if (ip.v6 == at.ip.v6)
          add({ip, at.port});
    auto is_here = interface.loopback ? is_loopback(at.ip) : std::ranges::find(interface.addresses, at.ip) != interface.addresses.end();
    if (!is_any && is_here)
      add(at);
  }
  // Whoever is reached in no way of its own there is not heard there.
  if (!all.empty() && !interface.loopback)
    for (const auto& at : announces)
      add(at);
  return all;
}

bool datagram_limits::admits(byte_view datagram, const ip_address& from, mesh_time now) {
  if (!is_beacon(datagram))
    return false;
  auto host = hosts_.find(from);
  if (host == hosts_.end()) {
    if (hosts_.size() >= hosts_max)
      std::erase_if(hosts_, [&](const auto& one) { return one.second.is_full(now); });
    // Those that were heard before keep their turn.
    if (hosts_.size() >= hosts_max)
      return false;
    host = hosts_.emplace(from, token_bucket{heard_rate_of_host}).first;
  }
  return host->second.try_take(1, now) && all_.try_take(1, now);
}

// What is cheap comes first: who does not know the mesh costs no signature, and neither does what was heard before.
beacon_verdict neighbourhood::heard(byte_view datagram, const ip_address& from, discovery_time now) {
  if (!is_beacon(datagram))
    return beacon_verdict::alien;
  auto read = with_.mesh ? unseal_beacon(*with_.mesh, datagram) : fail(errc::authentication_failed, "read a beacon");
  if (!read) {
    if (read.error().code() != errc::authentication_failed)
      return beacon_verdict::malformed;
    note_stranger(from, now.now);
    return beacon_verdict::stranger;
  }
  if (std::holds_alternative<beacon_question>(*read)) {
    answer_soon(now.now);
    return beacon_verdict::question;
  }
  const auto& said = std::get<unsealed_beacon>(*read);
  if (said.what.id == with_.self)
    return beacon_verdict::own;
  auto wall = std::chrono::floor<milliseconds>(now.wall).time_since_epoch().count();
  auto error_max = std::chrono::duration_cast<milliseconds>(clock_error_max).count();
  auto sequence = said.what.sequence;
  if (sequence > static_cast<uint64_t>(INT64_MAX) || static_cast<int64_t>(sequence) < wall - error_max
      || static_cast<int64_t>(sequence) - error_max > wall)
    return beacon_verdict::out_of_time;
  forget(now.now);
  return heard_node(said, from, now.now);
}

beacon_verdict neighbourhood::heard_node(const unsealed_beacon& said, const ip_address& from, mesh_time now) {
  auto found = nodes_.find(said.what.id);
  if (found != nodes_.end() && said.what.sequence <= found->second.sequence)
    return beacon_verdict::repeated;
  if (found == nodes_.end() && !make_room(from, now))
    return beacon_verdict::full;
  if (!holds(*with_.mesh, said))
    return beacon_verdict::forged;
  if (found == nodes_.end()) {
    if (nodes_.size() >= neighbours_max)
      nodes_.erase(std::ranges::min_element(nodes_, {}, [](const auto& one) { return one.second.heard; }));
    found = nodes_.emplace(said.what.id, node{}).first;
    found->second.host = from;
    answer_soon(now);
  }
  auto& which = found->second;
  which.sequence = said.what.sequence;
  which.heard = now;
  which.changed = learn_addresses(which, said.what.addresses, now) || which.changed;
  if (now - (which.changed ? named_soonest : named_again) >= which.named)
    name(said.what.id, which, now);
  return beacon_verdict::taken;
}

void neighbourhood::note_stranger(const ip_address& from, mesh_time now) {
  if (!strangers_.contains(from) && strangers_.size() >= strangers_max) {
    auto oldest = std::ranges::min_element(strangers_, {}, [](const auto& one) { return one.second; });
    if (now - oldest->second < heard_of_late)
      return;
    strangers_.erase(oldest);
  }
  strangers_[from] = now;
}

void neighbourhood::forget(mesh_time now) {
  std::erase_if(nodes_, [&](const auto& one) { return now - one.second.heard >= forgotten_after; });
}

/// Whether there is room for one more, or somebody goes who was not heard of late.
bool neighbourhood::make_room(const ip_address& from, mesh_time now) {
  auto of_host = std::ranges::count_if(nodes_, [&](const auto& one) { return one.second.host == from; });
  if (static_cast<size_t>(of_host) >= neighbours_of_host_max)
    return false;
  return nodes_.size() < neighbours_max
         || std::ranges::any_of(nodes_, [&](const auto& one) { return now - one.second.heard >= heard_of_late; });
}

/// Those that it says now come first, then those that it said of late by another interface. True when one is new.
bool neighbourhood::learn_addresses(node& of, const std::vector<endpoint>& said, mesh_time now) {
  std::vector<address> all;
  auto is_new = false;
  for (const auto& at : said) {
    all.push_back({at, now});
    is_new = is_new || std::ranges::find(of.addresses, at, &address::at) == of.addresses.end();
  }
  for (const auto& one : of.addresses)
    if (now - one.heard < heard_of_late && std::ranges::find(said, one.at) == said.end())
      all.push_back(one);
  all.resize(std::min(all.size(), contact_addresses_max));
  of.addresses = std::move(all);
  return is_new;
}

void neighbourhood::name(const peer_id& id, node& which, mesh_time now) {
  contact who{id, {}};
  for (const auto& one : which.addresses)
    if (with_.rules.admits(one.at.ip))
      who.addresses.push_back(one.at);
  if (who.addresses.empty() || contacts_.size() >= neighbours_max || !names_.try_take(1, now))
    return;
  which.named = now;
  which.changed = false;
  contacts_.push_back(std::move(who));
}

std::optional<contact> neighbourhood::take_contact() {
  if (contacts_.empty())
    return std::nullopt;
  auto next = std::move(contacts_.front());
  contacts_.pop_front();
  return next;
}

milliseconds neighbourhood::by_chance(milliseconds most) {
  return milliseconds{random_below(random_, static_cast<uint64_t>(most.count()) + 1).value_or(0)};
}

/// So that not all speak at once, and nobody can make us speak often.
void neighbourhood::answer_soon(mesh_time now) {
  if (!with_.says)
    return;
  auto soonest = now + by_chance(answer_within);
  if (last_)
    soonest = std::max<mesh_time>(soonest, *last_ + beacon_soonest);
  next_ = std::min(next_, soonest);
}

std::optional<neighbourhood::saying> neighbourhood::take_saying(mesh_time now) {
  if (now < next_ || !with_.mesh)
    return std::nullopt;
  auto is_early = said_ < beacons_at_start;
  saying what{with_.says, is_early && nodes_.empty()};
  last_ = now;
  auto wait = milliseconds{beacon_every} + by_chance(milliseconds{beacon_every} / 4);
  // Which grow: 1, 2, 4 seconds.
  if (++said_ < beacons_at_start)
    wait = milliseconds{1000 << (said_ - 1)};
  next_ = now + wait;
  return what;
}

std::vector<neighbour> neighbourhood::of_late(mesh_time now) const {
  std::vector<neighbour> all;
  for (const auto& [id, one] : nodes_) {
    if (now - one.heard >= heard_of_late)
      continue;
    neighbour who{id, {}, one.heard};
    for (const auto& each : one.addresses)
      who.addresses.push_back(each.at);
    all.push_back(std::move(who));
  }
  for (const auto& [ip, heard] : strangers_)
    if (now - heard < heard_of_late)
      all.push_back({std::nullopt, {endpoint{ip, 0}}, heard});
  return all;
}

} // namespace datamesh::network
