#include "network/lookup.hpp"

#include <cassert>

namespace datamesh::network {

lookup::lookup(const peer_id& self, const network_id& mesh, ip_rules rules, const lookup_goal& goal, const std::vector<contact>& start,
               const std::vector<contact>& others)
    : self_(self), mesh_(mesh), rules_(std::move(rules)), goal_(goal),
      asks_max_(std::max(goal_.count, bucket_size) - bucket_size + lookup_asks_max) {
  auto most = std::max<size_t>(goal_.paths, 1);
  auto apart = others.empty() || most == 1 ? 0U : 1U;
  auto near = std::min(most - apart, start.size());
  paths_.resize(near + apart);
  for (size_t i = 0; i < start.size(); ++i)
    learn(paths_[i % near], start[i], 1);
  if (apart > 0)
    for (const auto& one : others)
      learn(paths_.back(), one, 1);
  settle();
}

// -- whom to ask -----------------------------------------------------------------------

/// Paths share no node; but who did not answer at the addresses that one path knew may be asked
/// at another that a second one knows.
bool lookup::may_be_asked(const contact& who) const {
  auto found = claims_.find(who.id);
  if (found == claims_.end())
    return true;
  const auto& tried = found->second.tried;
  return found->second.how == state::failed && std::any_of(who.addresses.begin(), who.addresses.end(), [&](const endpoint& at) {
           return std::find(tried.begin(), tried.end(), at) == tried.end();
         });
}

/// The nearest of the *count* nearest that was not asked; null when there is none.
lookup::candidate* lookup::pick(path& of) {
  size_t counted = 0;
  of.waits = false;
  std::vector<ip_group> groups;
  for (auto& [apart, one] : of.known) {
    if (one.how == state::failed)
      continue;
    auto is_free = false;
    auto may_fail = false;
    if (one.how == state::fresh) {
      auto claimed = claims_.find(one.who.id);
      is_free = claimed == claims_.end() || may_be_asked(one.who);
      if (!is_free && claimed->second.how == state::failed)
        continue;
      may_fail = !is_free && claimed->second.how == state::asked;
    }
    auto is_crowded = [&](ip_group group) {
      return std::count(groups.begin(), groups.end(), group) >= static_cast<ptrdiff_t>(rules_.per_bucket);
    };
    if (std::any_of(one.groups.begin(), one.groups.end(), is_crowded))
      continue;
    groups.insert(groups.end(), one.groups.begin(), one.groups.end());
    if (is_free)
      return &one;
    of.waits = of.waits || may_fail;
    if (++counted == goal_.count)
      break;
  }
  return nullptr;
}

std::optional<lookup_ask> lookup::next(mesh_time now) {
  looked_at_ = now;
  std::vector<size_t> open(paths_.size());
  for (const auto& [number, one] : requests_)
    open[one.path] += now < one.asked_at + slow_after ? 1 : 0;
  for (size_t i = 0; i < paths_.size(); ++i) {
    auto which = (turn_ + i) % paths_.size();
    auto& along = paths_[which];
    if (along.ended || along.idle || open[which] >= lookup_parallel || along.asks >= asks_max_)
      continue;
    auto chosen = pick(along);
    along.idle = chosen == nullptr;
    if (along.idle)
      continue;
    turn_ = which + 1;
    chosen->how = state::asked;
    auto& mark = claims_[chosen->who.id];
    mark.how = state::asked;
    mark.tried.insert(mark.tried.end(), chosen->who.addresses.begin(), chosen->who.addresses.end());
    ++along.open;
    ++along.asks;
    requests_.emplace(++last_number_, request{which, distance_of(goal_.target, chosen->who.id), now});
    return lookup_ask{last_number_, chosen->who};
  }
  return std::nullopt;
}

mesh_time lookup::next_tick() const {
  auto next = mesh_time::max();
  for (const auto& [number, one] : requests_)
    if (auto slow_at = one.asked_at + slow_after; slow_at > looked_at_)
      next = std::min(next, slow_at);
  return next;
}

lookup::candidate lookup::make_candidate(const contact& who, unsigned depth) const {
  candidate one{who, {}, depth};
  for (const auto& at : who.addresses)
    if (auto group = rules_.group_of(at.ip); group && std::find(one.groups.begin(), one.groups.end(), *group) == one.groups.end())
      one.groups.push_back(*group);
  return one;
}

// -- what comes back ---------------------------------------------------------------------

void lookup::learn(path& in, const contact& who, unsigned depth) {
  if (who.id == self_)
    return;
  auto apart = distance_of(goal_.target, who.id);
  if (auto found = in.known.find(apart); found == in.known.end())
    in.known.emplace(apart, make_candidate(who, depth));
  else if (found->second.how == state::failed && may_be_asked(who))
    found->second = make_candidate(who, depth);
  // What is far is of no use; a path has a bound.
  auto most = 4 * std::max(goal_.count, bucket_size);
  while (in.known.size() > most && std::prev(in.known.end())->second.how != state::asked)
    in.known.erase(std::prev(in.known.end()));
}

/// The records of an answer that is as it must be.
result<std::vector<signed_record>> lookup::check(const found_answer& what, const xor_distance& replier, clock::wall_time wall) const {
  constexpr auto attempted = "read an answer";
  if (what.nodes.size() > bucket_size)
    return fail(errc::protocol_violated, attempted, "it names too many nodes");
  for (const auto& one : what.nodes) {
    if (distance_of(goal_.target, one.id) >= replier)
      return fail(errc::protocol_violated, attempted, "it names a node that is not nearer");
    if (one.addresses.empty() || one.addresses.size() > contact_addresses_max)
      return fail(errc::protocol_violated, attempted, "it names a node without an address, or with too many");
    for (const auto& at : one.addresses)
      if (at.port == 0 || !rules_.admits(at.ip))
        return fail(errc::protocol_violated, attempted, "it names an address that must not be");
  }
  std::vector<signed_record> records;
  for (const auto& raw : what.records) {
    auto record = open_record(mesh_, raw, wall);
    if (!record) {
      // Clocks differ, and so do versions.
      if (record.error().code() == errc::invalid_argument || record.error().code() == errc::format_newer)
        continue;
      return fail(record.error().as(errc::protocol_violated, attempted));
    }
    if (record->name.kind != goal_.kind || record->name.key != goal_.target)
      return fail(errc::protocol_violated, attempted, "it brings a record that was not asked for");
    records.push_back(std::move(*record));
  }
  return records;
}

void lookup::keep(signed_record record, std::map<crypto::public_key, signed_record>& in, std::vector<record_conflict>& conflicts) const {
  auto found = in.find(record.name.publisher);
  if (found == in.end()) {
    auto publisher = record.name.publisher;
    in.emplace(publisher, std::move(record));
    return;
  }
  auto order = compare(record, found->second);
  if (order == record_order::newer)
    found->second = std::move(record);
  else if (order == record_order::conflict)
    conflicts.push_back({found->second, std::move(record)});
}

answer_verdict lookup::answered(uint64_t number, const found_answer& what, const ip_address& reached_at, clock::wall_time wall) {
  auto found = requests_.find(number);
  if (found == requests_.end())
    return answer_verdict::stray;
  auto was = found->second;
  auto records = check(what, was.apart, wall);
  if (!records) {
    failed(number);
    return answer_verdict::violated;
  }
  requests_.erase(found);
  auto& along = paths_[was.path];
  along.idle = false;
  --along.open;
  auto& replier = along.known.at(was.apart);
  replier.how = state::answered;
  claims_[replier.who.id].how = state::answered;
  auto depth = replier.depth;
  answered_.emplace(was.apart, answering{replier.who, reached_at, depth});
  for (const auto& one : what.nodes)
    learn(along, one, depth + 1);
  for (auto& record : *records)
    keep(std::move(record), along.records, conflicts_);
  settle();
  return answer_verdict::taken;
}

void lookup::failed(uint64_t number) {
  auto found = requests_.find(number);
  if (found == requests_.end())
    return;
  auto& along = paths_[found->second.path];
  auto& one = along.known.at(found->second.apart);
  --along.open;
  ++unanswered_;
  one.how = state::failed;
  claims_[one.who.id].how = state::failed;
  requests_.erase(found);
  // In each path that knows it, the next one takes its place.
  for (auto& other : paths_)
    other.idle = false;
  settle();
}

// -- the end -------------------------------------------------------------------------------

void lookup::settle() {
  for (auto& one : paths_) {
    if (one.ended)
      continue;
    auto has_records = goal_.kind && one.records.size() >= goal_.enough;
    one.ended = has_records || (one.open == 0 && (one.asks >= asks_max_ || (pick(one) == nullptr && !one.waits)));
  }
}

bool lookup::has_ended() const noexcept {
  return std::all_of(paths_.begin(), paths_.end(), [](const path& one) { return one.ended; });
}

lookup_outcome lookup::outcome() const {
  assert(has_ended());
  lookup_outcome out;
  out.unanswered = unanswered_;
  out.conflicts = conflicts_;
  std::map<crypto::public_key, signed_record> best;
  for (const auto& one : paths_) {
    out.asked += one.asks;
    for (const auto& [publisher, record] : one.records)
      keep(record, best, out.conflicts);
  }
  for (auto& [publisher, record] : best)
    out.records.push_back(std::move(record));
  std::map<ip_group, unsigned> groups;
  for (const auto& [apart, one] : answered_) {
    auto group = rules_.group_of(one.reached_at);
    if (out.nearest.size() == goal_.count)
      break;
    if (group && ++groups[*group] > rules_.per_table)
      continue;
    if (out.nearest.empty())
      out.hops = one.depth;
    out.nearest.push_back(one.who);
  }
  return out;
}

} // namespace datamesh::network
