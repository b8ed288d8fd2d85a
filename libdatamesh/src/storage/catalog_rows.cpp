#include "storage/catalog_rows.hpp"

#include "datamesh/v1/catalog.pb.h"

namespace datamesh::storage {

namespace {

constexpr uint32_t catalog_format = 1;
constexpr uint64_t hole_bit = uint64_t{1} << 63;

class row_writer {
public:
  void u8(uint8_t x) {
    out += static_cast<char>(x);
  }
  void number(uint64_t x) {
    while (x >= 0x80) {
      u8(static_cast<uint8_t>(x) | 0x80);
      x >>= 7;
    }
    u8(static_cast<uint8_t>(x));
  }
  void number(uint32_t x) {
    number(uint64_t{x});
  }
  void time(int64_t x) {
    fixed(static_cast<uint64_t>(x), 8);
  }
  void fixed32(uint32_t x) {
    fixed(x, 4);
  }
  void text(const std::string& x) {
    number(x.size());
    out += x;
  }
  template <class Id>
  void id(const Id& x) {
    out += x.text();
  }
  void flags(std::initializer_list<bool> list) {
    uint8_t bits = 0;
    uint8_t bit = 1;
    for (auto x : list) {
      bits = static_cast<uint8_t>(bits | (x ? bit : 0));
      bit = static_cast<uint8_t>(bit << 1);
    }
    u8(bits);
  }

  std::string out;

private:
  void fixed(uint64_t x, size_t size) {
    for (size_t i = 0; i < size; ++i)
      u8(static_cast<uint8_t>(x >> (8 * i)));
  }
};

class row_reader {
public:
  explicit row_reader(std::string_view in) : in_(in) {}

  uint8_t u8() {
    if (in_.empty()) {
      good_ = false;
      return 0;
    }
    auto x = static_cast<uint8_t>(in_.front());
    in_.remove_prefix(1);
    return x;
  }
  uint64_t number() {
    uint64_t x = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      auto byte = u8();
      x |= uint64_t{byte & 0x7fu} << shift;
      if (byte < 0x80)
        return x;
    }
    good_ = false;
    return 0;
  }
  uint32_t number32() {
    auto x = number();
    good_ = good_ && x <= UINT32_MAX;
    return static_cast<uint32_t>(x);
  }
  int64_t time() {
    return static_cast<int64_t>(fixed(8));
  }
  uint32_t fixed32() {
    return static_cast<uint32_t>(fixed(4));
  }
  std::string text() {
    return std::string{take(number())};
  }
  template <class Id>
  Id id() {
    auto part = take(Id::size);
    return part.size() == Id::size ? Id::from(as_view(part)) : Id{};
  }
  /// How many items of at least *item_size* bytes follow.
  size_t count(size_t item_size) {
    auto n = number();
    good_ = good_ && n <= in_.size() / item_size;
    return good_ ? static_cast<size_t>(n) : 0;
  }
  std::string rest() {
    return std::string{take(in_.size())};
  }
  /// True when everything was there and nothing is left.
  [[nodiscard]] bool done() const {
    return good_ && in_.empty();
  }
  [[nodiscard]] bool good() const {
    return good_;
  }

private:
  std::string_view take(uint64_t size) {
    if (!good_ || size > in_.size()) {
      good_ = false;
      return {};
    }
    auto part = in_.substr(0, static_cast<size_t>(size));
    in_.remove_prefix(part.size());
    return part;
  }
  uint64_t fixed(size_t size) {
    uint64_t x = 0;
    for (size_t i = 0; i < size; ++i)
      x |= uint64_t{u8()} << (8 * i);
    return x;
  }

  std::string_view in_;
  bool good_ = true;
};

template <class T>
std::optional<T> when_done(const row_reader& in, T value) {
  if (!in.done())
    return std::nullopt;
  return value;
}

void write_order(row_writer& out, const op_order& x) {
  out.number(x.at.lamport);
  out.id(x.at.device);
  out.number(x.sequence);
}

op_order read_order(row_reader& in) {
  op_order x;
  x.at.lamport = in.number();
  x.at.device = in.id<device_id>();
  x.sequence = in.number();
  return x;
}

void write_place(row_writer& out, const node_place& x) {
  out.id(x.parent);
  out.text(x.name);
  out.u8(static_cast<uint8_t>(x.kind));
  out.time(x.wall_ns);
}

node_place read_place(row_reader& in) {
  node_place x;
  x.parent = in.id<node_id>();
  x.name = in.text();
  x.kind = static_cast<node_kind>(in.u8());
  x.wall_ns = in.time();
  return x;
}

void write_entry(row_writer& out, const chunk_entry& x) {
  out.fixed32(x.offset);
  out.fixed32(x.sealed_length);
  out.fixed32(x.plain_length);
  out.fixed32(x.epoch);
  out.u8(static_cast<uint8_t>(x.method));
  out.u8(static_cast<uint8_t>(x.suite));
}

chunk_entry read_entry(row_reader& in) {
  chunk_entry x;
  x.offset = in.fixed32();
  x.sealed_length = in.fixed32();
  x.plain_length = in.fixed32();
  x.epoch = in.fixed32();
  x.method = static_cast<codec>(in.u8());
  x.suite = static_cast<crypto::aead_suite>(in.u8());
  return x;
}

void append_big_endian(std::string& out, uint64_t x) {
  for (int shift = 56; shift >= 0; shift -= 8)
    out += static_cast<char>(x >> shift);
}

void append_order(std::string& out, const op_order& x) {
  append_big_endian(out, x.at.lamport);
  out += x.at.device.text();
  append_big_endian(out, x.sequence);
}

constexpr size_t order_size = 8 + device_id::size + 8;

op_order order_in_key(std::string_view key, size_t skip) {
  op_order x;
  x.at.lamport = number_in_key(key, skip);
  x.at.device = id_in_key<device_id>(key, skip + 8);
  x.sequence = number_in_key(key, skip + 8 + device_id::size);
  return x;
}

} // namespace

// -- nodes and names -------------------------------------------------------------

std::string node_row::encode() const {
  row_writer out;
  out.flags({where.has_value(), purged.has_value(), current.has_value(), shown, logged, named_as_parent, indexed});
  if (where) {
    write_place(out, *where);
    write_order(out, where->at);
  }
  if (purged)
    write_order(out, *purged);
  if (current) {
    out.id(*current);
    out.number(current_size);
  }
  out.number(version_count);
  out.number(child_count);
  return std::move(out.out);
}

std::optional<node_row> node_row::decode(std::string_view value) {
  row_reader in{value};
  node_row x;
  auto bits = in.u8();
  if (bits & 1) {
    x.where = read_place(in);
    x.where->at = read_order(in);
  }
  if (bits & 2)
    x.purged = read_order(in);
  if (bits & 4) {
    x.current = in.id<version_id>();
    x.current_size = in.number();
  }
  x.shown = bits & 8;
  x.logged = bits & 16;
  x.named_as_parent = bits & 32;
  x.indexed = bits & 64;
  x.version_count = in.number32();
  x.child_count = in.number();
  return when_done(in, std::move(x));
}

std::string name_row::encode() const {
  row_writer out;
  out.flags({keeper.has_value()});
  if (keeper) {
    out.id(keeper->node);
    write_order(out, keeper->at);
  }
  out.number(contenders);
  out.number(aliases.size());
  for (const auto& a : aliases)
    out.id(a);
  return std::move(out.out);
}

std::optional<name_row> name_row::decode(std::string_view value) {
  row_reader in{value};
  name_row x;
  if (in.u8() & 1) {
    auto node = in.id<node_id>();
    x.keeper = claim{node, read_order(in)};
  }
  x.contenders = in.number();
  x.aliases.resize(in.count(node_id::size));
  for (auto& a : x.aliases)
    a = in.id<node_id>();
  return when_done(in, std::move(x));
}

std::string move_row::encode() const {
  row_writer out;
  out.flags({before.has_value(), effective});
  out.id(node);
  write_place(out, to);
  if (before) {
    write_place(out, *before);
    write_order(out, before->at);
  }
  return std::move(out.out);
}

std::optional<move_row> move_row::decode(std::string_view key, std::string_view value) {
  row_reader in{value};
  move_row x;
  auto bits = in.u8();
  x.effective = bits & 2;
  x.node = in.id<node_id>();
  x.to = read_place(in);
  x.to.at = order_in_key(key, 0);
  if (bits & 1) {
    x.before = read_place(in);
    x.before->at = read_order(in);
  }
  return when_done(in, std::move(x));
}

// -- versions and tags -----------------------------------------------------------

std::string version_row::encode() const {
  row_writer out;
  out.flags({put, purged, dropped, replaced});
  if (put || purged) {
    out.id(node);
    write_order(out, at);
  }
  if (put) {
    out.time(wall_ns);
    out.number(size);
    out.number(mode);
    out.time(modified_ns);
    out.text(symlink_target);
    out.number(extent_count);
    out.out += tail;
  }
  return std::move(out.out);
}

std::optional<version_row> version_row::decode(std::string_view value) {
  row_reader in{value};
  version_row x;
  auto bits = in.u8();
  x.put = bits & 1;
  x.purged = bits & 2;
  x.dropped = bits & 4;
  x.replaced = bits & 8;
  if (x.put || x.purged) {
    x.node = in.id<node_id>();
    x.at = read_order(in);
  }
  if (!x.put)
    return when_done(in, std::move(x));
  x.wall_ns = in.time();
  x.size = in.number();
  x.mode = in.number32();
  x.modified_ns = in.time();
  x.symlink_target = in.text();
  x.extent_count = in.number();
  x.tail = in.rest();
  if (!in.good() || x.tail.size() % packed_extent_size != 0 || x.tail.size() / packed_extent_size > x.extent_count)
    return std::nullopt;
  return x;
}

std::string tag_row::encode() const {
  row_writer out;
  out.flags({value.has_value()});
  write_order(out, at);
  if (value)
    out.text(*value);
  return std::move(out.out);
}

std::optional<tag_row> tag_row::decode(std::string_view value) {
  row_reader in{value};
  tag_row x;
  auto bits = in.u8();
  x.at = read_order(in);
  if (bits & 1)
    x.value = in.text();
  return when_done(in, std::move(x));
}

// -- packed extents ------------------------------------------------------------------

void pack_extent(std::string& out, const extent& e) {
  out += e.chunk.value_or(chunk_id{}).text();
  auto length = e.length | (e.chunk ? 0 : hole_bit);
  for (int i = 0; i < 8; ++i)
    out += static_cast<char>(length >> (8 * i));
}

void unpack_extents(std::string_view packed, size_t from, size_t count, std::vector<extent>& out) {
  for (size_t i = from; i < from + count; ++i) {
    auto one = packed.substr(i * packed_extent_size, packed_extent_size);
    uint64_t length = 0;
    for (size_t b = 0; b < 8; ++b)
      length |= uint64_t{static_cast<uint8_t>(one[chunk_id::size + b])} << (8 * b);
    auto& e = out.emplace_back();
    e.length = length & ~hole_bit;
    if (!(length & hole_bit))
      e.chunk = chunk_id::from(as_view(one.substr(0, chunk_id::size)));
  }
}

// -- chunks and packs --------------------------------------------------------------

std::string chunk_row::encode() const {
  row_writer out;
  out.flags({copies});
  out.id(where.pack);
  write_entry(out, where.entry);
  return std::move(out.out);
}

std::optional<chunk_row> chunk_row::decode(std::string_view key, std::string_view value) {
  row_reader in{value};
  chunk_row x;
  x.copies = in.u8() & 1;
  x.where.pack = in.id<pack_id>();
  x.where.entry = read_entry(in);
  x.where.entry.id = id_in_key<chunk_id>(key);
  return when_done(in, std::move(x));
}

std::string encode_pack(const pack_record& pack) {
  v1::CatalogPack m;
  m.set_k(pack.seal.shape.k);
  m.set_m(pack.seal.shape.m);
  m.set_shard_length(pack.seal.shape.shard_length);
  for (const auto& root : pack.seal.shard_roots)
    *m.mutable_shard_roots() += root.text();
  for (const auto& drive : pack.drives)
    *m.mutable_drives() += drive.text();
  m.set_created_ns(pack.created_ns);
  m.set_used_length(pack.used_length);
  m.set_table_offset(pack.table_offset);
  m.set_table_sealed_length(pack.table_sealed_length);
  m.set_copied_forward(pack.copied_forward);
  return m.SerializeAsString();
}

namespace {

template <class Id>
bool split_ids(const std::string& from, std::vector<Id>& to) {
  if (from.size() % Id::size != 0 || from.size() / Id::size > shard_count_max)
    return false;
  for (size_t i = 0; i < from.size(); i += Id::size)
    to.push_back(Id::from(as_view(std::string_view{from}.substr(i, Id::size))));
  return true;
}

} // namespace

std::optional<pack_record> decode_pack(const pack_id& id, std::string_view value) {
  v1::CatalogPack m;
  if (!m.ParseFromArray(value.data(), static_cast<int>(value.size())) || m.k() > shard_count_max || m.m() > shard_count_max)
    return std::nullopt;
  pack_record x;
  x.seal.id = id;
  x.seal.shape = {static_cast<uint8_t>(m.k()), static_cast<uint8_t>(m.m()), m.shard_length()};
  if (!split_ids(m.shard_roots(), x.seal.shard_roots) || !split_ids(m.drives(), x.drives))
    return std::nullopt;
  x.created_ns = m.created_ns();
  x.used_length = m.used_length();
  x.table_offset = m.table_offset();
  x.table_sealed_length = m.table_sealed_length();
  x.copied_forward = m.copied_forward();
  return x;
}

std::string encode_note(const checkpoint_note& note) {
  row_writer out;
  out.number(note.number);
  out.time(note.created_ns);
  out.number(note.operations);
  return std::move(out.out);
}

std::optional<checkpoint_note> decode_note(std::string_view value) {
  row_reader in{value};
  checkpoint_note x;
  x.number = in.number();
  x.created_ns = in.time();
  x.operations = in.number();
  return when_done(in, std::move(x));
}

std::string encode_mark(const source_mark& mark) {
  row_writer out;
  out.id(mark.version);
  out.number(mark.size);
  out.time(mark.modified_ns);
  out.time(mark.changed_ns);
  out.number(mark.device);
  out.number(mark.inode);
  return std::move(out.out);
}

std::optional<source_mark> decode_mark(std::string_view value) {
  row_reader in{value};
  source_mark x;
  x.version = in.id<version_id>();
  x.size = in.number();
  x.modified_ns = in.time();
  x.changed_ns = in.time();
  x.device = in.number();
  x.inode = in.number();
  return when_done(in, x);
}

std::string encode_table(const pack_table& table) {
  row_writer out;
  out.id(table.space);
  out.fixed32(table.epoch);
  out.time(table.created_ns);
  out.number(table.chunks.size());
  for (const auto& c : table.chunks) {
    out.id(c.id);
    write_entry(out, c);
  }
  out.number(table.operations.size());
  for (const auto& o : table.operations) {
    out.flags({o.checkpoint});
    out.u8(static_cast<uint8_t>(o.suite));
    out.fixed32(o.offset);
    out.fixed32(o.sealed_length);
    out.fixed32(o.epoch);
    out.id(o.device);
    out.number(o.first_sequence);
    out.number(o.last_sequence);
  }
  return std::move(out.out);
}

std::optional<pack_table> decode_table(std::string_view value) {
  row_reader in{value};
  pack_table x;
  x.space = in.id<space_id>();
  x.epoch = in.fixed32();
  x.created_ns = in.time();
  x.chunks.resize(in.count(chunk_id::size + 18));
  for (auto& c : x.chunks) {
    auto id = in.id<chunk_id>();
    c = read_entry(in);
    c.id = id;
  }
  x.operations.resize(in.count(2 + 12 + device_id::size + 2));
  for (auto& o : x.operations) {
    o.checkpoint = in.u8() & 1;
    o.suite = static_cast<crypto::aead_suite>(in.u8());
    o.offset = in.fixed32();
    o.sealed_length = in.fixed32();
    o.epoch = in.fixed32();
    o.device = in.id<device_id>();
    o.first_sequence = in.number();
    o.last_sequence = in.number();
  }
  return when_done(in, std::move(x));
}

// -- head ------------------------------------------------------------------------------

std::string catalog_head::encode() const {
  v1::CatalogHead m;
  m.set_format(catalog_format);
  m.set_vault(std::string{vault.text()});
  m.set_dirty(dirty);
  m.set_lamport(lamport);
  m.set_pending(pending);
  auto& move = *m.mutable_last_move();
  move.set_lamport(last_move.at.lamport);
  move.set_device(std::string{last_move.at.device.text()});
  move.set_sequence(last_move.sequence);
  auto& t = *m.mutable_totals();
  t.set_files(totals.files);
  t.set_folders(totals.folders);
  t.set_symlinks(totals.symlinks);
  t.set_versions(totals.versions);
  t.set_logical_bytes(totals.logical_bytes);
  t.set_chunks(totals.chunks);
  t.set_chunk_plain_bytes(totals.chunk_plain_bytes);
  t.set_chunk_sealed_bytes(totals.chunk_sealed_bytes);
  t.set_packs(totals.packs);
  t.set_pack_bytes(totals.pack_bytes);
  t.set_shard_bytes(totals.shard_bytes);
  t.set_operations(totals.operations);
  for (const auto& [drive, brought] : drives) {
    auto& mark = *m.add_drives();
    mark.set_drive(std::string{drive.text()});
    mark.set_brought(brought);
  }
  if (!writer.is_zero())
    m.set_writer(std::string{writer.text()});
  m.set_place(place);
  m.set_behind(behind);
  return m.SerializeAsString();
}

result<catalog_head> catalog_head::decode(std::string_view value) {
  v1::CatalogHead m;
  bool parsed = m.ParseFromArray(value.data(), static_cast<int>(value.size()));
  if (parsed && m.format() > catalog_format)
    return fail(errc::format_newer, "read catalog head", "format " + std::to_string(m.format()));
  const auto& move = m.last_move();
  if (!parsed || m.format() == 0 || m.vault().size() != vault_id::size || move.device().size() != device_id::size)
    return fail(errc::store_corrupt, "read catalog head");
  catalog_head x;
  x.vault = vault_id::from(as_view(m.vault()));
  x.dirty = m.dirty();
  x.lamport = m.lamport();
  x.pending = m.pending();
  x.last_move = {{move.lamport(), device_id::from(as_view(move.device()))}, move.sequence()};
  const auto& t = m.totals();
  x.totals = {t.files(),         t.folders(),    t.symlinks(),          t.versions(),
              t.logical_bytes(), t.chunks(),     t.chunk_plain_bytes(), t.chunk_sealed_bytes(),
              t.packs(),         t.pack_bytes(), t.shard_bytes(),       t.operations()};
  for (const auto& mark : m.drives()) {
    if (mark.drive().size() != drive_id::size)
      return fail(errc::store_corrupt, "read catalog head");
    x.drives[drive_id::from(as_view(mark.drive()))] = mark.brought();
  }
  if (!m.writer().empty() && m.writer().size() != device_id::size)
    return fail(errc::store_corrupt, "read catalog head");
  if (!m.writer().empty())
    x.writer = device_id::from(as_view(m.writer()));
  x.place = m.place();
  x.behind = m.behind();
  return x;
}

// -- keys ---------------------------------------------------------------------------

std::string head_key() {
  return {static_cast<char>(row_kind::head)};
}

std::string checkpoint_key() {
  return {static_cast<char>(row_kind::checkpoint)};
}

std::string pending_key(const device_id& device, uint64_t sequence) {
  auto key = id_key(row_kind::pending, device);
  append_big_endian(key, sequence);
  return key;
}

std::string name_key(const node_id& parent, std::string_view name) {
  auto key = id_key(row_kind::name, parent);
  key += name;
  return key;
}

// Names hold no NUL, so the NUL behind a name ends it.
std::string contender_prefix(const node_id& parent, std::string_view name) {
  auto key = id_key(row_kind::contender, parent);
  key += name;
  key += '\0';
  return key;
}

std::string contender_key(const node_id& parent, std::string_view name, const name_row::claim& who) {
  auto key = contender_prefix(parent, name);
  append_order(key, who.at);
  key += who.node.text();
  return key;
}

std::optional<name_row::claim> parse_contender(std::string_view key) {
  constexpr auto tail = order_size + node_id::size;
  if (key.size() < 1 + node_id::size + 2 + tail)
    return std::nullopt;
  auto at = key.size() - tail - 1;
  return name_row::claim{id_in_key<node_id>(key, at + order_size), order_in_key(key, at)};
}

std::string move_key(const op_order& at) {
  std::string key{static_cast<char>(row_kind::move)};
  append_order(key, at);
  return key;
}

std::string extents_key(const version_id& version, uint64_t last_ordinal) {
  auto key = id_key(row_kind::extents, version);
  append_big_endian(key, last_ordinal);
  return key;
}

std::string tag_key(const node_id& node, std::string_view key) {
  auto result = id_key(row_kind::tag, node);
  result += key;
  return result;
}

uint64_t number_in_key(std::string_view key, size_t skip) {
  uint64_t x = 0;
  for (size_t i = 0; i < 8; ++i)
    x = x << 8 | static_cast<uint8_t>(key[1 + skip + i]);
  return x;
}

size_t key_size(row_kind kind) {
  switch (kind) {
  case row_kind::head:
  case row_kind::checkpoint:
    return 1;
  case row_kind::device:
  case row_kind::node:
  case row_kind::version:
  case row_kind::source:
    return 1 + 16;
  case row_kind::pending:
  case row_kind::extents:
    return 1 + 16 + 8;
  case row_kind::version_of:
    return 1 + 16 + 16;
  case row_kind::move:
    return 1 + order_size;
  case row_kind::chunk:
  case row_kind::pack:
  case row_kind::table:
  case row_kind::condemned:
  case row_kind::lost:
  case row_kind::faulty:
    return 1 + 32;
  case row_kind::copy:
    return 1 + 32 + 32;
  case row_kind::name:
  case row_kind::contender:
  case row_kind::tag:
    return 0;
  }
  return 0;
}

std::string alias_of(std::string_view name, const node_id& node) {
  std::string result{name};
  result += '~';
  result += node.brief();
  return result;
}

} // namespace datamesh::storage
