// What to do next when a command fails for what lies outside of the drives, of which the
// general advice of a code speaks.
#pragma once

#include "datamesh/node.hpp"

#include <string>
#include <vector>

namespace datamesh::cli {

/// For what a get met in the folder *target*. A get writes nowhere else, so a file system
/// that is full or read-only is that of the target. Empty: the advice of the code holds.
[[nodiscard]] std::string advice_for_target(errc code, const std::string& target);

/// As above for *failures*, when all have one code.
[[nodiscard]] std::string advice_for_target(const std::vector<item_failure>& failures, const std::string& target);

/// When *what* names something in *home*, whose disk is full or read-only. Else empty.
[[nodiscard]] std::string advice_for_home(errc code, std::string_view what, const std::string& home);

/// When *what* tells that a transfer gave way to others, since its source or target stood still. Else empty.
[[nodiscard]] std::string advice_for_stall(errc code, std::string_view what);

/// For a put when all of *failures* come from entries of *v* that are files where folders are to be
/// stored, or the other way round: the command that removes those. Else empty. *same_kind_fails* says that
/// a file fails where a file is.
[[nodiscard]] std::string advice_for_kinds(const vault& v, const std::vector<item_failure>& failures, bool same_kind_fails);

} // namespace datamesh::cli
