#include "datamesh/base/file_system.hpp"

#include <array>

namespace datamesh {

namespace {

std::string_view without_trailing_slashes(std::string_view path) {
  while (path.size() > 1 && path.back() == '/')
    path.remove_suffix(1);
  return path;
}

} // namespace

/// The name may change hands between the two looks. What counts is the file that is
/// open, but only if the name is its own and not that of a link to it.
result<opened_file> file_system::open_regular(const std::string& path) {
  auto named = status(path);
  if (!named)
    return fail(named.error());
  if (named->kind != file_kind::regular)
    return fail(named->kind == file_kind::folder ? errc::is_a_folder : errc::unsupported_source, "open", path);
  auto file = open_read(path, access_hint::sequential);
  if (!file)
    return fail(file.error());
  auto opened = (*file)->status();
  if (!opened)
    return fail(opened.error());
  if (named->device != opened->device || named->inode != opened->inode) {
    named = status(path);
    if (!named)
      return fail(named.error());
    if (named->kind != file_kind::regular || named->device != opened->device || named->inode != opened->inode)
      return fail(errc::unsupported_source, "open", path);
  }
  return opened_file{std::move(*file), *opened};
}

result<void> make_folders(file_system& files, const std::string& path, uint32_t mode) {
  // From the longest prefix that exists downwards.
  std::vector<std::string> missing;
  for (std::string at{without_trailing_slashes(path)};; at = parent_path(at)) {
    auto status = files.status(at);
    if (status) {
      // What lies behind a symbolic link is seen by creating below it.
      if (status->kind != file_kind::folder && status->kind != file_kind::symlink)
        return fail(errc::not_a_folder, "create folder", at);
      break;
    }
    if (status.error().code() != errc::not_found || at == "." || at == "/")
      return fail(status.error().within("create folder", path));
    missing.push_back(at);
  }
  for (auto it = missing.rbegin(); it != missing.rend(); ++it) {
    if (auto made = files.make_folder(*it, mode); !made)
      return fail(made.error().within("create folder", path));
    if (auto synced = files.sync_folder(parent_path(*it)); !synced)
      return fail(synced.error().within("create folder", path));
  }
  return {};
}

result<bytes> read_whole(file_system& files, const std::string& path, uint64_t size_max) {
  auto file = files.open_read(path);
  if (!file)
    return fail(file.error());
  auto status = (*file)->status();
  if (!status)
    return fail(status.error());
  if (status->size > size_max)
    return fail(errc::capacity_exceeded, "read whole file", path);
  // The size may be a lie (files of /proc say 0, others grow): read until the end.
  std::vector<std::byte> content(static_cast<size_t>(status->size));
  size_t done = 0;
  for (;;) {
    if (done == content.size()) {
      std::array<std::byte, 4096> more{};
      auto count = (*file)->read_at(done, more);
      if (!count)
        return fail(count.error());
      if (*count == 0)
        return bytes::take(std::move(content));
      if (*count > size_max - done)
        return fail(errc::capacity_exceeded, "read whole file", path);
      content.insert(content.end(), more.begin(), more.begin() + static_cast<ptrdiff_t>(*count));
      done += *count;
      continue;
    }
    auto count = (*file)->read_at(done, byte_span{content}.subspan(done));
    if (!count)
      return fail(count.error());
    if (*count == 0)
      content.resize(done);
    done += *count;
  }
}

result<void> write_whole(file_system& files, const std::string& path, byte_view content, uint32_t mode) {
  auto folder = parent_path(path);
  auto temporary = path + ".new";
  auto file = files.create(temporary, mode);
  if (!file)
    return fail(file.error().within("write whole file", path));
  std::array<byte_view, 1> parts{content};
  auto done = (*file)->write_at(0, parts).and_then([&] { return (*file)->sync(); });
  file->reset();
  if (done)
    done = files.rename(temporary, path);
  if (!done) {
    // The old content stands; what is left of the new one is of no use.
    (void) files.remove(temporary);
    return fail(done.error().within("write whole file", path));
  }
  if (auto synced = files.sync_folder(folder); !synced)
    return fail(synced.error().within("write whole file", path));
  return {};
}

std::string join_path(std::string_view folder, std::string_view name) {
  std::string path{folder};
  while (!name.empty() && name.front() == '/' && !path.empty())
    name.remove_prefix(1);
  if (!path.empty() && path.back() != '/' && !name.empty())
    path += '/';
  path += name;
  return path;
}

std::string parent_path(std::string_view path) {
  path = without_trailing_slashes(path);
  auto slash = path.rfind('/');
  if (slash == std::string_view::npos)
    return ".";
  return std::string{without_trailing_slashes(path.substr(0, slash + 1))};
}

} // namespace datamesh
