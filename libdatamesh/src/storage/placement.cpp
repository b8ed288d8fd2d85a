#include "storage/placement.hpp"

#include "crypto/hash.hpp"
#include "storage/geometry.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cassert>
#include <charconv>
#include <cmath>
#include <map>

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

double score_of(const drive_candidate& drive, byte_view seed) {
  return -drive.trust * static_cast<double>(std::max<uint64_t>(drive.bytes_free, 1)) / std::log(draw(seed, drive.id));
}

bool takes_shards(const drive_candidate& drive, uint64_t shard_bytes) {
  return drive.state == drive_state::ok && drive.allowed && !drive.read_only && drive.bytes_free >= shard_bytes;
}

/// The drives that accept a shard, best first.
std::vector<ranked_drive> rank(std::span<const drive_candidate> drives, std::span<const drive_id> taken, byte_view seed,
                               uint64_t shard_bytes) {
  std::vector<ranked_drive> result;
  result.reserve(drives.size());
  for (const auto& drive : drives) {
    if (!takes_shards(drive, shard_bytes))
      continue;
    auto shards = static_cast<size_t>(std::count(taken.begin(), taken.end(), drive.id));
    result.push_back({&drive, score_of(drive, seed), shards});
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

// -- domains -------------------------------------------------------------------------

/// Shards in excess by level: fewer of a higher level is better, whatever the lower ones.
using excess = std::array<size_t, label_levels>;

constexpr size_t any_number = shard_count_max;

/// Numbers for the domains of some drives, and how many shards each domain of a level takes at most.
class domain_rules {
public:
  /// @param universe drives that may have shards, best first, each once
  domain_rules(const std::vector<const drive_candidate*>& universe, const policy& how) {
    for (const auto* drive : universe)
      for (size_t level = 0; level < label_levels; ++level)
        domains_.push_back(number_of(level, drive->domains[level]));
    auto target = std::min(universe.size(), static_cast<size_t>(how.k) + how.m);
    auto survivable = std::max<size_t>(1, target > how.k ? target - how.k : 0);
    caps_.fill(any_number);
    for (size_t level = 0; level < label_levels; ++level) {
      auto count = numbers_[level].size();
      if (count < 2)
        continue;
      for (auto cap = (target + count - 1) / count; cap <= survivable && caps_[level] == any_number; ++cap) {
        caps_[level] = cap;
        if (choose(universe.size(), target).size() < target)
          caps_[level] = any_number;
      }
    }
  }

  /// The first of *universe* drives that fit the rules together, by their place in it, *target* at most.
  [[nodiscard]] std::vector<size_t> choose(size_t universe, size_t target) const {
    std::vector<size_t> chosen;
    auto filled = nothing();
    for (size_t i = 0; i < universe && chosen.size() < target; ++i) {
      auto fits = true;
      for (size_t level = 0; level < label_levels; ++level)
        fits = fits && filled[level][domains_[i * label_levels + level]] < caps_[level];
      if (!fits)
        continue;
      chosen.push_back(i);
      for (size_t level = 0; level < label_levels; ++level)
        ++filled[level][domains_[i * label_levels + level]];
    }
    return chosen;
  }

  /// Shards by level and domain.
  using counts = std::array<std::vector<size_t>, label_levels>;

  [[nodiscard]] counts count(const std::vector<const drive_candidate*>& holders) const {
    auto filled = nothing();
    for (const auto* drive : holders)
      for (size_t level = 0; level < label_levels; ++level)
        ++filled[level][number_of(level, *drive)];
    return filled;
  }

  [[nodiscard]] excess excess_of(const counts& filled) const {
    excess over{};
    for (size_t level = 0; level < label_levels; ++level)
      for (auto shards : filled[level])
        over[level] += shards > caps_[level] ? shards - caps_[level] : 0;
    return over;
  }

  /// Whether the domain of *drive* at *level* has more than it should.
  [[nodiscard]] bool is_crowded(const counts& filled, size_t level, const drive_candidate& drive) const {
    return filled[level][number_of(level, drive)] > caps_[level];
  }

  /// What would be too many with one more on *drive*.
  [[nodiscard]] excess excess_with(const counts& filled, const drive_candidate& drive) const {
    excess over{};
    for (size_t level = 0; level < label_levels; ++level) {
      auto shards = filled[level][number_of(level, drive)] + 1;
      over[level] = shards > caps_[level] ? shards - caps_[level] : 0;
    }
    return over;
  }

private:
  size_t number_of(size_t level, const std::string& name) {
    return numbers_[level].try_emplace(name, numbers_[level].size()).first->second;
  }

  [[nodiscard]] size_t number_of(size_t level, const drive_candidate& drive) const {
    return numbers_[level].at(drive.domains[level]);
  }

  [[nodiscard]] counts nothing() const {
    counts filled;
    for (size_t level = 0; level < label_levels; ++level)
      filled[level].resize(numbers_[level].size());
    return filled;
  }

  std::array<std::map<std::string, size_t>, label_levels> numbers_;
  std::vector<size_t> domains_; ///< Of the universe, each with all its levels.
  std::array<size_t, label_levels> caps_{};
};

/// The drives that hold shards of a pack. What is on a drive that nobody knows is nowhere.
std::vector<const drive_candidate*> holders_of(std::span<const drive_candidate> known, std::span<const drive_id> placed) {
  std::vector<const drive_candidate*> holders;
  for (const auto& id : placed)
    if (auto found = std::ranges::find(known, id, &drive_candidate::id); found != known.end())
      holders.push_back(&*found);
  return holders;
}

/// All that have or may get a shard, those first that have.
std::vector<const drive_candidate*> universe_of(const std::vector<const drive_candidate*>& holders,
                                                const std::vector<ranked_drive>& ranked) {
  std::vector<const drive_candidate*> all;
  auto add = [&](const drive_candidate* drive) {
    if (std::ranges::find(all, drive->id, &drive_candidate::id) == all.end())
      all.push_back(drive);
  };
  for (const auto* drive : holders)
    add(drive);
  for (const auto& drive : ranked)
    add(drive.drive);
  return all;
}

} // namespace

drive_domains domains_of(std::string_view region, std::string_view zone, std::string_view operated_by, std::string_view node) {
  // The letter tells levels apart, so that a zone is not an operator of that name.
  drive_domains domains;
  domains[2] = fmt::format("n {}", node);
  domains[1] = operated_by.empty() ? domains[2] : fmt::format("o {}", operated_by);
  domains[0] = zone.empty() ? domains[1] : fmt::format("z {} {}", region, zone);
  return domains;
}

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
    std::vector<const drive_candidate*> universe;
    for (const auto& drive : ranked)
      universe.push_back(drive.drive);
    for (auto i : domain_rules{universe, how}.choose(universe.size(), count))
      answer[placed++] = universe[i]->id;
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
    // With room enough on them, would they be enough? And without the rule?
    auto needed = size_t{how.level == domain_level::drive ? how.shards_min() : uint8_t{1}};
    auto ok = static_cast<size_t>(std::ranges::count(drives, drive_state::ok, &drive_candidate::state));
    auto allowed = static_cast<size_t>(
        std::ranges::count_if(drives, [](const auto& drive) { return drive.state == drive_state::ok && drive.allowed; }));
    auto closed = static_cast<size_t>(std::ranges::count_if(
        drives, [](const auto& drive) { return drive.state == drive_state::ok && drive.allowed && drive.read_only; }));
    return fail(enough_if_written(how, placed, closed) ? errc::read_only
                : allowed >= needed                    ? errc::drive_full
                : ok >= needed                         ? errc::rule_leaves_too_few
                                                       : errc::too_few_drives,
                "place shards", fmt::format("{}: {} of at least {} placed", to_string(how), placed, how.shards_min()));
  }
  return answer;
}

std::optional<drive_id> place_one(std::span<const drive_candidate> drives, std::span<const drive_id> taken, const policy& how,
                                  byte_view seed, uint64_t shard_bytes) {
  auto ranked = rank(drives, taken, seed, shard_bytes);
  if (how.level == domain_level::block) {
    const auto* best = least_loaded(ranked, shard_bytes, [](const ranked_drive&) -> size_t { return 0; });
    return best == nullptr ? std::nullopt : std::optional{best->drive->id};
  }
  auto holders = holders_of(drives, taken);
  domain_rules rules{universe_of(holders, ranked), how};
  auto filled = rules.count(holders);
  const ranked_drive* best = nullptr;
  excess least{};
  for (const auto& candidate : ranked) {
    if (candidate.shards > 0)
      continue;
    auto over = rules.excess_with(filled, *candidate.drive);
    if (best != nullptr && over >= least)
      continue;
    best = &candidate;
    least = over;
  }
  return best == nullptr ? std::nullopt : std::optional{best->drive->id};
}

std::optional<size_t> too_close(std::span<const drive_candidate> drives, std::span<const drive_id> placed, const policy& how,
                                byte_view seed, uint64_t shard_bytes) {
  if (how.level == domain_level::block)
    return std::nullopt;
  auto holders = holders_of(drives, placed);
  domain_rules rules{universe_of(holders, rank(drives, {}, seed, shard_bytes)), how};
  auto filled = rules.count(holders);
  if (rules.excess_of(filled) == excess{})
    return std::nullopt;
  // The lightest first, so that those stay which would have been chosen.
  std::vector<std::pair<double, size_t>> order;
  for (size_t i = 0; i < placed.size(); ++i) {
    auto known = std::ranges::find(drives, placed[i], &drive_candidate::id);
    if (known != drives.end() && known->state == drive_state::ok && known->allowed && !known->read_only)
      order.emplace_back(score_of(*known, seed), i);
  }
  std::ranges::sort(order);
  for (size_t level = 0; level < label_levels; ++level)
    for (const auto& [score, index] : order) {
      if (!rules.is_crowded(filled, level, *std::ranges::find(drives, placed[index], &drive_candidate::id)))
        continue;
      std::vector<drive_id> others{placed.begin(), placed.end()};
      others[index] = {};
      auto to = place_one(drives, others, how, seed, shard_bytes);
      if (!to)
        return std::nullopt;
      others[index] = *to;
      if (rules.excess_of(rules.count(holders_of(drives, others))) < rules.excess_of(filled))
        return index;
    }
  return std::nullopt;
}

bool comes_closer(std::span<const drive_candidate> drives, std::span<const drive_id> placed, size_t index, const drive_id& to,
                  const policy& how, uint64_t shard_bytes) {
  if (how.level == domain_level::block)
    return false;
  std::vector<drive_id> after{placed.begin(), placed.end()};
  after[index] = to;
  // Both count by the same rules: those of all drives that play a part.
  std::vector<drive_id> both{placed.begin(), placed.end()};
  both.push_back(to);
  domain_rules rules{universe_of(holders_of(drives, both), rank(drives, {}, {}, shard_bytes)), how};
  return rules.excess_of(rules.count(holders_of(drives, placed))) < rules.excess_of(rules.count(holders_of(drives, after)));
}

} // namespace datamesh::storage
