// Shell patterns over paths, matched in time O(pattern * path): the pattern runs as
// an automaton whose states are its positions, so no input makes it backtrack.
//
// `?` one byte but '/', `*` any run without '/', `**` any run, `[a-z]` and `[!a-z]`
// one byte of a set (never '/'), `\x` the byte x itself.
#pragma once

#include <string>
#include <string_view>

namespace datamesh::cli {

/// True when *text* has a character that means something to a pattern.
[[nodiscard]] bool is_glob(std::string_view text);

/// True when the whole of *path* matches. A set that is never closed is plain text.
[[nodiscard]] bool glob_match(std::string_view pattern, std::string_view path);

/// The folder below which everything lies that *pattern* can match: "/a/b" for
/// "/a/b/*.txt", "/" for "/*". @pre the pattern begins with '/'
[[nodiscard]] std::string glob_folder(std::string_view pattern);

/// True when only the part behind the last '/' is a pattern, and not `**`: one
/// level of names is enough to match it.
[[nodiscard]] bool glob_is_flat(std::string_view pattern);

} // namespace datamesh::cli
