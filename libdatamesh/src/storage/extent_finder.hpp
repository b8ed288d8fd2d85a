// Finds the extents of a file that a range covers without walking there from its
// beginning: remembers for the versions asked for last where in the file each page of
// extents begins, and the last page.
//
// Not thread-safe.
#pragma once

#include "storage/catalog.hpp"

#include <list>

namespace datamesh::storage {

struct placed_extent {
  extent what;
  uint64_t offset = 0; ///< In the file.
};

class extent_finder {
public:
  /// Versions remembered; some 12 KiB each, and 8 bytes for each page of a long file.
  static constexpr size_t versions_max = 16;
  /// As many as the catalog keeps in one row.
  static constexpr size_t page_size = 256;

  explicit extent_finder(std::shared_ptr<const catalog> names) : names_(std::move(names)) {}

  /// In order; *count* is what the version has in all. Empty behind the end.
  [[nodiscard]] result<std::vector<placed_extent>> find(const version_id& version, uint64_t count, uint64_t first, uint64_t length);

private:
  struct known {
    version_id version;
    std::vector<uint64_t> page_offsets{0}; ///< Of the pages up to the farthest that was read, and the one behind it.
    std::vector<extent> page;
    size_t page_number = SIZE_MAX;
  };
  [[nodiscard]] known& at(const version_id& version);
  /// Page *number* is in `page`, and where the next one begins is known.
  [[nodiscard]] result<void> load(known& file, size_t number);

  std::shared_ptr<const catalog> names_;
  std::list<known> known_; ///< Last one first.
};

} // namespace datamesh::storage
