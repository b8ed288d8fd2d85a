#include "storage/tree_writer.hpp"

#include "storage/sealed_chunk.hpp"

#include <set>

namespace datamesh::storage {

namespace {

constexpr uint32_t permission_bits = 0777; // set-user-id and the like are not restored

/// Where a long file grows.
std::string partial_path(const std::string& path) {
  auto folder = parent_path(path);
  auto name = path.substr(path.rfind('/') + 1);
  return join_path(folder, "." + name + ".datamesh-part");
}

class tree_writer : public restore_writer {
public:
  tree_writer(std::shared_ptr<file_system> files, std::string folder, bool overwrite, const crypto::key256& id_key)
      : files_(std::move(files)), folder_(std::move(folder)), overwrite_(overwrite), id_key_(id_key) {}

  result<answer> begin(const target_file& what) override {
    if (auto parents = enter_parents(what.path); !parents)
      return fail(parents.error());
    auto path = join_path(folder_, what.path);
    auto there = files_->status(path);
    if (!there && there.error().code() != errc::not_found)
      return fail(there.error());
    if (what.kind == node_kind::folder)
      return begin_folder(what, path, there.has_value() ? &*there : nullptr);
    if (there && same(what, *there, path))
      return answer::skip;
    if (there && (!overwrite_ || there->kind == file_kind::folder))
      return fail(errc::already_exists, "restore", path);
    if (what.kind == node_kind::symlink) {
      links_.push_back({what, path});
      return answer::skip;
    }
    current_ = what;
    path_ = path;
    replaces_ = there.has_value();
    offset_ = 0;
    partial_ = what.size >= resumable_size_min;
    if (partial_)
      return open_partial();
    auto file = files_->create_unnamed(parent_path(path));
    if (!file)
      return fail(file.error().within("restore", path));
    file_ = std::move(*file);
    return answer::write;
  }

  result<size_t> resume(const std::vector<extent>& extents) override {
    if (!partial_)
      return size_t{0};
    auto old = files_->open_read(partial_path(path_), access_hint::sequential);
    if (!old)
      return size_t{0};
    auto status = (*old)->status();
    if (!status)
      return size_t{0};
    size_t good = 0;
    std::vector<std::byte> buffer;
    for (const auto& next : extents) {
      if (next.length > status->size - std::min(status->size, offset_))
        break;
      if (next.chunk) {
        buffer.resize(static_cast<size_t>(next.length));
        auto count = (*old)->read_at(offset_, buffer);
        if (!count || *count != buffer.size() || chunk_id_of(id_key_, buffer) != *next.chunk)
          break;
      }
      offset_ += next.length;
      ++good;
    }
    return good;
  }

  result<void> write(byte_view data) override {
    const byte_view parts[] = {data};
    if (auto written = file_->write_at(offset_, parts); !written)
      return fail(written.error().within("restore", path_));
    offset_ += data.size();
    return {};
  }

  result<void> hole(uint64_t length) override {
    offset_ += length;
    return {};
  }

  result<void> end() override {
    auto done = finish_file();
    file_.reset();
    return done;
  }

  void abandon() override {
    file_.reset();
  }

  std::vector<item_failure> finish() override {
    std::vector<item_failure> failures;
    for (const auto& [what, path] : links_) {
      if (overwrite_)
        (void) files_->remove(path);
      if (auto made = files_->make_symlink(what.symlink_target, path); !made)
        failures.push_back({what.path, made.error()});
    }
    for (auto it = folders_.rbegin(); it != folders_.rend(); ++it) {
      auto set = files_->set_attributes(it->second, it->first.mode & permission_bits, it->first.modified_ns);
      if (!set)
        failures.push_back({it->first.path, set.error()});
    }
    return failures;
  }

private:
  /// Every folder on the way is a real one.
  result<void> enter_parents(const std::string& path) {
    for (size_t slash = path.find('/'); slash != std::string::npos; slash = path.find('/', slash + 1)) {
      auto relative = path.substr(0, slash);
      if (entered_.count(relative) > 0)
        continue;
      auto full = join_path(folder_, relative);
      auto there = files_->status(full);
      if (!there && there.error().code() == errc::not_found) {
        if (auto made = files_->make_folder(full); !made)
          return made;
      } else if (!there) {
        return fail(there.error());
      } else if (there->kind != file_kind::folder) {
        return fail(errc::not_a_folder, "restore into", full);
      }
      entered_.insert(relative);
    }
    return {};
  }

  result<answer> begin_folder(const target_file& what, const std::string& path, const file_status* there) {
    if (there == nullptr) {
      if (auto made = files_->make_folder(path); !made)
        return fail(made.error());
    } else if (there->kind != file_kind::folder) {
      return fail(errc::already_exists, "restore folder", path);
    }
    entered_.insert(what.path);
    folders_.emplace_back(what, path);
    return answer::skip;
  }

  bool same(const target_file& what, const file_status& there, const std::string& path) const {
    if (what.kind == node_kind::symlink) {
      auto target = there.kind == file_kind::symlink ? files_->read_link(path) : fail(errc::not_found);
      return target && *target == what.symlink_target;
    }
    return there.kind == file_kind::regular && there.size == what.size && there.modified_ns == what.modified_ns;
  }

  result<answer> open_partial() {
    auto path = partial_path(path_);
    auto there = files_->status(path);
    auto file = there && there->kind == file_kind::regular ? files_->open_write(path) : files_->create(path);
    if (!file)
      return fail(file.error().within("restore", path_));
    file_ = std::move(*file);
    return answer::write;
  }

  result<void> finish_file() {
    // Also cuts what an older partial file had too much, and ends in a hole.
    if (auto sized = file_->resize(offset_); !sized)
      return sized;
    if (auto set = file_->set_attributes(current_.mode & permission_bits, current_.modified_ns); !set)
      return set;
    if (!partial_ && !replaces_)
      return file_->link_as(path_);
    auto path = partial_path(path_);
    if (!partial_) {
      (void) files_->remove(path);
      if (auto linked = file_->link_as(path); !linked)
        return linked;
    }
    return overwrite_ ? files_->rename(path, path_) : files_->rename_new(path, path_);
  }

  std::shared_ptr<file_system> files_;
  std::string folder_;
  bool overwrite_;
  crypto::key256 id_key_;
  std::set<std::string> entered_;
  std::vector<std::pair<target_file, std::string>> links_;
  std::vector<std::pair<target_file, std::string>> folders_;
  target_file current_;
  std::string path_;
  std::unique_ptr<writable_file> file_;
  uint64_t offset_ = 0;
  bool replaces_ = false;
  bool partial_ = false;
};

class stream_writer : public restore_writer {
public:
  explicit stream_writer(std::shared_ptr<sink> to) : to_(std::move(to)) {}
  result<answer> begin(const target_file&) override {
    return answer::write;
  }
  result<void> write(byte_view data) override {
    return to_->write(data);
  }
  result<void> hole(uint64_t length) override {
    return to_->write_hole(length);
  }
  result<void> end() override {
    return {};
  }
  void abandon() override {
    // nop
  }

private:
  std::shared_ptr<sink> to_;
};

} // namespace

std::unique_ptr<restore_writer> write_tree(std::shared_ptr<file_system> files, std::string folder, bool overwrite,
                                           const crypto::key256& id_key) {
  return std::make_unique<tree_writer>(std::move(files), std::move(folder), overwrite, id_key);
}

std::unique_ptr<restore_writer> write_stream(std::shared_ptr<sink> to) {
  return std::make_unique<stream_writer>(std::move(to));
}

} // namespace datamesh::storage
