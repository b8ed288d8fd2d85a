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
constexpr size_t compare_size = 1 << 20;    // bytes at once

constexpr std::string_view partial_ending = ".datamesh-part";

/// The same for what is restored in every run, another for another version, and nobody
/// who lacks the key gives it to a file of theirs.
std::string tag_of(const crypto::key256& id_key, const target_file& what) {
  constexpr size_t digits = 16;
  crypto::hasher hasher{id_key};
  hasher.update(as_view("datamesh partial file"));
  for (auto number : {what.size, static_cast<uint64_t>(what.modified_ns), uint64_t{what.symlink_target.size()}})
    hasher.update_u32(static_cast<uint32_t>(number)).update_u32(static_cast<uint32_t>(number >> 32));
  hasher.update(as_view(what.symlink_target)).update(as_view(what.path.substr(what.path.rfind('/') + 1)));
  return hasher.finish().hex().substr(0, digits);
}

/// Beside *path*. A name that leaves no room is shortened.
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
    if (there && what.kind == node_kind::symlink && same_link(what, *there, path))
      return answer::skip;
    current_ = what;
    path_ = path;
    replaces_ = there.has_value();
    offset_ = 0;
    old_ = there ? open_likely_same(*there) : nullptr;
    if (old_)
      return answer::write;
    if (there && (!overwrite_ || there->kind == file_kind::folder))
      return fail(errc::already_exists, "restore", path);
    if (what.kind == node_kind::symlink) {
      shared_->add_link(what, path);
      return answer::skip;
    }
    return open_new();
  }

  result<size_t> resume(const std::vector<extent>& extents) override {
    if (old_) {
      auto good = count_held(*old_, current_.size, extents);
      if (good == extents.size())
        return good;
      offset_ = 0;
      if (auto anew = write_anew(); !anew)
        return fail(anew.error());
    }
    if (!partial_)
      return size_t{0};
    auto partial = files_->open_read(partial_name_, access_hint::sequential);
    if (!partial)
      return size_t{0};
    auto status = (*partial)->status();
    if (!status || !is_same_file(*status, partial_status_))
      return size_t{0};
    return count_held(**partial, status->size, extents);
  }

  [[nodiscard]] bool comparing() const override {
    return old_ != nullptr;
  }

  result<void> write(byte_view data) override {
    if (old_ && holds(data)) {
      offset_ += data.size();
      return {};
    }
    if (auto anew = write_anew(); !anew)
      return anew;
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
    std::vector<std::byte> buffer;
    if (old_ && holds_hole(*old_, length, buffer)) {
      offset_ += length;
      return {};
    }
    if (auto anew = write_anew(); !anew)
      return anew;
    if (auto cut = cut_rest(); !cut)
      return cut;
    offset_ += length;
    return {};
  }

  result<void> end() override {
    if (auto kept = std::exchange(old_, nullptr))
      return overwrite_ && (old_mode_ & permission_bits) != (current_.mode & permission_bits)
                 ? files_->set_attributes(path_, current_.mode & permission_bits, current_.modified_ns)
                 : result<void>{};
    auto done = cut_rest().and_then([&] { return finish_file(); });
    file_.reset();
    return done;
  }

  void abandon() override {
    file_.reset();
    old_.reset();
  }

  std::vector<item_failure> finish() override {
    std::vector<item_failure> failures;
    for (const auto& [what, path] : shared_->take_links()) {
      if (auto parents = enter_parents(what.path); !parents) {
        failures.push_back({what.path, parents.error()});
        continue;
      }
      if (auto made = make_link(what, path); !made)
        failures.push_back({what.path, made.error()});
    }
    for (const auto& [what, path] : shared_->take_folders()) {
      // A folder that was made in the vault, not stored, has no attributes to restore.
      if (what.mode == 0 && what.modified_ns == 0)
        continue;
      if (auto set = set_folder_attributes(what, path); !set)
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

  bool same_link(const target_file& what, const file_status& there, const std::string& path) const {
    return there.kind == file_kind::symlink && leads_to(path, what.symlink_target);
  }

  bool leads_to(const std::string& path, const std::string& target) const {
    auto there = files_->read_link(path);
    return there && *there == target;
  }

  /// What is there goes when the link is made, and not before.
  result<void> make_link(const target_file& what, const std::string& path) {
    auto made = files_->make_symlink(what.symlink_target, path);
    if (made)
      return set_link_time(what, path);
    if (made.error().code() != errc::already_exists || !overwrite_)
      return made;
    auto partial = partial_path(what, path);
    made = files_->make_symlink(what.symlink_target, partial);
    // A get that was killed may have left the same.
    if (!made && !leads_to(partial, what.symlink_target))
      return made;
    auto renamed = set_link_time(what, partial).and_then([&] { return files_->rename(partial, path); });
    if (renamed)
      return renamed;
    (void) files_->remove(partial);
    // Of two gets at once one finds that the other was first.
    return leads_to(path, what.symlink_target) ? result<void>{} : renamed;
  }

  result<void> set_link_time(const target_file& what, const std::string& path) {
    constexpr uint32_t harmless_mode = 0600; // Links have none; what takes their place meanwhile has.
    return what.modified_ns == 0 ? result<void>{} : files_->set_attributes(path, harmless_mode, what.modified_ns);
  }

  result<void> set_folder_attributes(const target_file& what, const std::string& path) {
    if (auto parents = enter_parents(what.path); !parents)
      return parents;
    auto there = files_->status(path);
    if (!there)
      return fail(there.error());
    if (there->kind != file_kind::folder)
      return fail(errc::not_a_folder, "restore folder", path);
    return files_->set_attributes(path, what.mode & permission_bits, what.modified_ns);
  }

  /// A file that may be what comes, by its size and time; its content tells.
  std::unique_ptr<readable_file> open_likely_same(const file_status& there) {
    old_mode_ = there.mode;
    if (current_.kind != node_kind::file || there.kind != file_kind::regular || there.size != current_.size
        || there.modified_ns != current_.modified_ns)
      return nullptr;
    auto opened = files_->open_regular(path_);
    if (!opened)
      return nullptr;
    old_status_ = opened->status;
    return std::move(opened->file);
  }

  result<answer> open_new() {
    data_end_ = 0;
    partial_ = current_.size >= resumable_size_min;
    cut_ = !partial_;
    if (partial_)
      return open_partial();
    auto file = files_->create_unnamed(parent_path(path_), current_.mode & permission_bits);
    if (!file)
      return fail(file.error().within("restore", path_));
    file_ = std::move(*file);
    return answer::write;
  }

  /// What was compared is what is there still.
  bool is_unchanged(readable_file& old) const {
    auto now = old.status();
    return now && now->size == old_status_.size && now->modified_ns == old_status_.modified_ns && now->changed_ns == old_status_.changed_ns;
  }

  /// What is there is not what comes, but for the bytes up to the offset.
  result<void> write_anew() {
    if (!old_)
      return {};
    auto old = std::exchange(old_, nullptr);
    if (!overwrite_)
      return fail(errc::already_exists, "restore", path_);
    auto same = std::exchange(offset_, 0);
    if (auto opened = open_new(); !opened)
      return fail(opened.error());
    std::vector<std::byte> buffer(static_cast<size_t>(std::min<uint64_t>(same, compare_size)));
    while (offset_ < same) {
      auto part = byte_span{buffer}.first(static_cast<size_t>(std::min<uint64_t>(same - offset_, buffer.size())));
      auto count = old->read_at(offset_, part);
      if (!count || *count != part.size())
        return fail(errc::already_exists, "restore over what changes meanwhile", path_);
      if (auto written = write(part); !written)
        return written;
    }
    if (same > 0 && !is_unchanged(*old))
      return fail(errc::already_exists, "restore over what changes meanwhile", path_);
    return {};
  }

  bool holds(byte_view data) {
    std::vector<std::byte> buffer(std::min(data.size(), compare_size));
    for (size_t at = 0; at < data.size(); at += buffer.size()) {
      auto part = byte_span{buffer}.first(std::min(buffer.size(), data.size() - at));
      auto count = old_->read_at(offset_ + at, part);
      if (!count || *count != part.size() || !std::equal(part.begin(), part.end(), data.begin() + static_cast<ptrdiff_t>(at)))
        return false;
    }
    return true;
  }

  /// How many of *extents* are in *file*, which has *size* bytes.
  size_t count_held(readable_file& file, uint64_t size, const std::vector<extent>& extents) {
    size_t good = 0;
    std::vector<std::byte> buffer;
    for (const auto& next : extents) {
      if (next.length > size - std::min(size, offset_))
        break;
      if (!(next.chunk ? holds_chunk(file, next, buffer) : holds_hole(file, next.length, buffer)))
        break;
      offset_ += next.length;
      ++good;
    }
    return good;
  }

  /// The same in every run, as long as nothing that is restored has the name.
  std::string partial_path(const target_file& what, const std::string& path) const {
    auto start = "." + tag_of(id_key_, what);
    auto chosen = first_partial_path(path, start + std::string{partial_ending});
    while (shared_->has_partial_name(chosen))
      chosen = first_partial_path(path, (start += "~") + std::string{partial_ending});
    return chosen;
  }

  static bool is_same_file(const file_status& a, const file_status& b) {
    return a.device == b.device && a.inode == b.inode;
  }

  bool is_there(const std::string& path, const file_status& file) const {
    auto there = files_->status(path);
    return there && there->kind == file_kind::regular && is_same_file(*there, file);
  }

  result<file_status> lock(writable_file& file) const {
    auto locked = file.lock();
    return locked || locked.error().code() != errc::locked ? locked : fail(in_use());
  }

  error in_use() const {
    return error{errc::locked, "restore what another get writes", path_};
  }

  /// Takes what an earlier get left, or makes it anew, and keeps other gets out of it.
  result<answer> open_partial() {
    file_.reset();
    partial_name_ = partial_path(current_, path_);
    // Another get may make it, or end, between two of these calls.
    for (int tries_left = 10; tries_left > 0; --tries_left) {
      auto file = files_->open_write(partial_name_);
      auto anew = !file && file.error().code() == errc::not_found;
      if (anew)
        file = files_->create_unnamed(parent_path(path_));
      if (!file)
        return fail(file.error().within("restore", path_));
      auto locked = lock(**file);
      if (!locked)
        return fail(locked.error());
      if (anew)
        if (auto linked = (*file)->link_as(partial_name_); !linked && linked.error().code() != errc::already_exists)
          return fail(linked.error().within("restore", path_));
      if (!is_there(partial_name_, *locked))
        continue;
      file_ = std::move(*file);
      partial_status_ = *locked;
      return answer::write;
    }
    return fail(in_use());
  }

  /// Gives a whole file a name beside the one that is taken.
  result<void> link_beside() {
    partial_name_ = partial_path(current_, path_);
    auto locked = lock(*file_);
    if (!locked)
      return fail(locked.error());
    partial_status_ = *locked;
    auto linked = file_->link_as(partial_name_);
    if (linked || linked.error().code() != errc::already_exists)
      return linked;
    if (auto removed = remove_left(); !removed)
      return removed;
    linked = file_->link_as(partial_name_);
    return linked || linked.error().code() != errc::already_exists ? linked : fail(in_use());
  }

  /// What a get that was killed left, and not what one writes now.
  result<void> remove_left() {
    auto left = files_->open_write(partial_name_);
    if (!left)
      return left.error().code() == errc::not_found ? result<void>{} : fail(left.error());
    auto locked = lock(**left);
    if (!locked)
      return fail(locked.error());
    return is_there(partial_name_, *locked) ? files_->remove(partial_name_) : fail(in_use());
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
    if (!partial_)
      if (auto linked = link_beside(); !linked)
        return linked;
    if (!is_there(partial_name_, partial_status_))
      return fail(errc::conflict, "restore what somebody else moved", path_);
    auto named = overwrite_ ? files_->rename(partial_name_, path_) : files_->rename_new(partial_name_, path_);
    if (!named && !partial_)
      (void) files_->remove(partial_name_);
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
  std::unique_ptr<readable_file> old_; ///< What is there, as long as it is the same.
  uint32_t old_mode_ = 0;
  file_status old_status_; ///< When the comparison began.
  uint64_t offset_ = 0;
  uint64_t data_end_ = 0; ///< Behind it there are only holes.
  bool replaces_ = false;
  bool partial_ = false;
  std::string partial_name_;
  file_status partial_status_; ///< As it was when it was locked.
  bool cut_ = true;            ///< Nothing lies behind `offset_`.
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
