#include "network/ballast_file.hpp"

#include <algorithm>

namespace datamesh::network {

namespace {

constexpr auto attempted = "hold room for others";
constexpr uint64_t page = 4096;

} // namespace

ballast_file::ballast_file(std::shared_ptr<file_system> files, const std::string& folder)
    : files_(std::move(files)), path_(join_path(folder, "ballast")) {}

result<void> ballast_file::look() {
  auto there = files_->status(path_);
  if (!there && there.error().code() != errc::not_found)
    return fail(there.error().within(attempted));
  held_ = there ? std::min(there->allocated, there->size) : 0;
  return {};
}

result<void> ballast_file::hold(uint64_t size) {
  size = size / page * page;
  if (size > held_)
    return can_hold_ ? grow(size) : result<void>{};
  auto done = size == 0 ? files_->remove(path_)
                        : files_->open_write(path_).and_then([&](std::unique_ptr<writable_file> file) { return file->resize(size); });
  if (done || done.error().code() == errc::not_found)
    return look();
  return fail(done.error().within(attempted));
}

/// The size first: what is allocated behind a file's end would stay when it is made shorter.
result<void> ballast_file::grow(uint64_t size) {
  auto file = files_->open_write(path_);
  if (!file && file.error().code() == errc::not_found)
    file = files_->create(path_);
  if (!file)
    return fail(file.error().within(attempted));
  auto before = held_.load();
  auto grown = (*file)->resize(size).and_then([&] { return (*file)->allocate(size); });
  if (!grown)
    (void) (*file)->resize(before);
  file->reset();
  if (auto looked = look(); !looked)
    return looked;
  if (!grown)
    return fail(grown.error().within(attempted));
  if (held_ >= size / 2)
    return {};
  can_hold_ = false;
  return hold(0);
}

} // namespace datamesh::network
