#include "name_check.hpp"

#include "display.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace datamesh::cli {

namespace {

// What the library takes.
constexpr size_t name_size_max = 255;
constexpr unsigned rename_max = 10'000;

bool is_below(const std::string& path, const std::string& folder) {
  return folder == "/" ? path != "/" : path.starts_with(folder + "/");
}

bool is_at_or_below(const std::string& path, const std::string& folder) {
  return path == folder || is_below(path, folder);
}

std::string name_in(const std::string& path) {
  return path.substr(path.rfind('/') + 1);
}

std::string below(const std::string& folder, const std::string& name) {
  return folder == "/" ? "/" + name : folder + "/" + name;
}

/// "a (2).txt": as the library numbers a name that is taken.
std::string numbered(const std::string& name, unsigned number) {
  auto dot = name.rfind('.');
  if (dot == std::string::npos || dot == 0)
    dot = name.size();
  return fmt::format("{} ({}){}", name.substr(0, dot), number, name.substr(dot));
}

outcome<void> check_length(const std::string& path, const std::string& name) {
  if (name.size() > name_size_max)
    return refuse(errc::name_invalid, fmt::format("'{}' has a name of more than {} bytes", printable(path), name_size_max),
                  "name a shorter target");
  return {};
}

tl::unexpected<failure> is_in_file(const std::string& path) {
  return refuse(errc::not_a_folder, fmt::format("'{}' would lie in a file", printable(path)),
                "name a folder; 'datamesh info PATH' tells what is one");
}

tl::unexpected<failure> is_taken(const std::string& path, errc code, bool may_rename) {
  return refuse(code, fmt::format("'{}' is there already", printable(path)),
                may_rename ? "name another target, or run it with --if-exists rename" : "name another target");
}

} // namespace

outcome<name_check::place> name_check::look(const std::string& path) const {
  auto page = vault_.list({.path = path, .limit = 1});
  if (!page && page.error().code() == errc::not_found)
    return place{};
  if (!page && page.error().code() == errc::not_a_folder)
    return place{.in_file = true};
  if (!page)
    return refuse(page.error());
  // What is no folder is all that is listed of it.
  if (!page->entries.empty() && page->entries.front().path == path)
    return place{page->entries.front().kind};
  return place{entry_kind::folder};
}

outcome<name_check::place> name_check::find(const std::string& path, size_t count) const {
  while (count > 0) {
    auto& last = done_[--count];
    if (!last.to.empty() && is_at_or_below(path, last.to)) {
      if (path == last.to)
        return place{last.kind};
      if (last.kind != entry_kind::folder)
        return place{.in_file = true};
      auto there = last.from.empty() ? outcome<place>{place{}} : find(last.from + path.substr(last.to.size()), count);
      if (!there || there->kind || there->in_file)
        return there;
    }
    // The folders on the way are made along with it.
    if (!last.to.empty() && is_below(last.to, path))
      return place{entry_kind::folder};
    if (!last.from.empty() && !last.stays && is_at_or_below(path, last.from))
      return place{};
  }
  return look(path);
}

outcome<name_check::place> name_check::find(const std::string& path) const {
  return find(path, done_.size());
}

outcome<entry_kind> name_check::kind_of(const std::string& path) const {
  auto there = find(path);
  if (!there)
    return refuse(there.error());
  if (there->in_file)
    return is_in_file(path);
  if (!there->kind)
    return refuse(errc::not_found, fmt::format("'{}' is not there", printable(path)));
  return *there->kind;
}

outcome<std::string> name_check::target_of(const std::string& from, const std::string& to) const {
  auto there = find(to);
  if (!there)
    return refuse(there.error());
  return there->kind == entry_kind::folder && to != from ? below(to, name_in(from)) : to;
}

outcome<std::string> name_check::claim(const std::string& path, entry_kind kind, if_exists conflict, bool fresh) const {
  if (path == "/")
    return refuse(errc::name_invalid, "the root is no name to store at", "name another target");
  for (size_t at = 1; at < path.size();) {
    auto end = std::min(path.find('/', at), path.size());
    if (auto good = check_length(path, path.substr(at, end - at)); !good)
      return refuse(good.error());
    at = end + 1;
  }
  auto folder = path.substr(0, path.rfind('/') + 1);
  auto name = name_in(path);
  for (unsigned number = 2;; ++number) {
    auto there = find(folder + name);
    if (!there)
      return refuse(there.error());
    if (there->in_file)
      return is_in_file(path);
    if (!there->kind)
      return folder + name;
    if (there->kind == kind && (kind == entry_kind::folder || conflict == if_exists::version)) {
      if (fresh)
        return is_taken(folder + name, errc::already_exists, false);
      return folder + name;
    }
    if (conflict != if_exists::rename || number > rename_max)
      return is_taken(path, there->kind == entry_kind::folder ? errc::is_a_folder : errc::already_exists, conflict != if_exists::rename);
    name = numbered(name_in(path), number);
    if (auto good = check_length(folder + name, name); !good)
      return refuse(good.error());
  }
}

outcome<void> name_check::claim_content(const std::string& from, const std::string& to, if_exists conflict) const {
  list_request all{.path = from, .recursive = true, .limit = 10'000};
  do {
    auto page = vault_.list(all);
    if (!page)
      return refuse(page.error());
    for (auto& e : page->entries)
      if (auto name = claim(to + e.path.substr(from.size()), e.kind, conflict, false); !name)
        return refuse(name.error());
    all.cursor = page->next_cursor;
  } while (!all.cursor.empty());
  return {};
}

void name_check::note(change done) {
  if (dry_)
    done_.push_back(std::move(done));
}

outcome<std::string> name_check::move(const std::string& from, const std::string& to, if_exists conflict) {
  if (from == "/")
    return refuse(errc::invalid_argument, "the root does not move", "name what is in it: datamesh mv '/*' FOLDER");
  auto kind = kind_of(from);
  if (!kind)
    return refuse(kind.error());
  auto target = target_of(from, to);
  if (!target || *target == from)
    return target;
  if (*kind == entry_kind::folder && is_below(*target, from))
    return refuse(errc::conflict, fmt::format("'{}' does not go into itself", printable(from)), "name another target");
  // What moves is no version of anything.
  auto name = claim(*target, *kind, conflict == if_exists::version ? if_exists::fail : conflict, true);
  if (name)
    note({.from = from, .to = *name, .kind = *kind});
  return name;
}

outcome<std::string> name_check::copy(const std::string& from, const std::string& to, if_exists conflict) {
  auto kind = kind_of(from);
  if (!kind)
    return refuse(kind.error());
  auto target = from == "/" ? outcome<std::string>{from} : target_of(from, to);
  if (!target)
    return target;
  if (*kind == entry_kind::folder && is_at_or_below(*target, from))
    return refuse(errc::conflict, fmt::format("'{}' does not go into itself", printable(from)), "name another target");
  auto name = claim(*target, *kind, conflict, false);
  if (!name)
    return name;
  if (*kind == entry_kind::folder) {
    auto there = find(*name);
    if (!there)
      return refuse(there.error());
    if (there->kind)
      if (auto content = claim_content(from, *name, conflict); !content)
        return refuse(content.error());
  }
  note({.from = from, .to = *name, .kind = *kind, .stays = true});
  return name;
}

outcome<void> name_check::remove(const std::string& path, bool recursive) {
  if (path == "/")
    return refuse(errc::invalid_argument, "the root is not removed", "name what is in it; 'datamesh ls /' lists that");
  auto kind = kind_of(path);
  if (!kind)
    return refuse(kind.error());
  list_request all{.path = path};
  for (auto more = *kind == entry_kind::folder && !recursive; more; more = !all.cursor.empty()) {
    auto page = vault_.list(all);
    if (!page)
      return refuse(page.error());
    for (auto& e : page->entries) {
      auto there = find(e.path);
      if (!there)
        return refuse(there.error());
      if (there->kind)
        return refuse(errc::folder_not_empty, fmt::format("'{}' is a folder with entries", printable(path)),
                      "datamesh rm -r " + shell_word(path));
    }
    all.cursor = page->next_cursor;
  }
  note({.from = path, .to = {}, .kind = *kind});
  return {};
}

outcome<void> name_check::restore(const std::string& target, entry_kind kind) {
  auto name = claim(target, kind, if_exists::fail, true);
  if (!name)
    return refuse(name.error());
  note({.from = {}, .to = *name, .kind = kind});
  return {};
}

} // namespace datamesh::cli
