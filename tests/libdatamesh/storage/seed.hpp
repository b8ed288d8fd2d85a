// The seed of a random test: DATAMESH_SEED when it is set, else a fixed one.
#pragma once

#include <cstdint>
#include <cstdlib>

namespace datamesh::test {

inline uint64_t seed() {
  auto text = std::getenv("DATAMESH_SEED");
  return text != nullptr ? std::strtoull(text, nullptr, 0) : 20260101;
}

} // namespace datamesh::test
