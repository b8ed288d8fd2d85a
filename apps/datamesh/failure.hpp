// Why a command ends, in the three lines in which people read it: what was tried and
// what stood in the way, why in general, and what to run next.
#pragma once

#include "datamesh/base/result.hpp"

#include <string>

namespace datamesh::cli {

struct failure {
  errc code = errc::internal;
  std::string what;
  std::string next; ///< Empty: the suggestion of the code.

  failure(errc c, std::string text, std::string command = {}) : code(c), what(std::move(text)), next(std::move(command)) {}
  failure(const error& reason) : code(reason.code()), what(reason.message()) {}
};

/// What the command line's own functions answer.
template <class T>
using outcome = tl::expected<T, failure>;

[[nodiscard]] inline tl::unexpected<failure> refuse(errc code, std::string what, std::string next = {}) {
  return tl::unexpected<failure>{failure{code, std::move(what), std::move(next)}};
}
[[nodiscard]] inline tl::unexpected<failure> refuse(failure reason) {
  return tl::unexpected<failure>{std::move(reason)};
}

/// Of an error whose object is a sentence that tells all, that sentence; of another one the whole message.
[[nodiscard]] inline std::string short_reason(const error& why) {
  return why.object().empty() ? why.message() : why.object();
}

/// Why a command ends that was answered "no".
[[nodiscard]] inline failure not_confirmed(std::string what) {
  return {errc::cancelled, std::move(what) + ", for it was not confirmed", "run it again and confirm, or leave it; nothing has changed"};
}

} // namespace datamesh::cli
