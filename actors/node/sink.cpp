#include "datamesh/node.hpp"

#include <algorithm>
#include <vector>

namespace datamesh {

result<void> sink::write_hole(uint64_t length) {
  static constexpr size_t stretch = 64 << 10;
  static const std::vector<std::byte> zeros(stretch);
  while (length > 0) {
    auto count = static_cast<size_t>(std::min<uint64_t>(length, stretch));
    if (auto written = write(byte_view{zeros}.first(count)); !written)
      return written;
    length -= count;
  }
  return {};
}

} // namespace datamesh
