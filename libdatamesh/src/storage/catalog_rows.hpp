// Keys and values of the catalog's rows. Layout: docs/formats/catalog.md. Keys sort
// as the catalog walks them; numbers in keys are big-endian for that reason.
// `decode` answers nothing for a value that is not whole and exact.
#pragma once

#include "storage/catalog.hpp"

namespace datamesh::storage {

/// The first byte of each key.
enum class row_kind : char {
  head = 'h',       ///< catalog_head
  device = 'd',     ///< device -> what is known of its log
  pending = 'q',    ///< device, sequence -> encoded operation
  node = 'i',       ///< node -> node_row
  name = 'n',       ///< parent, shown name -> name_row
  contender = 'o',  ///< parent, name, stamp, node -> nothing
  move = 'm',       ///< stamp -> move_row
  version = 'v',    ///< version -> version_row
  version_of = 'w', ///< node, version -> nothing
  extents = 'x',    ///< version, ordinal of the last -> packed extents
  tag = 't',        ///< node, key -> tag_row
  chunk = 'c',      ///< chunk -> chunk_row
  copy = 'e',       ///< chunk, pack -> chunk_row: further copies
  pack = 'p',       ///< pack -> pack_record
  table = 'b',      ///< pack -> pack_table
  condemned = 'z',  ///< pack -> nothing
  checkpoint = 'k', ///< checkpoint_note
  lost = 'l',       ///< pack -> nothing; seen on this machine's drives, no part of the fold
  faulty = 'f',     ///< pack -> indexes of shards, one byte each, sorted; like `lost`
  source = 's',     ///< node -> source_mark; of this machine, no part of the fold
};

/// A stamp that no two operations share, whoever made them.
struct op_order {
  stamp at;
  uint64_t sequence = 0;
  friend auto operator<=>(const op_order&, const op_order&) = default;
};

/// Where a move puts a node.
struct node_place {
  node_id parent;
  std::string name;
  node_kind kind = node_kind::file;
  int64_t wall_ns = 0;
  op_order at;
  friend bool operator==(const node_place&, const node_place&) = default;
};

struct node_row {
  std::optional<node_place> where; ///< By the last effective move.
  std::optional<op_order> purged;  ///< The latest purge.
  std::optional<version_id> current;
  uint64_t current_size = 0;
  uint32_t version_count = 0;   ///< That live.
  uint64_t child_count = 0;     ///< That are shown.
  bool shown = false;           ///< Has a name row, and counts.
  bool logged = false;          ///< A move of it is in the move log.
  bool named_as_parent = false; ///< Some move named it as parent, ever.
  bool indexed = false;         ///< Its versions have `version_of` rows.

  [[nodiscard]] std::string encode() const;
  [[nodiscard]] static std::optional<node_row> decode(std::string_view value);
};

struct name_row {
  struct claim {
    node_id node;
    op_order at;
  };
  std::optional<claim> keeper;  ///< The node that is shown under this name.
  uint64_t contenders = 0;      ///< Others that claim it and are shown as aliases.
  std::vector<node_id> aliases; ///< Shown here because they lost another name. Sorted.

  [[nodiscard]] std::string encode() const;
  [[nodiscard]] static std::optional<name_row> decode(std::string_view value);
};

struct move_row {
  node_id node;
  node_place to; ///< Its stamp is in the key.
  std::optional<node_place> before;
  bool effective = false;

  [[nodiscard]] std::string encode() const;
  [[nodiscard]] static std::optional<move_row> decode(std::string_view key, std::string_view value);
};

struct version_row {
  bool put = false;      ///< Its put_version is known and it lives.
  bool purged = false;   ///< Its put_version is known, but a purge of its node is later.
  bool dropped = false;  ///< Stays away for ever.
  bool replaced = false; ///< Some put_version names it.
  node_id node;          ///< This and what follows of a put; the stamp also of a purged one.
  op_order at;
  int64_t wall_ns = 0;
  uint64_t size = 0;
  uint32_t mode = 0;
  int64_t modified_ns = 0;
  std::string symlink_target;
  uint64_t extent_count = 0;
  std::string tail; ///< The last extents, packed.

  [[nodiscard]] bool gone() const noexcept {
    return purged || dropped;
  }

  [[nodiscard]] std::string encode() const;
  [[nodiscard]] static std::optional<version_row> decode(std::string_view value);
};

struct tag_row {
  op_order at;
  std::optional<std::string> value;

  [[nodiscard]] std::string encode() const;
  [[nodiscard]] static std::optional<tag_row> decode(std::string_view value);
};

/// 51 bytes; with its key 84.
struct chunk_row {
  chunk_location where; ///< `entry.id` is in the key.
  bool copies = false;  ///< There are copy rows.

  [[nodiscard]] std::string encode() const;
  [[nodiscard]] static std::optional<chunk_row> decode(std::string_view key, std::string_view value);
};

struct catalog_head {
  vault_id vault;
  bool dirty = false;
  uint64_t lamport = 0;
  op_order last_move;
  uint64_t pending = 0;
  catalog_totals totals;
  drive_marks drives; ///< As of the last close.
  device_id writer;   ///< Zero where nobody wrote yet.
  std::string place;
  bool behind = false;

  [[nodiscard]] std::string encode() const;
  /// `format_newer` when a later version wrote it.
  [[nodiscard]] static result<catalog_head> decode(std::string_view value);
};

[[nodiscard]] std::string encode_pack(const pack_record& pack);
/// *condemned* stays false: the condemned rows tell.
[[nodiscard]] std::optional<pack_record> decode_pack(const pack_id& id, std::string_view value);
[[nodiscard]] std::string encode_note(const checkpoint_note& note);
[[nodiscard]] std::optional<checkpoint_note> decode_note(std::string_view value);
[[nodiscard]] std::string encode_mark(const source_mark& mark);
[[nodiscard]] std::optional<source_mark> decode_mark(std::string_view value);
[[nodiscard]] std::string encode_table(const pack_table& table);
[[nodiscard]] std::optional<pack_table> decode_table(std::string_view value);

// -- packed extents: 32 bytes chunk id, u64 length with the top bit for a hole ------

inline constexpr size_t packed_extent_size = 40;
/// Extents in one extents row.
inline constexpr size_t extents_per_row = 256;
void pack_extent(std::string& out, const extent& e);
/// @pre *count* extents from *from* on are in *packed*
void unpack_extents(std::string_view packed, size_t from, size_t count, std::vector<extent>& out);

// -- keys ------------------------------------------------------------------------------

[[nodiscard]] std::string head_key();
[[nodiscard]] std::string checkpoint_key();
/// Of the rows whose whole key, or whose first part, is one identifier.
template <class Id>
[[nodiscard]] std::string id_key(row_kind kind, const Id& id) {
  std::string key;
  key.reserve(1 + Id::size);
  key += static_cast<char>(kind);
  key += id.text();
  return key;
}
template <class First, class Second>
[[nodiscard]] std::string pair_key(row_kind kind, const First& first, const Second& second) {
  auto key = id_key(kind, first);
  key += second.text();
  return key;
}
[[nodiscard]] std::string pending_key(const device_id& device, uint64_t sequence);
[[nodiscard]] std::string name_key(const node_id& parent, std::string_view name);
[[nodiscard]] std::string contender_prefix(const node_id& parent, std::string_view name);
[[nodiscard]] std::string contender_key(const node_id& parent, std::string_view name, const name_row::claim& who);
[[nodiscard]] std::optional<name_row::claim> parse_contender(std::string_view key);
[[nodiscard]] std::string move_key(const op_order& at);
[[nodiscard]] std::string extents_key(const version_id& version, uint64_t last_ordinal);
[[nodiscard]] std::string tag_key(const node_id& node, std::string_view key);

/// The identifier behind the first byte of *key*, after *skip* more bytes.
/// @pre the key is long enough, see `key_fits`
template <class Id>
[[nodiscard]] Id id_in_key(std::string_view key, size_t skip = 0) {
  return Id::from(as_view(key.substr(1 + skip, Id::size)));
}
[[nodiscard]] uint64_t number_in_key(std::string_view key, size_t skip);
/// Length of the keys of a kind, or 0 where it varies.
[[nodiscard]] size_t key_size(row_kind kind);
[[nodiscard]] inline bool key_fits(std::string_view key) {
  auto size = key.empty() ? 1 : key_size(static_cast<row_kind>(key[0]));
  return size == 0 || size == key.size();
}

/// "name~" and the first eight hex digits of the node.
[[nodiscard]] std::string alias_of(std::string_view name, const node_id& node);

} // namespace datamesh::storage
