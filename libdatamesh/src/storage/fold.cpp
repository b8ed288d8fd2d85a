#include "storage/fold.hpp"

#include "storage/name_index.hpp"

namespace datamesh::storage {

namespace {

bool same(const std::optional<node_place>& a, const std::optional<node_place>& b) {
  return a == b;
}

} // namespace

bool is_shown(const node_row& row) {
  if (!row.where)
    return false;
  if (!row.purged || row.version_count > 0 || row.child_count > 0)
    return true;
  return row.where->kind == node_kind::folder && *row.purged < row.where->at;
}

fold::entry& fold::entry_of(const node_id& id) {
  auto [i, fresh] = nodes_.try_emplace(id);
  auto& e = i->second;
  if (!fresh)
    return e;
  auto key = id_key(row_kind::node, id);
  if (auto value = rows.get(key)) {
    e.loaded = std::move(*value);
    if (auto row = rows.parse<node_row>(key, e.loaded))
      e.row = std::move(*row);
  }
  if (e.row.shown) {
    e.shown_at = e.row.where;
    e.counted_bytes = e.row.current_size;
    if (!e.shown_at)
      rows.damaged(key);
  }
  return e;
}

node_row& fold::edit(const node_id& id) {
  auto& e = entry_of(id);
  enqueue(id, e);
  return e.row;
}

void fold::enqueue(const node_id& id, entry& e) {
  if (!e.queued)
    queue_.push_back(id);
  e.queued = true;
}

device_log& fold::log_of(const device_id& device) {
  auto [i, fresh] = logs_.try_emplace(device);
  if (fresh)
    i->second = rows.load<device_log>(id_key(row_kind::device, device)).value_or(device_log{});
  return i->second;
}

void fold::count(const node_place& where, bool more) {
  auto& t = head.totals;
  auto& kind = where.kind == node_kind::folder ? t.folders : where.kind == node_kind::symlink ? t.symlinks : t.files;
  kind += more ? 1 : uint64_t(-1);
}

void fold::publish_node(const node_id& id) {
  auto& e = nodes_.at(id);
  auto target = is_shown(e.row) ? e.row.where : std::nullopt;
  if (!same(e.shown_at, target)) {
    if (e.shown_at) {
      release_name(rows, *e.shown_at, id);
      count(*e.shown_at, false);
      edit(e.shown_at->parent).child_count -= 1;
    }
    if (target) {
      claim_name(rows, *target, id);
      count(*target, true);
      edit(target->parent).child_count += 1;
    }
    e.shown_at = std::move(target);
  }
  auto bytes = e.shown_at ? e.row.current_size : 0;
  head.totals.logical_bytes += bytes - e.counted_bytes;
  e.counted_bytes = bytes;
}

void fold::publish() {
  // A change of a child may show or hide its parent, which then comes up again;
  // as the tree has no cycle this ends.
  std::vector<node_id> changed;
  while (!queue_.empty() && !rows.failed()) {
    auto now = std::move(queue_);
    queue_.clear();
    for (const auto& id : now)
      nodes_.at(id).queued = false;
    for (const auto& id : now)
      publish_node(id);
    changed.insert(changed.end(), now.begin(), now.end());
  }
  for (const auto& id : changed) {
    auto& e = nodes_.at(id);
    e.row.shown = e.shown_at.has_value();
    auto value = e.row.encode();
    if (value == e.loaded)
      continue;
    rows.put(id_key(row_kind::node, id), value);
    e.loaded = std::move(value);
  }
  for (const auto& [device, log] : logs_)
    rows.put(id_key(row_kind::device, device), log.encode());
  rows.put(head_key(), head.encode());
}

} // namespace datamesh::storage
