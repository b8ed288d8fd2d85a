// Reads time. The only way to it.
#pragma once

#include <chrono>

namespace datamesh {

class clock {
public:
  using monotonic_time = std::chrono::steady_clock::time_point;
  /// Nanoseconds since 1970-01-01T00:00:00Z.
  using wall_time = std::chrono::sys_time<std::chrono::nanoseconds>;

  virtual ~clock() = default;

  /// Never runs back; for deadlines and rates.
  [[nodiscard]] virtual monotonic_time monotonic() const = 0;

  /// May jump; for what is stored or shown.
  [[nodiscard]] virtual wall_time wall() const = 0;
};

} // namespace datamesh
