#include "storage/restore_plan.hpp"

namespace datamesh::storage {

namespace {

constexpr size_t folder_page_size = 1000;

} // namespace

restore_plan::restore_plan(std::shared_ptr<const catalog> names, std::vector<root> roots, byte_range range)
    : names_(std::move(names)), roots_(std::make_move_iterator(roots.begin()), std::make_move_iterator(roots.end())), range_(range) {}

target_file restore_plan::enter(const node_view& node, std::string target, const std::optional<version_view>& version) {
  target_file file{std::move(target), node.kind, node.size, node.mode, node.modified_ns, node.symlink_target};
  version_ = node.version;
  extent_count_ = node.extent_count;
  if (version) {
    file.size = version->size;
    file.mode = version->mode;
    file.modified_ns = version->modified_ns;
    version_ = version->version;
    extent_count_ = version->extent_count;
  }
  if (node.kind != node_kind::file)
    extent_count_ = 0;
  ordinal_ = 0;
  offset_ = 0;
  page_.clear();
  page_first_ = 0;
  if (node.kind == node_kind::folder)
    folders_.push_back({node.node, file.path, {}, {}, false});
  return file;
}

result<std::optional<target_file>> restore_plan::next() {
  while (!folders_.empty()) {
    auto& top = folders_.back();
    if (top.page.empty() && !top.at_end) {
      auto page = names_->list(top.node, top.cursor, folder_page_size);
      if (!page)
        return fail(page.error());
      top.at_end = page->size() < folder_page_size;
      if (!page->empty())
        top.cursor = page->back().name;
      top.page.assign(page->begin(), page->end());
    }
    if (top.page.empty()) {
      folders_.pop_back();
      continue;
    }
    auto child = std::move(top.page.front());
    top.page.pop_front();
    auto target = top.target.empty() ? child.name : join_path(top.target, child.name);
    return enter(child, std::move(target), std::nullopt);
  }
  if (roots_.empty())
    return std::nullopt;
  auto first = std::move(roots_.front());
  roots_.pop_front();
  std::optional<version_view> chosen;
  if (first.version) {
    auto versions = names_->versions(first.node.node);
    if (!versions)
      return fail(versions.error());
    for (const auto& version : *versions)
      if (version.version == *first.version)
        chosen = version;
    if (!chosen)
      return fail(errc::not_found, "find version", first.version->hex());
  }
  return enter(first.node, first.target, chosen);
}

result<void> restore_plan::load_page() {
  if (ordinal_ >= page_first_ && ordinal_ < page_first_ + page_.size())
    return {};
  auto page = names_->extents(*version_, ordinal_, extent_page_size);
  if (!page)
    return fail(page.error());
  if (page->empty())
    return fail(errc::store_corrupt, "read the extents of a file", version_->hex());
  page_ = std::move(*page);
  page_first_ = ordinal_;
  return {};
}

result<std::optional<restore_plan::piece>> restore_plan::next_extent() {
  auto range_end = range_.length && *range_.length < UINT64_MAX - range_.first ? range_.first + *range_.length : UINT64_MAX;
  while (ordinal_ < extent_count_ && offset_ < range_end && range_.first < range_end) {
    if (auto loaded = load_page(); !loaded)
      return fail(loaded.error());
    const auto& next = page_[ordinal_ - page_first_];
    auto begin = offset_;
    auto end = offset_ + next.length;
    ++ordinal_;
    offset_ = end;
    if (end <= range_.first)
      continue;
    piece result{next, 0, 0};
    result.skip = range_.first > begin ? range_.first - begin : 0;
    result.wanted = std::min(end, range_end) - begin - result.skip;
    return result;
  }
  return std::nullopt;
}

result<std::vector<extent>> restore_plan::first_extents() {
  if (extent_count_ == 0)
    return std::vector<extent>{};
  if (auto loaded = load_page(); !loaded)
    return fail(loaded.error());
  return page_;
}

result<uint64_t> restore_plan::skip_extents(uint64_t count) {
  auto begin = offset_;
  for (uint64_t i = 0; i < count && ordinal_ < extent_count_; ++i) {
    if (auto loaded = load_page(); !loaded)
      return fail(loaded.error());
    offset_ += page_[ordinal_ - page_first_].length;
    ++ordinal_;
  }
  return offset_ - begin;
}

} // namespace datamesh::storage
