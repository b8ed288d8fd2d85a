// Writes what a get brings back. A file appears under its final name only when it
// is whole: small ones are written unnamed and linked, long ones grow under
// ".<name>.<tag>.datamesh-part", where a later get of the same version picks them up. The
// tag comes from the vault's key, so nobody else's file is taken for one, and the file is
// locked while it is written: of two gets of it at once the second is refused. Folders on the way must
// be real folders: a symbolic link there is refused, never followed, which is looked
// at anew for each file. (Who may rename in the target can still win a race.) A file of
// the same size and time that is there is compared, and kept where it is the same. Links,
// and the attributes of folders, come last.
//
// Not thread-safe; runs on the thread that may block.
#pragma once

#include "crypto/secret.hpp"
#include "datamesh/base/file_system.hpp"
#include "datamesh/node.hpp"
#include "storage/operation.hpp"

#include <memory>
#include <optional>

namespace datamesh::storage {

/// Files of at least this size are written under a partial name and resumed.
inline constexpr uint64_t resumable_size_min = 16 << 20;

struct target_file {
  std::string path; ///< Relative to the target folder, '/' between names.
  node_kind kind = node_kind::file;
  uint64_t size = 0;
  uint32_t mode = 0;
  int64_t modified_ns = 0;
  std::string symlink_target;
};

/// Takes the steps of one job in order. Not thread-safe, but companions may write on
/// threads of their own.
class restore_writer {
public:
  virtual ~restore_writer() = default;

  enum class answer : uint8_t { write, skip };

  /// A file, folder or link begins. `skip`: it is there already, as it should be.
  [[nodiscard]] virtual result<answer> begin(const target_file& what) = 0;

  /// How many of *extents* are in the file already, or in a partial one of an earlier
  /// get; the next `write` goes behind them.
  [[nodiscard]] virtual result<size_t> resume(const std::vector<extent>& extents) {
    (void) extents;
    return 0;
  }
  [[nodiscard]] virtual result<void> write(byte_view data) = 0;
  /// All that was given of this file is there already, and nothing was written.
  [[nodiscard]] virtual bool comparing() const {
    return false;
  }
  [[nodiscard]] virtual result<void> hole(uint64_t length) = 0;

  /// The file is whole.
  [[nodiscard]] virtual result<void> end() = 0;

  /// The file can not be completed; what is there of it stays resumable.
  virtual void abandon() = 0;

  /// Another writer into the same target, for files that come whole between one
  /// `begin` and its `end`; nothing where only the order of all tells files apart.
  [[nodiscard]] virtual std::shared_ptr<restore_writer> companion() {
    return nullptr;
  }

  /// All is written, by companions, too: links, and attributes of folders. Called
  /// on one of them. Failures by path.
  [[nodiscard]] virtual std::vector<item_failure> finish() {
    return {};
  }
};

/// Writes below *folder*. *id_key* checks what a partial file holds.
[[nodiscard]] std::unique_ptr<restore_writer> write_tree(std::shared_ptr<file_system> files, std::string folder, bool overwrite,
                                                         const crypto::key256& id_key);

/// Writes the one file of a job to *to*.
[[nodiscard]] std::unique_ptr<restore_writer> write_stream(std::shared_ptr<sink> to);

} // namespace datamesh::storage
