#include "network/routing_table.hpp"

#include "base/little_endian.hpp"
#include "crypto/hash.hpp"

namespace datamesh::network {

namespace {

constexpr std::string_view magic{"DMPEERS\x01", 8};
constexpr uint16_t version = 1;
constexpr size_t header_size = 16;
constexpr size_t entries_max = 256 * bucket_size;
constexpr auto restoring = "read the saved nodes";

} // namespace

routing_table::routing_table(const peer_id& self, ip_rules rules) : self_(self), rules_(std::move(rules)) {}

// -- places --------------------------------------------------------------------------

size_t routing_table::number_of(byte_view place) const noexcept {
  return shared_bits(self_.view(), place);
}

size_t routing_table::size() const noexcept {
  size_t sum = 0;
  for (const auto& one : buckets_)
    sum += one.nodes.size();
  return sum;
}

size_t routing_table::alive() const noexcept {
  size_t sum = 0;
  for (const auto& one : buckets_)
    sum += static_cast<size_t>(std::count_if(one.nodes.begin(), one.nodes.end(), [](const entry& node) { return node.lives(); }));
  return sum;
}

size_t routing_table::count_of(ip_group group) const {
  auto found = groups_.find(group);
  return found == groups_.end() ? 0 : found->second;
}

std::pair<routing_table::bucket*, std::vector<routing_table::entry>::iterator> routing_table::find(const peer_id& who) {
  auto number = number_of(who.view());
  if (number >= buckets_.size())
    return {nullptr, {}};
  auto& in = buckets_[number];
  auto found = std::find_if(in.nodes.begin(), in.nodes.end(), [&](const entry& one) { return one.who.id == who; });
  return {found == in.nodes.end() ? nullptr : &in, found};
}

bool routing_table::contains(const peer_id& who) const {
  auto number = number_of(who.view());
  if (number >= buckets_.size())
    return false;
  const auto& nodes = buckets_[number].nodes;
  return std::any_of(nodes.begin(), nodes.end(), [&](const entry& one) { return one.who.id == who; });
}

bool routing_table::fits(const bucket& in, std::optional<ip_group> group) const {
  if (!group)
    return true;
  auto same = [&](const entry& one) {
    return one.group == group;
  };
  return std::count_if(in.nodes.begin(), in.nodes.end(), same) < static_cast<ptrdiff_t>(rules_.per_bucket)
         && count_of(*group) < rules_.per_table;
}

bool routing_table::fits_waiting(const bucket& in, std::optional<ip_group> group) const {
  if (!group)
    return true;
  auto same = [&](const newcomer& one) {
    return one.group == group;
  };
  return std::count_if(in.waiting.begin(), in.waiting.end(), same) < static_cast<ptrdiff_t>(rules_.per_bucket);
}

void routing_table::add(bucket& to, entry what) {
  if (what.group)
    ++groups_[*what.group];
  to.nodes.push_back(std::move(what));
}

void routing_table::drop(bucket& from, std::vector<entry>::iterator which) {
  if (which->group)
    if (auto found = groups_.find(*which->group); --found->second == 0)
      groups_.erase(found);
  if (from.doubted == which->who.id)
    from.doubted.reset();
  from.nodes.erase(which);
}

/// The newest that waits and that the groups allow gets a free place.
void routing_table::let_in(bucket& to) {
  for (size_t i = to.waiting.size(); i-- > 0 && to.nodes.size() < bucket_size;) {
    if (!fits(to, to.waiting[i].group))
      continue;
    auto one = std::move(to.waiting[i]);
    to.waiting.erase(to.waiting.begin() + static_cast<ptrdiff_t>(i));
    add(to, {std::move(one.who), one.reached_at, one.group, one.seen, 0, true});
  }
}

// -- who comes and goes ----------------------------------------------------------------

seen_node routing_table::seen(const contact& who, const ip_address& reached_at, mesh_time now) {
  if (who.id == self_)
    return {};
  auto number = number_of(who.id.view());
  auto group = rules_.group_of(reached_at);
  if (auto [in, known] = find(who.id); in != nullptr) {
    auto before = std::move(*known);
    drop(*in, known);
    if (before.reached_at != reached_at && !fits(*in, group)) {
      // It moved to where there are enough: what is known of it stays, until it fails there.
      add(*in, std::move(before));
      return {};
    }
    add(*in, {who, reached_at, group, now, 0, true});
    return {table_place::refreshed, std::nullopt};
  }
  if (number >= buckets_.size())
    buckets_.resize(number + 1);
  auto& in = buckets_[number];
  std::erase_if(in.waiting, [&](const newcomer& one) { return one.who.id == who.id; });
  if (!fits(in, group))
    return {};
  if (in.nodes.size() < bucket_size) {
    add(in, {who, reached_at, group, now, 0, true});
    return {table_place::added, std::nullopt};
  }
  if (!fits_waiting(in, group))
    return {};
  in.waiting.push_back({who, reached_at, group, now});
  if (in.waiting.size() > bucket_size)
    in.waiting.erase(in.waiting.begin());
  const auto& oldest = in.nodes.front();
  if (in.doubted || (oldest.checked && now < oldest.seen + fresh_for))
    return {table_place::waiting, std::nullopt};
  in.doubted = oldest.who.id;
  return {table_place::waiting, oldest.who};
}

void routing_table::failed(const peer_id& who) {
  auto [in, known] = find(who);
  if (in == nullptr)
    return;
  if (in->doubted == who)
    in->doubted.reset();
  ++known->failures;
  if (known->failures >= failures_until_dropped || (known->failures >= failures_until_replaced && !in->waiting.empty())) {
    drop(*in, known);
    let_in(*in);
  }
}

void routing_table::failed(const contact& who) {
  auto [in, known] = find(who.id);
  if (in == nullptr)
    return;
  const auto& at = known->who.addresses;
  if (std::any_of(who.addresses.begin(), who.addresses.end(),
                  [&](const endpoint& one) { return std::find(at.begin(), at.end(), one) != at.end(); }))
    failed(who.id);
}

void routing_table::remove(const peer_id& who) {
  if (auto number = number_of(who.view()); number < buckets_.size())
    std::erase_if(buckets_[number].waiting, [&](const newcomer& one) { return one.who.id == who; });
  if (auto [in, known] = find(who); in != nullptr) {
    drop(*in, known);
    let_in(*in);
  }
}

bool routing_table::has_room_for(const contact& who) const {
  if (who.id == self_)
    return false;
  static const bucket empty;
  auto number = number_of(who.id.view());
  const auto& in = number < buckets_.size() ? buckets_[number] : empty;
  auto known = std::find_if(in.nodes.begin(), in.nodes.end(), [&](const entry& one) { return one.who.id == who.id; });
  if (known != in.nodes.end())
    return !known->lives();
  return in.nodes.size() < bucket_size
         && std::any_of(who.addresses.begin(), who.addresses.end(), [&](const endpoint& at) { return fits(in, rules_.group_of(at.ip)); });
}

// -- the nearest -------------------------------------------------------------------------

std::vector<contact> routing_table::sorted(const point& target, size_t count, bool for_others) const {
  std::vector<std::pair<xor_distance, const entry*>> found;
  auto own = distance_of(target, self_);
  size_t sorted_until = 0;
  auto take = [&](const bucket& from) {
    for (const auto& one : from.nodes) {
      auto apart = distance_of(target, one.who.id);
      if (for_others ? one.lives() && apart < own : one.failures < failures_until_replaced)
        found.emplace_back(apart, &one);
    }
  };
  // Whoever joins now is farther than all who joined before.
  auto close_ring = [&] {
    std::sort(found.begin() + static_cast<ptrdiff_t>(sorted_until), found.end());
    sorted_until = found.size();
    return sorted_until >= count;
  };
  // A target in bucket b is nearest to those of b; then come all that share exactly b bits
  // with it, which are in the later buckets, and then bucket by bucket the earlier ones.
  auto number = number_of(target.view());
  if (number < buckets_.size())
    take(buckets_[number]);
  if (!close_ring()) {
    for (auto i = number + 1; i < buckets_.size(); ++i)
      take(buckets_[i]);
    bool enough = close_ring();
    for (auto i = std::min(number, buckets_.size()); i-- > 0 && !enough;) {
      take(buckets_[i]);
      enough = close_ring();
    }
  }
  std::vector<contact> out;
  for (size_t i = 0; i < std::min(count, found.size()); ++i)
    out.push_back(found[i].second->who);
  return out;
}

std::vector<contact> routing_table::closest(const point& target, size_t count) const {
  return sorted(target, count, false);
}

std::vector<contact> routing_table::nearer(const point& target, size_t count) const {
  return sorted(target, count, true);
}

result<std::vector<contact>> routing_table::draw(std::vector<const contact*> from, random_source& random, size_t count) {
  std::vector<contact> chosen;
  while (chosen.size() < count && chosen.size() < from.size()) {
    auto which = random_below(random, from.size() - chosen.size());
    if (!which)
      return fail(which.error());
    std::swap(from[chosen.size()], from[chosen.size() + *which]);
    chosen.push_back(*from[chosen.size()]);
  }
  return chosen;
}

result<std::vector<contact>> routing_table::some(random_source& random, size_t count) const {
  std::vector<const contact*> all;
  for (const auto& in : buckets_)
    for (const auto& one : in.nodes)
      if (one.failures < failures_until_replaced)
        all.push_back(&one.who);
  return draw(std::move(all), random, count);
}

result<std::vector<contact>> routing_table::silent(random_source& random, size_t count) const {
  std::vector<const contact*> all;
  for (const auto& in : buckets_)
    for (const auto& one : in.nodes)
      if (!one.lives())
        all.push_back(&one.who);
  return draw(std::move(all), random, count);
}

// -- refresh -------------------------------------------------------------------------------

/// The first of the last buckets that have at most `bucket_size` nodes together: looking up
/// ourselves refreshes these.
size_t routing_table::neighbourhood() const noexcept {
  size_t sum = 0;
  size_t number = buckets_.size();
  while (number > 0 && sum + buckets_[number - 1].nodes.size() <= bucket_size)
    sum += buckets_[--number].nodes.size();
  return number;
}

void routing_table::looked_up(const point& target, mesh_time now) {
  auto number = number_of(target.view());
  if (number == 256)
    looked_up_self_ = now;
  else if (number < buckets_.size())
    buckets_[number].looked_up = now;
}

result<std::optional<point>> routing_table::refresh_due(random_source& random, mesh_time now) const {
  auto due = [now](mesh_time last) {
    return last == mesh_time::min() || now >= last + refresh_every;
  };
  if (due(looked_up_self_))
    return point_of(self_);
  for (auto number = neighbourhood(); number-- > 0;)
    if (due(buckets_[number].looked_up)) {
      auto target = random_id<point>(random);
      if (!target)
        return fail(target.error());
      // Our own first bits, and another one after them.
      for (unsigned bit = 0; bit <= number; ++bit)
        if (bit_of(target->view(), bit) != (bit_of(self_.view(), bit) != (bit == number)))
          target->span()[bit / 8] ^= static_cast<std::byte>(0x80 >> bit % 8);
      return *target;
    }
  return std::nullopt;
}

mesh_time routing_table::next_refresh() const {
  auto next = looked_up_self_;
  for (size_t number = neighbourhood(); number-- > 0;)
    next = std::min(next, buckets_[number].looked_up);
  return next == mesh_time::min() ? next : next + refresh_every;
}

// -- the saved form ----------------------------------------------------------------------------

namespace {

void put_ip(std::vector<std::byte>& out, const ip_address& ip) {
  out.push_back(ip.v6 ? std::byte{6} : std::byte{4});
  auto raw = ip.view();
  out.insert(out.end(), raw.begin(), raw.end());
}

struct saved_reader {
  byte_view rest;

  std::optional<byte_view> take(size_t count) {
    if (rest.size() < count)
      return std::nullopt;
    auto part = rest.first(count);
    rest = rest.subspan(count);
    return part;
  }
  std::optional<ip_address> take_ip() {
    auto family = take(1);
    if (!family || (family->front() != std::byte{4} && family->front() != std::byte{6}))
      return std::nullopt;
    auto raw = take(family->front() == std::byte{4} ? 4 : 16);
    auto ip = raw ? ip_from(*raw) : std::nullopt;
    // The form that another family has for it is not the saved one.
    return ip && ip->view().size() == raw->size() ? ip : std::nullopt;
  }
};

std::optional<std::pair<contact, ip_address>> take_entry(saved_reader& from) {
  std::pair<contact, ip_address> one;
  auto id = from.take(peer_id::size);
  auto reached_at = id ? from.take_ip() : std::nullopt;
  auto count = reached_at ? from.take(1) : std::nullopt;
  if (!count || count->front() == std::byte{0} || std::to_integer<size_t>(count->front()) > contact_addresses_max)
    return std::nullopt;
  one.first.id = peer_id::from(*id);
  one.second = *reached_at;
  for (auto left = std::to_integer<size_t>(count->front()); left > 0; --left) {
    auto ip = from.take_ip();
    auto port = ip ? from.take(2) : std::nullopt;
    if (!port || load_le<uint16_t>(*port) == 0)
      return std::nullopt;
    one.first.addresses.push_back({*ip, load_le<uint16_t>(*port)});
  }
  return one;
}

} // namespace

std::vector<std::byte> routing_table::save() const {
  std::vector<const entry*> all;
  for (const auto& one : buckets_)
    for (const auto& node : one.nodes)
      all.push_back(&node);
  std::stable_sort(all.begin(), all.end(), [](const entry* a, const entry* b) { return a->seen < b->seen; });
  std::vector<std::byte> out(header_size);
  auto head = as_view(magic);
  std::copy(head.begin(), head.end(), out.begin());
  store_le<uint16_t>(byte_span{out}.subspan(8), version);
  store_le<uint32_t>(byte_span{out}.subspan(12), static_cast<uint32_t>(all.size()));
  for (auto node : all) {
    auto id = node->who.id.view();
    out.insert(out.end(), id.begin(), id.end());
    put_ip(out, node->reached_at);
    out.push_back(static_cast<std::byte>(node->who.addresses.size()));
    for (const auto& at : node->who.addresses) {
      put_ip(out, at.ip);
      out.resize(out.size() + 2);
      store_le<uint16_t>(byte_span{out}.last(2), at.port);
    }
  }
  auto checksum = crypto::blake3(out);
  out.insert(out.end(), checksum.view().begin(), checksum.view().end());
  return out;
}

result<routing_table> routing_table::restore(const peer_id& self, ip_rules rules, byte_view saved) {
  if (saved.size() < magic.size() || as_text(saved.first(magic.size())) != magic)
    return fail(errc::format_alien, restoring);
  if (saved.size() < header_size + digest::size)
    return fail(errc::format_damaged, restoring, "it is truncated");
  auto content = saved.first(saved.size() - digest::size);
  if (digest::from(saved.last(digest::size)) != crypto::blake3(content))
    return fail(errc::format_damaged, restoring, "the checksum is wrong");
  if (load_le<uint16_t>(content.subspan(8)) > version)
    return fail(errc::format_newer, restoring);
  auto count = load_le<uint32_t>(content.subspan(12));
  if (load_le<uint16_t>(content.subspan(8)) != version || load_le<uint16_t>(content.subspan(10)) != 0 || count > entries_max)
    return fail(errc::format_damaged, restoring, "its header");
  routing_table table{self, std::move(rules)};
  saved_reader reader{content.subspan(header_size)};
  for (uint32_t i = 0; i < count; ++i) {
    auto one = take_entry(reader);
    if (!one)
      return fail(errc::format_damaged, restoring, "entry " + std::to_string(i));
    auto& [who, reached_at] = *one;
    auto admitted = table.rules_.admits(reached_at);
    for (const auto& at : who.addresses)
      admitted = admitted && table.rules_.admits(at.ip);
    if (who.id == self || !admitted || table.contains(who.id))
      continue;
    auto number = table.number_of(who.id.view());
    if (number >= table.buckets_.size())
      table.buckets_.resize(number + 1);
    auto& in = table.buckets_[number];
    auto group = table.rules_.group_of(reached_at);
    if (in.nodes.size() < bucket_size && table.fits(in, group))
      table.add(in, {std::move(who), reached_at, group, mesh_time{}, 0, false});
  }
  if (!reader.rest.empty())
    return fail(errc::format_damaged, restoring, "something follows its entries");
  return table;
}

} // namespace datamesh::network
