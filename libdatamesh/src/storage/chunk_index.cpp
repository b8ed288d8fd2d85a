#include "storage/chunk_index.hpp"

#include <algorithm>

namespace datamesh::storage {

namespace {

uint64_t bytes_of(const pack_record& pack) {
  return pack.seal.shape.data_length();
}

uint64_t shard_bytes_of(const pack_record& pack) {
  return uint64_t{pack.seal.shape.shard_length} * pack.seal.shape.shard_count();
}

void count_chunk(fold& f, const chunk_entry& e, bool more) {
  auto& t = f.head.totals;
  auto sign = more ? uint64_t{1} : uint64_t(-1);
  t.chunks += sign;
  t.chunk_plain_bytes += sign * e.plain_length;
  t.chunk_sealed_bytes += sign * e.sealed_length;
}

std::string copy_key(const chunk_id& chunk, const pack_id& pack) {
  return pair_key(row_kind::copy, chunk, pack);
}

/// True when a chunk is read from the newer pack: stored again, it was because the
/// older one is condemned or was found to be lost.
bool gives_way(fold& f, const pack_id& old, int64_t newer_ns) {
  if (is_condemned(f.rows, old))
    return true;
  auto record = load_pack(f.rows, old);
  return !record || record->created_ns < newer_ns;
}

void add_chunk(fold& f, const pack_record& record, const chunk_entry& entry) {
  const auto& pack = record.seal.id;
  auto key = id_key(row_kind::chunk, entry.id);
  auto known = f.rows.load<chunk_row>(key);
  chunk_row mine{{pack, entry}, false};
  if (!known) {
    count_chunk(f, entry, true);
    f.rows.put(std::move(key), mine.encode());
    return;
  }
  if (known->where.pack == pack)
    return;
  if (!gives_way(f, known->where.pack, record.created_ns)) {
    f.rows.put(copy_key(entry.id, pack), mine.encode());
    if (known->copies)
      return;
    known->copies = true;
    f.rows.put(std::move(key), known->encode());
    return;
  }
  count_chunk(f, known->where.entry, false);
  count_chunk(f, entry, true);
  mine.copies = true;
  known->copies = false;
  f.rows.erase(copy_key(entry.id, pack));
  f.rows.put(copy_key(entry.id, known->where.pack), known->encode());
  f.rows.put(std::move(key), mine.encode());
}

/// Neither condemned nor lost.
bool is_good(const row_source& rows, const pack_id& id) {
  return !is_condemned(rows, id) && !is_lost(rows, id);
}

/// The best other place of a chunk: one in a good pack before one that is not.
std::optional<chunk_location> best_copy(const row_source& rows, const chunk_id& id, bool any) {
  std::optional<chunk_location> best;
  rows.scan(id_key(row_kind::copy, id), [&](std::string_view key, std::string_view value) {
    auto row = rows.parse<chunk_row>(key, value);
    if (!row)
      return false;
    bool good = is_good(rows, row->where.pack);
    if (good || (any && !best))
      best = row->where;
    return !good;
  });
  return best;
}

void forget_chunk(fold& f, const pack_id& pack, const chunk_id& id) {
  auto key = id_key(row_kind::chunk, id);
  auto known = f.rows.load<chunk_row>(key);
  if (!known)
    return;
  if (known->where.pack != pack) {
    f.rows.erase(copy_key(id, pack));
    return;
  }
  count_chunk(f, known->where.entry, false);
  auto next = known->copies ? best_copy(f.rows, id, true) : std::nullopt;
  if (!next)
    return f.rows.erase(std::move(key));
  count_chunk(f, next->entry, true);
  f.rows.erase(copy_key(id, next->pack));
  f.rows.put(std::move(key), chunk_row{*next, true}.encode());
}

void count_pack(fold& f, const pack_record& pack, bool more) {
  auto& t = f.head.totals;
  auto sign = more ? uint64_t{1} : uint64_t(-1);
  t.packs += sign;
  t.pack_bytes += sign * bytes_of(pack);
  t.shard_bytes += sign * shard_bytes_of(pack);
}

void put_faulty(fold& f, const pack_id& id, const std::vector<uint8_t>& shards) {
  auto key = id_key(row_kind::faulty, id);
  if (shards.empty())
    f.rows.erase(std::move(key));
  else
    f.rows.put(std::move(key), {shards.begin(), shards.end()});
}

} // namespace

void add_pack(fold& f, const catalog_commit::new_pack& pack) {
  const auto& id = pack.record.seal.id;
  if (auto known = load_pack(f.rows, id))
    return place_pack(f, pack.record);
  f.rows.put(id_key(row_kind::pack, id), encode_pack(pack.record));
  f.rows.put(id_key(row_kind::table, id), encode_table(pack.table));
  if (pack.record.condemned)
    condemn_pack(f, id);
  count_pack(f, pack.record, true);
  for (const auto& entry : pack.table.chunks)
    add_chunk(f, pack.record, entry);
}

void place_pack(fold& f, const pack_record& record) {
  const auto& id = record.seal.id;
  auto known = load_pack(f.rows, id);
  if (!known)
    return;
  count_pack(f, *known, false);
  count_pack(f, record, true);
  f.rows.put(id_key(row_kind::pack, id), encode_pack(record));
  // What was found of a shard was found at its old place.
  auto faulty = known->faulty;
  std::erase_if(faulty, [&](auto i) { return i >= record.drives.size() || record.drives[i] != known->drives[i]; });
  if (faulty != known->faulty)
    put_faulty(f, id, faulty);
  if (record.condemned)
    condemn_pack(f, id);
}

void condemn_pack(fold& f, const pack_id& id) {
  f.rows.put(id_key(row_kind::condemned, id), {});
}

void forget_pack(fold& f, const pack_id& id) {
  auto known = load_pack(f.rows, id);
  if (!known)
    return;
  auto table = load_table(f.rows, id);
  if (!table)
    return f.rows.damaged(id_key(row_kind::table, id));
  for (const auto& entry : table->chunks)
    forget_chunk(f, id, entry.id);
  count_pack(f, *known, false);
  f.rows.erase(id_key(row_kind::pack, id));
  f.rows.erase(id_key(row_kind::table, id));
  f.rows.erase(id_key(row_kind::lost, id));
  if (!known->faulty.empty())
    f.rows.erase(id_key(row_kind::faulty, id));
}

std::vector<uint8_t> faulty_shards(const row_source& rows, const pack_id& id) {
  auto key = id_key(row_kind::faulty, id);
  auto value = rows.get(key);
  std::vector<uint8_t> shards;
  if (value)
    shards.assign(value->begin(), value->end());
  if (value && (shards.empty() || shards.back() >= shard_count_max || !std::ranges::is_sorted(shards, std::less_equal<>{})))
    rows.damaged(key);
  return shards;
}

void mark_shard(fold& f, const seen_shard& shard, bool faulty) {
  auto pack = load_pack(f.rows, shard.pack);
  auto there = pack && !pack->condemned && shard.index < pack->drives.size() && pack->drives[shard.index] == shard.drive;
  if (!there || pack->is_faulty(shard.index) == faulty)
    return;
  auto marked = pack->faulty;
  if (faulty)
    marked.insert(std::ranges::upper_bound(marked, shard.index), shard.index);
  else
    std::erase(marked, shard.index);
  put_faulty(f, shard.pack, marked);
  if (faulty && pack->shards_present() < pack->seal.shape.k + marked.size())
    f.rows.put(id_key(row_kind::lost, shard.pack), {});
}

bool is_lost(const row_source& rows, const pack_id& id) {
  return rows.has(id_key(row_kind::lost, id));
}

bool is_condemned(const row_source& rows, const pack_id& id) {
  return rows.has(id_key(row_kind::condemned, id));
}

std::optional<pack_record> load_pack(const row_source& rows, const pack_id& id) {
  auto key = id_key(row_kind::pack, id);
  auto value = rows.get(key);
  if (!value)
    return std::nullopt;
  auto record = decode_pack(id, *value);
  if (!record) {
    rows.damaged(key);
    return std::nullopt;
  }
  record->condemned = is_condemned(rows, id);
  record->lost = is_lost(rows, id);
  record->faulty = faulty_shards(rows, id);
  return record;
}

std::optional<pack_table> load_table(const row_source& rows, const pack_id& id) {
  auto key = id_key(row_kind::table, id);
  auto value = rows.get(key);
  if (!value)
    return std::nullopt;
  auto table = decode_table(*value);
  if (!table)
    rows.damaged(key);
  return table;
}

std::optional<chunk_location> locate(const row_source& rows, const chunk_id& id, bool any) {
  auto row = rows.load<chunk_row>(id_key(row_kind::chunk, id));
  if (!row)
    return std::nullopt;
  if (is_good(rows, row->where.pack))
    return row->where;
  auto copy = row->copies ? best_copy(rows, id, false) : std::nullopt;
  if (copy || !any)
    return copy;
  return row->where;
}

} // namespace datamesh::storage
