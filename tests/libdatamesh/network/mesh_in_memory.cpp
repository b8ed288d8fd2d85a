#include "tests/libdatamesh/network/mesh_in_memory.hpp"

#include <algorithm>

namespace datamesh::test {

using namespace network;
using namespace std::chrono_literals;

mesh_in_memory::mesh_in_memory(const mesh_rules& rules, uint64_t seed) : rules_(rules), random_(seed) {}

discovery_time mesh_in_memory::time() const {
  return {now_, test_day + now_.time_since_epoch()};
}

// -- who is there ----------------------------------------------------------------------

size_t mesh_in_memory::join(const peer_id& id, const ip_address& ip, bool lies) {
  auto number = nodes_.size();
  auto fresh = std::make_unique<node>();
  fresh->self = contact_at(id, ip);
  fresh->engine = std::make_unique<discovery>(id, discovery_options{test_mesh, rules_.ips, {}}, random_, time());
  if (number > 0)
    for (int seeds = 0; seeds < 3; ++seeds)
      fresh->engine->heard_of(nodes_[random_.below(number)]->self);
  by_address_.emplace(ip, number);
  nodes_.push_back(std::move(fresh));
  if (lies)
    turn(number);
  look_at(number);
  return number;
}

size_t mesh_in_memory::join(bool lies) {
  // Mostly in groups of their own, as hosts all over the world are.
  auto ip = public_ip(static_cast<uint32_t>(random_.below(5'000'000)), static_cast<uint8_t>(1 + random_.below(254)));
  while (by_address_.contains(ip))
    ip = public_ip(static_cast<uint32_t>(random_.below(5'000'000)), static_cast<uint8_t>(1 + random_.below(254)));
  return join(random_id<peer_id>(random_).value(), ip, lies);
}

void mesh_in_memory::join_all() {
  while (nodes_.size() < rules_.nodes) {
    join();
    run(50ms);
  }
  run(2min);
}

void mesh_in_memory::kill(size_t number) {
  nodes_[number]->alive = false;
}

void mesh_in_memory::turn(size_t number) {
  nodes_[number]->lies = true;
  gang_.push_back(nodes_[number]->self);
}

void mesh_in_memory::restart(size_t number) {
  auto& one = *nodes_[number];
  auto saved = one.engine->table().save();
  one.engine = std::make_unique<discovery>(one.self.id, discovery_options{test_mesh, rules_.ips, {}}, random_, time());
  (void) one.engine->restore(saved);
  one.alive = true;
  look_at(number);
}

size_t mesh_in_memory::some_honest() {
  for (;;) {
    auto number = random_.below(nodes_.size());
    if (nodes_[number]->alive && !nodes_[number]->lies)
      return number;
  }
}

std::vector<peer_id> mesh_in_memory::truly_nearest(const point& target, size_t count) const {
  std::vector<peer_id> all;
  for (const auto& one : nodes_)
    if (one->alive)
      all.push_back(one->self.id);
  auto nearer = [&](const peer_id& a, const peer_id& b) {
    return distance_of(target, a) < distance_of(target, b);
  };
  count = std::min(count, all.size());
  std::partial_sort(all.begin(), all.begin() + static_cast<ptrdiff_t>(count), all.end(), nearer);
  all.resize(count);
  return all;
}

size_t mesh_in_memory::keepers(const record_name& name) const {
  size_t count = 0;
  for (const auto& one : nodes_)
    if (one->alive && !one->lies)
      if (auto held = one->engine->records().find(name); held != nullptr && !held->has_expired(time().wall))
        ++count;
  return count;
}

// -- the network ---------------------------------------------------------------------------

void mesh_in_memory::queue(event what, mesh_time::duration after) {
  what.when = now_ + after;
  what.order = ++events_;
  queue_.push_back(std::move(what));
  std::push_heap(queue_.begin(), queue_.end(), std::greater<>{});
}

void mesh_in_memory::send(event what) {
  ++messages_;
  // What a packet lost comes late, for links run over TCP.
  auto late = random_.below(100) < rules_.loss_percent ? 1000 + random_.below(2000) : 0;
  queue(std::move(what), std::chrono::milliseconds{10 + random_.below(190) + late});
}

/// The gang's nearest to what is looked for, and nothing that would show the lie.
discovery_answer mesh_in_memory::lie(const node& liar, const discovery_request& what) const {
  if (std::holds_alternative<ping>(what))
    return pong{};
  if (std::holds_alternative<store_record>(what))
    return store_answer{store_outcome::stored};
  auto find = std::get_if<find_record>(&what);
  auto target = find != nullptr ? find->key : std::get<find_node>(what).target;
  std::vector<std::pair<xor_distance, const contact*>> nearest;
  auto own = distance_of(target, liar.self.id);
  for (const auto& one : gang_)
    if (auto apart = distance_of(target, one.id); apart < own)
      nearest.emplace_back(apart, &one);
  auto count = std::min(nearest.size(), bucket_size);
  std::partial_sort(nearest.begin(), nearest.begin() + static_cast<ptrdiff_t>(count), nearest.end());
  found_answer answer;
  for (size_t i = 0; i < count; ++i)
    answer.nodes.push_back(*nearest[i].second);
  return answer;
}

void mesh_in_memory::serve(const event& what) {
  auto& one = *nodes_[what.to];
  const auto& from = nodes_[what.from]->self;
  auto answer = one.lies ? lie(one, *what.request) : one.engine->serve(from, *what.request, time());
  send({.to = what.from, .from = what.to, .number = what.number, .answer = std::move(answer)});
}

void mesh_in_memory::look_at(size_t number) {
  auto& one = *nodes_[number];
  if (!one.alive)
    return;
  one.engine->tick(time());
  while (auto ask = one.engine->take_ask(time())) {
    auto to = by_address_.find(ask->whom.addresses.front().ip);
    // A wrong address has nobody, or another one, who does not prove to be the one that was dialed.
    if (to != by_address_.end() && nodes_[to->second]->self.id == ask->whom.id)
      send({.to = to->second, .from = number, .number = ask->number, .request = std::move(ask->what)});
  }
  while (auto told = one.engine->take_event()) {
    if (auto ended = std::get_if<lookup_ended>(&*told))
      one.ended.emplace(ended->number, std::move(ended->outcome));
    else if (auto sent = std::get_if<record_sent>(&*told))
      one.sent[sent->name] = sent->copies;
    else if (std::holds_alternative<conflict_seen>(*told))
      ++one.conflicts;
    else
      ++one.renewals;
  }
  if (auto next = std::max(one.engine->next_tick(), now_ + 1ms); next < one.woken_at) {
    one.woken_at = next;
    queue({.to = number}, next - now_);
  }
}

void mesh_in_memory::step() {
  std::pop_heap(queue_.begin(), queue_.end(), std::greater<>{});
  auto what = std::move(queue_.back());
  queue_.pop_back();
  now_ = what.when;
  auto& one = *nodes_[what.to];
  if (!one.alive)
    return;
  if (what.request) {
    serve(what);
  } else if (what.answer) {
    one.engine->answered(what.number, *what.answer, nodes_[what.from]->self.addresses.front().ip, time());
  } else if (one.woken_at <= now_) {
    one.woken_at = mesh_time::max();
  }
  look_at(what.to);
}

void mesh_in_memory::run(mesh_time::duration duration) {
  auto end = now_ + duration;
  while (!queue_.empty() && queue_.front().when <= end)
    step();
  now_ = end;
}

mesh_in_memory::begun_lookup mesh_in_memory::begin_lookup(size_t from, const lookup_goal& goal) {
  auto number = nodes_[from]->engine->look_up(goal);
  look_at(from);
  return {from, number};
}

lookup_outcome mesh_in_memory::await(const begun_lookup& which) {
  auto& one = *nodes_[which.from];
  while (!one.ended.contains(which.number) && !queue_.empty())
    step();
  auto outcome = std::move(one.ended.at(which.number));
  one.ended.erase(which.number);
  return outcome;
}

size_t mesh_in_memory::publish(size_t from, const signed_record& record) {
  auto& one = *nodes_[from];
  one.sent.erase(record.name);
  one.engine->publish(record, time());
  look_at(from);
  while (!one.sent.contains(record.name) && !queue_.empty())
    step();
  return one.sent.at(record.name);
}

} // namespace datamesh::test
