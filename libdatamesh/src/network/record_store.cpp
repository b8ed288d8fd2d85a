#include "network/record_store.hpp"

namespace datamesh::network {

record_store::record_store(const record_limits& limits) : limits_(limits) {}

bool record_store::has_room_for(const signed_record& record) const {
  if (records_.size() >= limits_.records || bytes_ + record.raw.size() > limits_.bytes)
    return false;
  if (auto found = of_publisher_.find(record.name.publisher); found != of_publisher_.end() && found->second >= limits_.of_publisher)
    return false;
  size_t under_key = 0;
  for (auto i = records_.lower_bound({record.name.key, {}, {}}); i != records_.end() && i->first.key == record.name.key; ++i)
    ++under_key;
  return under_key < limits_.of_key;
}

record_store::rows::iterator record_store::erase(rows::iterator which) {
  bytes_ -= which->second.record.raw.size();
  if (auto found = of_publisher_.find(which->first.publisher); --found->second == 0)
    of_publisher_.erase(found);
  return records_.erase(which);
}

store_outcome record_store::put(const signed_record& record, clock::wall_time now) {
  if (record.has_expired(now))
    return store_outcome::not_valid;
  auto where = place_of(record.name);
  auto found = records_.find(where);
  if (found != records_.end() && found->second.record.has_expired(now)) {
    erase(found);
    found = records_.end();
  }
  if (found != records_.end()) {
    auto& held = found->second;
    switch (compare(record, held.record)) {
    case record_order::older:
      return store_outcome::older;
    case record_order::conflict:
      return store_outcome::conflict;
    case record_order::same:
      held.sent = now;
      return store_outcome::known;
    case record_order::newer:
      break;
    }
    if (bytes_ - held.record.raw.size() + record.raw.size() > limits_.bytes)
      return store_outcome::full;
    bytes_ += record.raw.size() - held.record.raw.size();
    held = {record, now};
    return store_outcome::stored;
  }
  if (!has_room_for(record))
    return store_outcome::full;
  bytes_ += record.raw.size();
  ++of_publisher_[record.name.publisher];
  records_.emplace(where, kept{record, now});
  return store_outcome::stored;
}

std::vector<signed_record> record_store::find(record_kind kind, const point& key, clock::wall_time now) const {
  std::vector<signed_record> found;
  for (auto i = records_.lower_bound({key, kind, {}}); i != records_.end() && i->first.key == key && i->first.kind == kind; ++i)
    if (!i->second.record.has_expired(now))
      found.push_back(i->second.record);
  return found;
}

const signed_record* record_store::find(const record_name& name) const {
  auto found = records_.find(place_of(name));
  return found == records_.end() ? nullptr : &found->second.record;
}

void record_store::remove(const record_name& name) {
  if (auto found = records_.find(place_of(name)); found != records_.end())
    erase(found);
}

size_t record_store::expire(clock::wall_time now) {
  auto before = records_.size();
  for (auto i = records_.begin(); i != records_.end();)
    i = i->second.record.has_expired(now) ? erase(i) : std::next(i);
  return before - records_.size();
}

std::optional<clock::wall_time> record_store::last_sent(const record_name& name) const {
  auto found = records_.find(place_of(name));
  return found == records_.end() ? std::nullopt : std::optional{found->second.sent};
}

} // namespace datamesh::network
