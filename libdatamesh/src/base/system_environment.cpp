#include "base/system_parts.hpp"
#include "datamesh/base/environment.hpp"

namespace datamesh {

namespace {

class silent_log : public log_sink {
public:
  void write(severity, std::string_view, std::string_view, std::span<const log_field>) override {}
};

} // namespace

environment system_environment() {
  return {
      .clock = system_clock(),
      .random = system_random(),
      .files = system_files(),
      .stores = rocksdb_stores(),
      .log = std::make_shared<silent_log>(),
  };
}

} // namespace datamesh
