// Fingerprint and cross-checks: walks over the whole catalog.

#include "crypto/hash.hpp"
#include "storage/catalog_state.hpp"
#include "storage/chunk_index.hpp"
#include "storage/name_index.hpp"
#include "storage/version_fold.hpp"

namespace datamesh::storage {

namespace {

constexpr size_t extents_step = 1024;

/// Hashes fields so that no two different lists of fields hash alike.
class field_hasher {
public:
  void number(uint64_t x) {
    hasher_.update_u32(static_cast<uint32_t>(x));
    hasher_.update_u32(static_cast<uint32_t>(x >> 32));
  }
  void text(std::string_view x) {
    number(x.size());
    hasher_.update(as_view(x));
  }
  [[nodiscard]] digest finish() const {
    return hasher_.finish();
  }

private:
  crypto::hasher hasher_;
};

void hash_version(const row_source& rows, field_hasher& out, const version_id& id, const version_row& v, bool current) {
  out.text(id.text());
  out.number(current);
  out.number(v.at.at.lamport);
  out.text(v.at.at.device.text());
  out.number(static_cast<uint64_t>(v.wall_ns));
  out.number(v.size);
  out.number(v.mode);
  out.number(static_cast<uint64_t>(v.modified_ns));
  out.text(v.symlink_target);
  out.number(v.extent_count);
  for (uint64_t at = 0; at < v.extent_count;) {
    auto some = read_extents(rows, id, v, at, extents_step);
    if (!some || some->empty())
      break; // Still to come; `check` tells damage.
    for (const auto& e : *some) {
      out.number(e.length);
      out.text(e.chunk ? e.chunk->text() : std::string_view{});
    }
    at += some->size();
  }
}

void hash_node(const row_source& rows, field_hasher& out, const node_id& id, const node_row& node) {
  out.text(id.text());
  out.number(node.shown);
  if (node.shown && node.where) {
    out.text(node.where->parent.text());
    out.text(shown_name(rows, *node.where, id));
    out.number(static_cast<uint64_t>(node.where->kind));
    out.number(static_cast<uint64_t>(node.where->wall_ns));
  }
  out.number(node.child_count);
  out.number(node.version_count);
  for (const auto& [version, row] : living_versions(rows, id, node))
    hash_version(rows, out, version, row, node.current == version);
}

/// Walks all rows and compares what they say of each other.
class checker {
public:
  checker(const row_source& rows, const catalog_head& head) : rows_(rows), head_(head) {}

  void run() {
    each(row_kind::node, [&](auto key, auto value) { check_node(key, value); });
    each(row_kind::name, [&](auto key, auto value) { check_name(key, value); });
    each(row_kind::version, [&](auto key, auto value) { check_version(key, value); });
    each(row_kind::pack, [&](auto key, auto) { check_pack(key); });
    each(row_kind::chunk, [&](auto key, auto value) { check_chunk(key, value); });
    each(row_kind::device, [&](auto key, auto value) { check_device(key, value); });
    each(row_kind::pending, [&](auto, auto) { pending_ += 1; });
    expect(names_ == found_.files + found_.folders + found_.symlinks, head_key());
    expect(pending_ == head_.pending, head_key());
    compare_totals();
  }

private:
  template <class Visit>
  void each(row_kind kind, const Visit& visit) {
    rows_.scan(std::string(1, static_cast<char>(kind)), [&](std::string_view key, std::string_view value) {
      expect(key_fits(key), key);
      if (!rows_.failed())
        visit(key, value);
      return !rows_.failed();
    });
  }

  void expect(bool holds, std::string_view key) {
    if (!holds)
      rows_.damaged(key);
  }

  void check_node(std::string_view key, std::string_view value) {
    auto node = rows_.parse<node_row>(key, value);
    if (!node)
      return;
    auto id = id_in_key<node_id>(key);
    expect(node->shown == is_shown(*node), key);
    expect(living_versions(rows_, id, *node).size() == node->version_count, key);
    expect(node->current.has_value() == (node->version_count > 0), key);
    uint64_t children = 0;
    rows_.scan(id_key(row_kind::name, id), [&](std::string_view name, std::string_view row) {
      if (auto n = rows_.parse<name_row>(name, row))
        children += (n->keeper ? 1 : 0) + n->aliases.size();
      return !rows_.failed();
    });
    expect(children == node->child_count, key);
    if (!node->shown || !node->where)
      return;
    auto& t = found_;
    (node->where->kind == node_kind::folder ? t.folders : node->where->kind == node_kind::symlink ? t.symlinks : t.files) += 1;
    t.logical_bytes += node->current_size;
  }

  /// Each shown node stands under exactly one name: counts agree, and each is claimed there.
  void check_name(std::string_view key, std::string_view value) {
    auto row = rows_.parse<name_row>(key, value);
    expect(key.size() > 1 + node_id::size, key);
    if (!row || rows_.failed())
      return;
    auto parent = id_in_key<node_id>(key);
    auto name = key.substr(1 + node_id::size);
    auto check_claim = [&](const node_id& id) {
      auto node = rows_.load<node_row>(id_key(row_kind::node, id));
      expect(node && node->shown && node->where && node->where->parent == parent, key);
      if (!rows_.failed())
        expect(shown_name(rows_, *node->where, id) == name, key);
      names_ += 1;
    };
    if (row->keeper)
      check_claim(row->keeper->node);
    for (const auto& id : row->aliases)
      check_claim(id);
  }

  void check_version(std::string_view key, std::string_view value) {
    auto row = rows_.parse<version_row>(key, value);
    if (!row || !row->put)
      return;
    found_.versions += 1;
    auto id = id_in_key<version_id>(key);
    auto node = rows_.load<node_row>(id_key(row_kind::node, row->node));
    expect(node.has_value(), key);
    if (rows_.failed())
      return;
    if (node->current == id)
      expect(node->current_size == row->size, key);
    uint64_t bytes = 0;
    for (uint64_t at = 0; at < row->extent_count;) {
      auto some = read_extents(rows_, id, *row, at, extents_step);
      if (!some && some.error().code() == errc::not_found)
        return; // Operations of another device may still be on their way.
      expect(some && !some->empty(), key);
      if (rows_.failed())
        return;
      for (const auto& e : *some) {
        bytes += e.length;
        expect(!e.chunk || rows_.has(id_key(row_kind::chunk, *e.chunk)), key);
      }
      at += some->size();
    }
    expect(row->extent_count == 0 || bytes == row->size, key);
  }

  void check_pack(std::string_view key) {
    auto id = id_in_key<pack_id>(key);
    auto pack = load_pack(rows_, id);
    auto table = load_table(rows_, id);
    expect(pack && table && pack->seal.shape.k > 0 && pack->seal.shape.shard_length > 0, key);
    if (rows_.failed())
      return;
    auto shards = pack->seal.shape.shard_count();
    expect(pack->seal.shard_roots.size() == shards && pack->drives.size() <= shards, key);
    for (const auto& c : table->chunks) {
      auto chunk = id_key(row_kind::chunk, c.id);
      auto row = rows_.load<chunk_row>(chunk);
      expect(row && (row->where.pack == id || rows_.has(pair_key(row_kind::copy, c.id, id))), chunk);
    }
    found_.packs += 1;
    found_.pack_bytes += pack->seal.shape.data_length();
    found_.shard_bytes += uint64_t{pack->seal.shape.shard_length} * shards;
  }

  void check_chunk(std::string_view key, std::string_view value) {
    auto row = rows_.parse<chunk_row>(key, value);
    if (!row)
      return;
    expect(rows_.has(id_key(row_kind::pack, row->where.pack)), key);
    found_.chunks += 1;
    found_.chunk_plain_bytes += row->where.entry.plain_length;
    found_.chunk_sealed_bytes += row->where.entry.sealed_length;
  }

  void check_device(std::string_view key, std::string_view value) {
    if (auto log = rows_.parse<device_log>(key, value))
      for (const auto& run : log->runs())
        found_.operations += run.last - run.first + 1;
  }

  void compare_totals() {
    auto list = [](const catalog_totals& t) {
      return std::array{t.files,         t.folders,    t.symlinks,          t.versions,
                        t.logical_bytes, t.chunks,     t.chunk_plain_bytes, t.chunk_sealed_bytes,
                        t.packs,         t.pack_bytes, t.shard_bytes,       t.operations};
    };
    expect(list(found_) == list(head_.totals), head_key());
  }

  const row_source& rows_;
  const catalog_head& head_;
  catalog_totals found_;
  uint64_t names_ = 0;
  uint64_t pending_ = 0;
};

} // namespace

result<digest> catalog::fingerprint() const {
  auto view = impl_->store->snapshot();
  row_source rows{*view};
  field_hasher out;
  rows.scan(std::string(1, static_cast<char>(row_kind::node)), [&](std::string_view key, std::string_view value) {
    auto node = rows.parse<node_row>(key, value);
    if (node && (node->shown || node->version_count > 0 || node->child_count > 0))
      hash_node(rows, out, id_in_key<node_id>(key), *node);
    return node.has_value();
  });
  rows.scan(std::string(1, static_cast<char>(row_kind::tag)), [&](std::string_view key, std::string_view value) {
    auto tag = rows.parse<tag_row>(key, value);
    if (tag && tag->value) {
      out.text(key);
      out.text(*tag->value);
    }
    return tag.has_value();
  });
  if (auto good = rows.outcome(); !good)
    return fail(good.error().within("compute fingerprint of catalog"));
  return out.finish();
}

result<void> catalog::check() const {
  if (auto good = impl_->store->check(); !good)
    return fail(good.error().within("check catalog"));
  auto view = impl_->store->snapshot();
  row_source rows{*view};
  auto stored = rows.get(head_key());
  if (auto good = rows.outcome(); !good || !stored)
    return good;
  auto head = catalog_head::decode(*stored);
  if (!head)
    return fail(head.error().within("check catalog"));
  checker{rows, *head}.run();
  if (auto good = rows.outcome(); !good)
    return fail(good.error().within("check catalog"));
  return {};
}

} // namespace datamesh::storage
