// Tells which files an earlier put left as they are now, so that they need not be read:
// same place in the vault, same size, device, inode, time of modification and time of change.
// The last can be set by no program. That is what restic and borg go by, too; a file that
// changed so lately that a second change could bear the same time is not remembered.
//
// Thread rule: one thread at a time.
#pragma once

#include "datamesh/base/clock.hpp"
#include "datamesh/base/file_system.hpp"
#include "storage/catalog.hpp"

namespace datamesh::storage {

class source_marks {
public:
  /// Marks of changes younger than this are not made: FAT tells times in steps of 2 s.
  static constexpr auto settled_after = std::chrono::seconds{3};

  source_marks(std::shared_ptr<const catalog> names, std::shared_ptr<clock> time) : names_(std::move(names)), time_(std::move(time)) {}

  /// False when nothing is known of the folder in which *target_path* lies.
  [[nodiscard]] bool knows_folder_of(std::string_view target_path);

  /// The version that holds the file at *target_path*, if it is still as *now*.
  [[nodiscard]] std::optional<version_id> find(std::string_view target_path, const file_status& now);

  /// Whether a file that is read now, and is the same behind it, may be remembered.
  [[nodiscard]] bool settled(const file_status& now) const;

private:
  std::shared_ptr<const catalog> names_;
  std::shared_ptr<clock> time_;
  std::string folder_path_ = "/";
  std::optional<node_id> folder_ = root_node();
};

} // namespace datamesh::storage
