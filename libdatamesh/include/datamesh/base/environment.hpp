// Time, chance and disk as arguments. No engine and no actor reads a clock, a
// random device or a file except through what it is handed here; tests and the
// simulator hand in their own.
#pragma once

#include "datamesh/base/clock.hpp"
#include "datamesh/base/file_system.hpp"
#include "datamesh/base/log_sink.hpp"
#include "datamesh/base/ordered_store.hpp"
#include "datamesh/base/random_source.hpp"

#include <memory>

namespace datamesh {

/// Every member is safe to call from several threads at once.
struct environment {
  std::shared_ptr<datamesh::clock> clock{};
  std::shared_ptr<random_source> random{};
  std::shared_ptr<file_system> files{};
  std::shared_ptr<ordered_store_opener> stores{};
  std::shared_ptr<log_sink> log{};
};

/// The system's clock, getrandom, POSIX files and RocksDB; logs to nowhere.
[[nodiscard]] DATAMESH_EXPORT environment system_environment();

} // namespace datamesh
