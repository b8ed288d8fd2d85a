// What a look at something finds: a line for each check, and what to run where it is not well.
#pragma once

#include "output.hpp"

#include <array>
#include <optional>
#include <string>
#include <string_view>

namespace datamesh::cli {

enum class finding : uint8_t { ok, warn, fail };

class checkup {
public:
  explicit checkup(output& out) : out_(&out) {}

  /// @param run one command that mends it; empty when all is well
  /// @param at when it came to be so, where that is told; ns since 1970
  void tell(finding result, std::string_view check, const std::string& cause, const std::string& run = {},
            std::optional<int64_t> at = std::nullopt);
  /// It is as it was told before.
  void count(finding result) noexcept {
    ++counts_[static_cast<size_t>(result)];
  }
  /// Tells how many there were of each, and answers the exit code of *command*: 0 when all is well, 3 when something
  /// deserves attention, 1 when something is broken.
  [[nodiscard]] int finish(std::string_view command);

private:
  [[nodiscard]] uint64_t counted(finding f) const noexcept {
    return counts_[static_cast<size_t>(f)];
  }

  output* out_;
  std::array<uint64_t, 3> counts_{};
};

} // namespace datamesh::cli
