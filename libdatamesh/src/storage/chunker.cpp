#include "storage/chunker.hpp"

#include "base/little_endian.hpp"
#include "crypto/derive.hpp"

#include <bit>
#include <cassert>

namespace datamesh::storage {

namespace {

using namespace std::string_view_literals;

// The hash shifts left by one with each byte, so a byte is gone after 64.
constexpr size_t window = 64;

// A scan of one stream waits for its own last step at every byte; several
// streams over neighbouring lanes wait together.
constexpr size_t lane_count = 4;
constexpr size_t lane_size = 8192;
constexpr size_t stride = lane_count * lane_size;

// Normalization level 2 of the paper: four times fewer cuts before the target
// size and four times more behind it than a plain mask would give.
constexpr int normalization = 2;

// *count* bits, every other from the top: each of them depends on many bytes.
uint64_t spread_mask(int count) {
  assert(count > 0 && count <= 32);
  uint64_t mask = 0;
  for (int i = 0; i < count; ++i)
    mask |= uint64_t{1} << (63 - 2 * i);
  return mask;
}

} // namespace

chunker::chunker(const crypto::key256& chunker_key, chunk_limits limits) : limits_(limits) {
  assert(limits.size_min >= window && limits.size_min < limits.size_target && limits.size_target < limits.size_max);
  assert(std::has_single_bit(limits.size_target) && limits.size_max <= 1u << 30);
  auto bits = std::countr_zero(limits.size_target);
  mask_small_ = spread_mask(bits + normalization);
  mask_large_ = spread_mask(bits - normalization);
  crypto::secret<256 * sizeof(uint64_t)> stream;
  crypto::hkdf_sha256(chunker_key.view(), {}, as_view("dm/gear/1"sv), stream.span());
  for (size_t i = 0; i < gear_.size(); ++i)
    gear_[i] = load_le<uint64_t>(stream.view().subspan(i * sizeof(uint64_t)));
}

chunker::~chunker() {
  crypto::wipe(std::as_writable_bytes(std::span{gear_}));
}

std::vector<uint32_t> chunker::cut(byte_view data, bool at_end) const {
  std::vector<uint32_t> lengths;
  while (!data.empty()) {
    auto length = first_length(data, at_end);
    if (length == 0)
      break;
    lengths.push_back(length);
    data = data.subspan(length);
  }
  return lengths;
}

uint32_t chunker::first_length(byte_view data, bool at_end) const {
  auto end = std::min<size_t>(data.size(), limits_.size_max);
  size_t last = limits_.size_min - 1;
  // A chunk's last byte is *last*, so lengths below the target end before target - 1.
  auto middle = std::min<size_t>(end, limits_.size_target - 1);
  if (last < middle) {
    auto found = find(data, last, middle, mask_small_);
    if (found < middle)
      return static_cast<uint32_t>(found + 1);
    last = middle;
  }
  if (last < end) {
    auto found = find(data, last, end, mask_large_);
    if (found < end)
      return static_cast<uint32_t>(found + 1);
  }
  return end == limits_.size_max || at_end ? static_cast<uint32_t>(end) : 0;
}

size_t chunker::find_plain(byte_view data, size_t from, size_t to, uint64_t mask) const {
  auto bytes = reinterpret_cast<const uint8_t*>(data.data());
  uint64_t hash = 0;
  for (auto i = from - (window - 1); i < from; ++i)
    hash = (hash << 1) + gear_[bytes[i]];
  for (auto i = from; i < to; ++i) {
    hash = (hash << 1) + gear_[bytes[i]];
    if ((hash & mask) == 0)
      return i;
  }
  return to;
}

size_t chunker::find(byte_view data, size_t from, size_t to, uint64_t mask) const {
  for (; to - from >= stride; from += stride) {
    // Lane i scans [from + i * lane_size, from + (i + 1) * lane_size).
    auto bytes = reinterpret_cast<const uint8_t*>(data.data()) + from;
    uint64_t hash0 = 0;
    uint64_t hash1 = 0;
    uint64_t hash2 = 0;
    uint64_t hash3 = 0;
    auto step = [&, gear = gear_.data()](const uint8_t* at) {
      hash0 = (hash0 << 1) + gear[at[0]];
      hash1 = (hash1 << 1) + gear[at[lane_size]];
      hash2 = (hash2 << 1) + gear[at[2 * lane_size]];
      hash3 = (hash3 << 1) + gear[at[3 * lane_size]];
    };
    for (auto at = bytes - (window - 1); at != bytes; ++at)
      step(at);
    for (auto at = bytes; at != bytes + lane_size; ++at) {
      step(at);
      if ((hash0 & mask) == 0 || (hash1 & mask) == 0 || (hash2 & mask) == 0 || (hash3 & mask) == 0) [[unlikely]] {
        // An earlier lane may still hold an earlier cut in what it has not seen.
        auto offset = from + static_cast<size_t>(at - bytes);
        for (size_t lane = 0; lane < lane_count; ++lane) {
          auto lane_end = from + (lane + 1) * lane_size;
          auto found = find_plain(data, offset + lane * lane_size, lane_end, mask);
          if (found < lane_end)
            return found;
        }
      }
    }
  }
  return find_plain(data, from, to, mask);
}

} // namespace datamesh::storage
