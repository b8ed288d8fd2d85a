#include "tests/support/seeded_random.hpp"

#include <cstring>

namespace datamesh::test {

result<void> seeded_random::fill(byte_span out) {
  std::lock_guard guard{mutex_};
  for (size_t i = 0; i < out.size(); i += sizeof(uint64_t)) {
    auto word = engine_();
    std::memcpy(out.data() + i, &word, std::min(sizeof(word), out.size() - i));
  }
  return {};
}

uint64_t seeded_random::below(uint64_t bound) {
  std::lock_guard guard{mutex_};
  return engine_() % bound;
}

std::vector<std::byte> seeded_random::make(size_t size) {
  std::vector<std::byte> result(size);
  (void) fill(result);
  return result;
}

} // namespace datamesh::test
