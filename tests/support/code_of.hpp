// What an answer failed with.
#pragma once

#include "datamesh/base/result.hpp"

namespace datamesh::test {

/// The code of the error, or no code at all.
template <class T>
errc code_of(const result<T>& answer) {
  return answer ? errc{} : answer.error().code();
}

} // namespace datamesh::test
