// How engines answer: a value or an error, never an exception.
#pragma once

#include "datamesh/base/error.hpp"

#include <tl/expected.hpp>

namespace datamesh {

/// Holds a T or the error that stood in its way.
template <class T>
using result = tl::expected<T, error>;

/// Shorthand for the failing side of a `result`.
[[nodiscard]] inline tl::unexpected<error> fail(error reason) {
  return tl::unexpected<error>{std::move(reason)};
}

/// Shorthand for an error made in place.
[[nodiscard]] inline tl::unexpected<error> fail(errc code, std::string attempted = {}, std::string object = {}) {
  return tl::unexpected<error>{error{code, std::move(attempted), std::move(object)}};
}

} // namespace datamesh
