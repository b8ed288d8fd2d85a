// A clock that stands still until a test moves it.
#pragma once

#include "datamesh/base/clock.hpp"

#include <atomic>

namespace datamesh::test {

class manual_clock : public clock {
public:
  /// Starts at 2026-01-01T00:00:00Z.
  manual_clock();
  [[nodiscard]] monotonic_time monotonic() const override;
  [[nodiscard]] wall_time wall() const override;
  void advance(std::chrono::nanoseconds by);

private:
  std::atomic<int64_t> elapsed_ns_ = 0;
};

} // namespace datamesh::test
