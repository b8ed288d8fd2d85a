// How much more all cores of a machine do than one of them: cores may be threads of one
// core, or share its caches and its memory.
#pragma once

#include <cstddef>

namespace datamesh::reference {

/// Times the work of one thread that *threads* do at once, each hashing and sealing
/// *bytes* in chunks of its own: *threads* where they do not disturb each other.
[[nodiscard]] double gain_together(unsigned threads, size_t bytes);

} // namespace datamesh::reference
