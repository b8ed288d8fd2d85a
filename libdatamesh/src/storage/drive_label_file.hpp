// Where the drives of a node are, as its operator says: the file `labels` of the node's home.
// Format: docs/formats/home.md.
//
// Thread rule: values; functions are safe to call from any thread.
#pragma once

#include "datamesh/base/file_system.hpp"
#include "datamesh/node.hpp"

#include <map>

namespace datamesh::storage {

inline constexpr size_t drive_label_max = 64;

/// Labels of drives that have any.
using label_table = std::map<drive_id, drive_labels>;

/// `name_invalid` unless each is empty or as `drive_labels` says.
[[nodiscard]] result<void> check_labels(const drive_labels& labels);

[[nodiscard]] drive_labels changed_by(const drive_labels& old, const drive_label_change& change);

[[nodiscard]] std::string encode_labels(const label_table& of);
/// `format_newer` for a later version, `format_damaged` for what is none.
[[nodiscard]] result<label_table> parse_labels(std::string_view text);

/// None where there is no such file.
[[nodiscard]] result<label_table> read_labels(file_system& files, const std::string& path);

} // namespace datamesh::storage
