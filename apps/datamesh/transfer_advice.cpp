#include "transfer_advice.hpp"

#include "display.hpp"

#include <algorithm>
#include <set>

#include <fmt/format.h>

namespace datamesh::cli {

std::string advice_for_target(errc code, const std::string& target) {
  constexpr auto elsewhere = "bring it back into another folder with --to FOLDER";
  auto shown = printable(target);
  switch (code) {
  case errc::no_space:
    return fmt::format("free space where '{}' is, or {}", shown, elsewhere);
  case errc::read_only:
    return fmt::format("mount the file system of '{}' read-write, or {}", shown, elsewhere);
  case errc::permission_denied:
    return fmt::format("check owner and mode of '{}', or {}", shown, elsewhere);
  case errc::not_a_folder:
    return fmt::format("a file is in the way in '{}'; move it, or {}", shown, elsewhere);
  case errc::capacity_exceeded:
    return fmt::format("'{}' takes no file of that size; {} on another file system", shown, elsewhere);
  case errc::name_invalid:
    return fmt::format("'{}' takes no such name; bring it back alone under another one with --as NAME", shown);
  case errc::io_failed:
  case errc::sync_failed:
    return fmt::format("see whether the disk of '{}' is in order, or {}; 'datamesh status' tells how the drives are", shown, elsewhere);
  case errc::locked:
    return fmt::format("another get writes the same into '{}'; wait until it has ended, or {}", shown, elsewhere);
  default:
    return {};
  }
}

std::string advice_for_target(const std::vector<item_failure>& failures, const std::string& target) {
  auto other = [&](auto& failed) {
    return failed.reason.code() != failures.front().reason.code();
  };
  if (failures.empty() || std::any_of(failures.begin(), failures.end(), other))
    return {};
  return advice_for_target(failures.front().reason.code(), target);
}

std::string advice_for_home(errc code, std::string_view what, const std::string& home) {
  auto named = [&](std::string_view end) {
    return what.find(fmt::format("'{}{}", home, end)) != std::string_view::npos;
  };
  if (home.empty() || (!named("/") && !named("'")))
    return {};
  auto shown = printable(home);
  if (code == errc::no_space)
    return fmt::format("free space on the disk of the home '{}', then the same again; what is stored can be read meanwhile", shown);
  if (code == errc::read_only)
    return fmt::format("mount the file system of the home '{}' read-write, restart a daemon that began without that, then the same again; "
                       "what is stored can be read meanwhile",
                       shown);
  return {};
}

std::string advice_for_stall(errc code, std::string_view what) {
  if (code != errc::timed_out || what.find("while others waited for memory") == std::string_view::npos)
    return {};
  return "the same again when what feeds it, or reads from it, goes on without such a pause; a file in between does, and so does more "
         "'memory' in datameshd.toml";
}

namespace {

struct obstacle {
  std::string path;
  bool folder = false;
  friend auto operator<=>(const obstacle&, const obstacle&) = default;
};

/// The entry that is no folder where one is due, or what is at *path* itself.
std::optional<obstacle> obstacle_to(const vault& v, const std::string& path) {
  for (auto end = path.find('/', 1);; end = path.find('/', end + 1)) {
    auto there = v.info(path.substr(0, end));
    if (!there)
      return std::nullopt;
    auto folder = there->kind == entry_kind::folder;
    if (!folder || end == std::string::npos)
      return obstacle{there->path, folder};
  }
}

} // namespace

std::string advice_for_kinds(const vault& v, const std::vector<item_failure>& failures, bool same_kind_fails) {
  constexpr size_t named_max = 3;
  std::set<obstacle> found;
  for (auto& failed : failures) {
    auto code = failed.reason.code();
    if (code != errc::is_a_folder && code != errc::not_a_folder && (code != errc::already_exists || same_kind_fails))
      return {};
    auto one = obstacle_to(v, failed.path);
    if (!one)
      return {};
    found.insert(*one);
    if (found.size() > named_max)
      return {};
  }
  if (found.empty())
    return {};
  std::string paths;
  for (auto& one : found)
    paths += " " + shell_word(one.path);
  auto folders = std::any_of(found.begin(), found.end(), [](auto& one) { return one.folder; });
  return fmt::format(
      "datamesh rm{}{}, and the same put again; datamesh restore{} --to OTHER brings {} back from the trash, with all versions",
      folders ? " -r" : "", paths, found.size() == 1 ? paths : " PATH", found.size() == 1 ? "it" : "each");
}

} // namespace datamesh::cli
