// The version of the library, by semantic versioning 2.0.
#pragma once

#include "datamesh/base/export.hpp"

#define DATAMESH_VERSION_MAJOR 0
#define DATAMESH_VERSION_MINOR 1
#define DATAMESH_VERSION_PATCH 0
#define DATAMESH_VERSION_TEXT "0.1.0"

namespace datamesh {

/// "0.1.0", of the library that is loaded; compare with the macros to find a
/// program that was built against another one.
[[nodiscard]] DATAMESH_EXPORT const char* version() noexcept;

} // namespace datamesh
