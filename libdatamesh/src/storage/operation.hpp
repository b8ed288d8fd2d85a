// One entry of a device's operation log. The catalog is the fold of all of them,
// in any order of arrival. Operations name nodes, versions and chunks, never packs
// or paths. Format: docs/formats/operation.md (protobuf datamesh.v1.Operation).
#pragma once

#include "datamesh/base/ids.hpp"
#include "datamesh/base/result.hpp"

#include <compare>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace datamesh::storage {

inline constexpr size_t name_size_max = 255; ///< Bytes of one name.
inline constexpr size_t extents_per_operation_max = 4096;
inline constexpr size_t operation_size_max = 1 << 20; ///< Encoded.

enum class node_kind : uint8_t { file = 1, folder = 2, symlink = 3 };

/// The root folder: all zero. The trash: all 0xff; `rm` moves a node there.
[[nodiscard]] node_id root_node() noexcept;
[[nodiscard]] node_id trash_node() noexcept;

/// A stretch of a file: a chunk, or a hole (no id) of that many zero bytes.
struct extent {
  std::optional<chunk_id> chunk;
  uint64_t length = 0; ///< Of a chunk at most 4 MiB.
  friend bool operator==(const extent&, const extent&) = default;
};

/// Creates the node when it is new, else moves or renames it. Into `trash_node()`
/// it deletes. A move that would make a folder its own ancestor has no effect
/// (Kleppmann, Mulligan, Gomes, Beresford, "A highly-available move operation for
/// replicated trees", 2021).
struct move_node {
  node_id node;
  node_id parent;
  std::string name;
  node_kind kind = node_kind::file;
  friend bool operator==(const move_node&, const move_node&) = default;
};

/// Extents of a version that is too long for one operation; sent before its
/// `put_version`. *ordinal* is the number of the first extent.
struct add_extents {
  version_id version;
  uint64_t ordinal = 0;
  std::vector<extent> extents;
  friend bool operator==(const add_extents&, const add_extents&) = default;
};

/// A new version of a file or symlink, or new attributes of a folder.
struct put_version {
  node_id node;
  version_id version;
  std::vector<version_id> replaces; ///< The current ones the writer saw.
  uint64_t size = 0;
  uint32_t mode = 0;
  int64_t modified_ns = 0;
  std::string symlink_target;
  uint64_t extent_count = 0;   ///< Of the whole version.
  std::vector<extent> extents; ///< The last ones: those behind all `add_extents`.
  friend bool operator==(const put_version&, const put_version&) = default;
};

/// Forgets one version; its chunks may go at the next cleanup.
struct drop_version {
  node_id node;
  version_id version;
  friend bool operator==(const drop_version&, const drop_version&) = default;
};

/// Forgets a node in the trash with all of its versions.
struct purge_node {
  node_id node;
  friend bool operator==(const purge_node&, const purge_node&) = default;
};

/// Last writer wins, per node and key. Without a value the tag is removed.
struct set_tag {
  node_id node;
  std::string key;
  std::optional<std::string> value;
  friend bool operator==(const set_tag&, const set_tag&) = default;
};

/// First phase of cleanup: these packs are to be deleted. No put references their
/// chunks from now on.
struct condemn_packs {
  std::vector<pack_id> packs;
  friend bool operator==(const condemn_packs&, const condemn_packs&) = default;
};

using operation_body = std::variant<move_node, add_extents, put_version, drop_version, purge_node, set_tag, condemn_packs>;

/// Orders operations of all devices: by Lamport time, then by device.
struct stamp {
  uint64_t lamport = 0;
  device_id device;
  friend auto operator<=>(const stamp&, const stamp&) = default;
};

struct operation {
  datamesh::storage::stamp at;
  uint64_t sequence = 0; ///< Of its device, from 1, without a gap.
  int64_t wall_ns = 0;   ///< For people; never decides anything.
  digest previous;       ///< BLAKE3 of the encoded operation before it; zero for the first.
  operation_body body;
  friend bool operator==(const operation&, const operation&) = default;
};

/// The one canonical encoding; hash links cover it. @pre `validate(op)`
[[nodiscard]] std::string encode(const operation& op);
/// What the encoding of an operation holds behind its stamp: `encode(op)` is
/// `encode_stamp(op)` + `encode_body(op.body)`.
[[nodiscard]] std::string encode_stamp(const operation& op);
[[nodiscard]] std::string encode_body(const operation_body& body);
/// Of what `encode_body` gave within this process: `format_damaged` when it is out of
/// its bounds, but encodings that are not canonical are not looked for.
[[nodiscard]] result<operation_body> decode_body(std::string_view encoded);

/// `format_damaged` for what is malformed, too large, out of bounds or not encoded
/// canonically; `format_newer` for a body or field that this version does not know.
[[nodiscard]] result<operation> decode_operation(std::string_view encoded);

/// `format_damaged` when a field is out of its bounds. The root and the trash can
/// not be moved or purged; the extents of a version that is whole in one operation
/// add up to its size.
[[nodiscard]] result<void> validate(const operation& op);

/// `name_invalid` for empty, ".", "..", a NUL or a slash, or more than 255 bytes.
[[nodiscard]] result<void> validate_name(std::string_view name);

} // namespace datamesh::storage
