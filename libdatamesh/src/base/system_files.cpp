#include "base/system_files.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstring>
#include <utility>

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

namespace datamesh {

namespace {

constexpr size_t page = 4096;
/// What Linux reads ahead without being asked, in bytes.
constexpr uint64_t default_readahead = 128 << 10;
constexpr uint64_t offset_max = INT64_MAX;

class descriptor {
public:
  descriptor() = default;
  explicit descriptor(int raw) : raw_(raw) {}
  descriptor(descriptor&& other) noexcept : raw_(std::exchange(other.raw_, -1)) {}
  descriptor& operator=(descriptor&& other) noexcept {
    std::swap(raw_, other.raw_);
    return *this;
  }
  ~descriptor() {
    if (raw_ >= 0)
      ::close(raw_);
  }
  [[nodiscard]] int get() const noexcept {
    return raw_;
  }
  explicit operator bool() const noexcept {
    return raw_ >= 0;
  }

private:
  int raw_ = -1;
};

// Calls until no signal interrupts.
template <class Call>
auto retry(Call call) {
  decltype(call()) rc;
  do
    rc = call();
  while (rc < 0 && errno == EINTR);
  return rc;
}

bool is_path(const std::string& path) {
  // The kernel would stop at a NUL byte and take another file.
  return path.find('\0') == std::string::npos;
}

template <class Call>
result<void> on_path(const char* attempted, const std::string& path, Call call) {
  if (!is_path(path))
    return fail(errc::name_invalid, attempted, path);
  if (retry([&] { return call(path.c_str()); }) < 0)
    return fail(from_errno(errno, attempted, path));
  return {};
}

result<descriptor> open_path(const char* attempted, const std::string& path, int flags, uint32_t mode = 0) {
  descriptor opened;
  auto done = on_path(attempted, path, [&](const char* raw) {
    int rc = ::open(raw, flags | O_CLOEXEC | O_NOCTTY, mode);
    if (rc >= 0)
      opened = descriptor{rc};
    return rc;
  });
  if (!done)
    return fail(done.error());
  return opened;
}

// Another open file description of the same file, without the page cache.
descriptor open_direct(const descriptor& file, int flags) {
  auto alias = "/proc/self/fd/" + std::to_string(file.get());
  return descriptor{retry([&] { return ::open(alias.c_str(), flags | O_DIRECT | O_CLOEXEC); })};
}

bool is_aligned(const void* memory, uint64_t offset, size_t size) {
  return reinterpret_cast<uintptr_t>(memory) % page == 0 && offset % page == 0 && size % page == 0;
}

file_kind kind_of(mode_t mode) {
  switch (mode & S_IFMT) {
  case S_IFREG:
    return file_kind::regular;
  case S_IFDIR:
    return file_kind::folder;
  case S_IFLNK:
    return file_kind::symlink;
  case S_IFIFO:
    return file_kind::fifo;
  case S_IFSOCK:
    return file_kind::socket;
  case S_IFBLK:
  case S_IFCHR:
    return file_kind::device;
  default:
    return file_kind::other;
  }
}

/// 64 bits of nanoseconds reach from 1677 to 2262; what is before or after is put there.
int64_t nanoseconds_of(const timespec& at) {
  int64_t ns = 0;
  if (__builtin_mul_overflow(int64_t{at.tv_sec}, int64_t{1'000'000'000}, &ns) || __builtin_add_overflow(ns, int64_t{at.tv_nsec}, &ns))
    return at.tv_sec < 0 ? INT64_MIN : INT64_MAX;
  return ns;
}

// Where the kernel itself keeps the time of change. Others (FUSE, vfat) tell the time of
// modification instead, which every program sets.
bool keeps_change_times(const struct statfs& system) {
  constexpr std::array<uint32_t, 9> kinds = {
      0xef53,     // ext2, ext3, ext4
      0x58465342, // xfs
      0x9123683e, // btrfs
      0xf2f52010, // f2fs
      0xca451a4e, // bcachefs
      0x2fc12fc1, // zfs
      0x01021994, // tmpfs
      0x858458f6, // ramfs
      0x794c7630, // overlay
  };
  return std::find(kinds.begin(), kinds.end(), static_cast<uint32_t>(system.f_type)) != kinds.end();
}

file_status status_of(const struct stat& raw, bool changes_known) {
  return {
      .kind = kind_of(raw.st_mode),
      .size = static_cast<uint64_t>(raw.st_size),
      .allocated = static_cast<uint64_t>(raw.st_blocks) * 512,
      .mode = static_cast<uint32_t>(raw.st_mode & 07777),
      .modified_ns = nanoseconds_of(raw.st_mtim),
      .changed_ns = changes_known ? nanoseconds_of(raw.st_ctim) : 0,
      .device = static_cast<uint64_t>(raw.st_dev),
      .inode = static_cast<uint64_t>(raw.st_ino),
  };
}

result<file_status> status_of(const descriptor& file, const std::string& path) {
  struct stat raw {};
  if (::fstat(file.get(), &raw) < 0)
    return fail(from_errno(errno, "read status", path));
  struct statfs system {};
  return status_of(raw, S_ISREG(raw.st_mode) && ::fstatfs(file.get(), &system) == 0 && keeps_change_times(system));
}

// What utimensat takes: the time of access stays.
std::array<timespec, 2> times_of(int64_t modified_ns) {
  constexpr int64_t second = 1'000'000'000;
  auto below = modified_ns % second;
  auto borrow = below < 0 ? 1 : 0;
  std::array<timespec, 2> times{};
  times[0].tv_nsec = UTIME_OMIT;
  times[1].tv_sec = modified_ns / second - borrow;
  times[1].tv_nsec = below + borrow * second;
  return times;
}

// Files only: a FIFO would block, a device may act.
result<void> check_regular(const char* attempted, const descriptor& file, const std::string& path) {
  auto status = status_of(file, path);
  if (!status)
    return fail(status.error());
  if (status->kind == file_kind::folder)
    return fail(errc::is_a_folder, attempted, path);
  if (status->kind != file_kind::regular)
    return fail(errc::unsupported_source, attempted, path);
  return {};
}

// -- reading -------------------------------------------------------------------

class posix_reader : public readable_file {
public:
  posix_reader(descriptor file, descriptor direct, std::string path)
      : file_(std::move(file)), direct_(std::move(direct)), path_(std::move(path)) {}

  [[nodiscard]] result<size_t> read_at(uint64_t offset, byte_span out) override {
    if (offset > offset_max || out.size() > offset_max - offset)
      return fail(errc::invalid_argument, "read", path_);
    bool use_direct = static_cast<bool>(direct_);
    size_t done = 0;
    while (done < out.size()) {
      auto* target = out.data() + done;
      bool aligned = use_direct && is_aligned(target, offset + done, out.size() - done);
      auto count = ::pread(aligned ? direct_.get() : file_.get(), target, out.size() - done, static_cast<off_t>(offset + done));
      if (count == 0)
        break;
      if (count > 0)
        done += static_cast<size_t>(count);
      else if (aligned && errno == EINVAL)
        use_direct = false;
      else if (errno != EINTR)
        return fail(from_errno(errno, "read", path_));
    }
    return done;
  }

  [[nodiscard]] result<file_status> status() override {
    return status_of(file_, path_);
  }

  [[nodiscard]] result<uint64_t> next_data(uint64_t offset) override {
    return seek(offset, SEEK_DATA, [](uint64_t from, uint64_t) { return from; });
  }

  [[nodiscard]] result<uint64_t> next_hole(uint64_t offset) override {
    return seek(offset, SEEK_HOLE, [](uint64_t, uint64_t size) { return size; });
  }

private:
  template <class WithoutHoles>
  result<uint64_t> seek(uint64_t offset, int whence, WithoutHoles otherwise) {
    auto now = status();
    if (!now)
      return fail(now.error());
    if (offset >= now->size)
      return now->size;
    auto found = ::lseek(file_.get(), static_cast<off_t>(offset), whence);
    if (found >= 0)
      return static_cast<uint64_t>(found);
    if (errno == ENXIO)
      return now->size;
    if (errno == EINVAL || errno == EOPNOTSUPP)
      return otherwise(offset, now->size);
    return fail(from_errno(errno, "find holes", path_));
  }

  descriptor file_;
  descriptor direct_;
  std::string path_;
};

// -- names -----------------------------------------------------------------------

result<void> rename_over(const std::string& from, const std::string& to) {
  if (!is_path(from))
    return fail(errc::name_invalid, "rename", from);
  auto done = on_path("rename", to, [&](const char* raw) { return ::rename(from.c_str(), raw); });
  if (done)
    return done;
  // The kernel's EINVAL means a folder moved below itself; ENOENT is about *from*
  // as a rule, and that is the name to show.
  if (done.error().code() == errc::invalid_argument)
    return fail(errc::conflict, "rename into itself", to);
  if (done.error().code() == errc::not_found)
    return fail(errc::not_found, "rename", from);
  return done;
}

// An entry that we create exclusively is ours to be replaced.
result<void> claim_and_rename(const std::string& from, const std::string& to, bool folder) {
  auto claimed = on_path("rename", to, [&](const char* raw) {
    if (folder)
      return ::mkdir(raw, 0700);
    int rc = ::open(raw, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
    return rc < 0 ? rc : ::close(rc);
  });
  if (!claimed)
    return claimed;
  auto done = rename_over(from, to);
  if (!done)
    (void) (folder ? ::rmdir(to.c_str()) : ::unlink(to.c_str()));
  return done;
}

result<void> rename_without_replacing(const std::string& from, const std::string& to, const system_files_offers& offers) {
  for (const auto* path : {&from, &to})
    if (!is_path(*path))
      return fail(errc::name_invalid, "rename", *path);
  if (offers.rename_new) {
    if (retry([&] { return ::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE); }) == 0)
      return {};
    auto reason = errno;
    if (reason != EINVAL && reason != ENOSYS && reason != EOPNOTSUPP)
      return fail(from_errno(reason, "rename", reason == ENOENT ? from : to));
  }
  struct stat raw {};
  if (::lstat(from.c_str(), &raw) < 0)
    return fail(from_errno(errno, "rename", from));
  bool folder = S_ISDIR(raw.st_mode);
  if (!folder && offers.hard_links) {
    if (::link(from.c_str(), to.c_str()) == 0)
      return on_path("rename", from, [](const char* old) { return ::unlink(old); });
    if (errno != EPERM && errno != EOPNOTSUPP && errno != EMLINK)
      return fail(from_errno(errno, "rename", to));
  }
  return claim_and_rename(from, to, folder);
}

// -- writing -----------------------------------------------------------------------

// Where in a list of parts the next byte to write is.
class part_cursor {
public:
  explicit part_cursor(std::span<const byte_view> parts) : parts_(parts) {
    skip_empty();
  }
  [[nodiscard]] bool at_end() const {
    return next_ == parts_.size();
  }

  /// The rest of this part and all behind it, at most as many as fit.
  [[nodiscard]] size_t gather(std::span<iovec> out, size_t parts_max) const {
    size_t used = 0;
    for (size_t i = next_; i < parts_.size() && used < std::min(out.size(), parts_max); ++i)
      if (auto part = rest_of(i); !part.empty())
        out[used++] = {const_cast<std::byte*>(part.data()), part.size()};
    return used;
  }

  /// The longest run of whole pages from here on; none when *offset* or the memory is not aligned.
  [[nodiscard]] size_t gather_pages(std::span<iovec> out, uint64_t offset) const {
    size_t used = 0;
    if (offset % page != 0)
      return used;
    for (size_t i = next_; i < parts_.size() && used < out.size(); ++i) {
      auto part = rest_of(i);
      if (part.empty())
        continue;
      auto whole = part.size() / page * page;
      if (whole == 0 || reinterpret_cast<uintptr_t>(part.data()) % page != 0)
        break;
      out[used++] = {const_cast<std::byte*>(part.data()), whole};
      if (whole != part.size())
        break;
    }
    return used;
  }

  void advance(size_t count) {
    while (count > 0) {
      auto step = std::min(count, rest_of(next_).size());
      skip_ += step;
      count -= step;
      skip_empty();
    }
  }

private:
  [[nodiscard]] byte_view rest_of(size_t i) const {
    return i == next_ ? parts_[i].subspan(skip_) : parts_[i];
  }
  void skip_empty() {
    while (next_ < parts_.size() && parts_[next_].size() == skip_) {
      ++next_;
      skip_ = 0;
    }
  }

  std::span<const byte_view> parts_;
  size_t next_ = 0;
  size_t skip_ = 0;
};

// A lock of the open file description: it also keeps this process out.
int lock_description(int file) {
  struct flock whole {};
  whole.l_type = F_WRLCK;
  whole.l_whence = SEEK_SET;
  int rc = ::fcntl(file, F_OFD_SETLK, &whole);
  return rc < 0 && errno == EINVAL ? ::flock(file, LOCK_EX | LOCK_NB) : rc;
}

class posix_writer : public writable_file {
public:
  enum class naming : uint8_t { named, unnamed, stand_in };

  posix_writer(descriptor file, descriptor direct, std::string path, naming name, system_files_offers offers)
      : file_(std::move(file)), direct_(std::move(direct)), path_(std::move(path)), naming_(name), offers_(offers) {}

  posix_writer(const posix_writer&) = delete;
  posix_writer& operator=(const posix_writer&) = delete;

  ~posix_writer() override {
    if (naming_ == naming::stand_in)
      ::unlink(path_.c_str());
  }

  [[nodiscard]] result<void> write_at(uint64_t offset, std::span<const byte_view> parts) override {
    auto room = offset <= offset_max ? offset_max - offset : 0;
    for (const auto& part : parts) {
      if (offset > offset_max || part.size() > room)
        return fail(errc::invalid_argument, "write", path_);
      room -= part.size();
    }
    part_cursor next{parts};
    while (!next.at_end()) {
      std::array<iovec, 64> run; // NOLINT: filled by gather.
      size_t used = direct_ ? next.gather_pages(run, offset) : 0;
      bool direct = used > 0;
      if (!direct)
        used = next.gather(run, direct_ ? 1 : run.size());
      auto count = ::pwritev(direct ? direct_.get() : file_.get(), run.data(), static_cast<int>(used), static_cast<off_t>(offset));
      if (count > 0) {
        next.advance(static_cast<size_t>(count));
        offset += static_cast<uint64_t>(count);
      } else if (count < 0 && direct && errno == EINVAL) {
        direct_ = descriptor{};
      } else if (count == 0 || errno != EINTR) {
        return fail(from_errno(count == 0 ? EIO : errno, "write", path_));
      }
    }
    return {};
  }

  [[nodiscard]] result<void> allocate(uint64_t size) override {
    if (size > offset_max)
      return fail(errc::invalid_argument, "allocate", path_);
    if (size == 0 || retry([&] { return ::fallocate(file_.get(), FALLOC_FL_KEEP_SIZE, 0, static_cast<off_t>(size)); }) == 0
        || errno == EOPNOTSUPP || errno == ENOSYS)
      return {};
    return fail(from_errno(errno, "allocate", path_));
  }

  [[nodiscard]] result<void> resize(uint64_t size) override {
    if (size > offset_max)
      return fail(errc::invalid_argument, "resize", path_);
    if (retry([&] { return ::ftruncate(file_.get(), static_cast<off_t>(size)); }) < 0)
      return fail(from_errno(errno, "resize", path_));
    return {};
  }

  [[nodiscard]] result<void> sync() override {
    // Not even an interrupted call is tried again: the next might not report what this one lost.
    if (::fdatasync(file_.get()) < 0)
      return fail(from_errno(errno, "call fdatasync", path_).as(errc::sync_failed, "sync", path_));
    return {};
  }

  [[nodiscard]] result<void> set_attributes(uint32_t mode, int64_t modified_ns) override {
    // Looking costs less than the journal entry of a change that changes nothing.
    struct stat now {};
    if ((::fstat(file_.get(), &now) < 0 || (now.st_mode & 07777) != (mode & 07777)) && ::fchmod(file_.get(), mode & 07777) < 0)
      return fail(from_errno(errno, "set mode", path_));
    if (::futimens(file_.get(), times_of(modified_ns).data()) < 0)
      return fail(from_errno(errno, "set time", path_));
    return {};
  }

  [[nodiscard]] result<void> link_as(const std::string& path) override {
    if (naming_ == naming::named)
      return fail(errc::invalid_argument, "link a file that has a name", path);
    auto done = naming_ == naming::unnamed ? link_unnamed(path) : rename_without_replacing(path_, path, offers_);
    if (!done)
      return done;
    naming_ = naming::named;
    path_ = path;
    return {};
  }

  [[nodiscard]] result<file_status> lock() override {
    if (retry([&] { return lock_description(file_.get()); }) < 0) {
      if (errno == EAGAIN || errno == EACCES)
        return fail(errc::locked, "lock", path_);
      // Some network file systems, and some of FUSE, have no locks.
      if (errno != ENOLCK && errno != ENOSYS && errno != EOPNOTSUPP)
        return fail(from_errno(errno, "lock", path_));
    }
    return status_of(file_, path_);
  }

private:
  result<void> link_unnamed(const std::string& path) {
    static const bool has_proc = ::access("/proc/self/fd", F_OK) == 0;
    auto alias = "/proc/self/fd/" + std::to_string(file_.get());
    if (has_proc)
      return on_path("link", path, [&](const char* raw) { return ::linkat(AT_FDCWD, alias.c_str(), AT_FDCWD, raw, AT_SYMLINK_FOLLOW); });
    // Without /proc; before Linux 6.10 this is for root only.
    return on_path("link", path, [&](const char* raw) { return ::linkat(file_.get(), "", AT_FDCWD, raw, AT_EMPTY_PATH); });
  }

  descriptor file_;
  descriptor direct_;
  std::string path_; ///< The folder while the file is unnamed.
  naming naming_;
  system_files_offers offers_;
};

// -- locks -------------------------------------------------------------------------

class posix_lock : public file_lock {
public:
  explicit posix_lock(descriptor file) : file_(std::move(file)) {}

private:
  descriptor file_;
};

// Of a file that may only be read. A shared lock keeps out who comes to write, also when
// the file system becomes writable meanwhile; that it is the only one is asked behind it,
// so of two that come at once both may be refused.
int lock_for_reading(int file) {
  struct flock whole {};
  whole.l_type = F_RDLCK;
  whole.l_whence = SEEK_SET;
  if (::fcntl(file, F_OFD_SETLK, &whole) < 0)
    return errno == EINVAL ? ::flock(file, LOCK_EX | LOCK_NB) : -1;
  whole.l_type = F_WRLCK;
  whole.l_pid = 0;
  if (::fcntl(file, F_OFD_GETLK, &whole) < 0)
    return -1;
  errno = EAGAIN;
  return whole.l_type == F_UNLCK ? 0 : -1;
}

// For people who wonder who holds the lock. Without room for it there is no such note.
void note_holder(int file) {
  auto text = std::to_string(::getpid()) + "\n";
  if (::ftruncate(file, 0) < 0)
    return;
  [[maybe_unused]] auto written = ::pwrite(file, text.data(), text.size(), 0);
}

// -- the file system -----------------------------------------------------------------

class posix_files : public file_system {
public:
  explicit posix_files(system_files_offers offers) : offers_(offers) {}

  [[nodiscard]] result<std::unique_ptr<readable_file>> open_read(const std::string& path, access_hint hint) override {
    // Opening some devices does something, so look before.
    struct stat before {};
    if (is_path(path) && ::stat(path.c_str(), &before) == 0 && !S_ISREG(before.st_mode))
      return fail(S_ISDIR(before.st_mode) ? errc::is_a_folder : errc::unsupported_source, "open", path);
    auto file = open_path("open", path, O_RDONLY | O_NONBLOCK);
    if (!file)
      return fail(file.error());
    if (auto regular = check_regular("open", *file, path); !regular)
      return fail(regular.error());
    descriptor direct;
    if (hint == access_hint::sequential)
      (void) ::posix_fadvise(file->get(), 0, 0, POSIX_FADV_SEQUENTIAL);
    else if (hint == access_hint::direct && offers_.direct_access)
      direct = open_direct(*file, O_RDONLY);
    return std::make_unique<posix_reader>(std::move(*file), std::move(direct), path);
  }

  [[nodiscard]] result<opened_file> open_regular(const std::string& path) override {
    auto file = open_path("open", path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW);
    if (!file)
      return fail(file.error());
    auto status = status_of(*file, path);
    if (!status)
      return fail(status.error());
    if (status->kind != file_kind::regular)
      return fail(status->kind == file_kind::folder ? errc::is_a_folder : errc::unsupported_source, "open", path);
    if (status->size > default_readahead)
      (void) ::posix_fadvise(file->get(), 0, 0, POSIX_FADV_SEQUENTIAL);
    return opened_file{std::make_unique<posix_reader>(std::move(*file), descriptor{}, path), *status};
  }

  [[nodiscard]] result<std::unique_ptr<writable_file>> create(const std::string& path, uint32_t mode) override {
    return open_named("create", path, O_CREAT | O_TRUNC, mode);
  }

  [[nodiscard]] result<std::unique_ptr<writable_file>> open_write(const std::string& path) override {
    return open_named("open for writing", path, 0, 0);
  }

  [[nodiscard]] result<std::unique_ptr<writable_file>> create_unnamed(const std::string& folder, uint32_t mode, access_hint hint) override {
    if (!is_path(folder))
      return fail(errc::name_invalid, "create unnamed file in", folder);
    auto naming = posix_writer::naming::unnamed;
    auto path = folder;
    descriptor file;
    auto reason = EOPNOTSUPP;
    if (offers_.unnamed_files) {
      file = descriptor{retry([&] { return ::open(folder.c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, mode); })};
      reason = errno;
    }
    if (!file) {
      // The kernel's ways to say that the file system has no unnamed files.
      if (reason != EOPNOTSUPP && reason != EISDIR && reason != EINVAL)
        return fail(from_errno(reason, "create unnamed file in", folder));
      naming = posix_writer::naming::stand_in;
      path = join_path(folder, ".datamesh-XXXXXX.tmp");
      auto opened = open_stand_in(path, mode);
      if (!opened)
        return fail(opened.error());
      file = std::move(*opened);
    }
    descriptor direct;
    if (hint == access_hint::direct && offers_.direct_access)
      direct = open_direct(file, O_WRONLY);
    return std::make_unique<posix_writer>(std::move(file), std::move(direct), std::move(path), naming, offers_);
  }

  [[nodiscard]] result<void> rename(const std::string& from, const std::string& to) override {
    return rename_over(from, to);
  }

  [[nodiscard]] result<void> rename_new(const std::string& from, const std::string& to) override {
    auto done = rename_without_replacing(from, to, offers_);
    if (!done && done.error().code() == errc::invalid_argument)
      return fail(errc::conflict, "rename into itself", to);
    return done;
  }

  [[nodiscard]] result<void> remove(const std::string& path) override {
    return on_path("remove", path, [](const char* raw) { return ::unlink(raw); });
  }

  [[nodiscard]] result<void> remove_folder(const std::string& path) override {
    return on_path("remove folder", path, [](const char* raw) { return ::rmdir(raw); });
  }

  [[nodiscard]] result<void> make_folder(const std::string& path, uint32_t mode) override {
    auto done = on_path("create folder", path, [mode](const char* raw) { return ::mkdir(raw, mode); });
    if (done || done.error().code() != errc::already_exists)
      return done;
    struct stat raw {};
    if (::stat(path.c_str(), &raw) == 0 && S_ISDIR(raw.st_mode))
      return {};
    return fail(errc::not_a_folder, "create folder", path);
  }

  [[nodiscard]] result<void> sync_folder(const std::string& path) override {
    auto folder = open_path("open folder", path, O_RDONLY | O_DIRECTORY);
    if (!folder)
      return fail(folder.error());
    // EINVAL: a file system whose folders can not be synced has no more to give.
    if (::fsync(folder->get()) < 0 && errno != EINVAL)
      return fail(from_errno(errno, "call fsync", path).as(errc::sync_failed, "sync folder", path));
    return {};
  }

  [[nodiscard]] result<std::vector<folder_entry>> list(const std::string& path) override {
    if (!is_path(path))
      return fail(errc::name_invalid, "list", path);
    auto close = [](DIR* open) {
      ::closedir(open);
    };
    std::unique_ptr<DIR, decltype(close)> folder{::opendir(path.c_str()), close};
    if (folder == nullptr)
      return fail(from_errno(errno, "list", path));
    std::vector<folder_entry> entries;
    for (;;) {
      errno = 0;
      const auto* raw = ::readdir(folder.get());
      if (raw == nullptr)
        break;
      std::string name{raw->d_name};
      if (name == "." || name == "..")
        continue;
      auto kind = raw->d_type != DT_UNKNOWN ? kind_of(DTTOIF(raw->d_type)) : file_kind::other;
      if (struct stat status{};
          raw->d_type == DT_UNKNOWN && ::fstatat(::dirfd(folder.get()), raw->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0)
        kind = kind_of(status.st_mode);
      entries.push_back({std::move(name), kind});
    }
    if (errno != 0)
      return fail(from_errno(errno, "list", path));
    // std::string compares as unsigned bytes do.
    std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
    return entries;
  }

  [[nodiscard]] result<file_status> status(const std::string& path) override {
    struct stat raw {};
    bool changes_known = false;
    auto look = [&](const char* name) {
      struct statfs system {};
      auto done = ::lstat(name, &raw);
      changes_known = done == 0 && S_ISREG(raw.st_mode) && ::statfs(name, &system) == 0 && keeps_change_times(system);
      return done;
    };
    return on_path("read status", path, look).map([&] { return status_of(raw, changes_known); });
  }

  [[nodiscard]] result<void> set_attributes(const std::string& path, uint32_t mode, int64_t modified_ns) override {
    auto now = status(path);
    if (!now)
      return fail(now.error().within("set attributes"));
    // Linux keeps no permission bits of links.
    if (now->kind != file_kind::symlink)
      if (auto done =
              on_path("set mode", path, [&](const char* raw) { return ::fchmodat(AT_FDCWD, raw, mode & 07777, AT_SYMLINK_NOFOLLOW); });
          !done)
        return done;
    auto times = times_of(modified_ns);
    return on_path("set time", path, [&](const char* raw) { return ::utimensat(AT_FDCWD, raw, times.data(), AT_SYMLINK_NOFOLLOW); });
  }

  [[nodiscard]] result<std::string> read_link(const std::string& path) override {
    if (!is_path(path))
      return fail(errc::name_invalid, "read link", path);
    for (std::string target(256, '\0');; target.resize(target.size() * 2)) {
      auto count = ::readlink(path.c_str(), target.data(), target.size());
      if (count < 0)
        return fail(from_errno(errno, "read link", path));
      if (static_cast<size_t>(count) < target.size()) {
        target.resize(static_cast<size_t>(count));
        return target;
      }
    }
  }

  [[nodiscard]] result<void> make_symlink(const std::string& target, const std::string& path) override {
    if (!is_path(target))
      return fail(errc::name_invalid, "create link", path);
    return on_path("create link", path, [&](const char* raw) { return ::symlink(target.c_str(), raw); });
  }

  [[nodiscard]] result<disk_space> space(const std::string& path) override {
    struct statvfs raw {};
    return on_path("read free space", path, [&](const char* name) { return ::statvfs(name, &raw); }).map([&] {
      return disk_space{.total = uint64_t{raw.f_blocks} * raw.f_frsize, .available = uint64_t{raw.f_bavail} * raw.f_frsize};
    });
  }

  [[nodiscard]] result<void> yield_disk() override {
    // <linux/ioprio.h> is no C++ in Debian 12.
    constexpr int who_process = 1, this_thread = 0, class_idle = 3, class_shift = 13;
    if (::syscall(SYS_ioprio_set, who_process, this_thread, class_idle << class_shift) < 0)
      return fail(from_errno(errno, "yield the disk"));
    return {};
  }

  [[nodiscard]] result<std::unique_ptr<file_lock>> lock(const std::string& path) override {
    auto file = open_path("lock", path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0600);
    auto read_only = !file && file.error().code() == errc::read_only;
    if (read_only)
      if (auto readable = open_path("lock", path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK))
        file = std::move(readable);
    if (!file)
      return fail(file.error());
    if (retry([&] { return read_only ? lock_for_reading(file->get()) : lock_description(file->get()); }) < 0) {
      if (errno == EAGAIN || errno == EACCES)
        return fail(errc::locked, "lock", path);
      return fail(from_errno(errno, "lock", path));
    }
    if (!read_only)
      note_holder(file->get());
    return std::make_unique<posix_lock>(std::move(*file));
  }

private:
  result<std::unique_ptr<writable_file>> open_named(const char* attempted, const std::string& path, int flags, uint32_t mode) {
    // A link planted at the end must not lead us to another file.
    auto file = open_path(attempted, path, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | flags, mode);
    if (!file)
      return fail(file.error());
    if (auto regular = check_regular(attempted, *file, path); !regular)
      return fail(regular.error());
    return std::make_unique<posix_writer>(std::move(*file), descriptor{}, path, posix_writer::naming::named, offers_);
  }

  // Replaces the Xs of *path*.
  static result<descriptor> open_stand_in(std::string& path, uint32_t mode) {
    descriptor file{::mkostemps(path.data(), static_cast<int>(std::strlen(".tmp")), O_CLOEXEC)};
    if (!file)
      return fail(from_errno(errno, "create unnamed file in", parent_path(path)));
    if (::fchmod(file.get(), mode & 07777) < 0) {
      auto reason = errno;
      ::unlink(path.c_str());
      return fail(from_errno(reason, "create unnamed file in", parent_path(path)));
    }
    return file;
  }

  system_files_offers offers_;
};

} // namespace

std::shared_ptr<file_system> system_files() {
  return system_files_with({});
}

std::shared_ptr<file_system> system_files_with(system_files_offers offers) {
  return std::make_shared<posix_files>(offers);
}

} // namespace datamesh
