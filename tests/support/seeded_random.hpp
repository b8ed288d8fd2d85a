// Random bytes that one seed replays. Linked into tests and the simulator only.
#pragma once

#include "datamesh/base/random_source.hpp"

#include <mutex>
#include <random>

namespace datamesh::test {

class seeded_random : public random_source {
public:
  explicit seeded_random(uint64_t seed) : engine_(seed) {}
  [[nodiscard]] result<void> fill(byte_span out) override;
  /// For the test's own choices: [0, bound).
  [[nodiscard]] uint64_t below(uint64_t bound);
  /// *size* random bytes.
  [[nodiscard]] std::vector<std::byte> make(size_t size);

private:
  std::mutex mutex_;
  std::mt19937_64 engine_;
};

} // namespace datamesh::test
