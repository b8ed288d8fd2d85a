#include "base/system_parts.hpp"

namespace datamesh {

namespace {

class machine_clock : public clock {
public:
  [[nodiscard]] monotonic_time monotonic() const override {
    return std::chrono::steady_clock::now();
  }

  [[nodiscard]] wall_time wall() const override {
    return std::chrono::time_point_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now());
  }
};

} // namespace

std::shared_ptr<clock> system_clock() {
  return std::make_shared<machine_clock>();
}

} // namespace datamesh
