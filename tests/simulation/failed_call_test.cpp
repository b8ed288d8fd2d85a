// Any one change of the disk fails while a user stores or deletes.
#include "tests/libdatamesh/storage/seed.hpp"
#include "tests/simulation/scripts.hpp"

#include <catch2/catch.hpp>
#include <fmt/format.h>

#include <iostream>

namespace datamesh::test {

namespace {

struct outcomes {
  uint64_t points = 0;
  uint64_t succeeded = 0;
  uint64_t refused = 0;
};

/// False when the script makes fewer than *point* changes.
bool fail_at(const script& what, const starting_point& start, uint64_t point, errc code, uint64_t seed, outcomes& sums) {
  store_under_test store{start.disk, start.expected, seed};
  REQUIRE(store.open());
  auto before = store.disk().calls();
  store.disk().fail_call(point, code);
  auto outcome = what.run(store);
  if (store.disk().calls() - before < point)
    return false;
  ++sums.points;
  ++(outcome ? sums.succeeded : sums.refused);
  if (!outcome) {
    INFO(outcome.error().message());
    REQUIRE(outcome.error().code() != errc::internal);
    REQUIRE(!outcome.error().message().empty());
  }
  // What a failed sync covered is gone when the power goes; what was acknowledged is not.
  store.lose_power(seed + point);
  auto opened = store.open();
  INFO((opened ? std::string{} : opened.error().message()));
  REQUIRE(opened);
  if (outcome && what.only_puts)
    store.check_shards_told();
  store.check();
  return true;
}

} // namespace

TEST_CASE("any change of the disk may fail once in a put and in a delete", "[simulation][failed_call]") {
  auto seed = test::seed();
  auto stride = std::getenv("DATAMESH_FAIL_STRIDE");
  auto step = stride != nullptr ? std::strtoull(stride, nullptr, 0) : 1;
  for (const char* name : {"put", "delete"}) {
    auto script = script_named(name, seed);
    auto start = script.prepare(seed);
    for (auto code : {errc::io_failed, errc::no_space}) {
      outcomes sums;
      for (uint64_t point = 1;; point += step) {
        CAPTURE(seed, name, int(code), point);
        if (!fail_at(script, start, point, code, seed, sums))
          break;
      }
      CHECK(sums.points > 20);
      std::cout << fmt::format("figure {} in a {}: {}\n", facts_of(code).name, name, sums.points)
                << fmt::format("figure of these refused to the caller, {} in a {}: {}\n", facts_of(code).name, name, sums.refused);
    }
  }
}

} // namespace datamesh::test
