#include "storage/shard_index.hpp"

#include "storage/little_endian.hpp"
#include "storage/shard.hpp"

#include <array>

namespace datamesh::storage {

namespace {

constexpr auto open_failed = "open drive index";
constexpr std::string_view meta_key = "m";
constexpr std::string_view owner_key = "o";
constexpr char record_prefix = 's';
constexpr char content_prefix = 'b';
constexpr char tombstone_prefix = 't';
constexpr char vault_prefix = 'v';
constexpr size_t key_size = 1 + pack_id::size + 1;
constexpr size_t record_size = 16;
constexpr size_t owner_size = device_id::size + sizeof(uint64_t);
constexpr size_t meta_size = 4 + drive_id::size + 16;
constexpr uint8_t in_index_flag = 1;

std::string row_key(char prefix, const shard_key& key) {
  std::string result;
  result.reserve(key_size);
  result += prefix;
  result += key.pack.text();
  result += static_cast<char>(key.index);
  return result;
}

std::optional<shard_key> parse_row_key(std::string_view row) {
  if (row.size() != key_size)
    return std::nullopt;
  return shard_key{pack_id::from(as_view(row.substr(1, pack_id::size))), static_cast<uint8_t>(row.back())};
}

std::string encode_record(const shard_record& record) {
  std::array<std::byte, record_size> image;
  layout_writer writer{image};
  writer.put(record.in_index ? in_index_flag : uint8_t{0}).put(record.shape.k).put(record.shape.m).put(uint8_t{0});
  writer.put(record.shape.shard_length).put(record.stored_ns);
  return std::string{as_text(image)};
}

std::optional<shard_record> parse_record(const shard_key& key, std::string_view value) {
  if (value.size() != record_size)
    return std::nullopt;
  layout_reader reader{as_view(value)};
  shard_record record;
  record.key = key;
  auto flags = reader.get<uint8_t>();
  record.in_index = flags == in_index_flag;
  record.shape.k = reader.get<uint8_t>();
  record.shape.m = reader.get<uint8_t>();
  auto reserved = reader.get<uint8_t>();
  record.shape.shard_length = reader.get<uint32_t>();
  record.stored_ns = reader.get<int64_t>();
  if (flags > in_index_flag || reserved != 0 || !validate(record.shape) || key.index >= record.shape.shard_count())
    return std::nullopt;
  return record;
}

std::string encode_meta(const drive_id& drive, drive_state state, const shard_totals& totals) {
  std::array<std::byte, meta_size> image;
  layout_writer writer{image};
  writer.put(index_format_version).put(static_cast<uint8_t>(state)).put(uint8_t{0}).put(drive.view());
  writer.put(totals.shard_count).put(totals.shard_bytes);
  return std::string{as_text(image)};
}

std::string vault_key(const vault_id& vault) {
  return vault_prefix + std::string{vault.text()};
}

std::string encode_count(uint64_t count) {
  std::array<std::byte, sizeof(count)> image;
  layout_writer{image}.put(count);
  return std::string{as_text(image)};
}

} // namespace

uint64_t stored_length(const geometry& shape) noexcept {
  return uint64_t{shard_header_length(shape, shape.shards_are_files())} + shape.shard_length;
}

void shard_index::batch::put(const shard_record& record, bool replaces, std::string_view content) {
  rows_.put(row_key(record_prefix, record.key), encode_record(record));
  if (record.in_index)
    rows_.put(row_key(content_prefix, record.key), content);
  if (replaces)
    return;
  ++added_.shard_count;
  added_.shard_bytes += stored_length(record.shape);
}

void shard_index::batch::erase(const shard_record& record, bool tombstone) {
  rows_.erase(row_key(record_prefix, record.key));
  if (record.in_index)
    rows_.erase(row_key(content_prefix, record.key));
  if (tombstone)
    rows_.put(row_key(tombstone_prefix, record.key), {});
  ++removed_.shard_count;
  removed_.shard_bytes += stored_length(record.shape);
}

void shard_index::batch::drop_tombstone(const shard_key& key) {
  rows_.erase(row_key(tombstone_prefix, key));
}

shard_index::shard_index(std::unique_ptr<lasting_store> store, std::string folder) : folder_(std::move(folder)), store_(std::move(store)) {}

result<void> shard_index::create(ordered_store_opener& stores, const std::string& folder, const drive_id& drive) {
  ordered_store_options options;
  options.folder = folder;
  auto store = stores.open(options);
  if (!store)
    return fail(store.error().within("create drive index", folder));
  write_batch first;
  first.put(meta_key, encode_meta(drive, drive_state::ok, {}));
  if (auto written = (*store)->write(first, durability::synced); !written)
    return fail(written.error().within("create drive index", folder));
  return {};
}

result<std::unique_ptr<shard_index>> shard_index::open(std::shared_ptr<ordered_store_opener> stores, std::string folder) {
  ordered_store_options options;
  options.folder = folder;
  options.create_if_missing = false;
  options.or_read_only = true;
  auto store = lasting_store::open(std::move(stores), std::move(options));
  if (!store)
    return fail(store.error().within(open_failed, folder));
  std::unique_ptr<shard_index> index{new shard_index{std::move(*store), std::move(folder)}};
  if (auto loaded = index->load(); !loaded)
    return fail(loaded.error());
  return index;
}

result<void> shard_index::load() {
  auto row = store_->get(meta_key);
  if (!row)
    return fail(row.error().within(open_failed, folder_));
  auto corrupt = [&] {
    return fail(errc::store_corrupt, open_failed, folder_);
  };
  if (!*row)
    return fail(errc::not_found, open_failed, folder_);
  if ((*row)->size() < sizeof(uint16_t))
    return corrupt();
  layout_reader reader{as_view(**row)};
  auto version = reader.get<uint16_t>();
  if (version > index_format_version)
    return fail(errc::format_newer, open_failed, folder_);
  if (version != index_format_version || (*row)->size() != meta_size)
    return corrupt();
  auto state = reader.get<uint8_t>();
  auto reserved = reader.get<uint8_t>();
  if (state > static_cast<uint8_t>(drive_state::failed) || reserved != 0)
    return corrupt();
  auto drive = reader.get_id<drive_id>();
  if (drive_.is_zero())
    drive_ = drive;
  else if (drive_ != drive)
    return corrupt();
  std::map<vault_id, uint64_t> changed;
  bool whole = true;
  const std::string prefix{vault_prefix};
  auto scanned = store_->scan(prefix, prefix_end(prefix), [&](std::string_view key, std::string_view value) {
    whole = key.size() == 1 + vault_id::size && value.size() == sizeof(uint64_t);
    if (whole)
      changed[vault_id::from(as_view(key.substr(1)))] = layout_reader{as_view(value)}.get<uint64_t>();
    return whole;
  });
  if (!scanned)
    return fail(scanned.error().within(open_failed, folder_));
  if (!whole)
    return corrupt();
  std::lock_guard guard{meta_mutex_};
  state_ = static_cast<drive_state>(state);
  totals_.shard_count = reader.get<uint64_t>();
  totals_.shard_bytes = reader.get<uint64_t>();
  changed_ = std::move(changed);
  return {};
}

result<void> shard_index::reopen() {
  if (auto opened = store_->reopen(); !opened)
    return fail(opened.error().within(open_failed, folder_));
  return load();
}

bool shard_index::writable() const {
  return store_->writable();
}

drive_state shard_index::state() const {
  std::lock_guard guard{meta_mutex_};
  return state_;
}

shard_totals shard_index::totals() const {
  std::lock_guard guard{meta_mutex_};
  return totals_;
}

uint64_t shard_index::changes_of(const vault_id& vault) const {
  std::lock_guard guard{meta_mutex_};
  auto found = changed_.find(vault);
  return found == changed_.end() ? 0 : found->second;
}

result<std::optional<shard_record>> shard_index::find(const shard_key& key) const {
  auto row = store_->get(row_key(record_prefix, key));
  if (!row)
    return fail(row.error());
  if (!*row)
    return std::nullopt;
  auto record = parse_record(key, **row);
  if (!record)
    return fail(errc::store_corrupt, "read index row", key.pack.hex());
  return record;
}

result<std::optional<std::string>> shard_index::content(const shard_key& key) const {
  return store_->get(row_key(content_prefix, key));
}

result<std::vector<shard_record>> shard_index::list(const std::optional<shard_key>& after, size_t limit,
                                                    std::optional<uint8_t> first_byte) const {
  std::vector<shard_record> found;
  if (limit == 0)
    return found;
  std::string prefix{record_prefix};
  if (first_byte)
    prefix += static_cast<char>(*first_byte);
  // The least key behind *after* is *after* with a zero byte behind it.
  auto first = after ? std::max(prefix, row_key(record_prefix, *after) + '\0') : prefix;
  bool corrupt = false;
  auto scanned = store_->scan(first, prefix_end(prefix), [&](std::string_view row, std::string_view value) {
    auto key = parse_row_key(row);
    auto record = key ? parse_record(*key, value) : std::nullopt;
    if (!record) {
      corrupt = true;
      return false;
    }
    found.push_back(*record);
    return found.size() < limit;
  });
  if (!scanned)
    return fail(scanned.error());
  if (corrupt)
    return fail(errc::store_corrupt, "list index rows", folder_);
  return found;
}

result<std::vector<shard_key>> shard_index::tombstones() const {
  std::vector<shard_key> found;
  std::string prefix{tombstone_prefix};
  bool corrupt = false;
  auto scanned = store_->scan(prefix, prefix_end(prefix), [&](std::string_view row, std::string_view) {
    auto key = parse_row_key(row);
    corrupt = !key;
    if (key)
      found.push_back(*key);
    return !corrupt;
  });
  if (!scanned)
    return fail(scanned.error());
  if (corrupt)
    return fail(errc::store_corrupt, "list tombstones", folder_);
  return found;
}

result<void> shard_index::write(batch changes, durability level) {
  auto next = totals();
  next.shard_count += changes.added_.shard_count - changes.removed_.shard_count;
  next.shard_bytes += changes.added_.shard_bytes - changes.removed_.shard_bytes;
  changes.rows_.put(meta_key, encode_meta(drive_, state(), next));
  for (auto& [vault, count] : changes.changed_) {
    count += changes_of(vault);
    changes.rows_.put(vault_key(vault), encode_count(count));
  }
  auto written = store_->write(changes.rows_, level);
  if (!written)
    return written;
  std::lock_guard guard{meta_mutex_};
  totals_ = next;
  for (const auto& [vault, count] : changes.changed_)
    changed_[vault] = count;
  return {};
}

result<std::optional<drive_owner>> shard_index::owner() const {
  auto row = store_->get(owner_key);
  if (!row)
    return fail(row.error());
  if (!*row)
    return std::nullopt;
  if ((*row)->size() != owner_size)
    return fail(errc::store_corrupt, "read whose drive it is", folder_);
  layout_reader reader{as_view(**row)};
  drive_owner owner;
  owner.node = reader.get_id<device_id>();
  owner.term = reader.get<uint64_t>();
  return owner;
}

result<void> shard_index::write_owner(const drive_owner& owner) {
  std::array<std::byte, owner_size> image;
  layout_writer{image}.put(owner.node.view()).put(owner.term);
  write_batch rows;
  rows.put(owner_key, as_text(image));
  return store_->write(rows, durability::synced);
}

result<void> shard_index::write_state(drive_state next) {
  write_batch rows;
  rows.put(meta_key, encode_meta(drive_, next, totals()));
  auto written = store_->write(rows, durability::synced);
  if (!written)
    return written;
  std::lock_guard guard{meta_mutex_};
  state_ = next;
  return {};
}

result<void> shard_index::sync() {
  return store_->write({}, durability::synced);
}

result<void> shard_index::flush() {
  return store_->flush();
}

} // namespace datamesh::storage
