// Where log records go. The host supplies the sink; the library has no logger
// of its own and no global.
#pragma once

#include "datamesh/base/errc.hpp"

#include <span>
#include <string_view>
#include <utility>

namespace datamesh {

/// One field of a record. Values are never secret and never a file's content.
using log_field = std::pair<std::string_view, std::string_view>;

class log_sink {
public:
  virtual ~log_sink() = default;

  /// Takes one record. Must not block for long and must not throw; called from
  /// any thread.
  virtual void write(severity level, std::string_view component, std::string_view message, std::span<const log_field> fields) = 0;
};

} // namespace datamesh
