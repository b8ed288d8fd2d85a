#include "storage/placement.hpp"

#include "crypto/hash.hpp"
#include "storage/geometry.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cassert>
#include <charconv>
#include <cmath>

namespace datamesh::storage {
namespace {

struct ranked_drive {
  const drive_candidate* drive;
  double score;
  size_t shards; ///< Of this pack, already there or given in this call.
};

/// A uniform number from (0, 1) that only *seed* and the drive decide.
double draw(byte_view seed, const drive_id& drive) {
  crypto::hasher hash;
  hash.update(as_view("dm/placement/1")).update_u32(static_cast<uint32_t>(seed.size())).update(seed).update(drive.view());
  auto drawn = hash.finish();
  uint64_t bits = 0;
  for (size_t i = 0; i < sizeof(bits); ++i)
    bits |= std::to_integer<uint64_t>(drawn.view()[i]) << (8 * i);
  // 53 bits fill a double's mantissa; the half keeps both ends out.
  return (static_cast<double>(bits >> 11) + 0.5) * 0x1p-53;
}

/// The drives that accept a shard, best first.
std::vector<ranked_drive> rank(std::span<const drive_candidate> drives, std::span<const drive_id> taken, byte_view seed,
                               uint64_t shard_bytes) {
  std::vector<ranked_drive> result;
  result.reserve(drives.size());
  for (const auto& drive : drives) {
    if (drive.state != drive_state::ok || drive.read_only || drive.bytes_free < shard_bytes)
      continue;
    auto weight = static_cast<double>(std::max<uint64_t>(drive.bytes_free, 1));
    auto shards = static_cast<size_t>(std::count(taken.begin(), taken.end(), drive.id));
    result.push_back({&drive, -weight / std::log(draw(seed, drive.id)), shards});
  }
  std::sort(result.begin(), result.end(), [](const ranked_drive& a, const ranked_drive& b) {
    return a.score != b.score ? a.score > b.score : a.drive->id < b.drive->id;
  });
  return result;
}

/// The best of the drives with the fewest shards that has room for one more, or null.
/// *fresh* tells how many of a drive's shards its free space does not know of yet.
template <class Fresh>
ranked_drive* least_loaded(std::vector<ranked_drive>& drives, uint64_t shard_bytes, Fresh fresh) {
  ranked_drive* best = nullptr;
  for (auto& candidate : drives) {
    if (shard_bytes != 0 && candidate.drive->bytes_free / shard_bytes <= fresh(candidate))
      continue;
    if (best == nullptr || candidate.shards < best->shards)
      best = &candidate;
  }
  return best;
}

} // namespace

policy policy_for(size_t drive_count) noexcept {
  assert(drive_count > 0);
  switch (drive_count) {
  case 0:
  case 1:
    return {10, 2, domain_level::block};
  case 2:
    return {1, 1, domain_level::drive};
  case 3:
    return {2, 1, domain_level::drive};
  case 4:
  case 5:
    return {2, 2, domain_level::drive};
  default:
    return {4, 2, domain_level::drive};
  }
}

result<policy> parse_policy(std::string_view text) {
  auto refuse = [&] {
    return fail(errc::policy_invalid, "read policy", std::string{text});
  };
  unsigned k = 0;
  unsigned m = 0;
  const auto* end = text.data() + text.size();
  auto [plus, k_error] = std::from_chars(text.data(), end, k);
  if (k_error != std::errc{} || plus == end || *plus != '+')
    return refuse();
  auto [rest, m_error] = std::from_chars(plus + 1, end, m);
  if (m_error != std::errc{} || rest != end)
    return refuse();
  if (k < 1 || k > shard_count_max || m > shard_count_max - k)
    return refuse();
  return policy{static_cast<uint8_t>(k), static_cast<uint8_t>(m), domain_level::drive};
}

std::string to_string(const policy& p) {
  return fmt::format("{}+{}", p.k, p.m);
}

uint8_t drive_losses_survived(const policy& p) noexcept {
  return p.level == domain_level::drive ? p.m : 0;
}

bool enough_if_written(const policy& how, size_t placed, size_t read_only) noexcept {
  return read_only > 0 && (how.level == domain_level::block || placed + read_only >= how.shards_min());
}

result<std::vector<std::optional<drive_id>>> place(std::span<const drive_candidate> drives, const policy& how, byte_view seed,
                                                   uint64_t shard_bytes) {
  auto count = static_cast<size_t>(how.k) + how.m;
  if (how.k == 0 || count > shard_count_max)
    return fail(errc::policy_invalid, "place shards", to_string(how));
  auto ranked = rank(drives, {}, seed, shard_bytes);
  std::vector<std::optional<drive_id>> answer(count);
  size_t placed = 0;
  if (how.level == domain_level::drive) {
    for (; placed < std::min(count, ranked.size()); ++placed)
      answer[placed] = ranked[placed].drive->id;
  } else {
    auto given = [](const ranked_drive& drive) {
      return drive.shards;
    };
    for (; placed < count; ++placed) {
      auto* next = least_loaded(ranked, shard_bytes, given);
      if (next == nullptr)
        break;
      answer[placed] = next->drive->id;
      ++next->shards;
    }
  }
  if (placed < how.shards_min()) {
    // With room enough on them, would they be enough?
    auto ok = static_cast<size_t>(std::ranges::count(drives, drive_state::ok, &drive_candidate::state));
    auto full = ok >= (how.level == domain_level::drive ? how.shards_min() : 1);
    auto closed = static_cast<size_t>(
        std::ranges::count_if(drives, [](const auto& drive) { return drive.state == drive_state::ok && drive.read_only; }));
    return fail(enough_if_written(how, placed, closed) ? errc::read_only
                : full                                 ? errc::drive_full
                                                       : errc::too_few_drives,
                "place shards", fmt::format("{}: {} of at least {} placed", to_string(how), placed, how.shards_min()));
  }
  return answer;
}

std::optional<drive_id> place_one(std::span<const drive_candidate> drives, std::span<const drive_id> taken, domain_level level,
                                  byte_view seed, uint64_t shard_bytes) {
  auto ranked = rank(drives, taken, seed, shard_bytes);
  if (level == domain_level::drive)
    std::erase_if(ranked, [](const ranked_drive& drive) { return drive.shards > 0; });
  const auto* best = least_loaded(ranked, shard_bytes, [](const ranked_drive&) -> size_t { return 0; });
  if (best == nullptr)
    return std::nullopt;
  return best->drive->id;
}

} // namespace datamesh::storage
