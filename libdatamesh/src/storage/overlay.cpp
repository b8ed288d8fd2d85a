#include "storage/overlay.hpp"

namespace datamesh::storage {

namespace {

constexpr size_t page_rows = 256;

bool walked(std::string_view key) {
  switch (static_cast<row_kind>(key[0])) {
  case row_kind::contender:
  case row_kind::move:
  case row_kind::version_of:
  case row_kind::extents:
  case row_kind::tag:
  case row_kind::copy:
    return true;
  default:
    return false;
  }
}

using row = std::pair<std::string, std::string>;

} // namespace

// -- row_source --------------------------------------------------------------------

std::optional<std::string> row_source::get(std::string_view key) const {
  if (error_)
    return std::nullopt;
  auto value = base_.get(key);
  if (!value) {
    note(value.error());
    return std::nullopt;
  }
  return std::move(*value);
}

void row_source::scan(std::string_view prefix, std::string_view first, const visitor& visit) const {
  auto last = prefix_end(prefix);
  std::string from{std::max(prefix, first)};
  std::vector<row> page;
  size_t limit = 4; // Most walks are short.
  for (;;) {
    if (error_)
      return;
    page.clear();
    auto done = base_.scan(from, last, [&](std::string_view key, std::string_view value) {
      page.emplace_back(key, value);
      return page.size() < limit;
    });
    if (!done)
      return note(done.error());
    for (const auto& [key, value] : page)
      if (error_ || !visit(key, value))
        return;
    if (page.size() < limit)
      return;
    from = page.back().first + '\0';
    limit = page_rows;
  }
}

void row_source::damaged(std::string_view key) const {
  static constexpr char digits[] = "0123456789abcdef";
  std::string hex;
  for (auto c : key.substr(0, 40)) {
    hex += digits[static_cast<uint8_t>(c) >> 4];
    hex += digits[static_cast<uint8_t>(c) & 15];
  }
  note(error{errc::store_corrupt, "read catalog row", hex});
}

result<void> row_source::outcome() const {
  if (error_)
    return fail(*error_);
  return {};
}

// -- overlay ---------------------------------------------------------------------------

std::optional<std::string> overlay::get(std::string_view key) const {
  if (walked(key)) {
    if (auto i = sorted_.find(key); i != sorted_.end())
      return i->second;
  } else if (auto i = hashed_.find(key); i != hashed_.end()) {
    return i->second;
  }
  return row_source::get(key);
}

void overlay::scan(std::string_view prefix, std::string_view first, const visitor& visit) const {
  // The visitor may change rows, so each step looks up anew what comes next.
  std::string from{std::max(prefix, first)};
  auto fresh = [&]() -> std::map<std::string, change, std::less<>>::const_iterator {
    auto i = sorted_.lower_bound(from);
    return i != sorted_.end() && i->first.starts_with(prefix) ? i : sorted_.end();
  };
  bool wanted = true;
  row_source::scan(prefix, first, [&](std::string_view key, std::string_view value) {
    for (auto i = fresh(); wanted && i != sorted_.end() && i->first < key; i = fresh()) {
      auto [changed_key, changed] = *i;
      from = changed_key + '\0';
      wanted = !changed || visit(changed_key, *changed);
    }
    if (!wanted)
      return false;
    auto i = sorted_.find(key);
    from = std::string{key} + '\0';
    if (i == sorted_.end()) {
      wanted = visit(key, value);
    } else if (auto changed = i->second) {
      wanted = visit(key, *changed);
    }
    return wanted;
  });
  for (auto i = fresh(); wanted && !failed() && i != sorted_.end(); i = fresh()) {
    auto [changed_key, changed] = *i;
    from = changed_key + '\0';
    wanted = !changed || visit(changed_key, *changed);
  }
}

void overlay::put(std::string key, std::string value) {
  if (!walked(key)) {
    hashed_.insert_or_assign(std::move(key), std::move(value));
  } else if (sorted_.empty() || sorted_.rbegin()->first < key) {
    sorted_.emplace_hint(sorted_.end(), std::move(key), std::move(value));
  } else {
    sorted_.insert_or_assign(std::move(key), std::move(value));
  }
}

void overlay::erase(std::string key) {
  if (walked(key))
    sorted_[std::move(key)] = std::nullopt;
  else
    hashed_[std::move(key)] = std::nullopt;
}

write_batch overlay::take_batch() {
  std::vector<write_batch::change> rows;
  rows.reserve(hashed_.size() + sorted_.size());
  auto take_all = [&rows](auto& map) {
    while (!map.empty()) {
      auto row = map.extract(map.begin());
      rows.push_back({std::move(row.key()), std::move(row.mapped())});
    }
  };
  take_all(hashed_);
  take_all(sorted_);
  std::sort(rows.begin(), rows.end(), [](const auto& a, const auto& b) { return a.key < b.key; });
  return write_batch{std::move(rows)};
}

} // namespace datamesh::storage
