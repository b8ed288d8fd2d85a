// Random bytes for keys, salts, nonces and ids.
#pragma once

#include "datamesh/base/bytes.hpp"
#include "datamesh/base/result.hpp"

#include <cstdint>

namespace datamesh {

class random_source {
public:
  virtual ~random_source() = default;

  /// Fills *out* or fails with `errc::random_failed`; never fills it in part.
  [[nodiscard]] virtual result<void> fill(byte_span out) = 0;
};

/// A fresh random id.
template <class Id>
[[nodiscard]] result<Id> random_id(random_source& source) {
  Id fresh;
  return source.fill(fresh.span()).map([&] { return fresh; });
}

/// A number from [0, bound) without bias, by rejection (Lemire 2019).
/// @pre `bound > 0`
[[nodiscard]] DATAMESH_EXPORT result<uint64_t> random_below(random_source& source, uint64_t bound);

} // namespace datamesh
