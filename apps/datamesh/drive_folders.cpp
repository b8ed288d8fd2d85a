#include "drive_folders.hpp"

#include "display.hpp"

#include <cerrno>
#include <filesystem>

#include <fmt/format.h>

#include <linux/magic.h>
#include <sys/vfs.h>
#include <unistd.h>

namespace datamesh::cli {

namespace fs = std::filesystem;

namespace {

/// What is not there yet, or may not be looked at, is taken by its name.
fs::path resolved(const std::string& folder) {
  constexpr int links_max = 40;
  std::error_code failed;
  auto result = fs::path{absolute_path(folder)};
  for (int i = 0; i < links_max; ++i) {
    auto next = fs::weakly_canonical(result, failed);
    if (failed)
      break;
    result = next;
    // It leads to what is not there yet, too.
    auto target = fs::read_symlink(result, failed);
    if (failed)
      break;
    result = result.parent_path() / target;
  }
  return result;
}

bool same(const fs::path& a, const fs::path& b) {
  std::error_code failed;
  return a == b || fs::equivalent(a, b, failed);
}

bool lies_below(fs::path inner, const fs::path& outer) {
  while (inner.has_relative_path()) {
    inner = inner.parent_path();
    if (same(inner, outer))
      return true;
  }
  return false;
}

outcome<void> check_pair(const std::string& folder, const std::string& drive) {
  constexpr auto next = "choose a folder outside of the other drives, best on a disk of its own";
  auto a = resolved(folder);
  auto b = resolved(drive);
  if (lies_below(a, b))
    return refuse(errc::invalid_argument, fmt::format("'{}' would lie in the drive '{}'", printable(folder), printable(drive)), next);
  if (lies_below(b, a))
    return refuse(errc::invalid_argument, fmt::format("the drive '{}' would lie in '{}'", printable(drive), printable(folder)), next);
  return {};
}

outcome<void> check_home(const std::string& folder, const std::string& home) {
  auto drive = resolved(folder);
  auto own = resolved(home);
  if (same(drive, own) || lies_below(drive, own))
    return refuse(errc::invalid_argument, fmt::format("'{}' would lie in the node's home '{}'", printable(folder), printable(home)),
                  "choose a folder outside of the home, best on a disk of its own");
  if (lies_below(own, drive))
    return refuse(errc::invalid_argument,
                  fmt::format("the node's home '{}' would lie in the drive '{}'", printable(home), printable(folder)),
                  "choose another folder, best on a disk of its own, or another --home");
  return {};
}

} // namespace

bool is_node_name(std::string_view folder) {
  return folder.starts_with("node:");
}

std::string absolute_path(const std::string& path) {
  if (is_node_name(path))
    return path;
  std::error_code failed;
  auto result = fs::absolute(path, failed).lexically_normal().string();
  if (failed)
    return path;
  while (result.size() > 1 && result.back() == '/')
    result.pop_back();
  return result;
}

bool same_folder(const std::string& a, const std::string& b) {
  return same(resolved(a), resolved(b));
}

outcome<void> check_drive_folders(const std::vector<std::string>& all, const std::string& home, const std::vector<std::string>& all_there) {
  auto folders = all;
  auto there = all_there;
  std::erase_if(folders, [](const std::string& folder) { return is_node_name(folder); });
  std::erase_if(there, [](const std::string& folder) { return is_node_name(folder); });
  for (auto folder = folders.begin(); folder != folders.end(); ++folder) {
    std::error_code failed;
    auto status = fs::status(*folder, failed);
    if (fs::exists(status) && !fs::is_directory(status))
      return refuse(errc::not_a_folder, fmt::format("'{}' is no folder", printable(*folder)),
                    "name a folder for the drive; it is made when it is missing");
    if (auto apart = check_home(*folder, home); !apart)
      return apart;
    for (auto earlier = folders.begin(); earlier != folder; ++earlier) {
      if (same_folder(*folder, *earlier))
        return refuse(errc::invalid_argument,
                      *folder == *earlier ? fmt::format("'{}' is named twice", printable(*folder))
                                          : fmt::format("'{}' and '{}' are the same folder", printable(*earlier), printable(*folder)),
                      "name each folder once; what two drives hold is safer only where they are two disks");
      if (auto apart = check_pair(*folder, *earlier); !apart)
        return apart;
    }
    for (auto& drive : there)
      if (auto apart = check_pair(*folder, drive); !apart)
        return apart;
  }
  return {};
}

outcome<void> check_can_be_made(const std::string& folder, bool by_us) {
  constexpr auto next = "name a folder on a disk; it is made when it is missing";
  auto above = resolved(folder);
  std::error_code failed;
  auto status = fs::status(above, failed);
  while (!fs::exists(status) && status.type() != fs::file_type::none && above.has_relative_path()) {
    above = above.parent_path();
    status = fs::status(above, failed);
  }
  auto shown = printable(above.string());
  auto refused = [&](errc code, std::string_view why) {
    return refuse(code, fmt::format("'{}' can not be a drive: {}", printable(folder), why), next);
  };
  if (fs::exists(status) && !fs::is_directory(status))
    return refused(errc::not_a_folder, fmt::format("'{}' is no folder", shown));
  // These say so in ways of their own, and root is not told before.
  struct statfs system = {};
  auto known = fs::exists(status) && statfs(above.c_str(), &system) == 0;
  if (known && system.f_type == PROC_SUPER_MAGIC)
    return refused(errc::not_found, fmt::format("the file system of '{}' keeps no files", shown));
  if (known && system.f_type == SYSFS_MAGIC)
    return refused(errc::permission_denied, fmt::format("the file system of '{}' keeps no files", shown));
  if (!by_us || access(above.c_str(), W_OK | X_OK) == 0)
    return {};
  if (errno == EROFS)
    return refused(errc::read_only, fmt::format("the file system of '{}' is read-only", shown));
  if (errno == EACCES)
    return refused(errc::permission_denied, fmt::format("nothing can be written to '{}'", shown));
  return {};
}

outcome<void> check_no_drives(const std::vector<std::string>& folders) {
  for (auto& folder : folders) {
    std::error_code failed;
    if (fs::exists(fs::path{folder} / "datamesh-drive", failed))
      return refuse(errc::already_exists, fmt::format("'{}' holds a drive of another node, or of an earlier attempt", printable(folder)),
                    "name an empty folder; once there is a node, 'datamesh drive adopt DIR' takes the drive over");
  }
  return {};
}

} // namespace datamesh::cli
