#include "storage/tree_writer.hpp"

#include "crypto/hash.hpp"
#include "storage/sealed_chunk.hpp"

#include <algorithm>
#include <mutex>
#include <set>

namespace datamesh::storage {

namespace {

constexpr uint32_t permission_bits = 0777; // set-user-id and the like are not restored

constexpr size_t hole_check_size = 1 << 20; // bytes at once

constexpr std::string_view partial_ending = ".datamesh-part";

/// Where a long file grows. A name that leaves no room is shortened.
std::string first_partial_path(const std::string& path, std::string_view ending) {
  constexpr size_t digits = 8;
  auto name = path.substr(path.rfind('/') + 1);
  if (name.size() + 1 + ending.size() > name_size_max)
    name = name.substr(0, name_size_max - 1 - ending.size() - digits) + crypto::blake3(as_view(name)).hex().substr(0, digits);
  return join_path(parent_path(path), "." + name + std::string{ending});
}

/// What all writers of a target know, and what has to wait until they are done.
/// Thread rule: any thread.
class shared_target {
public:
  using list = std::vector<std::pair<target_file, std::string>>;

  void add_link(const target_file& what, const std::string& path) {
    std::lock_guard guard{mutex_};
    links_.emplace_back(what, path);
  }
  void add_folder(const target_file& what, const std::string& path) {
    std::lock_guard guard{mutex_};
    folders_.emplace_back(what, path);
  }
  [[nodiscard]] list take_links() {
    std::lock_guard guard{mutex_};
    return std::exchange(links_, {});
  }
  /// What lies below a folder comes before it.
  [[nodiscard]] list take_folders() {
    std::lock_guard guard{mutex_};
    std::sort(folders_.begin(), folders_.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
    return std::exchange(folders_, {});
  }

  /// A restored file whose name is like that of a partial one.
  void add_partial_name(const std::string& path) {
    std::lock_guard guard{mutex_};
    named_as_partial_.insert(path);
  }
  [[nodiscard]] bool has_partial_name(const std::string& path) {
    std::lock_guard guard{mutex_};
    return named_as_partial_.count(path) > 0;
  }

private:
  std::mutex mutex_;
  list links_;
  list folders_;
  std::set<std::string> named_as_partial_;
};

class tree_writer : public restore_writer {
public:
  tree_writer(std::shared_ptr<file_system> files, std::string folder, bool overwrite, const crypto::key256& id_key,
              std::shared_ptr<shared_target> shared)
      : files_(std::move(files)), folder_(std::move(folder)), overwrite_(overwrite), id_key_(id_key), shared_(std::move(shared)) {}

  std::shared_ptr<restore_writer> companion() override {
    return std::make_shared<tree_writer>(files_, folder_, overwrite_, id_key_, shared_);
  }

  result<answer> begin(const target_file& what) override {
    if (auto parents = enter_parents(what.path); !parents)
      return fail(parents.error());
    auto path = join_path(folder_, what.path);
    if (what.path.ends_with(partial_ending))
      shared_->add_partial_name(path);
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
      shared_->add_link(what, path);
      return answer::skip;
    }
    current_ = what;
    path_ = path;
    replaces_ = there.has_value();
    offset_ = 0;
    data_end_ = 0;
    partial_ = what.size >= resumable_size_min;
    cut_ = !partial_;
    if (partial_)
      return open_partial();
    auto file = files_->create_unnamed(parent_path(path), what.mode & permission_bits);
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
      if (!(next.chunk ? holds_chunk(**old, next, buffer) : holds_hole(**old, next.length, buffer)))
        break;
      offset_ += next.length;
      ++good;
    }
    return good;
  }

  result<void> write(byte_view data) override {
    if (auto cut = cut_rest(); !cut)
      return cut;
    const byte_view parts[] = {data};
    if (auto written = file_->write_at(offset_, parts); !written)
      return fail(written.error().within("restore", path_));
    offset_ += data.size();
    data_end_ = offset_;
    return {};
  }

  result<void> hole(uint64_t length) override {
    if (auto cut = cut_rest(); !cut)
      return cut;
    offset_ += length;
    return {};
  }

  result<void> end() override {
    auto done = cut_rest().and_then([&] { return finish_file(); });
    file_.reset();
    return done;
  }

  void abandon() override {
    file_.reset();
  }

  std::vector<item_failure> finish() override {
    std::vector<item_failure> failures;
    for (const auto& [what, path] : shared_->take_links()) {
      if (auto parents = enter_parents(what.path); !parents) {
        failures.push_back({what.path, parents.error()});
        continue;
      }
      if (overwrite_)
        (void) files_->remove(path);
      if (auto made = files_->make_symlink(what.symlink_target, path); !made)
        failures.push_back({what.path, made.error()});
    }
    for (const auto& [what, path] : shared_->take_folders()) {
      // A folder that was made in the vault, not stored, has no attributes to restore.
      if (what.mode == 0 && what.modified_ns == 0)
        continue;
      auto set = enter_parents(what.path).and_then(
          [&, &what = what, &path = path] { return files_->set_attributes(path, what.mode & permission_bits, what.modified_ns); });
      if (!set)
        failures.push_back({what.path, set.error()});
    }
    return failures;
  }

private:
  /// Every folder on the way is a real one.
  result<void> enter_parents(const std::string& path) {
    for (size_t slash = path.find('/'); slash != std::string::npos; slash = path.find('/', slash + 1)) {
      auto full = join_path(folder_, path.substr(0, slash));
      auto there = files_->status(full);
      if (!there && there.error().code() == errc::not_found) {
        if (auto made = files_->make_folder(full); !made)
          return made;
      } else if (!there) {
        return fail(there.error());
      } else if (there->kind != file_kind::folder) {
        return fail(errc::not_a_folder, "restore into", full);
      }
    }
    return {};
  }

  bool holds_chunk(readable_file& old, const extent& next, std::vector<std::byte>& buffer) const {
    buffer.resize(static_cast<size_t>(next.length));
    auto count = old.read_at(offset_, buffer);
    return count && *count == buffer.size() && chunk_id_of(id_key_, buffer) == *next.chunk;
  }

  /// What an earlier version of the file left there must not shine through.
  bool holds_hole(readable_file& old, uint64_t length, std::vector<std::byte>& buffer) const {
    auto end = offset_ + length;
    for (auto at = offset_; at < end;) {
      auto data = old.next_data(at);
      if (!data)
        return false;
      at = std::clamp(*data, at, end);
      buffer.resize(static_cast<size_t>(std::min<uint64_t>(end - at, hole_check_size)));
      auto count = old.read_at(at, buffer);
      if (!count || *count != buffer.size() || std::any_of(buffer.begin(), buffer.end(), [](std::byte b) { return b != std::byte{0}; }))
        return false;
      at += buffer.size();
    }
    return true;
  }

  /// Holes are passed over, so nothing old may lie behind what was resumed.
  result<void> cut_rest() {
    if (std::exchange(cut_, true))
      return {};
    return file_->resize(offset_);
  }

  result<answer> begin_folder(const target_file& what, const std::string& path, const file_status* there) {
    if (there == nullptr) {
      if (auto made = files_->make_folder(path); !made)
        return fail(made.error());
    } else if (there->kind != file_kind::folder) {
      return fail(errc::already_exists, "restore folder", path);
    }
    shared_->add_folder(what, path);
    return answer::skip;
  }

  bool same(const target_file& what, const file_status& there, const std::string& path) const {
    if (what.kind == node_kind::symlink) {
      auto target = there.kind == file_kind::symlink ? files_->read_link(path) : fail(errc::not_found);
      return target && *target == what.symlink_target;
    }
    return there.kind == file_kind::regular && there.size == what.size && there.modified_ns == what.modified_ns;
  }

  /// The same in every run, as long as nothing that is restored has the name.
  std::string partial_path(const std::string& path) const {
    std::string more;
    auto chosen = first_partial_path(path, partial_ending);
    while (shared_->has_partial_name(chosen))
      chosen = first_partial_path(path, (more += "~") + std::string{partial_ending});
    return chosen;
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
    if (auto parents = enter_parents(current_.path); !parents)
      return parents;
    // It may end in a hole.
    if (data_end_ < offset_ || partial_)
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
    auto named = overwrite_ ? files_->rename(path, path_) : files_->rename_new(path, path_);
    if (!named && !partial_)
      (void) files_->remove(path);
    return named;
  }

  std::shared_ptr<file_system> files_;
  std::string folder_;
  bool overwrite_;
  crypto::key256 id_key_;
  std::shared_ptr<shared_target> shared_;
  target_file current_;
  std::string path_;
  std::unique_ptr<writable_file> file_;
  uint64_t offset_ = 0;
  uint64_t data_end_ = 0; ///< Behind it there are only holes.
  bool replaces_ = false;
  bool partial_ = false;
  bool cut_ = true; ///< Nothing lies behind `offset_`.
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
  return std::make_unique<tree_writer>(std::move(files), std::move(folder), overwrite, id_key, std::make_shared<shared_target>());
}

std::unique_ptr<restore_writer> write_stream(std::shared_ptr<sink> to) {
  return std::make_unique<stream_writer>(std::move(to));
}

} // namespace datamesh::storage
