// The stages of a put and a get: ours, and the libraries alone on the same buffers.
#pragma once

#include "datamesh/base/result.hpp"

#include <functional>
#include <string>
#include <vector>

namespace datamesh::reference {

/// Medians over the rounds, in bytes a second.
struct rates {
  double reference = 0;
  double ours = 0;
  [[nodiscard]] double ratio() const {
    return reference > 0 ? ours / reference : 0;
  }
};

struct stage {
  std::string name;
  uint64_t bytes = 0;   ///< That one call works on.
  bool on_disk = false; ///< Timed by the wall; others by the CPU time of the thread.
  std::function<bool()> reference;
  std::function<bool()> ours; ///< Empty where we only call the system.
  rates measured;
};

/// Makes the stages. Buffers and a drive live as long as the answer; *folder* is on
/// the disk to measure.
[[nodiscard]] result<std::vector<stage>> make_stages(const std::string& folder);

/// Runs reference and ours in turn, *rounds* times, each on at least *bytes*.
[[nodiscard]] result<void> measure(std::vector<stage>& stages, int rounds, uint64_t bytes);

/// Seconds of the wall.
[[nodiscard]] double wall_now();

} // namespace datamesh::reference
