#include "storage/checkpoint.hpp"

#include "crypto/parse_message.hpp"
#include "storage/catalog_state.hpp"
#include "storage/name_index.hpp"

#include "datamesh/v1/checkpoint.pb.h"

namespace datamesh::storage {

namespace {

constexpr uint32_t checkpoint_format = 1;
constexpr uint64_t operations_due = 10'000;
constexpr int64_t age_due_ns = 24ll * 3600 * 1'000'000'000;
constexpr size_t tables_page = 256;

/// The rows that are the fold. Names follow from nodes; chunks, packs and where they
/// are come from the packs themselves.
constexpr std::array row_kinds{row_kind::node,    row_kind::move, row_kind::version,  row_kind::version_of,
                               row_kind::extents, row_kind::tag,  row_kind::condemned};

bool is_fold_row(std::string_view key) {
  return !key.empty() && key_fits(key) && std::find(row_kinds.begin(), row_kinds.end(), static_cast<row_kind>(key[0])) != row_kinds.end();
}

auto damaged(const char* what) {
  return fail(errc::format_damaged, "read a checkpoint", what);
}

void write_header(v1::CheckpointHeader& to, const checkpoint_header& from) {
  to.set_created_ns(from.created_ns);
  to.set_lamport(from.lamport);
  to.set_operations(from.operations);
  to.set_move_lamport(from.last_move.at.lamport);
  to.set_move_device(std::string{from.last_move.at.device.text()});
  to.set_move_sequence(from.last_move.sequence);
  for (const auto& [device, log] : from.devices) {
    auto& row = *to.add_devices();
    row.set_device(std::string{device.text()});
    row.set_log(log.encode());
  }
}

uint64_t count_operations(const device_log& log) {
  uint64_t count = 0;
  for (const auto& run : log.runs())
    count += run.last - run.first + 1;
  return count;
}

std::string encode(const checkpoint_header& header) {
  v1::CheckpointHeader m;
  write_header(m, header);
  return m.SerializeAsString();
}

result<checkpoint_header> read_header(const v1::CheckpointHeader& from) {
  checkpoint_header x;
  x.created_ns = from.created_ns();
  x.lamport = from.lamport();
  x.operations = from.operations();
  if (from.move_device().size() != device_id::size)
    return damaged("newest move");
  x.last_move = {{from.move_lamport(), device_id::from(as_view(from.move_device()))}, from.move_sequence()};
  uint64_t operations = 0;
  for (const auto& row : from.devices()) {
    auto log = device_log::decode(row.log());
    if (!log || row.device().size() != device_id::size)
      return damaged("a device");
    operations += count_operations(*log);
    if (!x.devices.emplace(device_id::from(as_view(row.device())), std::move(*log)).second)
      return damaged("a device that comes twice");
  }
  if (operations != x.operations || operations == 0)
    return damaged("count of operations");
  return x;
}

} // namespace

// -- names ---------------------------------------------------------------------------

std::optional<checkpoint_place> checkpoint_place::of(const operations_entry& entry) noexcept {
  checkpoint_place place{entry.first_sequence / checkpoint_parts_max, entry.first_sequence % checkpoint_parts_max};
  if (!entry.checkpoint || entry.first_sequence != entry.last_sequence || place.number == 0)
    return std::nullopt;
  return place;
}

bool checkpoint_header::covers(const device_id& device, uint64_t first, uint64_t last) const {
  auto log = devices.find(device);
  if (log == devices.end())
    return false;
  const auto& runs = log->second.runs();
  return std::any_of(runs.begin(), runs.end(), [&](const auto& run) { return run.first <= first && last <= run.last; });
}

bool checkpoint_header::covers(const checkpoint_header& other) const {
  for (const auto& [device, log] : other.devices)
    for (const auto& run : log.runs())
      if (!covers(device, run.first, run.last))
        return false;
  return true;
}

uint64_t checkpoint_header::count_beyond(const checkpoint_header& other) const {
  uint64_t count = 0;
  for (const auto& [device, log] : devices) {
    auto known = other.devices.find(device);
    count += count_operations(log);
    if (known == other.devices.end())
      continue;
    for (const auto& run : log.runs())
      for (const auto& there : known->second.runs()) {
        auto first = std::max(run.first, there.first);
        auto last = std::min(run.last, there.last);
        count -= first <= last ? last - first + 1 : 0;
      }
  }
  return count;
}

// -- encoding ------------------------------------------------------------------------

std::string encode(const checkpoint_part& part, compressor& packer) {
  v1::CheckpointPart m;
  m.set_format(checkpoint_format);
  write_header(*m.mutable_header(), part.header);
  m.set_number(part.number);
  v1::CheckpointRows list;
  for (const auto& [key, value] : part.rows) {
    list.add_keys(key);
    list.add_values(value);
  }
  auto plain = list.SerializeAsString();
  m.set_plain_length(static_cast<uint32_t>(plain.size()));
  std::vector<std::byte> scratch(plain.size());
  auto packed = plain.empty() ? std::nullopt : packer.compress(as_view(plain), scratch);
  if (packed) {
    m.set_codec(static_cast<uint32_t>(codec::zstd));
    m.set_rows(std::string{as_text(byte_view{scratch}.first(*packed))});
  } else {
    m.set_rows(std::move(plain));
  }
  if (part.trailer) {
    auto& t = *m.mutable_trailer();
    t.set_parts(part.trailer->parts);
    t.set_rows(part.trailer->rows);
    t.set_digest(std::string{part.trailer->before.text()});
  }
  return m.SerializeAsString();
}

result<checkpoint_part> decode_checkpoint_part(std::string_view encoded, compressor& packer) {
  v1::CheckpointPart m;
  if (encoded.size() > checkpoint_encoded_max || !crypto::parse_message(m, as_view(encoded)) || m.format() == 0)
    return damaged("a part");
  if (m.format() > checkpoint_format)
    return fail(errc::format_newer, "read a checkpoint", "format " + std::to_string(m.format()));
  checkpoint_part part;
  auto header = read_header(m.header());
  if (!header)
    return fail(header.error());
  part.header = std::move(*header);
  part.number = m.number();
  if (m.codec() > static_cast<uint32_t>(codec::zstd) || m.plain_length() > checkpoint_rows_max
      || (m.codec() == 0 && m.plain_length() != m.rows().size()))
    return damaged("lengths");
  if (m.codec() != 0) {
    std::string plain(m.plain_length(), '\0');
    auto out = std::as_writable_bytes(std::span{plain});
    if (auto expanded = packer.decompress(codec::zstd, as_view(m.rows()), out); !expanded)
      return fail(expanded.error().within("read a checkpoint"));
    m.set_rows(std::move(plain));
  }
  v1::CheckpointRows list;
  if (!crypto::parse_message(list, as_view(m.rows())) || list.keys_size() != list.values_size())
    return damaged("rows");
  part.rows.reserve(static_cast<size_t>(list.keys_size()));
  for (int i = 0; i < list.keys_size(); ++i) {
    if (!is_fold_row(list.keys(i)))
      return damaged("a row's key");
    part.rows.emplace_back(std::move(*list.mutable_keys(i)), std::move(*list.mutable_values(i)));
  }
  if (m.has_trailer()) {
    if (m.trailer().digest().size() != digest::size)
      return damaged("digest");
    part.trailer = {m.trailer().parts(), m.trailer().rows(), digest::from(as_view(m.trailer().digest()))};
  }
  return part;
}

// -- writing -------------------------------------------------------------------------

checkpoint_writer::checkpoint_writer(std::unique_ptr<ordered_view> rows, int64_t now_ns, size_t part_size)
    : rows_(std::move(rows)), now_ns_(now_ns), part_size_(part_size) {}

result<checkpoint_header> known_by(const ordered_view& from) {
  row_source rows{from};
  auto stored = rows.get(head_key());
  if (auto good = rows.outcome(); !good)
    return fail(good.error());
  if (!stored)
    return fail(errc::not_found, "write a checkpoint of a catalog without operations");
  auto head = catalog_head::decode(*stored);
  if (!head)
    return fail(head.error());
  checkpoint_header header;
  header.lamport = head->lamport;
  header.last_move = head->last_move;
  rows.scan(std::string(1, static_cast<char>(row_kind::device)), [&](std::string_view key, std::string_view value) {
    auto log = rows.parse<device_log>(key, value);
    if (!log)
      return false;
    header.operations += count_operations(*log);
    header.devices.emplace(id_in_key<device_id>(key), std::move(*log));
    return true;
  });
  if (auto good = rows.outcome(); !good)
    return fail(good.error());
  if (header.operations == 0)
    return fail(errc::not_found, "write a checkpoint of a catalog without operations");
  return header;
}

result<void> checkpoint_writer::fill(checkpoint_part& part) {
  size_t size = 0;
  while (kind_ < row_kinds.size() && size < part_size_) {
    const std::string prefix{static_cast<char>(row_kinds[kind_])};
    auto full = false;
    auto scanned = rows_->scan(std::max(prefix, from_), prefix_end(prefix), [&](std::string_view key, std::string_view value) {
      part.rows.emplace_back(key, value);
      size += key.size() + value.size();
      full = size >= part_size_;
      return !full;
    });
    if (!scanned)
      return scanned;
    if (full) {
      from_ = part.rows.back().first + '\0';
    } else {
      ++kind_;
      from_.clear();
    }
  }
  return {};
}

result<std::optional<std::string>> checkpoint_writer::next() {
  if (done_)
    return std::nullopt;
  if (parts_ + 1 >= checkpoint_parts_max)
    return fail(errc::capacity_exceeded, "write a checkpoint");
  checkpoint_part part;
  if (parts_ == 0) {
    auto header = known_by(*rows_);
    if (!header)
      return fail(header.error().within("write a checkpoint"));
    header_ = std::move(*header);
    header_.created_ns = now_ns_;
  }
  part.header = header_;
  part.number = parts_;
  if (auto filled = fill(part); !filled)
    return fail(filled.error().within("write a checkpoint"));
  ++parts_;
  rows_count_ += part.rows.size();
  done_ = kind_ == row_kinds.size();
  if (done_)
    part.trailer = {parts_, rows_count_, hasher_.finish()};
  auto encoded = encode(part, packer_);
  if (encoded.size() > checkpoint_encoded_max)
    return fail(errc::capacity_exceeded, "write a checkpoint");
  hasher_.update(as_view(encoded));
  return encoded;
}

// -- reading -------------------------------------------------------------------------

result<checkpoint_part> checkpoint_reader::next(std::string_view encoded) {
  if (std::exchange(broken_, true) || whole_)
    return damaged("a part too many");
  auto part = decode_checkpoint_part(encoded, packer_);
  if (!part)
    return part;
  if (part->number != parts_)
    return damaged("order of parts");
  if (header_ && encode(part->header) != encode(*header_))
    return damaged("a part of another checkpoint");
  header_ = part->header;
  ++parts_;
  rows_ += part->rows.size();
  if (part->trailer) {
    if (part->trailer->parts != parts_ || part->trailer->rows != rows_ || part->trailer->before != hasher_.finish())
      return damaged("its end");
    whole_ = true;
  }
  hasher_.update(as_view(encoded));
  broken_ = false;
  return part;
}

// -- importing -----------------------------------------------------------------------

namespace {

/// A checkpoint holds neither names nor totals: both follow from the nodes.
void import_node(fold& into, std::string_view key, std::string_view value) {
  auto node = into.rows.parse<node_row>(key, value);
  if (!node || !node->shown)
    return;
  if (!node->where) {
    into.rows.damaged(key);
    return;
  }
  claim_name(into.rows, *node->where, id_in_key<node_id>(key));
  auto& t = into.head.totals;
  (node->where->kind == node_kind::folder ? t.folders : node->where->kind == node_kind::symlink ? t.symlinks : t.files) += 1;
  t.logical_bytes += node->current_size;
}

result<void> import_header(fold& into, const checkpoint_header& header) {
  if (into.head.totals.operations > 0)
    return fail(errc::conflict, "take a checkpoint into a catalog that has operations");
  into.head.lamport = std::max(into.head.lamport, header.lamport);
  into.head.last_move = header.last_move;
  into.head.totals.operations = header.operations;
  for (const auto& [device, log] : header.devices)
    into.log_of(device) = log;
  return {};
}

} // namespace

result<void> import_checkpoint(fold& into, const std::vector<std::string>& parts) {
  if (parts.empty())
    return {};
  compressor packer;
  for (const auto& encoded : parts) {
    auto part = decode_checkpoint_part(encoded, packer);
    if (!part)
      return fail(part.error());
    if (part->number == 0)
      if (auto good = import_header(into, part->header); !good)
        return good;
    for (auto& [key, value] : part->rows) {
      if (static_cast<row_kind>(key[0]) == row_kind::node)
        import_node(into, key, value);
      else if (static_cast<row_kind>(key[0]) == row_kind::version)
        if (auto version = into.rows.parse<version_row>(key, value))
          into.head.totals.versions += version->put ? 1 : 0;
      into.rows.put(std::move(key), std::move(value));
    }
  }
  return {};
}

// -- which there are -----------------------------------------------------------------

void find_parts(const pack_id& pack, const pack_table& table, std::vector<found_checkpoint>& found) {
  for (const auto& entry : table.operations) {
    auto place = checkpoint_place::of(entry);
    if (!place)
      continue;
    auto known = std::find_if(found.begin(), found.end(), [&](const auto& f) {
      return f.number == place->number && f.device == entry.device && f.space == table.space;
    });
    if (known == found.end())
      known = found.insert(found.end(), {place->number, entry.device, table.space, {}});
    known->parts[place->part].emplace_back(pack, entry);
  }
}

result<std::vector<found_checkpoint>> find_checkpoints(const catalog& names) {
  std::vector<found_checkpoint> found;
  std::optional<pack_id> after;
  for (;;) {
    auto page = names.packs(after, tables_page);
    if (!page)
      return fail(page.error().within("find checkpoints"));
    for (const auto& pack : *page) {
      auto table = names.table_of(pack.seal.id);
      if (!table)
        return fail(table.error().within("find checkpoints"));
      find_parts(pack.seal.id, *table, found);
    }
    if (page->size() < tables_page)
      return found;
    after = page->back().seal.id;
  }
}

bool checkpoint_cover::drops(const operations_entry& entry) const {
  if (!ready())
    return false;
  if (entry.checkpoint) {
    auto place = checkpoint_place::of(entry);
    return place && superseded.count(place->number) > 0;
  }
  return std::all_of(kept.begin(), kept.end(),
                     [&](const auto& c) { return c.header.covers(entry.device, entry.first_sequence, entry.last_sequence); });
}

checkpoint_cover choose_cover(std::vector<good_checkpoint> good, const std::vector<broken_checkpoint>& broken) {
  std::sort(good.begin(), good.end(), [](const auto& a, const auto& b) {
    auto rank = [](const auto& x) {
      return std::tuple{x.header.operations, x.header.lamport, x.header.created_ns, x.number};
    };
    return rank(b) < rank(a);
  });
  checkpoint_cover cover;
  for (size_t i = 0; i < good.size(); ++i) {
    // Under a broken link one number may stand for two operations.
    for (const auto& [device, log] : good[i].header.devices)
      if (log.broken_at() != 0)
        return cover;
    if (i > 0 && !good[i - 1].header.covers(good[i].header))
      return cover;
  }
  for (const auto& one : broken)
    if (one.header && (good.empty() || !good.front().header.covers(*one.header)))
      return cover;
  for (auto& one : good) {
    if (cover.kept.size() < checkpoints_kept)
      cover.kept.push_back(std::move(one));
    else
      cover.superseded.insert(one.number);
  }
  if (cover.ready())
    for (const auto& one : broken)
      cover.superseded.insert(one.number);
  return cover;
}

bool checkpoint_due(const catalog_totals& totals, const std::optional<checkpoint_note>& last, int64_t since_ns, int64_t now_ns) {
  auto covered = last ? last->operations : 0;
  auto fresh = totals.operations > covered ? totals.operations - covered : 0;
  if (fresh >= std::max(operations_due, totals.versions / 8))
    return true;
  auto old = since_ns <= now_ns && now_ns - since_ns >= age_due_ns;
  return old && fresh > 0 && fresh >= totals.versions / 100;
}

// -- the catalog's side --------------------------------------------------------------

const device_id& catalog::own_device() const noexcept {
  return impl_->device;
}

std::unique_ptr<ordered_view> catalog::freeze() const {
  return impl_->store->snapshot();
}

result<std::optional<checkpoint_note>> catalog::last_checkpoint() const {
  row_source rows{*impl_->store};
  auto value = rows.get(checkpoint_key());
  if (auto good = rows.outcome(); !good)
    return fail(good.error().within("read the last checkpoint"));
  if (!value)
    return std::nullopt;
  auto note = decode_note(*value);
  if (!note)
    return fail(errc::store_corrupt, "read the last checkpoint");
  return note;
}

} // namespace datamesh::storage
