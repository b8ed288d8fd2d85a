#include "storage/chunk_cache.hpp"

#include "crypto/secret.hpp"

#include <algorithm>
#include <bit>

namespace datamesh::storage {

namespace {

constexpr size_t rows = 4;
constexpr uint8_t counter_max = 15;
/// Entries the sketch tells apart well: one for so many bytes of the limit.
constexpr uint64_t bytes_per_counter = 8 << 10;
constexpr size_t row_min = 256;
constexpr size_t row_max = 1 << 20;
/// The counters are halved after so many requests an entry held, or so many at least.
constexpr uint64_t requests_per_entry = 10;
constexpr uint64_t entries_min = 16;

struct wiped_memory {
  explicit wiped_memory(byte_view from) : data(from.begin(), from.end()) {}
  wiped_memory(const wiped_memory&) = delete;
  wiped_memory& operator=(const wiped_memory&) = delete;
  ~wiped_memory() {
    crypto::wipe(data);
  }
  std::vector<std::byte> data;
};

/// The finalizer of SplitMix64.
uint64_t mix(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

uint64_t word_of(byte_view data) {
  uint64_t word = 0;
  std::memcpy(&word, data.data(), sizeof word);
  return word;
}

uint64_t hash_of(const chunk_key& key, uint64_t seed) {
  return mix(mix(word_of(key.chunk.view()) + seed) ^ word_of(key.vault.view()));
}

} // namespace

size_t chunk_cache::hasher::operator()(const chunk_key& key) const noexcept {
  return hash_of(key, seed);
}

chunk_cache::chunk_cache(uint64_t limit_max, uint64_t seed)
    : limit_max_(limit_max), limit_(limit_max), places_(16, hasher{seed}),
      row_(std::bit_ceil(std::clamp<uint64_t>(limit_max / bytes_per_counter, row_min, row_max))), seed_(seed) {
  counters_.assign(rows * row_ / 2, 0);
}

bytes chunk_cache::copy_of(byte_view plain) {
  auto owner = std::make_shared<wiped_memory>(plain);
  byte_view view{owner->data};
  return {std::move(owner), view};
}

// -- how often ---------------------------------------------------------------------------

void chunk_cache::note(const chunk_key& key) {
  for (size_t row = 0; row < rows; ++row) {
    auto at = row * row_ + (hash_of(key, seed_ + row + 1) & (row_ - 1));
    auto& pair = counters_[at / 2];
    auto shift = at % 2 * 4;
    if ((pair >> shift & counter_max) < counter_max)
      pair = static_cast<uint8_t>(pair + (1 << shift));
  }
  if (++noted_ < requests_per_entry * std::max<uint64_t>(figures_.entries, entries_min))
    return;
  noted_ /= 2;
  for (auto& pair : counters_)
    pair = pair >> 1 & 0x77;
}

uint32_t chunk_cache::frequency(const chunk_key& key) const {
  uint32_t least = counter_max;
  for (size_t row = 0; row < rows; ++row) {
    auto at = row * row_ + (hash_of(key, seed_ + row + 1) & (row_ - 1));
    least = std::min<uint32_t>(least, counters_[at / 2] >> at % 2 * 4 & counter_max);
  }
  return least;
}

// -- what is there -------------------------------------------------------------------------

bytes chunk_cache::find(const chunk_key& key, bool counts) {
  if (counts)
    note(key);
  auto found = places_.find(key);
  if (found == places_.end())
    return {};
  auto plain = found->second->plain;
  switch (found->second->where) {
  case ahead:
    ++figures_.ahead_used;
    [[fallthrough]];
  case window:
    move(found->second, window);
    break;
  default:
    move(found->second, protected_part);
  }
  settle();
  return plain;
}

bool chunk_cache::insert(const chunk_key& key, bytes plain, origin from) {
  auto charge = plain.size() + entry_overhead;
  auto is_ahead = from == origin::ahead;
  if (holds(key))
    return true;
  if (plain.empty() || charge > (is_ahead ? ahead_share(limit_) : limit_))
    return false;
  auto where = is_ahead ? ahead : window;
  lists_[where].push_front({key, std::move(plain), where});
  places_[key] = lists_[where].begin();
  sizes_[where] += charge;
  figures_.bytes += charge;
  ++figures_.entries;
  figures_.ahead += is_ahead ? 1 : 0;
  settle();
  return holds(key);
}

void chunk_cache::set_limit(uint64_t limit) {
  limit_ = std::min(limit, limit_max_);
  settle();
}

void chunk_cache::forget(const vault_id& vault) {
  for (auto& list : lists_)
    for (auto next = list.begin(); next != list.end();)
      if (auto which = next++; which->key.vault == vault)
        evict(which);
}

void chunk_cache::move(lru::iterator which, segment to) {
  sizes_[which->where] -= which->charge();
  sizes_[to] += which->charge();
  lists_[to].splice(lists_[to].begin(), lists_[which->where], which);
  which->where = to;
}

void chunk_cache::evict(lru::iterator which) {
  auto where = which->where;
  sizes_[where] -= which->charge();
  figures_.bytes -= which->charge();
  --figures_.entries;
  ++figures_.evicted;
  places_.erase(which->key);
  lists_[where].erase(which);
}

// -- who has to go ---------------------------------------------------------------------------

uint64_t chunk_cache::main_limit() const {
  auto others = std::max(limit_ / 8, sizes_[window]) + sizes_[ahead];
  return limit_ > others ? limit_ - others : 0;
}

void chunk_cache::settle() {
  while (sizes_[ahead] > ahead_share(limit_))
    evict(std::prev(lists_[ahead].end()));
  // The newest may be larger than the window: somebody is reading it.
  while (sizes_[window] > limit_ / 8 && lists_[window].size() > 1)
    offer(std::prev(lists_[window].end()));
  while (sizes_[protected_part] > main_limit() / 5 * 4 && !lists_[protected_part].empty())
    move(std::prev(lists_[protected_part].end()), probation);
  for (auto from : {probation, protected_part, ahead, window})
    while (figures_.bytes > limit_ && !lists_[from].empty())
      evict(std::prev(lists_[from].end()));
}

void chunk_cache::offer(lru::iterator candidate) {
  auto charge = candidate->charge();
  auto used = sizes_[probation] + sizes_[protected_part];
  // The window is about to shrink by the candidate.
  auto others = std::max(limit_ / 8, sizes_[window] - charge) + sizes_[ahead];
  auto room = limit_ > others ? limit_ - others : 0;
  auto wins = charge <= room;
  auto wanted = frequency(candidate->key);
  std::vector<lru::iterator> victims;
  uint32_t lost = 0;
  for (auto from : {probation, protected_part})
    for (auto next = lists_[from].end(); wins && used + charge > room && next != lists_[from].begin();) {
      --next;
      lost += frequency(next->key);
      used -= next->charge();
      victims.push_back(next);
      wins = wanted > lost;
    }
  if (!wins) {
    ++figures_.refused;
    return evict(candidate);
  }
  for (auto victim : victims)
    evict(victim);
  move(candidate, probation);
}

} // namespace datamesh::storage
