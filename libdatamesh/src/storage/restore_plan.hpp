// What a get has to do, in order: files, folders and links below some paths, and of
// each file the extents that a range needs. Walks the catalog page by page, so its
// memory does not depend on how much there is.
//
// Not thread-safe.
#pragma once

#include "datamesh/node.hpp"
#include "storage/catalog.hpp"
#include "storage/tree_writer.hpp"

#include <deque>
#include <optional>
#include <vector>

namespace datamesh::storage {

/// Extents read from the catalog at once.
inline constexpr size_t extent_page_size = 4096;

class restore_plan {
public:
  struct root {
    node_view node;
    std::string target;                ///< Relative path of the target.
    std::optional<version_id> version; ///< Instead of the current one.
  };

  restore_plan(std::shared_ptr<const catalog> names, std::vector<root> roots, byte_range range);

  /// The next file, folder or link; nothing at the end. Call `next_extent` for
  /// each file until it has none, or `skip_extents`.
  [[nodiscard]] result<std::optional<target_file>> next();

  struct piece {
    extent what;
    uint64_t skip = 0;   ///< Bytes at its beginning that the range does not want.
    uint64_t wanted = 0; ///< Bytes behind those that it wants.
  };

  /// The next extent of the file that `next` answered last.
  [[nodiscard]] result<std::optional<piece>> next_extent();

  /// The first extents of that file, at most a page, without moving on.
  [[nodiscard]] result<std::vector<extent>> first_extents();

  /// Passes over the next *count* extents; their bytes are answered.
  [[nodiscard]] result<uint64_t> skip_extents(uint64_t count);

private:
  struct folder {
    node_id node;
    std::string target;
    std::string cursor;
    std::deque<node_view> page;
    bool at_end = false;
  };
  [[nodiscard]] target_file enter(const node_view& node, std::string target, const std::optional<version_view>& version);
  [[nodiscard]] result<void> load_page();

  std::shared_ptr<const catalog> names_;
  std::deque<root> roots_;
  std::vector<folder> folders_;
  byte_range range_;
  // The current file.
  std::optional<version_id> version_;
  uint64_t extent_count_ = 0;
  uint64_t ordinal_ = 0; ///< Of the next extent to answer.
  uint64_t offset_ = 0;  ///< In the file, of that extent.
  std::vector<extent> page_;
  uint64_t page_first_ = 0;
};

} // namespace datamesh::storage
