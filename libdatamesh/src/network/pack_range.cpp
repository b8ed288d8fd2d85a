#include "network/pack_range.hpp"

#include "crypto/hash.hpp"

#include <algorithm>

namespace datamesh::network {

namespace {

constexpr uint32_t word_bits = 64;

/// The id whose first eight bytes are *word*, and whose others are all ones.
pack_id greatest_with(uint64_t word) {
  pack_id made;
  std::ranges::fill(made.span(), std::byte{0xff});
  for (size_t i = 0; i < sizeof(word); ++i)
    made.span()[i] = static_cast<std::byte>(word >> (word_bits - 8 * (i + 1)));
  return made;
}

/// The first word of an id that is behind the range; 0 behind the last of all.
uint64_t end_of(const pack_range& range) {
  return range.bits == 0 ? 0 : (uint64_t{range.number} + 1) << (word_bits - range.bits);
}

} // namespace

std::optional<shard_key> before(const pack_range& range) {
  if (range.number == 0)
    return std::nullopt;
  return shard_key{last_of({range.bits, range.number - 1}), UINT8_MAX};
}

pack_id last_of(const pack_range& range) {
  return greatest_with(end_of(range) - 1);
}

digest digest_of(std::span<const ticket> tickets) {
  crypto::hasher hash;
  hash.update(as_view(std::string_view{"dm/range/1"}));
  for (const auto& by : tickets)
    hash.update(by.raw);
  return hash.finish();
}

} // namespace datamesh::network
