#include "tests/support/manual_clock.hpp"

namespace datamesh::test {

namespace {

constexpr int64_t start_ns = 1'767'225'600'000'000'000;

} // namespace

manual_clock::manual_clock() = default;

clock::monotonic_time manual_clock::monotonic() const {
  return monotonic_time{std::chrono::nanoseconds{elapsed_ns_.load()}};
}

clock::wall_time manual_clock::wall() const {
  return wall_time{std::chrono::nanoseconds{start_ns + elapsed_ns_.load()}};
}

void manual_clock::advance(std::chrono::nanoseconds by) {
  elapsed_ns_ += by.count();
}

} // namespace datamesh::test
