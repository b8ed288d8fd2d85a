// What a user does while the disk misbehaves: one script for each kind of operation,
// each with a disk on which it begins.
#pragma once

#include "tests/simulation/store_under_test.hpp"

#include <functional>

namespace datamesh::test {

/// A disk to begin with and what is promised of it.
struct starting_point {
  simulated_files::image disk;
  promises expected;
};

struct script {
  const char* name;
  std::function<starting_point(uint64_t seed)> prepare;
  /// Begins with an open store; ends at the first call that fails.
  std::function<result<void>(store_under_test& store)> run;
  /// All packs are of puts, which tell how many shards they lack.
  bool only_puts = false;
};

/// Empties the trash and keeps one version of each file.
[[nodiscard]] result<void> run_cleanup(store_under_test& store);

/// All kinds. What a script stores depends on *seed* alone.
[[nodiscard]] std::vector<script> all_scripts(uint64_t seed);

[[nodiscard]] script script_named(const std::string& name, uint64_t seed);

} // namespace datamesh::test
