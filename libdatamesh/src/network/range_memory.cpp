#include "network/range_memory.hpp"

#include <algorithm>
#include <bit>
#include <utility>

namespace datamesh::network {

void range_memory::fit(uint64_t shards, uint64_t each) {
  auto fits = shards < 8 * each << bits_ && (bits_ == 0 || shards >= each / 2 << bits_);
  if (fits)
    return;
  auto ranges = std::max<uint64_t>(shards / each, 1);
  auto bits = std::min(static_cast<uint32_t>(std::bit_width(ranges)) - 1, range_bits_max);
  if (std::exchange(bits_, bits) != bits)
    settled_.clear();
}

const range_memory::settled_range* range_memory::find(uint32_t number) const {
  auto found = settled_.find(number);
  return found == settled_.end() ? nullptr : &found->second;
}

void range_memory::settle(uint32_t number, settled_range found) {
  settled_.insert_or_assign(number, std::move(found));
}

void range_memory::forget(uint32_t number) {
  settled_.erase(number);
}

} // namespace datamesh::network
