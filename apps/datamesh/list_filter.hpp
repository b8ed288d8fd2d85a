// Which entries `ls` shows: all that every given option takes.
#pragma once

#include "datamesh/node.hpp"
#include "settings.hpp"

namespace datamesh::cli {

struct list_filter {
  std::string name; ///< A pattern over the entry's own name; empty: any.
  /// Keys with the value that is wanted, or any. All must be there.
  std::vector<std::pair<std::string, std::optional<std::string>>> tags;
  std::optional<uint64_t> larger_than; ///< Bytes. With a bound of size only files match.
  std::optional<uint64_t> smaller_than;
  std::optional<int64_t> newer_than; ///< Modified behind it. Nanoseconds since 1970.
  std::optional<int64_t> older_than;

  [[nodiscard]] bool empty() const noexcept {
    return name.empty() && tags.empty() && !larger_than && !smaller_than && !newer_than && !older_than;
  }
  /// All but the tags, which a listing does not tell.
  [[nodiscard]] bool takes(const entry& e) const;
  /// @param e from `vault::info`
  [[nodiscard]] bool takes_tags(const entry& e) const;
};

/// What --name, --tag, --larger, --smaller, --newer and --older say.
/// @param now_ns what spans of time count back from
[[nodiscard]] list_filter filter_of(const settings& set, int64_t now_ns);

} // namespace datamesh::cli
