// Reads files, folders and streams, and cuts what it reads into chunks. One call of
// `next` fills at most one buffer: many small files or a part of a large one.
// Memory does not depend on the size of files, and of folders only names are kept. Symbolic links are stored as links,
// never followed; FIFOs, sockets and devices are refused; holes stay holes. A file
// that grows meanwhile is read up to the size that it had. Folders of the store itself,
// which would grow by being read, are left out.
//
// Not thread-safe; runs on the thread that may block.
#pragma once

#include "base/buffer_pool.hpp"
#include "datamesh/base/file_system.hpp"
#include "datamesh/node.hpp"
#include "storage/chunker.hpp"
#include "storage/operation.hpp"
#include "storage/source_marks.hpp"

#include <deque>
#include <variant>

namespace datamesh::storage {

/// Holes shorter than this are read as zeros.
inline constexpr uint64_t hole_size_min = 64 << 10;
inline constexpr size_t pieces_per_batch_max = 2000;

struct source_begin {
  std::string path; ///< In the vault.
  node_kind kind = node_kind::file;
  uint32_t mode = 0;
  int64_t modified_ns = 0;
  std::string symlink_target;
};
struct source_chunk {
  bytes data;
};
struct source_hole {
  uint64_t length = 0;
};
struct source_end {
  uint64_t size = 0;
  bool changed = false;   ///< The file changed while it was read.
  int64_t changed_ns = 0; ///< Of what may be remembered, see source_marks.hpp; else 0.
  uint64_t device = 0;
  uint64_t inode = 0;
};
/// A file that was not read, since an earlier put left it as it is.
struct source_unchanged {
  source_begin begin;
  std::string path; ///< Of the source.
  uint64_t size = 0;
  version_id version; ///< That holds it.
};
struct source_failure {
  std::string path; ///< Of the source.
  error reason;
};
/// A folder that is the store's own.
struct source_left_out {
  std::string path; ///< Of the source.
};

/// What is learned of item number *item*, in order.
struct source_piece {
  uint64_t item = 0;
  std::variant<source_begin, source_chunk, source_hole, source_end, source_failure, source_left_out, source_unchanged> what;
};

struct source_root {
  std::string source_path;
  std::string target_path;
  std::shared_ptr<source> stream; ///< Instead of `source_path`.
  uint32_t mode = 0644;           ///< Of a stream.
  int64_t modified_ns = 0;        ///< Of a stream.
  bool compare_contents = false;  ///< Nothing in it is taken for unchanged unread.
};

/// A folder, whatever its path.
struct folder_place {
  uint64_t device = 0;
  uint64_t inode = 0;
  friend bool operator==(const folder_place&, const folder_place&) = default;
};

class tree_reader {
public:
  /// *pool* has buffers of at least twice the longest chunk. *own* are the folders that
  /// are left out. Without *marks* every file is read.
  tree_reader(std::shared_ptr<file_system> files, std::shared_ptr<buffer_pool> pool, chunker cutter, std::vector<source_root> roots,
              std::vector<std::string> exclude, std::vector<folder_place> own = {}, std::shared_ptr<source_marks> marks = {});

  /// The next pieces; empty at the end.
  [[nodiscard]] std::vector<source_piece> next();

  /// One more root, behind all others.
  void add(source_root root);

private:
  struct waiting {
    source_root at;
    std::string relative;              ///< To its root, for `exclude`.
    file_kind kind = file_kind::other; ///< As far as its folder tells.
  };
  /// A folder on the way to what is read now. Of its entries, which may be very many, only
  /// the names are kept.
  struct open_folder {
    source_root at;
    std::string relative;
    std::vector<folder_entry> entries;
    size_t next = 0;
  };
  struct open_file {
    uint64_t item = 0;
    std::string path;
    std::unique_ptr<readable_file> file;
    std::shared_ptr<source> stream;
    file_status before;
    uint64_t offset = 0;   ///< Of the next byte to read.
    uint64_t data_end = 0; ///< Data is known to reach to here, when sparse.
    bool sparse = false;
    bool unsized = false; ///< Says that it is empty and is not, as in /proc: read to its end.
    bool settled = false; ///< May be remembered if it is the same when it is read.
    bytes carry;          ///< Read, but not cut yet.
  };
  using pieces = std::vector<source_piece>;

  [[nodiscard]] std::optional<waiting> next_waiting();
  void begin(waiting entry, pieces& out, const buffer_pool::buffer& buffer, size_t& used);
  void begin_folder(waiting entry, const file_status& status, uint64_t item, pieces& out);
  void begin_file(const waiting& entry, uint64_t item, pieces& out, const buffer_pool::buffer& buffer, size_t& used);
  void read_small(open_file& from, pieces& out, const buffer_pool::buffer& buffer, size_t& used);
  void read_large(pieces& out, const buffer_pool::buffer& buffer);
  [[nodiscard]] bool is_unchanged(const waiting& entry, uint64_t item, pieces& out);
  [[nodiscard]] result<void> skip_hole(pieces& out);
  [[nodiscard]] result<size_t> fill(open_file& from, byte_span out, bool& at_end);
  void end(open_file& from, pieces& out);
  [[nodiscard]] bool excluded(const std::string& relative) const;

  std::shared_ptr<file_system> files_;
  std::shared_ptr<buffer_pool> pool_;
  chunker cutter_;
  std::vector<std::string> exclude_;
  std::vector<folder_place> own_;
  std::shared_ptr<source_marks> marks_;
  std::deque<source_root> roots_;
  std::vector<open_folder> folders_; ///< Outermost first.
  std::optional<open_file> open_;
  uint64_t items_ = 0;
};

} // namespace datamesh::storage
