// The questions that a catalog answers, each over one snapshot.

#include "storage/catalog_state.hpp"
#include "storage/chunk_index.hpp"
#include "storage/name_index.hpp"
#include "storage/version_fold.hpp"

namespace datamesh::storage {

namespace {

constexpr size_t depth_max = 1 << 16;

/// One frozen view and its sticky error.
struct query {
  explicit query(const ordered_store& store) : view(store.snapshot()), rows(*view) {}
  std::unique_ptr<ordered_view> view;
  row_source rows;

  template <class T>
  [[nodiscard]] result<T> answer(T value, const char* attempted) const {
    if (auto good = rows.outcome(); !good)
      return fail(good.error().within(attempted));
    return value;
  }
};

bool is_anchor(const node_id& id) {
  return id == root_node() || id == trash_node();
}

/// The view of a node of which the row is at hand.
node_view view_of(const row_source& rows, const node_id& id, const node_row& row, std::string shown) {
  node_view view;
  view.node = id;
  view.parent = id;
  view.kind = node_kind::folder;
  if (row.where) {
    view.parent = row.where->parent;
    view.kind = row.where->kind;
    view.moved_ns = row.where->wall_ns;
  }
  view.name = std::move(shown);
  view.version = row.current;
  view.version_count = row.version_count;
  view.child_count = row.child_count;
  if (!row.current)
    return view;
  auto key = id_key(row_kind::version, *row.current);
  auto version = rows.load<version_row>(key);
  if (!version || !version->put) {
    rows.damaged(key);
    return view;
  }
  view.size = version->size;
  view.mode = version->mode;
  view.modified_ns = version->modified_ns;
  view.symlink_target = version->symlink_target;
  view.extent_count = version->extent_count;
  return view;
}

/// The node with the name under which it is shown, if it is shown.
std::optional<node_view> view_node(const row_source& rows, const node_id& id) {
  auto row = rows.load<node_row>(id_key(row_kind::node, id));
  if (is_anchor(id))
    return view_of(rows, id, row.value_or(node_row{}), {});
  if (!row || !row->shown || !row->where)
    return std::nullopt;
  return view_of(rows, id, *row, shown_name(rows, *row->where, id));
}

/// A node that a name row names.
std::optional<node_view> view_named(const row_source& rows, const node_id& id, std::string_view shown) {
  auto key = id_key(row_kind::node, id);
  auto row = rows.load<node_row>(key);
  if (row && row->shown && row->where)
    return view_of(rows, id, *row, std::string{shown});
  rows.damaged(key);
  return std::nullopt;
}

std::optional<node_view> find_child(const row_source& rows, const node_id& parent, std::string_view name) {
  auto row = rows.load<name_row>(name_key(parent, name));
  if (!row)
    return std::nullopt;
  if (row->keeper)
    return view_named(rows, row->keeper->node, name);
  if (!row->aliases.empty())
    return view_named(rows, row->aliases.front(), name);
  return std::nullopt;
}

version_view view_of(const version_id& id, const version_row& row, const std::optional<version_id>& current) {
  return {id, row.wall_ns, row.size, row.mode, row.modified_ns, row.extent_count, current == id};
}

} // namespace

// -- names -----------------------------------------------------------------------

result<node_view> catalog::resolve(std::string_view path) const {
  constexpr auto attempted = "resolve path";
  query q{*impl_->store};
  auto here = view_node(q.rows, root_node());
  size_t at = 0;
  while (at < path.size() && !q.rows.failed()) {
    auto end = std::min(path.find('/', at), path.size());
    auto name = path.substr(at, end - at);
    if (!name.empty()) {
      if (here->kind != node_kind::folder)
        return fail(errc::not_a_folder, attempted, std::string{path.substr(0, at - 1)});
      auto next = find_child(q.rows, here->node, name);
      if (!next && !q.rows.failed())
        return fail(errc::not_found, attempted, std::string{path.substr(0, end)});
      here = std::move(next);
    }
    at = end + 1;
  }
  if (!q.rows.failed() && here->kind != node_kind::folder && path.ends_with('/'))
    return fail(errc::not_a_folder, attempted, std::string{path.substr(0, path.find_last_not_of('/') + 1)});
  return q.answer(here.value_or(node_view{}), attempted);
}

result<node_view> catalog::node(const node_id& id) const {
  query q{*impl_->store};
  auto view = view_node(q.rows, id);
  if (!view && !q.rows.failed())
    return fail(errc::not_found, "find node", id.hex());
  return q.answer(view.value_or(node_view{}), "find node");
}

result<void> catalog::visit_nodes(const std::function<bool(const node_view&)>& visit) const {
  query q{*impl_->store};
  const std::string prefix{static_cast<char>(row_kind::node)};
  q.rows.scan(prefix, [&](std::string_view key, std::string_view value) {
    auto row = q.rows.parse<node_row>(key, value);
    if (!row)
      return false;
    if (!row->shown || !row->where)
      return true;
    auto id = id_in_key<node_id>(key);
    auto view = view_of(q.rows, id, *row, shown_name(q.rows, *row->where, id));
    return !q.rows.failed() && visit(view);
  });
  return q.rows.outcome();
}

result<std::optional<node_view>> catalog::child(const node_id& parent, std::string_view name) const {
  query q{*impl_->store};
  auto view = find_child(q.rows, parent, name);
  return q.answer(std::move(view), "find child");
}

result<std::vector<node_view>> catalog::list(const node_id& parent, std::string_view after, size_t limit) const {
  query q{*impl_->store};
  std::vector<node_view> result;
  if (limit == 0)
    return result;
  auto prefix = id_key(row_kind::name, parent);
  auto first = name_key(parent, after);
  if (!after.empty())
    first += '\0';
  q.rows.scan(prefix, first, [&](std::string_view key, std::string_view value) {
    auto row = q.rows.parse<name_row>(key, value);
    if (!row)
      return false;
    auto name = key.substr(prefix.size());
    auto add = [&](const node_id& id) {
      if (auto view = view_named(q.rows, id, name))
        result.push_back(std::move(*view));
    };
    if (row->keeper)
      add(row->keeper->node);
    for (const auto& id : row->aliases)
      add(id);
    return result.size() < limit;
  });
  return q.answer(std::move(result), "list folder");
}

result<std::string> catalog::path_of(const node_id& id) const {
  constexpr auto attempted = "find path of node";
  query q{*impl_->store};
  std::vector<std::string> names;
  auto at = id;
  for (size_t depth = 0; at != root_node(); ++depth) {
    auto key = id_key(row_kind::node, at);
    auto row = at == trash_node() ? std::nullopt : q.rows.load<node_row>(key);
    if (depth == depth_max)
      q.rows.damaged(key);
    if (auto good = q.rows.outcome(); !good)
      return fail(good.error().within(attempted));
    if (!row || !row->shown || !row->where)
      return fail(errc::not_found, attempted, id.hex());
    names.push_back(shown_name(q.rows, *row->where, at));
    at = row->where->parent;
  }
  std::string path = names.empty() ? "/" : "";
  for (auto name = names.rbegin(); name != names.rend(); ++name)
    path += '/' + *name;
  return q.answer(std::move(path), attempted);
}

// -- versions, extents, tags --------------------------------------------------------

result<std::vector<version_view>> catalog::versions(const node_id& id) const {
  query q{*impl_->store};
  std::vector<version_view> result;
  if (auto row = q.rows.load<node_row>(id_key(row_kind::node, id))) {
    auto all = living_versions(q.rows, id, *row);
    std::sort(all.begin(), all.end(),
              [](const auto& a, const auto& b) { return std::tie(b.second.at, b.first) < std::tie(a.second.at, a.first); });
    for (const auto& [version, details] : all)
      result.push_back(view_of(version, details, row->current));
  }
  return q.answer(std::move(result), "list versions");
}

result<std::vector<extent>> catalog::extents(const version_id& version, uint64_t ordinal, size_t limit) const {
  query q{*impl_->store};
  auto row = q.rows.load<version_row>(id_key(row_kind::version, version));
  if (auto good = q.rows.outcome(); !good)
    return fail(good.error().within("read extents"));
  if (!row || !row->put)
    return fail(errc::not_found, "read extents", version.hex());
  return read_extents(q.rows, version, *row, ordinal, limit);
}

result<std::optional<version_id>> catalog::find_unchanged(const node_id& parent, std::string_view name, source_mark seen) const {
  constexpr auto attempted = "look for an unchanged file";
  constexpr size_t extents_step = 1024;
  const std::optional<version_id> nothing;
  query q{*impl_->store};
  auto named = q.rows.load<name_row>(name_key(parent, name));
  if (!named || !named->keeper)
    return q.answer(nothing, attempted);
  auto stored = q.rows.get(id_key(row_kind::source, named->keeper->node));
  auto mark = stored ? decode_mark(*stored) : std::nullopt;
  seen.version = mark ? mark->version : version_id{};
  if (mark != seen)
    return q.answer(nothing, attempted);
  auto node = q.rows.load<node_row>(id_key(row_kind::node, named->keeper->node));
  auto version = q.rows.load<version_row>(id_key(row_kind::version, seen.version));
  if (!node || node->current != seen.version || !version || !version->put || version->size != seen.size)
    return q.answer(nothing, attempted);
  for (uint64_t at = 0; at < version->extent_count;) {
    auto some = read_extents(q.rows, seen.version, *version, at, extents_step);
    if (!some)
      return fail(some.error().within(attempted));
    auto placed = [&](const extent& e) {
      return !e.chunk || locate(q.rows, *e.chunk, false);
    };
    if (some->empty() || !std::all_of(some->begin(), some->end(), placed))
      return q.answer(nothing, attempted);
    at += some->size();
  }
  return q.answer(std::optional{seen.version}, attempted);
}

result<std::vector<std::pair<std::string, std::string>>> catalog::tags(const node_id& id) const {
  query q{*impl_->store};
  std::vector<std::pair<std::string, std::string>> result;
  auto prefix = id_key(row_kind::tag, id);
  q.rows.scan(prefix, [&](std::string_view key, std::string_view value) {
    auto tag = q.rows.parse<tag_row>(key, value);
    if (tag && tag->value)
      result.emplace_back(key.substr(prefix.size()), std::move(*tag->value));
    return tag.has_value();
  });
  return q.answer(std::move(result), "read tags");
}

// -- where the bytes are -----------------------------------------------------------

result<std::optional<chunk_location>> catalog::find_chunk(const chunk_id& id) const {
  row_source rows{*impl_->store};
  auto where = locate(rows, id, false);
  if (auto good = rows.outcome(); !good)
    return fail(good.error().within("find chunk"));
  return where;
}

result<std::optional<chunk_location>> catalog::locate_chunk(const chunk_id& id) const {
  row_source rows{*impl_->store};
  auto where = locate(rows, id, true);
  if (auto good = rows.outcome(); !good)
    return fail(good.error().within("find chunk"));
  return where;
}

result<std::optional<pack_record>> catalog::find_pack(const pack_id& id) const {
  row_source rows{*impl_->store};
  auto pack = load_pack(rows, id);
  if (auto good = rows.outcome(); !good)
    return fail(good.error().within("find pack"));
  return pack;
}

result<std::vector<pack_record>> catalog::packs(const std::optional<pack_id>& after, size_t limit) const {
  query q{*impl_->store};
  std::vector<pack_record> result;
  if (limit == 0)
    return result;
  const std::string prefix{static_cast<char>(row_kind::pack)};
  auto first = after ? id_key(row_kind::pack, *after) + '\0' : prefix;
  q.rows.scan(prefix, first, [&](std::string_view key, std::string_view value) {
    auto pack = key_fits(key) ? decode_pack(id_in_key<pack_id>(key), value) : std::nullopt;
    if (!pack) {
      q.rows.damaged(key);
      return false;
    }
    pack->condemned = is_condemned(q.rows, pack->seal.id);
    pack->lost = is_lost(q.rows, pack->seal.id);
    pack->faulty = faulty_shards(q.rows, pack->seal.id);
    result.push_back(std::move(*pack));
    return result.size() < limit;
  });
  return q.answer(std::move(result), "list packs");
}

result<bool> catalog::was_condemned(const pack_id& id) const {
  row_source rows{*impl_->store};
  auto condemned = is_condemned(rows, id);
  if (auto good = rows.outcome(); !good)
    return fail(good.error().within("find pack"));
  return condemned;
}

result<pack_table> catalog::table_of(const pack_id& id) const {
  row_source rows{*impl_->store};
  auto table = load_table(rows, id);
  if (auto good = rows.outcome(); !good)
    return fail(good.error().within("read pack table"));
  if (!table)
    return fail(errc::not_found, "read pack table", id.hex());
  return std::move(*table);
}

result<void> catalog::visit_references(const std::function<bool(const node_id&, const version_id&, const chunk_id&)>& visit) const {
  query q{*impl_->store};
  std::vector<extent> some;
  const std::string prefix{static_cast<char>(row_kind::version)};
  q.rows.scan(prefix, [&](std::string_view key, std::string_view value) {
    auto row = q.rows.parse<version_row>(key, value);
    if (!row || !row->put)
      return row.has_value();
    auto id = id_in_key<version_id>(key);
    auto visit_packed = [&](std::string_view packed) {
      some.clear();
      unpack_extents(packed, 0, packed.size() / packed_extent_size, some);
      return std::all_of(some.begin(), some.end(), [&](const extent& e) { return !e.chunk || visit(row->node, id, *e.chunk); });
    };
    bool more = true;
    if (row->tail.size() / packed_extent_size < row->extent_count)
      q.rows.scan(id_key(row_kind::extents, id), [&](std::string_view, std::string_view packed) { return more = visit_packed(packed); });
    return more && visit_packed(row->tail);
  });
  return q.rows.outcome();
}

// -- the whole -------------------------------------------------------------------------

result<catalog_totals> catalog::totals() const {
  auto stored = impl_->store->get(head_key());
  if (!stored)
    return fail(stored.error().within("read totals"));
  if (!*stored)
    return catalog_totals{};
  auto head = catalog_head::decode(**stored);
  if (!head)
    return fail(head.error().within("read totals"));
  return head->totals;
}

result<std::vector<device_view>> catalog::devices() const {
  query q{*impl_->store};
  std::vector<device_view> result;
  const std::string prefix{static_cast<char>(row_kind::device)};
  q.rows.scan(prefix, [&](std::string_view key, std::string_view value) {
    auto log = q.rows.parse<device_log>(key, value);
    if (!log)
      return false;
    auto& view = result.emplace_back();
    view.device = id_in_key<device_id>(key);
    view.broken_at = log->broken_at();
    for (const auto& run : log->runs()) {
      view.missing += run.first - 1 - view.last_sequence;
      view.last_sequence = run.last;
    }
    return true;
  });
  return q.answer(std::move(result), "list devices");
}

} // namespace datamesh::storage
