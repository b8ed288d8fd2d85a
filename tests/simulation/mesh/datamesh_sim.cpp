// Runs meshes in a simulation, one a seed, and prints a line for each. Equal seeds give equal lines.
#include "tests/simulation/mesh/run.hpp"

#include <fmt/format.h>

#include <charconv>
#include <cstdlib>
#include <cstring>
#include <string_view>

namespace {

constexpr auto usage = "usage: datamesh-sim [--seed N] [--seeds COUNT] [--nodes N] [--hours H] [--twice]\n"
                       "  --seed N       the first seed, by default 1\n"
                       "  --seeds COUNT  how many, by default 1\n"
                       "  --nodes N      nodes that keep shards, 7 to 128; by default 8 to 16, as the seed draws\n"
                       "  --hours H      hours of faults, in the time of the mesh; by default 25 to 60 minutes, as the seed draws\n"
                       "  --twice        runs each seed twice, and compares\n";

struct settings {
  datamesh::test::mesh_run_options run;
  uint64_t seeds = 1;
  bool twice = false;
};

template <class Number>
bool read(std::string_view text, Number& to) {
  auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), to);
  return failed == std::errc{} && end == text.data() + text.size();
}

bool read(int count, char** arguments, settings& to) {
  for (int i = 1; i < count; ++i) {
    std::string_view name{arguments[i]};
    if (name == "--twice") {
      to.twice = true;
      continue;
    }
    if (++i == count)
      return false;
    std::string_view value{arguments[i]};
    auto good = name == "--seed"    ? read(value, to.run.seed)
                : name == "--seeds" ? read(value, to.seeds)
                : name == "--nodes" ? read(value, to.run.nodes) && to.run.nodes >= 7 && to.run.nodes <= 128
                : name == "--hours" ? read(value, to.run.hours) && to.run.hours > 0 && to.run.hours <= 1000
                                    : false;
    if (!good)
      return false;
  }
  return true;
}

} // namespace

int main(int count, char** arguments) {
  settings from;
  if (!read(count, arguments, from)) {
    fmt::print(stderr, "{}", usage);
    return 2;
  }
  int status = 0;
  for (uint64_t i = 0; i < from.seeds; ++i) {
    auto outcome = datamesh::test::run_mesh(from.run);
    fmt::print("{}\n", outcome.text());
    auto differs = from.twice && datamesh::test::run_mesh(from.run).trace != outcome.trace;
    if (differs)
      fmt::print("seed {}: FAILED; a second run was another one\n", from.run.seed);
    if (outcome.failure || differs) {
      fmt::print("again: datamesh-sim --seed {}{}{}\n", from.run.seed, from.run.nodes > 0 ? fmt::format(" --nodes {}", from.run.nodes) : "",
                 from.run.hours > 0 ? fmt::format(" --hours {}", from.run.hours) : "");
      status = 1;
    }
    std::fflush(stdout);
    ++from.run.seed;
  }
  return status;
}
