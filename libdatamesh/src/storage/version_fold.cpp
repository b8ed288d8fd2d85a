#include "storage/version_fold.hpp"

namespace datamesh::storage {

namespace {

version_row load_version(fold& f, const version_id& id) {
  return f.rows.load<version_row>(id_key(row_kind::version, id)).value_or(version_row{});
}

void store_version(fold& f, const version_id& id, const version_row& row) {
  f.rows.put(id_key(row_kind::version, id), row.encode());
}

/// Chooses the current version among all of a node.
void choose_current(fold& f, const node_id& id) {
  auto& node = f.edit(id);
  auto all = living_versions(f.rows, id, node);
  const std::pair<version_id, version_row>* best = nullptr;
  auto rank = [](const auto& v) {
    return std::tuple{!v.second.replaced, v.second.at, v.first};
  };
  for (const auto& v : all)
    if (!best || rank(*best) < rank(v))
      best = &v;
  node.current = best ? std::optional{best->first} : std::nullopt;
  node.current_size = best ? best->second.size : 0;
}

/// Adds a version that lives to its node; the index of versions begins with the
/// second one, as most nodes have one only.
void add_living(fold& f, const version_id& id, const version_row& row) {
  auto& node = f.edit(row.node);
  if (node.version_count > 0 && !node.indexed) {
    if (node.current)
      f.rows.put(pair_key(row_kind::version_of, row.node, *node.current), {});
    node.indexed = true;
  }
  if (node.indexed)
    f.rows.put(pair_key(row_kind::version_of, row.node, id), {});
  node.version_count += 1;
  f.head.totals.versions += 1;
}

/// Turns a version that lives into a mark. The caller chooses a new current one.
void remove_living(fold& f, const version_id& id, version_row& row) {
  auto& node = f.edit(row.node);
  if (node.indexed)
    f.rows.erase(pair_key(row_kind::version_of, row.node, id));
  else
    node.current.reset();
  node.version_count -= 1;
  f.head.totals.versions -= 1;
  version_row mark;
  mark.replaced = row.replaced;
  row = mark;
}

void erase_extents(fold& f, const version_id& id) {
  f.rows.scan(id_key(row_kind::extents, id), [&](std::string_view key, std::string_view) {
    f.rows.erase(std::string{key});
    return true;
  });
}

/// Keeps who put a purged version, since a put with a lower stamp would count.
void store_purged(fold& f, const version_id& id, version_row& row, const node_id& node, const op_order& at) {
  row.purged = true;
  row.node = node;
  row.at = at;
  store_version(f, id, row);
  erase_extents(f, id);
}

/// Marks a version; true when that leaves *writer* with a replaced current version,
/// for the caller to look after.
bool mark_replaced(fold& f, const node_id& writer, const version_id& id) {
  auto row = load_version(f, id);
  if (row.replaced)
    return false;
  row.replaced = true;
  store_version(f, id, row);
  if (!row.put || f.peek(row.node).current != id)
    return false;
  if (row.node == writer)
    return true;
  choose_current(f, row.node);
  return false;
}

void update_current(fold& f, const version_id& id, const version_row& row) {
  auto& node = f.edit(row.node);
  bool take = !node.current;
  if (!take) {
    auto current = load_version(f, *node.current);
    if (!row.replaced && std::tie(current.at, *node.current) < std::tie(row.at, id))
      take = true;
    else if (current.replaced)
      return choose_current(f, row.node);
  }
  if (take) {
    node.current = id;
    node.current_size = row.size;
  }
}

} // namespace

void fold_put(fold& f, const op_context& how, const put_version& op) {
  bool stale = false;
  for (const auto& old : op.replaces)
    stale |= mark_replaced(f, op.node, old);
  auto row = load_version(f, op.version);
  if (row.dropped || ((row.put || row.purged) && row.at <= how.at)) {
    if (stale)
      choose_current(f, op.node);
    return;
  }
  if (row.put) {
    auto owner = row.node;
    remove_living(f, op.version, row);
    store_version(f, op.version, row);
    choose_current(f, owner);
  }
  const auto& purge = f.peek(op.node).purged;
  if (purge && how.at <= *purge) {
    store_purged(f, op.version, row, op.node, how.at);
    if (stale)
      choose_current(f, op.node);
    return;
  }
  row.purged = false;
  row.put = true;
  row.node = op.node;
  row.at = how.at;
  row.wall_ns = how.wall_ns;
  row.size = op.size;
  row.mode = op.mode;
  row.modified_ns = op.modified_ns;
  row.symlink_target = op.symlink_target;
  row.extent_count = op.extent_count;
  row.tail.clear();
  row.tail.reserve(op.extents.size() * packed_extent_size);
  for (const auto& e : op.extents)
    pack_extent(row.tail, e);
  store_version(f, op.version, row);
  add_living(f, op.version, row);
  update_current(f, op.version, row);
}

void fold_extents(fold& f, const add_extents& op) {
  if (load_version(f, op.version).gone())
    return;
  for (size_t at = 0; at < op.extents.size(); at += extents_per_row) {
    auto end = std::min(at + extents_per_row, op.extents.size());
    std::string packed;
    packed.reserve((end - at) * packed_extent_size);
    for (auto i = at; i < end; ++i)
      pack_extent(packed, op.extents[i]);
    f.rows.put(extents_key(op.version, op.ordinal + end - 1), std::move(packed));
  }
}

void fold_drop(fold& f, const drop_version& op) {
  auto row = load_version(f, op.version);
  if (row.dropped)
    return;
  auto owner = row.node;
  bool lived = row.put;
  if (lived)
    remove_living(f, op.version, row);
  row.purged = false;
  row.dropped = true;
  store_version(f, op.version, row);
  erase_extents(f, op.version);
  if (lived)
    choose_current(f, owner);
}

void fold_purge(fold& f, const op_context& how, const purge_node& op) {
  auto& node = f.edit(op.node);
  if (node.purged && how.at <= *node.purged)
    return;
  node.purged = how.at;
  for (auto& [id, row] : living_versions(f.rows, op.node, node)) {
    if (how.at < row.at)
      continue;
    auto at = row.at;
    remove_living(f, id, row);
    store_purged(f, id, row, op.node, at);
  }
  choose_current(f, op.node);
  f.rows.erase(id_key(row_kind::source, op.node));
  f.rows.scan(id_key(row_kind::tag, op.node), [&](std::string_view key, std::string_view value) {
    auto tag = f.rows.parse<tag_row>(key, value);
    if (tag && tag->at <= how.at)
      f.rows.erase(std::string{key});
    return tag.has_value();
  });
}

void fold_tag(fold& f, const op_context& how, const set_tag& op) {
  const auto& node = f.peek(op.node);
  if (node.purged && how.at <= *node.purged)
    return;
  auto key = tag_key(op.node, op.key);
  auto known = f.rows.load<tag_row>(key);
  if (!known || known->at < how.at)
    f.rows.put(std::move(key), tag_row{how.at, op.value}.encode());
}

std::vector<std::pair<version_id, version_row>> living_versions(const row_source& rows, const node_id& id, const node_row& node) {
  std::vector<std::pair<version_id, version_row>> result;
  auto add = [&](const version_id& version) {
    auto key = id_key(row_kind::version, version);
    auto row = rows.load<version_row>(key);
    if (row && row->put)
      result.emplace_back(version, std::move(*row));
    else
      rows.damaged(key);
  };
  if (node.indexed) {
    rows.scan(id_key(row_kind::version_of, id), [&](std::string_view key, std::string_view) {
      if (!key_fits(key))
        rows.damaged(key);
      else
        add(id_in_key<version_id>(key, node_id::size));
      return !rows.failed();
    });
  } else if (node.current) {
    add(*node.current);
  }
  return result;
}

result<std::vector<extent>> read_extents(const row_source& rows, const version_id& id, const version_row& version, uint64_t ordinal,
                                         size_t limit) {
  std::vector<extent> out;
  auto tail_count = version.tail.size() / packed_extent_size;
  auto tail_first = version.extent_count - tail_count;
  auto end = ordinal >= version.extent_count ? ordinal : ordinal + std::min<uint64_t>(limit, version.extent_count - ordinal);
  auto at = ordinal;
  if (at < std::min(tail_first, end)) {
    rows.scan(id_key(row_kind::extents, id), extents_key(id, at), [&](std::string_view key, std::string_view value) {
      auto count = value.size() / packed_extent_size;
      if (!key_fits(key) || count == 0 || value.size() % packed_extent_size != 0 || number_in_key(key, version_id::size) < count - 1) {
        rows.damaged(key);
        return false;
      }
      auto first = number_in_key(key, version_id::size) - (count - 1);
      if (first > at)
        return false;
      auto take = std::min<uint64_t>(count - (at - first), std::min(tail_first, end) - at);
      unpack_extents(value, at - first, take, out);
      at += take;
      return at < std::min(tail_first, end);
    });
    if (auto good = rows.outcome(); !good)
      return fail(good.error());
    if (at < std::min(tail_first, end))
      return fail(errc::not_found, "read extents that have not arrived", id.hex());
  }
  if (at < end)
    unpack_extents(version.tail, at - tail_first, end - at, out);
  return out;
}

} // namespace datamesh::storage
