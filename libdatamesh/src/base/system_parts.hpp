// The parts of the machine that `system_environment` puts together.
#pragma once

#include "datamesh/base/clock.hpp"
#include "datamesh/base/random_source.hpp"

#include <memory>

namespace datamesh {

/// CLOCK_MONOTONIC and CLOCK_REALTIME.
[[nodiscard]] std::shared_ptr<clock> system_clock();

/// getrandom(2); blocks only until the kernel's pool is seeded after boot.
[[nodiscard]] std::shared_ptr<random_source> system_random();

} // namespace datamesh
