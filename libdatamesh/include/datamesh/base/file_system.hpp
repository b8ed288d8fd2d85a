// Files and folders as the store needs them: positioned reads and writes,
// unnamed temporary files that are linked when they are whole, and syncs that
// say what they cover. One implementation speaks POSIX; the one for tests loses
// unsynced bytes, links and renames, tears writes, runs full, fails the N-th
// call and flips bits.
#pragma once

#include "datamesh/base/bytes.hpp"
#include "datamesh/base/result.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace datamesh {

enum class file_kind : uint8_t { regular, folder, symlink, fifo, socket, device, other };

/// What stat(2) tells. Times are nanoseconds since the Unix epoch.
struct file_status {
  file_kind kind = file_kind::other;
  uint64_t size = 0;
  uint64_t allocated = 0; ///< Bytes of disk in use; below `size` where the file is sparse.
  uint32_t mode = 0;      ///< Permission bits, 07777.
  int64_t modified_ns = 0;
  int64_t changed_ns = 0; ///< Of content or attributes; no program can set it. 0 where it is not known.
  uint64_t device = 0;    ///< With `inode`, tells whether two names are one file.
  uint64_t inode = 0;
};

/// Space of the file system under a path, in bytes.
struct disk_space {
  uint64_t total = 0;
  uint64_t available = 0;
};

/// How a file will be read.
enum class access_hint : uint8_t { normal, sequential, direct };

/// Thread rule: any thread.
class readable_file {
public:
  virtual ~readable_file() = default;

  /// Reads up to `out.size()` bytes at *offset*; fewer only at the end of file.
  [[nodiscard]] virtual result<size_t> read_at(uint64_t offset, byte_span out) = 0;

  [[nodiscard]] virtual result<file_status> status() = 0;

  /// The first byte at or after *offset* that is data and not a hole, or the
  /// file's size. File systems without holes answer *offset*.
  [[nodiscard]] virtual result<uint64_t> next_data(uint64_t offset) = 0;

  /// The first byte at or after *offset* that is a hole, or the file's size.
  [[nodiscard]] virtual result<uint64_t> next_hole(uint64_t offset) = 0;
};

/// Thread rule: one thread at a time.
class writable_file {
public:
  virtual ~writable_file() = default;

  /// Writes all of *parts*, one after the other, from *offset* on.
  [[nodiscard]] virtual result<void> write_at(uint64_t offset, std::span<const byte_view> parts) = 0;

  /// Reserves disk space for the first *size* bytes so that writing them can
  /// not fail for lack of it; the file's size stays. Succeeds silently where it
  /// is not supported.
  [[nodiscard]] virtual result<void> allocate(uint64_t size) = 0;

  /// Cuts or extends to *size*; an extension is a hole.
  [[nodiscard]] virtual result<void> resize(uint64_t size) = 0;

  /// Makes content durable (fdatasync). After a failure nothing that it should
  /// have covered may be trusted; never call it again on the same file.
  [[nodiscard]] virtual result<void> sync() = 0;

  /// Sets permission bits and modification time (nanoseconds since the epoch).
  [[nodiscard]] virtual result<void> set_attributes(uint32_t mode, int64_t modified_ns) = 0;

  /// Gives an unnamed file (see `create_unnamed`) a name, once. Fails with
  /// `already_exists` when the name is taken. Durable after `sync_folder`.
  [[nodiscard]] virtual result<void> link_as(const std::string& path) = 0;

  /// Fails with `locked` at once when the same file is locked by another open one, of
  /// this process, too; else it is locked until this one is closed. The lock is advisory,
  /// and keeps nobody out where the file system has none. Answers the file's status.
  [[nodiscard]] virtual result<file_status> lock() = 0;
};

/// Holds an advisory lock until it is destroyed or the process ends.
class file_lock {
public:
  virtual ~file_lock() = default;
};

struct folder_entry {
  std::string name;
  file_kind kind = file_kind::other;
};

/// A file that is open, and what was true of it then.
struct opened_file {
  std::unique_ptr<readable_file> file;
  file_status status;
};

/// Paths are byte strings. A call fails with the code `from_errno` gives.
class file_system {
public:
  virtual ~file_system() = default;

  /// Follows a symbolic link at the end: who must not, compares `device` and
  /// `inode` with those of `status`. Never blocks: `is_a_folder` for folders,
  /// `unsupported_source` for FIFOs, sockets and devices.
  [[nodiscard]] virtual result<std::unique_ptr<readable_file>> open_read(const std::string& path,
                                                                         access_hint hint = access_hint::normal) = 0;

  /// Opens a regular file under its own name, to be read from the begin to the end:
  /// never what a symbolic link at the end leads to. `unsupported_source` for links,
  /// FIFOs, sockets and devices, `is_a_folder` for folders. Opening a device may do
  /// something, so call it for what `list` or `status` called regular.
  [[nodiscard]] virtual result<opened_file> open_regular(const std::string& path);

  /// Creates or truncates a named file for writing; refuses to follow a symbolic
  /// link at the end (`unsupported_source`).
  [[nodiscard]] virtual result<std::unique_ptr<writable_file>> create(const std::string& path, uint32_t mode = 0600) = 0;

  /// Opens an existing file for writing without truncating it. Refuses links, too.
  [[nodiscard]] virtual result<std::unique_ptr<writable_file>> open_write(const std::string& path) = 0;

  /// An unnamed file on the file system of *folder*; gone unless linked. With
  /// `access_hint::direct`, writes bypass the page cache where they are aligned
  /// to 4096 bytes and the file system can.
  [[nodiscard]] virtual result<std::unique_ptr<writable_file>> create_unnamed(const std::string& folder, uint32_t mode = 0600,
                                                                              access_hint hint = access_hint::normal) = 0;

  /// Atomically replaces *to*. Durable after `sync_folder` of both parents.
  /// `conflict` when a folder would come below itself.
  [[nodiscard]] virtual result<void> rename(const std::string& from, const std::string& to) = 0;

  /// Like `rename`, but fails with `already_exists` when *to* is there.
  [[nodiscard]] virtual result<void> rename_new(const std::string& from, const std::string& to) = 0;

  /// Removes a name that is not a folder's (`is_a_folder`); gone for good after
  /// `sync_folder`.
  [[nodiscard]] virtual result<void> remove(const std::string& path) = 0;

  /// Removes an empty folder.
  [[nodiscard]] virtual result<void> remove_folder(const std::string& path) = 0;

  /// Creates one folder; succeeds when it is there already.
  [[nodiscard]] virtual result<void> make_folder(const std::string& path, uint32_t mode = 0700) = 0;

  /// Makes the names in a folder durable (fsync of the directory).
  [[nodiscard]] virtual result<void> sync_folder(const std::string& path) = 0;

  /// Entries without "." and "..", sorted by name, bytewise.
  [[nodiscard]] virtual result<std::vector<folder_entry>> list(const std::string& path) = 0;

  /// Does not follow a symbolic link at the end. `not_found` when nothing is there.
  [[nodiscard]] virtual result<file_status> status(const std::string& path) = 0;

  /// Sets permission bits and modification time of a file or folder, not through
  /// a symbolic link: of that it sets the time.
  [[nodiscard]] virtual result<void> set_attributes(const std::string& path, uint32_t mode, int64_t modified_ns) = 0;

  [[nodiscard]] virtual result<std::string> read_link(const std::string& path) = 0;
  [[nodiscard]] virtual result<void> make_symlink(const std::string& target, const std::string& path) = 0;

  [[nodiscard]] virtual result<disk_space> space(const std::string& path) = 0;

  /// From now on the calling thread reads and writes only while nobody else wants the
  /// disk (Linux: the idle I/O class, which the disk's scheduler may heed). No effect
  /// unless overridden.
  [[nodiscard]] virtual result<void> yield_disk() {
    return {};
  }

  /// Takes an exclusive advisory lock on *path*, creating the file. Fails with
  /// `locked` at once when another process, or this one, holds it.
  [[nodiscard]] virtual result<std::unique_ptr<file_lock>> lock(const std::string& path) = 0;
};

/// The POSIX file system of the machine.
[[nodiscard]] DATAMESH_EXPORT std::shared_ptr<file_system> system_files();

/// Creates every missing folder of *path* (and syncs each parent it adds to).
[[nodiscard]] DATAMESH_EXPORT result<void> make_folders(file_system& files, const std::string& path, uint32_t mode = 0700);

/// The whole of a small file; `capacity_exceeded` when it has more than *size_max* bytes.
[[nodiscard]] DATAMESH_EXPORT result<bytes> read_whole(file_system& files, const std::string& path, uint64_t size_max);

/// Durably replaces *path*: temporary file (`path + ".new"`), sync, rename, sync of
/// the folder. One writer a path at a time; on failure the old content stands.
[[nodiscard]] DATAMESH_EXPORT result<void> write_whole(file_system& files, const std::string& path, byte_view content,
                                                       uint32_t mode = 0600);

/// `folder + "/" + name` without doubled slashes.
[[nodiscard]] DATAMESH_EXPORT std::string join_path(std::string_view folder, std::string_view name);

/// All before the last slash ("." when there is none, "/" for the root).
[[nodiscard]] DATAMESH_EXPORT std::string parent_path(std::string_view path);

} // namespace datamesh
