// The marker file of a drive and the names of what lies in its folder. Format:
// docs/formats/drive.md. Thread rule: pure but for the file system handed in.
#pragma once

#include "datamesh/base/file_system.hpp"
#include "datamesh/base/ids.hpp"
#include "storage/shard_store.hpp"

#include <optional>
#include <string>

namespace datamesh::storage {

inline constexpr unsigned drive_format_version = 1;
inline constexpr unsigned shard_folder_count = 256; ///< One a first byte of a pack id.

[[nodiscard]] std::string marker_path(const std::string& folder);
[[nodiscard]] std::string lock_path(const std::string& folder);
[[nodiscard]] std::string index_path(const std::string& folder);
[[nodiscard]] std::string shards_path(const std::string& folder);

/// There once a sync failed.
[[nodiscard]] std::string failed_path(const std::string& folder);

/// Folder of the shards whose pack id begins with *first*.
[[nodiscard]] std::string shard_folder(const std::string& folder, unsigned first);
[[nodiscard]] std::string shard_path(const std::string& folder, const shard_key& key);

/// Where a shard lies for the moment in which it replaces a damaged one.
[[nodiscard]] std::string replacement_path(const std::string& folder, const shard_key& key);

/// The shard that a file name stands for, a replacement included.
struct shard_name {
  shard_key key;
  bool replacement = false;
};
[[nodiscard]] std::optional<shard_name> parse_shard_name(std::string_view name);

/// Those that are missing, durably.
[[nodiscard]] result<void> make_shard_folders(file_system& files, const std::string& folder);

/// Errors of `shard_store::identify`.
[[nodiscard]] result<drive_id> read_marker(file_system& files, const std::string& folder);

/// Durable when it succeeds.
[[nodiscard]] result<void> write_marker(file_system& files, const std::string& folder, const drive_id& id);

} // namespace datamesh::storage
