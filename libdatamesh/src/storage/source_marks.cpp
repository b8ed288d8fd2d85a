#include "storage/source_marks.hpp"

namespace datamesh::storage {

namespace {

struct place {
  std::string_view folder;
  std::string_view name;
};

place split(std::string_view path) {
  while (path.ends_with('/'))
    path.remove_suffix(1);
  auto slash = path.rfind('/');
  if (slash == std::string_view::npos)
    return {"/", path};
  return {path.substr(0, slash + 1), path.substr(slash + 1)};
}

/// An empty file costs nothing to read, and may be one of those that only say they are empty.
bool may_be_marked(const file_status& now) {
  return now.kind == file_kind::regular && now.size > 0 && now.changed_ns != 0 && now.inode != 0;
}

} // namespace

bool source_marks::knows_folder_of(std::string_view target_path) {
  auto folder = split(target_path).folder;
  if (folder != folder_path_) {
    auto found = names_->resolve(folder);
    folder_ = found ? std::optional{found->node} : std::nullopt;
    folder_path_ = folder;
  }
  return folder_.has_value();
}

std::optional<version_id> source_marks::find(std::string_view target_path, const file_status& now) {
  if (!may_be_marked(now) || !knows_folder_of(target_path))
    return std::nullopt;
  // Where the catalog can not tell, the file is read.
  auto found =
      names_->find_unchanged(*folder_, split(target_path).name, {{}, now.size, now.modified_ns, now.changed_ns, now.device, now.inode});
  return found ? *found : std::nullopt;
}

bool source_marks::settled(const file_status& now) const {
  auto age = std::chrono::nanoseconds{time_->wall().time_since_epoch()} - std::chrono::nanoseconds{now.changed_ns};
  return may_be_marked(now) && age >= settled_after;
}

} // namespace datamesh::storage
