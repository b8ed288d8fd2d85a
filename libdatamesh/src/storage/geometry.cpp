#include "storage/geometry.hpp"

#include <fmt/core.h>

#include <algorithm>

namespace datamesh::storage {

namespace {

constexpr uint32_t round_up(uint32_t value, uint32_t unit) noexcept {
  return (value + unit - 1) / unit * unit;
}

} // namespace

geometry geometry_for(uint8_t k, uint8_t m, uint32_t pack_length) noexcept {
  auto parts = std::max<uint32_t>(k, 1);
  auto part = round_up(std::max(pack_length / parts + (pack_length % parts != 0), 1u), shard_alignment);
  if (part >= inline_shard_max)
    part = round_up(part, direct_alignment);
  return {k, m, part};
}

result<void> validate(const geometry& g) {
  if (g.k == 0 || g.shard_count() > shard_count_max)
    return fail(errc::policy_invalid, "check the shape of a pack", fmt::format("{}+{}", g.k, g.m));
  if (g.shard_length == 0 || g.data_length() > pack_buffer_size)
    return fail(errc::format_damaged, "check the shape of a pack", fmt::format("shards of {} bytes", g.shard_length));
  return {};
}

} // namespace datamesh::storage
