#include "datamesh/base/random_source.hpp"

#include <array>
#include <cassert>

namespace datamesh {

namespace {

__extension__ using wide = unsigned __int128;

result<uint64_t> draw(random_source& source) {
  std::array<std::byte, sizeof(uint64_t)> raw{};
  return source.fill(raw).map([&] {
    uint64_t number = 0;
    for (size_t i = 0; i < raw.size(); ++i)
      number |= std::to_integer<uint64_t>(raw[i]) << (8 * i);
    return number;
  });
}

} // namespace

result<uint64_t> random_below(random_source& source, uint64_t bound) {
  assert(bound > 0);
  for (;;) {
    auto number = draw(source);
    if (!number)
      return number;
    auto product = static_cast<wide>(*number) * bound;
    auto low = static_cast<uint64_t>(product);
    // 2^64 mod bound of the low halves would make some answers likelier.
    if (low >= bound || low >= -bound % bound)
      return static_cast<uint64_t>(product >> 64);
  }
}

} // namespace datamesh
