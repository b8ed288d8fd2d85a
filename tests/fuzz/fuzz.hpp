// What the fuzzers share. Each is a file with `LLVMFuzzerTestOneInput`; under libFuzzer
// it is run on what that makes up, else replay.cpp runs it on the committed corpus.
#pragma once

#include "datamesh/base/bytes.hpp"

#include <cstdio>
#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace datamesh::fuzz {

inline byte_view view(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const std::byte*>(data), size};
}

/// Ends the run unless *holds*; stays on in every build.
inline void require(bool holds, const char* what) {
  if (holds)
    return;
  std::fprintf(stderr, "does not hold: %s\n", what);
  std::abort();
}

} // namespace datamesh::fuzz
