#include "storage/extent_finder.hpp"

#include <algorithm>

namespace datamesh::storage {

extent_finder::known& extent_finder::at(const version_id& version) {
  auto found = std::find_if(known_.begin(), known_.end(), [&](const auto& file) { return file.version == version; });
  if (found != known_.end()) {
    known_.splice(known_.begin(), known_, found);
  } else {
    known_.emplace_front().version = version;
    if (known_.size() > versions_max)
      known_.pop_back();
  }
  return known_.front();
}

result<void> extent_finder::load(known& file, size_t number) {
  if (file.page_number == number)
    return {};
  auto page = names_->extents(file.version, uint64_t{number} * page_size, page_size);
  if (!page)
    return fail(page.error());
  if (page->empty())
    return fail(errc::store_corrupt, "read the extents of a file", file.version.hex());
  if (file.page_offsets.size() == number + 1) {
    auto end = file.page_offsets[number];
    for (const auto& one : *page)
      end += one.length;
    file.page_offsets.push_back(end);
  }
  file.page = std::move(*page);
  file.page_number = number;
  return {};
}

result<std::vector<placed_extent>> extent_finder::find(const version_id& version, uint64_t count, uint64_t first, uint64_t length) {
  std::vector<placed_extent> covered;
  auto end = first + std::min(length, UINT64_MAX - first);
  auto pages = count / page_size + (count % page_size > 0 ? 1 : 0);
  auto& file = at(version);
  // The last page that is known to begin at or before the range.
  auto behind = std::upper_bound(file.page_offsets.begin(), file.page_offsets.end(), first);
  auto number = static_cast<size_t>(behind - file.page_offsets.begin()) - 1;
  for (; number < pages; ++number) {
    if (auto loaded = load(file, number); !loaded)
      return fail(loaded.error());
    auto offset = file.page_offsets[number];
    for (const auto& one : file.page) {
      if (offset >= end)
        return covered;
      if (offset + one.length > first)
        covered.push_back({one, offset});
      offset += one.length;
    }
  }
  return covered;
}

} // namespace datamesh::storage
