// Where drives may lie: not in one another, and neither in the node's home nor around it.
// What goes with a folder would take the other along, and a disk that is lost would count as one.
#pragma once

#include "failure.hpp"

#include <string>
#include <vector>

namespace datamesh::cli {

/// Whether it stands for room on another node: "node:" and the node's id.
[[nodiscard]] bool is_node_name(std::string_view folder);

/// Absolute, without "." and "..", and without a '/' at its end. The name of a node as it is.
[[nodiscard]] std::string absolute_path(const std::string& path);

/// Whether both lead to the same folder: by name, through links, or because it is mounted twice.
[[nodiscard]] bool same_folder(const std::string& a, const std::string& b);

/// Refuses *folders*, which are to become drives of the node in *home* beside those in *there*,
/// with `invalid_argument`, or `not_a_folder`. One that is in *there* itself is not refused.
[[nodiscard]] outcome<void> check_drive_folders(const std::vector<std::string>& folders, const std::string& home,
                                                const std::vector<std::string>& there);

/// Refuses a folder that can not be one of a drive, as far as that is seen without a change: what
/// is above it is no folder, keeps no files or, where it is made *by_us* and not by a daemon, is closed to us.
[[nodiscard]] outcome<void> check_can_be_made(const std::string& folder, bool by_us);

/// Refuses a folder that holds a drive of some node, with `already_exists`.
[[nodiscard]] outcome<void> check_no_drives(const std::vector<std::string>& folders);

} // namespace datamesh::cli
