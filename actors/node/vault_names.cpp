// Names of a vault: listing, moving, tagging, removing.
#include "node/vault_impl.hpp"

#include <algorithm>
#include <map>

namespace datamesh {

using storage::node_kind;
using storage::node_view;
using storage::operation_body;

namespace {

constexpr size_t page_size = 1000;
constexpr size_t list_limit_max = 10'000;
constexpr size_t bodies_at_once = 1000;

/// The tag that keeps where something in the trash came from. Ours alone.
constexpr std::string_view removed_from = "datamesh.removed-from";
constexpr size_t removed_from_max = 64 << 10;

entry entry_of(const node_view& node, std::string path) {
  entry result;
  result.path = std::move(path);
  result.name = node.name;
  result.kind = static_cast<entry_kind>(node.kind);
  result.size = node.size;
  result.mode = node.mode;
  result.modified_ns = node.modified_ns;
  result.symlink_target = node.symlink_target;
  result.version_count = node.version_count;
  result.node = node.node;
  return result;
}

std::string below(const std::string& folder, const std::string& name) {
  return folder == "/" ? "/" + name : folder + "/" + name;
}

/// *path* with another last part.
std::string beside(const std::string& path, const std::string& name) {
  return path.substr(0, path.rfind('/') + 1) + name;
}

std::string clean_path(std::string_view path) {
  std::string result;
  for (const auto& name : storage::split_path(path))
    result += "/" + name;
  return result.empty() ? "/" : result;
}

/// Walks below a folder, depth first, entries in order of name; resumes behind a
/// path that it answered before.
class walker {
public:
  walker(const storage::catalog& names, const list_request& what) : names_(names), recursive_(what.recursive) {}

  result<void> start(const node_view& folder, const std::string& path, const std::string& cursor) {
    levels_.push_back({folder.node, path, {}});
    if (cursor.empty())
      return {};
    auto root = storage::split_path(path).size();
    auto parts = storage::split_path(cursor);
    for (size_t i = root; i < parts.size(); ++i) {
      levels_.back().after = parts[i];
      if (!recursive_)
        break;
      auto child = names_.child(levels_.back().node, parts[i]);
      if (!child)
        return fail(child.error());
      if (!*child || (*child)->kind != node_kind::folder)
        break;
      levels_.push_back({(*child)->node, below(levels_.back().path, parts[i]), {}});
    }
    return {};
  }

  result<std::optional<std::pair<node_view, std::string>>> next() {
    while (!levels_.empty()) {
      auto& level = levels_.back();
      if (level.page.empty() && !level.at_end) {
        auto page = names_.list(level.node, level.after, page_size);
        if (!page)
          return fail(page.error());
        level.at_end = page->size() < page_size;
        std::reverse(page->begin(), page->end());
        level.page = std::move(*page);
      }
      if (level.page.empty()) {
        levels_.pop_back();
        continue;
      }
      auto node = std::move(level.page.back());
      level.page.pop_back();
      level.after = node.name;
      auto path = below(level.path, node.name);
      if (recursive_ && node.kind == node_kind::folder)
        levels_.push_back({node.node, path, {}});
      return std::pair{std::move(node), std::move(path)};
    }
    return std::nullopt;
  }

private:
  struct level_state {
    node_id node;
    std::string path;
    std::string after;
    std::vector<node_view> page; ///< Reversed.
    bool at_end = false;
  };
  const storage::catalog& names_;
  bool recursive_;
  std::vector<level_state> levels_;
};

int spare_drives(const storage::pack_record& pack, const storage::drive_table::list& drives) {
  std::map<drive_id, size_t> good;
  for (size_t i = 0; i < pack.drives.size(); ++i) {
    const auto& id = pack.drives[i];
    const auto* drive = id.is_zero() || pack.is_faulty(i) ? nullptr : storage::drive_table::find(drives, id);
    if (drive != nullptr && drive->is_there())
      ++good[id];
  }
  std::vector<size_t> counts;
  for (const auto& [id, count] : good)
    counts.push_back(count);
  return storage::drives_to_spare(std::move(counts), pack.seal.shape.k);
}

/// Fewest drives that may be lost before any pack that a file needs is, by what is good
/// on those that are there now.
result<std::optional<int>> margin_of(const storage::vault_context& context, const node_view& node) {
  if (node.kind != node_kind::file || !node.version)
    return std::nullopt;
  auto drives = context.drives->all();
  std::optional<int> least;
  std::optional<pack_id> last;
  for (uint64_t ordinal = 0; ordinal < node.extent_count;) {
    auto extents = context.names->extents(*node.version, ordinal, 4096);
    if (!extents)
      return fail(extents.error());
    if (extents->empty())
      break;
    ordinal += extents->size();
    for (const auto& next : *extents) {
      if (!next.chunk)
        continue;
      auto place = context.names->locate_chunk(*next.chunk);
      if (!place)
        return fail(place.error());
      if (!*place) {
        least = std::min(least.value_or(-1), -1);
        continue;
      }
      if (last == (*place)->pack)
        continue;
      last = (*place)->pack;
      auto pack = context.names->find_pack((*place)->pack);
      if (!pack)
        return fail(pack.error());
      auto margin = *pack ? spare_drives(**pack, *drives) : -1;
      least = std::min(least.value_or(margin), margin);
    }
  }
  return least;
}

} // namespace

std::vector<key_lock> describe(const std::vector<crypto::lock_facts>& locks) {
  std::vector<key_lock> result;
  for (const auto& lock : locks) {
    auto kind = lock.kind == crypto::lock_kind::password          ? "password"
                : lock.kind == crypto::lock_kind::recovery_phrase ? "recovery-phrase"
                                                                  : "device";
    result.push_back({lock.number, kind, lock.label, lock.created_ns});
  }
  return result;
}

result<list_page> local_vault::list(const list_request& what) const {
  const auto& context = *runtime_->context;
  auto node = context.names->resolve(what.path);
  if (!node)
    return fail(node.error());
  auto path = clean_path(what.path);
  auto limit = std::clamp<size_t>(what.limit, 1, list_limit_max);
  list_page page;
  if (what.health)
    context.drives->look();
  auto add = [&](const node_view& view, std::string at) -> result<void> {
    auto row = entry_of(view, std::move(at));
    if (what.health) {
      auto margin = margin_of(context, view);
      if (!margin)
        return fail(margin.error());
      row.margin = *margin;
    }
    page.entries.push_back(std::move(row));
    return {};
  };
  if (node->kind != node_kind::folder) {
    if (auto added = add(*node, path); !added)
      return fail(added.error());
    return page;
  }
  walker walk{*context.names, what};
  if (auto started = walk.start(*node, path, what.cursor); !started)
    return fail(started.error());
  for (;;) {
    auto next = walk.next();
    if (!next)
      return fail(next.error());
    if (!*next)
      return page;
    if (page.entries.size() == limit) {
      page.next_cursor = page.entries.back().path;
      return page;
    }
    if (auto added = add((*next)->first, std::move((*next)->second)); !added)
      return fail(added.error());
  }
}

result<entry> local_vault::info(const std::string& path) const {
  const auto& context = *runtime_->context;
  auto node = context.names->resolve(path);
  if (!node)
    return fail(node.error());
  auto row = entry_of(*node, clean_path(path));
  auto tags = context.names->tags(node->node);
  if (!tags)
    return fail(tags.error());
  row.tags = std::move(*tags);
  std::erase_if(row.tags, [](const auto& tag) { return tag.first == removed_from; });
  context.drives->look();
  auto margin = margin_of(context, *node);
  if (!margin)
    return fail(margin.error());
  row.margin = *margin;
  return row;
}

result<std::vector<version_entry>> local_vault::versions(const std::string& path) const {
  auto node = runtime_->context->names->resolve(path);
  if (!node)
    return fail(node.error());
  if (node->kind == node_kind::folder)
    return fail(errc::is_a_folder, "list versions", path);
  auto versions = runtime_->context->names->versions(node->node);
  if (!versions)
    return fail(versions.error());
  std::vector<version_entry> rows;
  for (const auto& version : *versions)
    rows.push_back({version.version, version.stored_ns, version.modified_ns, version.size, version.current});
  return rows;
}

result<change_result> local_vault::remove(const std::string& path, bool recursive) {
  auto& runtime = *runtime_;
  auto node = runtime.context->names->resolve(path);
  if (!node)
    return fail(node.error());
  if (node->node == storage::root_node())
    return fail(errc::invalid_argument, "remove the root", path);
  if (node->kind == node_kind::folder && !recursive) {
    auto first = runtime.context->names->list(node->node, {}, 1);
    if (!first)
      return fail(first.error());
    if (!first->empty())
      return fail(errc::folder_not_empty, "remove folder", path);
  }
  auto name = storage::split_path(path).back();
  std::vector<operation_body> bodies;
  if (auto from = clean_path(path); from.size() <= removed_from_max)
    bodies.emplace_back(storage::set_tag{node->node, std::string{removed_from}, std::move(from)});
  bodies.emplace_back(storage::move_node{node->node, storage::trash_node(), name, node->kind});
  if (auto applied = runtime.apply(bodies); !applied)
    return fail(applied.error());
  return change_result{};
}

result<change_result> local_vault::move(const std::string& from, const std::string& to, if_exists conflict) {
  auto& runtime = *runtime_;
  auto& context = *runtime.context;
  auto node = context.names->resolve(from);
  if (!node)
    return fail(node.error());
  if (node->node == storage::root_node())
    return fail(errc::invalid_argument, "move the root", from);
  auto source = clean_path(from);
  auto target = clean_path(to);
  // Into a folder that is there, under its own name.
  if (auto there = context.names->resolve(target); there && there->kind == node_kind::folder && target != source)
    target = below(target, node->name);
  if (target == source)
    return change_result{.path = source};
  if (node->kind == node_kind::folder && target.starts_with(source + "/"))
    return fail(errc::conflict, "move a folder into itself", from);
  auto job = runtime.core->next_job();
  auto claim = context.claims->take(target, node->kind, conflict == if_exists::version ? if_exists::fail : conflict, job);
  if (!claim)
    return fail(claim.error());
  if (!claim->fresh) {
    context.claims->release(job);
    return fail(errc::already_exists, "move to", target);
  }
  std::vector<operation_body> bodies;
  for (const auto& folder : claim->folders)
    bodies.emplace_back(folder);
  bodies.emplace_back(storage::move_node{node->node, claim->parent, claim->name, node->kind});
  auto applied = runtime.apply(bodies);
  context.claims->release(job);
  if (!applied)
    return fail(applied.error());
  return change_result{.path = beside(target, claim->name)};
}

result<change_result> local_vault::copy(const std::string& from, const std::string& to, if_exists conflict) {
  auto& runtime = *runtime_;
  auto& context = *runtime.context;
  // What is read here must be referred to before a cleanup plans again.
  auto held = context.leaving.hold_plans();
  auto node = context.names->resolve(from);
  if (!node)
    return fail(node.error());
  auto source = clean_path(from);
  auto target = clean_path(to);
  if (auto there = context.names->resolve(target); there && there->kind == node_kind::folder && target != source)
    target = below(target, node->name);
  if (node->kind == node_kind::folder && (target == source || target.starts_with(source == "/" ? "/" : source + "/")))
    return fail(errc::conflict, "copy a folder into itself", from);
  auto job = runtime.core->next_job();
  std::vector<operation_body> bodies;
  auto send = [&]() -> result<void> {
    auto applied = bodies.empty() ? result<void>{} : runtime.apply(bodies);
    bodies.clear();
    return applied;
  };
  std::string place; // Of what was copied last.
  auto copy_one = [&](const node_view& view, const std::string& path) -> result<void> {
    auto claim = context.claims->take(path, view.kind, conflict, job);
    if (!claim)
      return fail(claim.error());
    for (const auto& folder : claim->folders)
      bodies.emplace_back(folder);
    if (claim->fresh)
      bodies.emplace_back(storage::move_node{claim->node, claim->parent, claim->name, view.kind});
    place = beside(path, claim->name);
    if (!view.version)
      return {};
    auto fresh = random_id<version_id>(*context.env.random);
    if (!fresh)
      return fail(fresh.error());
    storage::put_version version;
    version.node = claim->node;
    version.version = *fresh;
    if (claim->existing && claim->existing->version)
      version.replaces.push_back(*claim->existing->version);
    version.size = view.size;
    version.mode = view.mode;
    version.modified_ns = view.modified_ns;
    version.symlink_target = view.symlink_target;
    version.extent_count = view.extent_count;
    uint64_t ordinal = 0;
    while (ordinal < view.extent_count) {
      auto extents = context.names->extents(*view.version, ordinal, storage::extents_per_operation_max);
      if (!extents)
        return fail(extents.error());
      if (extents->empty())
        return fail(errc::store_corrupt, "copy", path);
      auto count = extents->size();
      if (ordinal + count < view.extent_count)
        bodies.emplace_back(storage::add_extents{*fresh, ordinal, std::move(*extents)});
      else
        version.extents = std::move(*extents);
      ordinal += count;
    }
    bodies.emplace_back(std::move(version));
    return bodies.size() >= bodies_at_once ? send() : result<void>{};
  };
  auto outcome = copy_one(*node, target);
  const auto top = place;
  if (outcome && node->kind == node_kind::folder) {
    list_request all;
    all.recursive = true;
    walker walk{*context.names, all};
    outcome = walk.start(*node, source, {});
    while (outcome) {
      auto next = walk.next();
      if (!next || !*next) {
        if (!next)
          outcome = fail(next.error());
        break;
      }
      auto relative = (*next)->second.substr(source == "/" ? 0 : source.size());
      outcome = copy_one((*next)->first, top + relative);
    }
  }
  if (outcome)
    outcome = send();
  context.claims->release(job);
  if (!outcome)
    return fail(outcome.error());
  return change_result{.path = top};
}

result<change_result> local_vault::make_folder(const std::string& path) {
  auto& runtime = *runtime_;
  auto job = runtime.core->next_job();
  auto claim = runtime.context->claims->take(path, node_kind::folder, if_exists::fail, job);
  if (!claim)
    return fail(claim.error());
  std::vector<operation_body> bodies;
  for (const auto& folder : claim->folders)
    bodies.emplace_back(folder);
  if (claim->fresh)
    bodies.emplace_back(storage::move_node{claim->node, claim->parent, claim->name, node_kind::folder});
  auto applied = bodies.empty() ? result<void>{} : runtime.apply(bodies);
  runtime.context->claims->release(job);
  if (!applied)
    return fail(applied.error());
  return change_result{};
}

result<change_result> local_vault::set_tag(const std::string& path, const std::string& key, std::optional<std::string> value) {
  if (key.empty() || key == removed_from || key.size() > storage::name_size_max || (value && value->size() > 4096))
    return fail(errc::invalid_argument, "set a tag", key);
  auto node = runtime_->context->names->resolve(path);
  if (!node)
    return fail(node.error());
  if (auto applied = runtime_->apply({storage::set_tag{node->node, key, std::move(value)}}); !applied)
    return fail(applied.error());
  return change_result{};
}

result<change_result> local_vault::revert(const std::string& path, const version_id& version) {
  auto& runtime = *runtime_;
  const auto& names = *runtime.context->names;
  auto held = runtime.context->leaving.hold_plans();
  auto node = names.resolve(path);
  if (!node)
    return fail(node.error());
  auto versions = names.versions(node->node);
  if (!versions)
    return fail(versions.error());
  auto old = std::find_if(versions->begin(), versions->end(), [&](const auto& v) { return v.version == version; });
  if (old == versions->end() || runtime.context->leaving.has(version))
    return fail(errc::not_found, "find version", version.hex());
  auto fresh = random_id<version_id>(*runtime.core->env.random);
  if (!fresh)
    return fail(fresh.error());
  std::vector<operation_body> bodies;
  storage::put_version next;
  next.node = node->node;
  next.version = *fresh;
  if (node->version)
    next.replaces.push_back(*node->version);
  next.size = old->size;
  next.mode = old->mode;
  next.modified_ns = old->modified_ns;
  next.symlink_target = node->symlink_target;
  next.extent_count = old->extent_count;
  for (uint64_t ordinal = 0; ordinal < old->extent_count;) {
    auto extents = names.extents(version, ordinal, storage::extents_per_operation_max);
    if (!extents)
      return fail(extents.error());
    if (extents->empty())
      return fail(errc::store_corrupt, "revert", path);
    auto count = extents->size();
    if (ordinal + count < old->extent_count)
      bodies.emplace_back(storage::add_extents{*fresh, ordinal, std::move(*extents)});
    else
      next.extents = std::move(*extents);
    ordinal += count;
  }
  bodies.emplace_back(std::move(next));
  if (auto applied = runtime.apply(bodies); !applied)
    return fail(applied.error());
  return change_result{};
}

result<std::vector<std::pair<entry, int64_t>>> local_vault::trash() const {
  const auto& names = *runtime_->context->names;
  std::vector<std::pair<entry, int64_t>> rows;
  std::string after;
  for (;;) {
    auto page = names.list(storage::trash_node(), after, page_size);
    if (!page)
      return fail(page.error());
    for (const auto& node : *page) {
      auto row = entry_of(node, node.node.hex());
      auto tags = names.tags(node.node);
      if (!tags)
        return fail(tags.error());
      for (auto& [key, value] : *tags)
        if (key == removed_from)
          row.path = std::move(value);
      rows.emplace_back(std::move(row), node.moved_ns);
    }
    if (page->size() < page_size)
      break;
    after = page->back().name;
  }
  std::sort(rows.begin(), rows.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
  return rows;
}

result<change_result> local_vault::restore_from_trash(const node_id& node, const std::string& target_path) {
  auto& runtime = *runtime_;
  auto held = runtime.context->leaving.hold_plans();
  auto view = runtime.context->names->node(node);
  if (!view)
    return fail(view.error());
  if (view->parent != storage::trash_node() || runtime.context->leaving.has(node))
    return fail(errc::not_found, "find in the trash", node.hex());
  auto job = runtime.core->next_job();
  auto claim = runtime.context->claims->take(target_path, view->kind, if_exists::fail, job);
  if (!claim)
    return fail(claim.error());
  std::vector<operation_body> bodies;
  for (const auto& folder : claim->folders)
    bodies.emplace_back(folder);
  bodies.emplace_back(storage::move_node{node, claim->parent, claim->name, view->kind});
  bodies.emplace_back(storage::set_tag{node, std::string{removed_from}, std::nullopt});
  auto applied = claim->fresh ? runtime.apply(bodies) : result<void>{fail(errc::already_exists, "restore to", target_path)};
  runtime.context->claims->release(job);
  if (!applied)
    return fail(applied.error());
  return change_result{};
}

} // namespace datamesh
