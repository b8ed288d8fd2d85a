#include "list_filter.hpp"

#include "glob.hpp"
#include "units.hpp"

#include <algorithm>

namespace datamesh::cli {

bool list_filter::takes(const entry& e) const {
  if (!name.empty() && !glob_match(name, e.name))
    return false;
  if ((larger_than || smaller_than) && e.kind != entry_kind::file)
    return false;
  if ((larger_than && e.size <= *larger_than) || (smaller_than && e.size >= *smaller_than))
    return false;
  return !(newer_than && e.modified_ns <= *newer_than) && !(older_than && e.modified_ns >= *older_than);
}

bool list_filter::takes_tags(const entry& e) const {
  return std::all_of(tags.begin(), tags.end(), [&](const auto& wanted) {
    return std::any_of(e.tags.begin(), e.tags.end(),
                       [&](const auto& tag) { return tag.first == wanted.first && (!wanted.second || tag.second == *wanted.second); });
  });
}

list_filter filter_of(const settings& set, int64_t now_ns) {
  list_filter result;
  result.name = set.text("name");
  for (const auto& word : set.list("tag")) {
    auto equals = word.find('=');
    result.tags.emplace_back(word.substr(0, equals), equals == std::string::npos ? std::nullopt : std::optional{word.substr(equals + 1)});
  }
  if (set.given("larger"))
    result.larger_than = set.number("larger");
  if (set.given("smaller"))
    result.smaller_than = set.number("smaller");
  result.newer_than = parse_date(set.text("newer"), now_ns);
  result.older_than = parse_date(set.text("older"), now_ns);
  return result;
}

} // namespace datamesh::cli
