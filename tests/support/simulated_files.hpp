// A file system in memory that behaves as a disk may: it loses unsynced bytes,
// links and renames when the power goes, tears writes at 512 bytes, runs full,
// fails the N-th call and flips bits.
//
// The model. A file's content is durable after a `sync` of the file, a name after
// a `sync_folder` of its folder (a rename between folders after both). `crash`
// lets any of the rest survive: content byte ranges whole, torn or not at all;
// names one by one, a rename as the old or the new; a later change of a name never
// without the earlier. Modes and times survive by chance, synced or not. A file
// without a name is gone. What survived is durable from then on.
//
//   simulated_files disk;
//   prepare(disk);
//   auto start = disk.snapshot();
//   for (uint64_t n = 1;; ++n) {
//     simulated_files fresh{start};
//     fresh.crash_after(n);
//     run(fresh);                  // its calls fail from the n-th on
//     bool whole = fresh.powered(); // it made fewer than n calls
//     fresh.crash(seed + n);
//     check(fresh);
//     if (whole) break;
//   }
//
// Outcomes depend on the calls and the seeds only. Calls that change something are
// counted from 1, whether they succeed or not; each number below is of those.
#pragma once

#include "datamesh/base/clock.hpp"
#include "datamesh/base/file_system.hpp"

namespace datamesh::test {

/// Calls that change something.
enum class disk_call : uint8_t {
  create,
  create_unnamed,
  write,
  allocate,
  resize,
  sync,
  set_attributes,
  link,
  rename,
  remove,
  make_folder,
  remove_folder,
  sync_folder,
  make_symlink,
  lock, ///< Counts only where it creates the file.
};
constexpr size_t disk_call_kinds = 15;

[[nodiscard]] std::string_view to_string(disk_call kind) noexcept;

/// What may become of a drive in the middle of something.
enum class drive_end : uint8_t {
  unplugged, ///< Every call fails with `io_failed`.
  read_only, ///< Every change fails with `read_only`, syncs among them.
  full,      ///< No room is free: what needs some fails with `no_space`.
};
[[nodiscard]] std::string_view to_string(drive_end how) noexcept;

/// Thread rule: any thread; one mutex.
class simulated_files : public file_system {
public:
  struct core;
  /// A frozen tree; cheap, as pages are shared until they are written.
  using image = std::shared_ptr<const core>;

  struct listed {
    std::string path;
    file_status status;
  };

  /// An empty root folder. Times come from *time*; without it they count calls.
  explicit simulated_files(std::shared_ptr<clock> time = nullptr);
  explicit simulated_files(const image& from, std::shared_ptr<clock> time = nullptr);
  ~simulated_files() override;

  /// What is durable: what a power loss leaves that takes all it may.
  [[nodiscard]] image snapshot() const;

  /// Makes everything durable, as a clean shutdown does.
  void sync_all();

  /// The power goes and comes back: *seed* chooses what survives. Open files and
  /// locks are dead, planned failures forgotten.
  void crash(uint64_t seed);

  /// The *n*-th change from now (1 is the next) is cut short by the power: it may
  /// survive in part, it answers `io_failed`, and so does every call until `crash`.
  void crash_after(uint64_t n);
  [[nodiscard]] bool powered() const;

  /// The *n*-th change from now fails once with *code*. A failed write has written
  /// its first half; a failed sync leaves on disk whatever it likes, and later
  /// syncs do not mend that.
  void fail_call(uint64_t n, errc code);

  /// The *n*-th read of bytes from now fails once with *code*.
  void fail_read(uint64_t n, errc code);

  /// Every call for a path at or below *folder* fails with `io_failed` until
  /// `plug_in`, as for a drive that was pulled out. Its content stays.
  void unplug(const std::string& folder);
  void plug_in(const std::string& folder);

  /// From the *n*-th change from now, of whatever drive, calls for a path at or below
  /// *folder* meet *how* until `plug_in`. Its content stays.
  void end_drive(uint64_t n, const std::string& folder, drive_end how);

  /// The size of the disk; names are free, content is counted by pages of 4096 bytes.
  void set_capacity(uint64_t bytes);
  [[nodiscard]] uint64_t used() const;

  /// Changes one bit of a file on the medium, bit 0 being the lowest of byte 0.
  [[nodiscard]] result<void> flip_bit(const std::string& path, uint64_t bit);

  /// Replaces bytes on the medium, within the file's size.
  [[nodiscard]] result<void> corrupt(const std::string& path, uint64_t offset, byte_view replacement);

  /// Everything below the root, sorted by path.
  [[nodiscard]] std::vector<listed> list_all() const;

  /// Changes so far.
  [[nodiscard]] uint64_t calls() const;
  [[nodiscard]] uint64_t calls(disk_call kind) const;

  result<std::unique_ptr<readable_file>> open_read(const std::string& path, access_hint hint = access_hint::normal) override;
  result<std::unique_ptr<writable_file>> create(const std::string& path, uint32_t mode = 0600) override;
  result<std::unique_ptr<writable_file>> open_write(const std::string& path) override;
  result<std::unique_ptr<writable_file>> create_unnamed(const std::string& folder, uint32_t mode = 0600,
                                                        access_hint hint = access_hint::normal) override;
  result<void> rename(const std::string& from, const std::string& to) override;
  result<void> rename_new(const std::string& from, const std::string& to) override;
  result<void> remove(const std::string& path) override;
  result<void> remove_folder(const std::string& path) override;
  result<void> make_folder(const std::string& path, uint32_t mode = 0700) override;
  result<void> sync_folder(const std::string& path) override;
  result<std::vector<folder_entry>> list(const std::string& path) override;
  result<file_status> status(const std::string& path) override;
  result<void> set_attributes(const std::string& path, uint32_t mode, int64_t modified_ns) override;
  result<std::string> read_link(const std::string& path) override;
  result<void> make_symlink(const std::string& target, const std::string& path) override;
  result<disk_space> space(const std::string& path) override;
  result<std::unique_ptr<file_lock>> lock(const std::string& path) override;

private:
  std::shared_ptr<core> core_;
};

} // namespace datamesh::test
