// Where the data of a vault is, and what a loss of drives would do to it.
#include "network/peer_drive.hpp"
#include "node/vault_impl.hpp"
#include "storage/pack_census.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <map>
#include <set>

namespace datamesh {

using storage::node_kind;

namespace {

constexpr size_t page_size = 1000;

using level = domain_share::level;
constexpr level all_levels[] = {level::zone, level::operated_by, level::node, level::drive};

/// The drives as they are now, and which of them serve.
struct drives_now {
  explicit drives_now(const storage::vault_context& context) {
    context.drives->look();
    all = context.drives->all();
    outside = context.drives->outside_rule();
  }

  [[nodiscard]] const storage::drive_entry* find(const drive_id& id) const {
    auto found = std::ranges::find(*all, id, &storage::drive_entry::id);
    return id.is_zero() || found == all->end() ? nullptr : &*found;
  }
  [[nodiscard]] storage::drive_serves serves() const {
    return [this](const drive_id& id) {
      const auto* drive = find(id);
      return drive != nullptr && drive->is_there() && drive->store->state() != storage::drive_state::failed;
    };
  }

  std::shared_ptr<const storage::drive_table::list> all;
  std::set<drive_id> outside; ///< Of the placement rule.
};

/// As `shard_healer` does, by which a repair keeps them apart.
storage::domain_level level_of(const storage::pack_record& pack, size_t drives) {
  std::set<drive_id> seen;
  auto shared = std::ranges::any_of(pack.drives, [&](const auto& drive) { return !drive.is_zero() && !seen.insert(drive).second; });
  return shared || drives == 1 ? storage::domain_level::block : storage::domain_level::drive;
}

result<void> each_pack(const storage::catalog& names, const std::function<void(const storage::pack_record&)>& visit) {
  std::optional<pack_id> after;
  for (;;) {
    auto page = names.packs(after, page_size);
    if (!page)
      return fail(page.error());
    if (page->empty())
      return {};
    after = page->back().seal.id;
    for (const auto& pack : *page)
      if (!pack.condemned)
        visit(pack);
  }
}

/// The packs that files need, and how many files these are.
class pack_gatherer {
public:
  pack_gatherer(const storage::catalog& names, const distribution_request& what) : names_(names), what_(what) {}

  result<void> add(const std::string& path) {
    auto node = names_.resolve(path);
    return node ? add(*node) : fail(node.error());
  }

  std::set<pack_id> packs;
  uint64_t files = 0;
  uint64_t chunks_gone = 0; ///< That no pack holds any more.

private:
  result<void> add(const storage::node_view& root) {
    std::vector<storage::node_view> waiting{root};
    while (!waiting.empty()) {
      auto node = std::move(waiting.back());
      waiting.pop_back();
      if (node.kind == node_kind::file) {
        if (auto done = add_file(node); !done)
          return done;
        continue;
      }
      if (node.kind != node_kind::folder)
        continue;
      for (std::string after;;) {
        auto page = names_.list(node.node, after, page_size);
        if (!page)
          return fail(page.error());
        if (page->empty())
          break;
        after = page->back().name;
        waiting.insert(waiting.end(), std::make_move_iterator(page->begin()), std::make_move_iterator(page->end()));
      }
    }
    return {};
  }

  result<bool> is_wanted(const storage::node_view& file) const {
    if (what_.tag_key.empty())
      return true;
    auto tags = names_.tags(file.node);
    if (!tags)
      return fail(tags.error());
    return std::ranges::any_of(*tags,
                               [&](const auto& tag) { return tag.first == what_.tag_key && (!what_.tag || tag.second == *what_.tag); });
  }

  result<void> add_file(const storage::node_view& file) {
    auto wanted = is_wanted(file);
    if (!wanted)
      return fail(wanted.error());
    // Two paths may lead to one file.
    if (!*wanted || !file.version || !seen_.insert(file.node).second)
      return {};
    ++files;
    for (uint64_t ordinal = 0; ordinal < file.extent_count;) {
      auto extents = names_.extents(*file.version, ordinal, 4096);
      if (!extents)
        return fail(extents.error());
      if (extents->empty())
        break;
      ordinal += extents->size();
      for (const auto& next : *extents) {
        if (!next.chunk)
          continue;
        auto place = names_.locate_chunk(*next.chunk);
        if (!place)
          return fail(place.error());
        if (*place)
          packs.insert((*place)->pack);
        else
          ++chunks_gone;
      }
    }
    return {};
  }

  const storage::catalog& names_;
  const distribution_request& what_;
  std::set<node_id> seen_;
};

/// What a domain of a level is called, and whether that is by a label.
std::pair<std::string, bool> name_of(const storage::drive_entry& drive, level of) {
  auto node = drive.node.empty() ? std::string{"this node"} : "node:" + drive.node;
  auto by_operator = drive.labels.operated_by.empty() ? std::pair{node, false} : std::pair{drive.labels.operated_by, true};
  switch (of) {
  case level::zone:
    if (drive.labels.zone.empty())
      return {by_operator.first, false};
    return {drive.labels.region.empty() ? drive.labels.zone : drive.labels.region + "/" + drive.labels.zone, true};
  case level::operated_by:
    return by_operator;
  case level::node:
    return {node, true};
  case level::drive:
    break;
  }
  return {drive.folder, true};
}

/// The domain of a drive as placement keeps shards apart; of level drive the drive.
std::string domain_of(const storage::drive_entry& drive, level of) {
  return of == level::drive ? drive.id.hex() : drive.domains()[static_cast<size_t>(of)];
}

class distribution_census {
public:
  distribution_census(const drives_now& drives, distribution_report& to) : drives_(drives), serves_(drives.serves()), report_(to) {
    report_.margins.clear();
  }

  void add(const storage::pack_record& pack) {
    const auto& shape = pack.seal.shape;
    auto good = storage::good_shards(pack, serves_);
    auto count = static_cast<size_t>(std::ranges::count(good, true));
    ++report_.packs;
    storage::count_pack(report_.standing, pack, count);
    report_.shards += good.size();
    report_.shards_bad += good.size() - count;
    report_.shards_outside +=
        static_cast<uint64_t>(std::ranges::count_if(pack.drives, [&](const auto& id) { return drives_.outside.contains(id); }));
    auto margin = static_cast<int>(count) - static_cast<int>(shape.k);
    report_.margin = std::min(report_.margin.value_or(margin), margin);
    if (report_.margins.empty())
      report_.margins.assign(std::size(all_levels), std::numeric_limits<int>::max());
    for (auto of : all_levels)
      add_level(pack, good, count, of);
  }

  void finish() {
    for (auto& [key, share] : shares_)
      report_.shares.push_back(std::move(share));
  }

private:
  void add_level(const storage::pack_record& pack, const std::vector<bool>& good, size_t count, level of) {
    const auto& shape = pack.seal.shape;
    std::vector<std::string> domains;
    std::map<domain_share*, size_t> here; // Good ones.
    for (size_t i = 0; i < good.size(); ++i) {
      const auto* drive = drives_.find(pack.drives[i]);
      if (drive == nullptr)
        continue; // It is on no drive of this node.
      auto& share = share_of(*drive, of);
      ++share.shards;
      share.shards_bad += good[i] ? 0 : 1;
      share.bytes += shape.shard_length;
      here[&share] += good[i] ? 1 : 0;
      if (good[i])
        domains.push_back(domain_of(*drive, of));
    }
    for (const auto& [share, shards] : here) {
      ++share->packs;
      share->packs_needed += count >= shape.k && count - shards < shape.k;
    }
    auto& margin = report_.margins[static_cast<size_t>(of)];
    margin = std::min(margin, storage::domains_to_spare(domains, shape.k));
  }

  domain_share& share_of(const storage::drive_entry& drive, level of) {
    auto [name, labelled] = name_of(drive, of);
    auto [at, fresh] = shares_.try_emplace({of, name, domain_of(drive, of)});
    if (fresh) {
      at->second.of = of;
      at->second.name = name;
      at->second.labelled = labelled;
    }
    return at->second;
  }

  const drives_now& drives_;
  storage::drive_serves serves_;
  distribution_report& report_;
  std::map<std::tuple<level, std::string, std::string>, domain_share> shares_;
};

} // namespace

result<loss_report> local_vault::foresee_loss(const std::vector<drive_id>& ids) const {
  const auto& context = *runtime_->context;
  drives_now drives{context};
  std::set<drive_id> gone{ids.begin(), ids.end()};
  for (const auto& id : gone)
    if (drives.find(id) == nullptr)
      return fail(errc::not_found, "find drive", id.hex());
  auto candidates = context.drives->candidates(*drives.all, storage::room_for::data);
  // One that is away takes nothing, though it may still say what room it had.
  for (auto& candidate : candidates)
    if (const auto* drive = drives.find(candidate.id); drive == nullptr || !drive->is_there())
      candidate.state = storage::drive_state::failed;
  auto left = candidates.size() - gone.size();
  storage::loss_census census{gone, std::move(candidates), drives.serves()};
  if (auto counted = each_pack(*context.names, [&](const auto& pack) { census.add(pack, level_of(pack, left)); }); !counted)
    return fail(counted.error());
  auto report = census.report();
  for (auto& drive : runtime_->core->reports())
    if (gone.contains(drive.id))
      report.drives.push_back(std::move(drive));
  return report;
}

result<distribution_report> local_vault::distribution(const distribution_request& what) const {
  const auto& context = *runtime_->context;
  drives_now drives{context};
  distribution_report report;
  distribution_census census{drives, report};
  if (what.paths.empty() && what.tag_key.empty()) {
    auto totals = context.names->totals();
    if (!totals)
      return fail(totals.error());
    report.files = totals->files;
    if (auto counted = each_pack(*context.names, [&](const auto& pack) { census.add(pack); }); !counted)
      return fail(counted.error());
    census.finish();
    return report;
  }
  pack_gatherer gathered{*context.names, what};
  for (const auto& path : what.paths.empty() ? std::vector<std::string>{"/"} : what.paths)
    if (auto added = gathered.add(path); !added)
      return fail(added.error());
  report.files = gathered.files;
  for (const auto& id : gathered.packs) {
    auto pack = context.names->find_pack(id);
    if (!pack)
      return fail(pack.error());
    if (*pack)
      census.add(**pack);
    else
      ++gathered.chunks_gone;
  }
  if (gathered.chunks_gone > 0)
    report.margin = std::min(report.margin.value_or(-1), -1);
  census.finish();
  return report;
}

} // namespace datamesh
