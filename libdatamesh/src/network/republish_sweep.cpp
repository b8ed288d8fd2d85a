#include "network/republish_sweep.hpp"

#include "network/routing_table.hpp"

namespace datamesh::network {

namespace {

/// How long after key 0 the sweep comes to *key*.
mesh_time::duration place_in_round(const point& key) noexcept {
  uint64_t first = 0;
  for (size_t i = 0; i < 8; ++i)
    first = first << 8 | std::to_integer<uint64_t>(key.view()[i]);
  __extension__ using wide = unsigned __int128;
  auto round = static_cast<uint64_t>(mesh_time::duration{sweep_time}.count());
  return mesh_time::duration{static_cast<int64_t>(static_cast<wide>(first) * round >> 64)};
}

} // namespace

void republish_sweep::sent(const point& key, mesh_time now) {
  forget(key);
  auto first = begin_ + place_in_round(key);
  auto earliest = now + sweep_time / 2;
  auto due = first;
  if (earliest > first) {
    auto rounds = (earliest - first + mesh_time::duration{sweep_time} - mesh_time::duration{1}) / mesh_time::duration{sweep_time};
    due = first + rounds * mesh_time::duration{sweep_time};
  }
  due_.emplace(key, due);
  order_.emplace(due, key);
}

void republish_sweep::forget(const point& key) {
  if (auto found = due_.find(key); found != due_.end()) {
    order_.erase({found->second, key});
    due_.erase(found);
  }
}

std::optional<point> republish_sweep::due(mesh_time now) const {
  if (order_.empty() || order_.begin()->first > now)
    return std::nullopt;
  return order_.begin()->second;
}

mesh_time republish_sweep::next_due() const {
  return order_.empty() ? mesh_time::max() : order_.begin()->first;
}

std::vector<point> republish_sweep::served(const point& target, const std::vector<contact>& nearest, bool all_nodes) const {
  std::vector<point> keys{target};
  // All nodes that share more first bits with the target than the farthest does are known.
  unsigned bits = 0;
  if (!all_nodes) {
    if (nearest.empty())
      return keys;
    bits = shared_bits(target.view(), nearest.back().id.view()) + 1;
    auto is_within = [&](const contact& one) {
      return shared_bits(target.view(), one.id.view()) >= bits;
    };
    if (static_cast<size_t>(std::count_if(nearest.begin(), nearest.end(), is_within)) < bucket_size)
      return keys;
  }
  auto from = target;
  for (auto bit = bits; bit < 256; ++bit)
    from.span()[bit / 8] &= static_cast<std::byte>(~(0x80U >> bit % 8));
  // In the order of the sweep: from the target on, and then what lies before it.
  auto take = [&](auto first, auto last) {
    for (; first != last && keys.size() < sweep_keys_max && shared_bits(target.view(), first->first.view()) >= bits; ++first)
      if (first->first != target)
        keys.push_back(first->first);
  };
  take(due_.lower_bound(target), due_.end());
  take(due_.lower_bound(from), due_.lower_bound(target));
  return keys;
}

} // namespace datamesh::network
