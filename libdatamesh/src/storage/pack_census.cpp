#include "storage/pack_census.hpp"

#include <algorithm>
#include <map>

namespace datamesh::storage {

std::vector<bool> good_shards(const pack_record& pack, const drive_serves& serves) {
  std::vector<bool> good(pack.drives.size());
  for (size_t i = 0; i < good.size(); ++i)
    good[i] = !pack.drives[i].is_zero() && !pack.is_faulty(i) && serves(pack.drives[i]);
  return good;
}

void count_pack(pack_standing& to, const pack_record& pack, size_t good) {
  const auto& shape = pack.seal.shape;
  if (good < shape.k)
    ++to.lost;
  else if (good < shape.shard_count())
    ++to.below_full;
  else
    ++to.full;
  to.at_margin += good == shape.k && good < shape.shard_count();
}

int domains_to_spare(const std::vector<std::string>& domain_of_each_good_shard, size_t k) {
  std::map<std::string, size_t> shards;
  for (const auto& domain : domain_of_each_good_shard)
    ++shards[domain];
  std::vector<size_t> counts;
  for (const auto& [domain, count] : shards)
    counts.push_back(count);
  return drives_to_spare(std::move(counts), k);
}

loss_census::loss_census(std::set<drive_id> gone, std::vector<drive_candidate> candidates, drive_serves serves)
    : gone_(std::move(gone)), candidates_(std::move(candidates)), serves_(std::move(serves)) {
  // They take no shard, and are where they were no more.
  std::erase_if(candidates_, [&](const auto& drive) { return gone_.contains(drive.id); });
}

void loss_census::add(const pack_record& pack, domain_level level) {
  auto now = good_shards(pack, serves_);
  auto then = good_shards(pack, [&](const drive_id& id) { return !gone_.contains(id) && serves_(id); });
  ++report_.packs;
  count_pack(report_.now, pack, static_cast<size_t>(std::ranges::count(now, true)));
  auto left = static_cast<size_t>(std::ranges::count(then, true));
  count_pack(report_.then, pack, left);
  for (size_t i = 0; i < now.size(); ++i)
    if (now[i] && !then[i]) {
      ++report_.shards_gone;
      report_.bytes_gone += pack.seal.shape.shard_length;
    }
  if (left >= pack.seal.shape.k && left < then.size())
    play_repair(pack, then, level);
}

void loss_census::play_repair(const pack_record& pack, const std::vector<bool>& good, domain_level level) {
  const auto& shape = pack.seal.shape;
  report_.bytes_to_read += uint64_t{shape.k} * shape.shard_length;
  auto size = uint64_t{shape.shard_length} + shard_header_length(shape, true);
  // What lies on a drive that is away for now keeps its place until it has another.
  auto placed = pack.drives;
  for (auto& id : placed)
    if (gone_.contains(id))
      id = {};
  for (size_t i = 0; i < good.size(); ++i) {
    if (good[i])
      continue;
    ++report_.shards_to_repair;
    report_.bytes_to_write += shape.shard_length;
    auto own = std::ranges::find(candidates_, placed[i], &drive_candidate::id);
    // As a repair: where it lies, when that drive is at work, else on another.
    auto stays = !placed[i].is_zero() && own != candidates_.end() && own->state == drive_state::ok && own->allowed && !own->read_only;
    auto others = placed;
    others[i] = {};
    std::erase_if(others, [](const drive_id& id) { return id.is_zero(); });
    auto to = stays ? std::optional{placed[i]} : place_one(candidates_, others, {shape.k, shape.m, level}, pack.seal.id.view(), size);
    if (!to) {
      ++report_.shards_unplaced;
      continue;
    }
    placed[i] = *to;
    auto& drive = *std::ranges::find(candidates_, *to, &drive_candidate::id);
    drive.bytes_free -= std::min(drive.bytes_free, size);
  }
}

} // namespace datamesh::storage
