#include "storage/cleanup.hpp"

#include <map>

namespace datamesh::storage {

namespace {

constexpr size_t page_size = 256;
/// What a chunk or a batch takes in a pack's table, about.
constexpr uint64_t table_entry_size = 64;

bool run_out(int64_t since_ns, int64_t kept_ns, int64_t now_ns) {
  // What is kept for no time is not saved by a clock that was set back.
  return kept_ns <= 0 || (since_ns <= now_ns && now_ns - since_ns >= kept_ns);
}

/// A set of identifiers as the sorted first 16 bytes of each. Two that agree in
/// these count as one: then something dead is kept.
class id_set {
public:
  template <class Id>
  void add(const Id& id) {
    list_.push_back(prefix_of(id));
    if (list_.size() >= 2 * settled_ + (64 << 10))
      settle();
  }
  void settle() {
    std::sort(list_.begin(), list_.end());
    list_.erase(std::unique(list_.begin(), list_.end()), list_.end());
    settled_ = list_.size();
  }
  /// @pre settled
  template <class Id>
  [[nodiscard]] bool has(const Id& id) const {
    return std::binary_search(list_.begin(), list_.end(), prefix_of(id));
  }

private:
  using prefix = std::array<std::byte, 16>;

  template <class Id>
  static prefix prefix_of(const Id& id) {
    prefix p;
    std::copy_n(id.view().begin(), p.size(), p.begin());
    return p;
  }

  std::vector<prefix> list_;
  size_t settled_ = 0;
};

class planner {
public:
  planner(const catalog& names, const retention& rules, const copy_protection& copies, int64_t now_ns, const std::set<pack_id>& pinned,
          const checkpoint_cover& cover)
      : names_(names), rules_(rules), protection_(copies), now_ns_(now_ns), pinned_(pinned), cover_(cover) {}

  result<cleanup_plan> run() {
    if (auto good = empty_trash(); !good)
      return fail(good.error());
    if (auto good = drop_versions(); !good)
      return fail(good.error());
    if (auto good = find_living(); !good)
      return fail(good.error());
    if (auto good = judge_packs(); !good)
      return fail(good.error());
    merge_short();
    count_bytes();
    return std::move(plan_);
  }

private:
  using copy = cleanup_plan::copy;
  using target = std::pair<space_id, std::pair<uint8_t, uint8_t>>; ///< k and m of a policy.
  using copy_list = std::vector<std::pair<copy, uint64_t>>;        ///< With what each takes on drives now.

  /// *parent* is a copy: a visitor may add to the list that it comes from.
  template <class Visit>
  result<void> each_child(node_id parent, const Visit& visit) {
    std::string after;
    for (;;) {
      auto page = names_.list(parent, after, page_size);
      if (!page)
        return fail(page.error());
      for (const auto& n : *page)
        if (auto good = visit(n); !good)
          return good;
      if (page->size() < page_size)
        return {};
      after = page->back().name;
    }
  }

  result<void> empty_trash() {
    auto good = each_child(trash_node(), [&](const node_view& n) -> result<void> {
      return run_out(n.moved_ns, rules_.trash_ns, now_ns_) ? purge_tree(n) : result<void>{};
    });
    nodes_gone_.settle();
    return good;
  }

  /// A node after all that is in it. Without recursion, as trees may be deep.
  result<void> purge_tree(const node_view& top) {
    std::vector<node_id> found{top.node};
    plan_.versions_forgotten += top.version_count;
    for (size_t i = 0; i < found.size(); ++i) {
      auto good = each_child(found[i], [&](const node_view& n) -> result<void> {
        found.push_back(n.node);
        plan_.versions_forgotten += n.version_count;
        return {};
      });
      if (!good)
        return good;
    }
    for (auto id = found.rbegin(); id != found.rend(); ++id) {
      nodes_gone_.add(*id);
      plan_.forget.emplace_back(purge_node{*id});
    }
    plan_.nodes_forgotten += found.size();
    return {};
  }

  result<void> drop_versions() {
    if (rules_.versions_kept == 0 && rules_.versions_kept_ns == 0)
      return {};
    result<void> outcome;
    auto visited = names_.visit_nodes([&](const node_view& n) {
      if (n.version_count > 1 && !nodes_gone_.has(n.node))
        outcome = drop_versions_of(n.node);
      return outcome.has_value();
    });
    versions_gone_.settle();
    return outcome ? visited : outcome;
  }

  result<void> drop_versions_of(const node_id& node) {
    auto list = names_.versions(node);
    if (!list)
      return fail(list.error());
    uint32_t kept = 1; // The current one.
    for (const auto& v : *list) {
      if (v.current)
        continue;
      bool too_many = rules_.versions_kept > 0 && kept >= rules_.versions_kept;
      bool too_old = rules_.versions_kept_ns > 0 && run_out(v.stored_ns, rules_.versions_kept_ns, now_ns_);
      if (!too_many && !too_old) {
        kept += 1;
        continue;
      }
      versions_gone_.add(v.version);
      plan_.forget.emplace_back(drop_version{node, v.version});
      plan_.versions_forgotten += 1;
    }
    return {};
  }

  result<void> find_living() {
    auto good = names_.visit_references([&](const node_id& node, const version_id& version, const chunk_id& chunk) {
      if (!nodes_gone_.has(node) && !versions_gone_.has(version))
        living_.add(chunk);
      return true;
    });
    living_.settle();
    return good;
  }

  result<void> judge_packs() {
    std::optional<pack_id> after;
    for (;;) {
      auto page = names_.packs(after, page_size);
      if (!page)
        return fail(page.error());
      for (const auto& pack : *page)
        if (!pinned_.count(pack.seal.id))
          if (auto good = judge(pack); !good)
            return good;
      if (page->size() < page_size)
        return {};
      after = page->back().seal.id;
    }
  }

  result<void> judge(const pack_record& pack) {
    auto table = names_.table_of(pack.seal.id);
    if (!table)
      return fail(table.error());
    copy found{pack.seal.id, table->space, policy_of_copy(pack), {}, {}, 0};
    uint64_t total = 0;
    for (const auto& o : table->operations) {
      total += o.sealed_length;
      if (cover_.drops(o))
        continue;
      found.operations.push_back(o);
      found.bytes += o.sealed_length;
    }
    for (const auto& entry : table->chunks) {
      total += entry.sealed_length;
      if (!living_.has(entry.id))
        continue;
      auto place = names_.locate_chunk(entry.id);
      if (!place)
        return fail(place.error());
      if (!*place || (*place)->pack != pack.seal.id || (*place)->entry.offset != entry.offset)
        continue;
      found.living.push_back(entry);
      found.bytes += entry.sealed_length;
    }
    auto bytes_on_drives = uint64_t{pack.seal.shape.shard_length} * pack.shards_present();
    if (found.living.empty() && (found.operations.empty() || pack.copied_forward)) {
      plan_.dead.push_back(pack.seal.id);
      freed_ += bytes_on_drives;
    } else if (!pack.condemned && is_stronger_than(pack, found.how)) {
      return {};
    } else if (pack.condemned || static_cast<double>(found.bytes) < rules_.live_ratio_min * static_cast<double>(total)) {
      copies_[target_of(found)].emplace_back(std::move(found), bytes_on_drives);
    } else if (protection_.raised && !pack.lost && drive_losses_survived(pack) < drive_losses_survived(protection_.how)) {
      copies_[target_of(found)].emplace_back(std::move(found), bytes_on_drives);
    } else if (pack.used_length < rules_.short_pack_bytes) {
      short_[target_of(found)].emplace_back(std::move(found), bytes_on_drives);
    }
    return {};
  }

  /// Its own, if it survives as much as new ones and the drives allow it.
  [[nodiscard]] policy policy_of_copy(const pack_record& pack) const {
    const auto& shape = pack.seal.shape;
    auto own = policy{shape.k, shape.m, protection_.how.level};
    auto fits = own.level == domain_level::block || shape.shard_count() <= protection_.drives;
    auto weaker = drive_losses_survived(pack) < drive_losses_survived(protection_.how);
    return fits && !weaker ? own : protection_.how;
  }

  static bool is_stronger_than(const pack_record& pack, const policy& how) {
    return drive_losses_survived(pack) > drive_losses_survived(how);
  }

  static target target_of(const copy& one) {
    return {one.space, {one.how.k, one.how.m}};
  }

  /// A short pack is worth a copy only where it shares the new pack.
  void merge_short() {
    for (auto& [into, list] : short_)
      if (list.size() + copies_[into].size() > 1)
        std::move(list.begin(), list.end(), std::back_inserter(copies_[into]));
    for (auto& [into, list] : copies_)
      std::sort(list.begin(), list.end(), [](const auto& a, const auto& b) { return a.first.pack < b.first.pack; });
  }

  void count_bytes() {
    uint64_t taken = 0;
    for (auto& [into, list] : copies_) {
      uint64_t payload = 0;
      for (auto& [one, bytes_on_drives] : list) {
        freed_ += bytes_on_drives;
        payload += one.bytes + table_entry_size * (one.living.size() + one.operations.size());
        plan_.copied.push_back(std::move(one));
      }
      taken += bytes_for(into.second.first, into.second.second, payload);
    }
    plan_.bytes_freed = freed_ > taken ? freed_ - taken : 0;
  }

  /// What packs with that much in them take on drives.
  static uint64_t bytes_for(uint8_t k, uint8_t m, uint64_t payload) {
    constexpr uint64_t room = pack_size_max - (64 << 10);
    uint64_t taken = 0;
    while (payload > 0) {
      auto part = std::min(payload, room);
      auto shape = geometry_for(k, m, static_cast<uint32_t>(pack_header_size + part));
      taken += uint64_t{shape.shard_length} * shape.shard_count();
      payload -= part;
    }
    return taken;
  }

  const catalog& names_;
  const retention& rules_;
  const copy_protection& protection_;
  int64_t now_ns_;
  const std::set<pack_id>& pinned_;
  const checkpoint_cover& cover_;
  cleanup_plan plan_;
  id_set nodes_gone_;
  id_set versions_gone_;
  id_set living_;
  std::map<target, copy_list> copies_;
  std::map<target, copy_list> short_;
  uint64_t freed_ = 0;
};

} // namespace

result<cleanup_plan> plan_cleanup(const catalog& names, const retention& rules, const copy_protection& copies, int64_t now_ns,
                                  const std::set<pack_id>& pinned, const checkpoint_cover& cover) {
  auto plan = planner{names, rules, copies, now_ns, pinned, cover}.run();
  if (!plan)
    return fail(plan.error().within("plan cleanup"));
  return plan;
}

} // namespace datamesh::storage
