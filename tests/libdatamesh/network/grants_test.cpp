#include "network/grants.hpp"

#include "tests/libdatamesh/network/guest_fixture.hpp"

#include <catch2/catch.hpp>

using namespace datamesh;
using namespace datamesh::network;
using namespace datamesh::test;

namespace {

const std::string hex_a(64, 'a');
const std::string hex_b(64, 'b');

errc code_of(const std::string& text) {
  return refusal(parse_grants(text));
}

} // namespace

TEST_CASE("what is granted is read as it was written", "[grants]") {
  grants some{{*vault_id::parse(hex_a), 100ull << 30}, {*vault_id::parse(hex_b), UINT64_MAX}, {vault_id{}, 0}};
  auto text = encode_grants(some);
  CHECK(parse_grants(text).value() == some);
  CHECK(parse_grants(encode_grants({})).value().empty());
  CHECK(encode_grants({{*vault_id::parse(hex_a), 100}}) == "datamesh grants 1\nowner " + hex_a + " 100\n");
}

TEST_CASE("a file of grants that is not as it is written is refused", "[grants]") {
  auto one = "owner " + hex_a + " 100\n";
  auto title = std::string{"datamesh grants 1\n"};
  CHECK(code_of(title + one) == errc{});
  CHECK(code_of("datamesh grants 2\nwhatever") == errc::format_newer);
  for (const auto& text :
       {std::string{}, std::string{"datamesh grants 1"}, std::string{"datamesh grants 0\n"}, std::string{"datamesh grants 01\n"},
        std::string{"datamesh drives 1\n"}, title + one + one, title + "owner " + hex_a + " 100", title + "owner " + hex_a + "\n",
        title + "owner " + hex_a + " \n", title + "owner " + hex_a + " 0100\n", title + "owner " + hex_a + " -1\n",
        title + "owner " + hex_a + " 18446744073709551616\n", title + "owner " + hex_a + " 1 1\n",
        title + "owner " + std::string(64, 'A') + " 1\n", title + "owner " + std::string(63, 'a') + " 1\n", title + "\n",
        title + "grant " + hex_a + " 1\n", title + " " + one}) {
    CAPTURE(text);
    CHECK(code_of(text) == errc::format_damaged);
  }
}

TEST_CASE("a file of grants is replaced whole, and none is no grant", "[grants]") {
  simulated_files disk;
  REQUIRE(disk.make_folder("/home"));
  disk.sync_all();
  CHECK(read_grants(disk, "/home/grants").value().empty());
  grants before{{*vault_id::parse(hex_a), 1}};
  grants after{{*vault_id::parse(hex_b), 2}};
  REQUIRE(write_grants(disk, "/home/grants", before));
  auto image = disk.snapshot();
  for (uint64_t n = 1;; ++n) {
    simulated_files fresh{image};
    fresh.crash_after(n);
    auto written = write_grants(fresh, "/home/grants", after);
    bool whole = fresh.powered();
    fresh.crash(n);
    auto read = read_grants(fresh, "/home/grants");
    REQUIRE(read);
    if (whole) {
      CHECK(written);
      CHECK(*read == after);
      break;
    }
    CHECK((*read == before || *read == after));
  }
}
