#include "network/discovery.hpp"

namespace datamesh::network {

namespace {

constexpr auto expire_every = std::chrono::hours{1};

/// The nearest of *nodes* to the key.
std::vector<contact> nearest_to(const point& key, std::vector<contact> nodes) {
  std::sort(nodes.begin(), nodes.end(),
            [&](const contact& a, const contact& b) { return distance_of(key, a.id) < distance_of(key, b.id); });
  if (nodes.size() > bucket_size)
    nodes.resize(bucket_size);
  return nodes;
}

} // namespace

discovery::discovery(const peer_id& self, discovery_options options, random_source& random, discovery_time now)
    : self_(self), options_(std::move(options)), random_(random), table_(self, options_.rules), records_(options_.limits), sweep_(now.now),
      next_expiry_(now.now + expire_every) {}

result<void> discovery::restore(byte_view saved) {
  auto table = routing_table::restore(self_, options_.rules, saved);
  if (!table)
    return fail(table.error());
  table_ = std::move(*table);
  if (table_.size() > 0)
    next_retry_ = mesh_time::min();
  return {};
}

void discovery::kept_before(const signed_record& record, discovery_time now) {
  if (records_.put(record, now.wall) == store_outcome::stored)
    sweep_.sent(record.name.key, now.now);
}

// -- who is there ----------------------------------------------------------------------

void discovery::heard_of(const contact& who) {
  auto is_admitted = [&](const endpoint& at) {
    return at.port != 0 && options_.rules.admits(at.ip);
  };
  if (who.addresses.empty() || who.addresses.size() > contact_addresses_max || heard_of_.size() >= heard_of_max
      || !std::all_of(who.addresses.begin(), who.addresses.end(), is_admitted) || !table_.has_room_for(who)
      || !asking_.insert(who.id).second)
    return;
  heard_of_.push_back(who);
}

void discovery::welcome(const contact& who, const ip_address& reached_at, mesh_time now) {
  // Whoever named it may have given addresses of its own: the one that is true comes first.
  auto ordered = who;
  std::stable_partition(ordered.addresses.begin(), ordered.addresses.end(), [&](const endpoint& at) { return at.ip == reached_at; });
  auto outcome = table_.seen(ordered, reached_at, now);
  if (outcome.doubted && asking_.insert(outcome.doubted->id).second)
    heard_of_.push_front(*outcome.doubted);
}

// -- lookups -----------------------------------------------------------------------------

void discovery::plan(const lookup_goal& goal, purpose why, const record_name& name) {
  planned_.push_back({++last_lookup_, goal, why, name});
}

uint64_t discovery::look_up(const lookup_goal& goal) {
  plan(goal, purpose::asked_for, {});
  return last_lookup_;
}

void discovery::begin_planned() {
  while (!planned_.empty() && running_.size() < lookups_max) {
    auto next = planned_.front();
    planned_.pop_front();
    auto start = table_.closest(next.goal.target, bucket_size);
    auto others = table_.some(random_, bucket_size / lookup_paths).value_or(std::vector<contact>{});
    lookup search{self_, options_.mesh, options_.rules, next.goal, start, others};
    running_.emplace(next.number, running{std::move(search), next.why, next.name});
  }
}

void discovery::finish_ended(discovery_time now) {
  for (auto i = running_.begin(); i != running_.end();) {
    if (!i->second.search.has_ended()) {
      ++i;
      continue;
    }
    auto one = std::move(i->second);
    auto number = i->first;
    i = running_.erase(i);
    finish(number, one, now);
  }
}

void discovery::finish(uint64_t number, running& one, discovery_time now) {
  auto outcome = one.search.outcome();
  for (const auto& proof : outcome.conflicts)
    events_.emplace_back(conflict_seen{proof});
  switch (one.why) {
  case purpose::asked_for:
    add_held(one.search.goal(), outcome, now.wall);
    events_.emplace_back(lookup_ended{number, std::move(outcome)});
    return;
  case purpose::refresh:
    return;
  case purpose::publish:
    if (auto found = own_.find(one.name); found != own_.end())
      deliver(outcome, found->second, true);
    return;
  case purpose::sweep:
    deliver_swept(one.search.goal(), outcome, now);
    return;
  }
}

/// What this node keeps itself counts as found: nobody else may have it.
void discovery::add_held(const lookup_goal& goal, lookup_outcome& to, clock::wall_time wall) {
  if (!goal.kind)
    return;
  for (auto& held : records_.find(*goal.kind, goal.target, wall)) {
    auto found = std::find_if(to.records.begin(), to.records.end(),
                              [&](const signed_record& one) { return one.name.publisher == held.name.publisher; });
    if (found == to.records.end())
      to.records.push_back(std::move(held));
    else if (compare(held, *found) == record_order::newer)
      *found = std::move(held);
  }
}

// -- records -------------------------------------------------------------------------------

void discovery::publish(const signed_record& record, discovery_time now) {
  own_.insert_or_assign(record.name, record);
  renewals_.erase(record.name);
  (void) keep(record.raw, now);
  sweep_.sent(record.name.key, now.now);
  lookup_goal goal;
  goal.target = record.name.key;
  plan(goal, purpose::publish, record.name);
}

void discovery::withdraw(const record_name& name) {
  own_.erase(name);
  renewals_.erase(name);
}

void discovery::deliver(const lookup_outcome& outcome, const signed_record& record, bool counted) {
  for (const auto& whom : outcome.nearest)
    deliveries_.push_back({whom, record.raw, record.name, counted});
  if (!counted)
    return;
  if (outcome.nearest.empty())
    events_.emplace_back(record_sent{record.name, 0});
  else
    sendings_[record.name].left += outcome.nearest.size();
}

/// Sends what lies under the keys that one lookup of the sweep found the nodes of: our own
/// records, and those kept for others that nobody sent of late.
void discovery::deliver_swept(const lookup_goal& goal, const lookup_outcome& outcome, discovery_time now) {
  auto all_nodes = outcome.nearest.size() < goal.count;
  for (const auto& key : sweep_.served(goal.target, outcome.nearest, all_nodes)) {
    std::vector<signed_record> due;
    for (auto kind : {record_kind::node, record_kind::provider, record_kind::device_head, record_kind::recovery})
      for (auto i = own_.lower_bound({kind, key, {}}); i != own_.end() && i->first.kind == kind && i->first.key == key; ++i)
        due.push_back(i->second);
    auto kept_here = false;
    for (auto kind : {record_kind::device_head, record_kind::recovery})
      for (auto& held : records_.find(kind, key, now.wall)) {
        kept_here = true;
        auto last = records_.last_sent(held.name);
        if (!own_.contains(held.name) && last && *last + sweep_time <= now.wall)
          due.push_back(std::move(held));
      }
    if (due.empty() && !kept_here) {
      sweep_.forget(key);
      continue;
    }
    sweep_.sent(key, now.now);
    for (const auto& whom : nearest_to(key, outcome.nearest))
      for (const auto& record : due)
        deliveries_.push_back({whom, record.raw, record.name, false});
  }
}

void discovery::delivered(const delivery& what, bool kept) {
  if (!what.counted)
    return;
  auto found = sendings_.find(what.name);
  if (found == sendings_.end())
    return;
  found->second.copies += kept ? 1 : 0;
  if (--found->second.left == 0) {
    events_.emplace_back(record_sent{what.name, found->second.copies});
    sendings_.erase(found);
  }
}

store_outcome discovery::keep(byte_view raw, discovery_time now) {
  auto record = open_record(options_.mesh, raw, now.wall);
  if (!record)
    return store_outcome::not_valid;
  if (table_.nearer(record->name.key, bucket_size).size() >= bucket_size)
    return store_outcome::not_near;
  auto outcome = records_.put(*record, now.wall);
  if (outcome == store_outcome::conflict)
    events_.emplace_back(conflict_seen{{*records_.find(record->name), *record}});
  if (outcome == store_outcome::stored && outlives_publisher(record->name.kind))
    sweep_.sent(record->name.key, now.now);
  return outcome;
}

void discovery::expire(discovery_time now) {
  if (now.now < next_expiry_)
    return;
  next_expiry_ = now.now + expire_every;
  records_.expire(now.wall);
  for (const auto& [name, record] : own_)
    if (record.expiry - now.wall < lifetime_of(name.kind) / 2 && renewals_.insert(name).second)
      events_.emplace_back(renewal_due{name});
  std::erase_if(own_, [&](const auto& row) { return row.second.has_expired(now.wall); });
}

// -- requests of ours -------------------------------------------------------------------------

discovery_ask discovery::ask(const contact& whom, discovery_request what, mesh_time now, uint64_t of_lookup, uint64_t its_number) {
  pending_.emplace(++last_ask_, pending{whom, now + request_time_max, of_lookup, its_number, std::nullopt});
  return {last_ask_, whom, std::move(what)};
}

std::optional<discovery_ask> discovery::take_ask(discovery_time now) {
  begin_planned();
  finish_ended(now);
  if (!heard_of_.empty() && pings_ < pings_max) {
    auto whom = std::move(heard_of_.front());
    heard_of_.pop_front();
    ++pings_;
    return ask(whom, ping{}, now.now);
  }
  if (!deliveries_.empty() && stores_ < stores_max) {
    auto one = std::move(deliveries_.front());
    deliveries_.pop_front();
    ++stores_;
    auto made = ask(one.whom, store_record{one.record}, now.now);
    pending_.at(made.number).store = std::move(one);
    return made;
  }
  for (auto& [number, one] : running_)
    if (auto next = one.search.next(now.now)) {
      const auto& goal = one.search.goal();
      auto what = goal.kind ? discovery_request{find_record{*goal.kind, goal.target}} : discovery_request{find_node{goal.target}};
      return ask(next->whom, std::move(what), now.now, number, next->number);
    }
  return std::nullopt;
}

std::optional<discovery::pending> discovery::take_pending(uint64_t number) {
  auto found = pending_.extract(number);
  return found.empty() ? std::nullopt : std::optional{std::move(found.mapped())};
}

void discovery::answered(uint64_t number, const discovery_answer& what, const ip_address& reached_at, discovery_time now) {
  auto taken = take_pending(number);
  if (!taken)
    return;
  auto& was = *taken;
  bool as_asked = false;
  if (was.lookup != 0) {
    auto answer = std::get_if<found_answer>(&what);
    as_asked = answer != nullptr;
    if (auto search = running_.find(was.lookup); search != running_.end()) {
      auto& of = search->second.search;
      if (answer != nullptr)
        as_asked = of.answered(was.ask, *answer, reached_at, now.wall) != answer_verdict::violated;
      else
        of.failed(was.ask);
    }
  } else if (was.store) {
    --stores_;
    auto answer = std::get_if<store_answer>(&what);
    as_asked = answer != nullptr;
    auto kept = answer != nullptr && (answer->outcome == store_outcome::stored || answer->outcome == store_outcome::known);
    delivered(*was.store, kept);
  } else {
    --pings_;
    asking_.erase(was.whom.id);
    as_asked = std::holds_alternative<pong>(what);
  }
  if (as_asked)
    welcome(was.whom, reached_at, now.now);
  else
    table_.remove(was.whom.id);
  finish_ended(now);
}

void discovery::failed(uint64_t number, discovery_time now) {
  if (auto was = take_pending(number)) {
    table_.failed(was->whom);
    next_retry_ = std::min(next_retry_, now.now + retry_every);
    end_unanswered(*was, now);
  }
}

void discovery::declined(uint64_t number, discovery_time now) {
  if (auto was = take_pending(number))
    end_unanswered(*was, now);
}

void discovery::violated(uint64_t number, discovery_time now) {
  if (auto was = take_pending(number)) {
    table_.remove(was->whom.id);
    end_unanswered(*was, now);
  }
}

void discovery::end_unanswered(const pending& was, discovery_time now) {
  if (was.lookup != 0) {
    if (auto search = running_.find(was.lookup); search != running_.end())
      search->second.search.failed(was.ask);
  } else if (was.store) {
    --stores_;
    delivered(*was.store, false);
  } else {
    --pings_;
    asking_.erase(was.whom.id);
  }
  finish_ended(now);
}

std::optional<discovery_event> discovery::take_event() {
  if (events_.empty())
    return std::nullopt;
  auto first = std::move(events_.front());
  events_.pop_front();
  return first;
}

// -- requests of others -------------------------------------------------------------------------

discovery_answer discovery::serve(const contact& from, const discovery_request& what, discovery_time now) {
  heard_of(from);
  auto nodes = [&](const point& target) {
    auto nearer = table_.nearer(target, bucket_size);
    std::erase_if(nearer, [&](const contact& one) { return one.id == from.id; });
    return nearer;
  };
  if (auto node = std::get_if<find_node>(&what))
    return found_answer{nodes(node->target), {}};
  if (auto record = std::get_if<find_record>(&what)) {
    found_answer answer{nodes(record->key), {}};
    for (const auto& one : records_.find(record->kind, record->key, now.wall))
      answer.records.push_back(one.raw);
    return answer;
  }
  if (auto record = std::get_if<store_record>(&what))
    return store_answer{keep(record->record, now)};
  return pong{};
}

// -- time ------------------------------------------------------------------------------------------

void discovery::drop_silent(discovery_time now) {
  std::vector<uint64_t> silent;
  for (const auto& [number, one] : pending_) {
    if (now.now < one.deadline)
      break; // Later ones have later deadlines.
    silent.push_back(number);
  }
  for (auto number : silent)
    failed(number, now);
}

/// Nothing else would ask these again, and a node whose own link was down for a while would know
/// nobody any more.
void discovery::retry_silent(mesh_time now) {
  if (now < next_retry_)
    return;
  auto some = table_.silent(random_, pings_max).value_or(std::vector<contact>{});
  next_retry_ = some.empty() ? mesh_time::max() : now + retry_every;
  for (const auto& who : some)
    heard_of(who);
}

/// A node names only those that are nearer to what is asked for than itself. In a small mesh some
/// would so never hear of each other: to the point that is opposite of a node everyone is nearer
/// than that node, which names all that it knows.
void discovery::look_around(mesh_time now) {
  auto any = table_.some(random_, 1);
  if (!any || any->empty())
    return;
  next_look_ = now + look_wait_;
  look_wait_ = std::min<mesh_time::duration>(2 * look_wait_, refresh_every);
  lookup_goal goal;
  goal.target = point_of(any->front().id);
  for (auto& part : goal.target.span())
    part = ~part;
  plan(goal, purpose::refresh, {});
}

void discovery::tick(discovery_time now) {
  drop_silent(now);
  expire(now);
  retry_silent(now.now);
  auto is_busy = [&](purpose why) {
    return std::any_of(running_.begin(), running_.end(), [&](const auto& row) { return row.second.why == why; })
           || std::any_of(planned_.begin(), planned_.end(), [&](const planned& one) { return one.why == why; });
  };
  if (table_.size() > 0 && !is_busy(purpose::refresh))
    if (auto target = table_.refresh_due(random_, now.now)) {
      // Who has joined knows more when it has looked into each part, and looks around itself once more.
      if (!*target && !std::exchange(looked_around_, true))
        *target = point_of(self_);
      if (*target) {
        table_.looked_up(**target, now.now);
        lookup_goal goal;
        goal.target = **target;
        plan(goal, purpose::refresh, {});
      }
    }
  if (table_.size() < bucket_size && now.now >= next_look_ && !is_busy(purpose::refresh))
    look_around(now.now);
  if (table_.size() > 0 && deliveries_.empty() && !is_busy(purpose::sweep))
    if (auto key = sweep_.due(now.now)) {
      lookup_goal goal;
      goal.target = *key;
      goal.count = sweep_width;
      plan(goal, purpose::sweep, {});
    }
  begin_planned();
  finish_ended(now);
}

mesh_time discovery::next_tick() const {
  auto next = std::min(next_expiry_, next_retry_);
  if (!pending_.empty())
    next = std::min(next, pending_.begin()->second.deadline);
  for (const auto& [number, one] : running_)
    next = std::min(next, one.search.next_tick());
  auto is_running = [&](purpose why) {
    return std::any_of(running_.begin(), running_.end(), [&](const auto& row) { return row.second.why == why; });
  };
  if (table_.size() > 0 && !is_running(purpose::refresh))
    next = std::min(next, looked_around_ ? table_.next_refresh() : mesh_time::min());
  if (table_.size() > 0 && table_.size() < bucket_size && !is_running(purpose::refresh))
    next = std::min(next, next_look_);
  if (table_.size() > 0 && deliveries_.empty() && !is_running(purpose::sweep))
    next = std::min(next, sweep_.next_due());
  return next;
}

} // namespace datamesh::network
