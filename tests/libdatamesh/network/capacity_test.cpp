#include "network/capacity.hpp"

#include "tests/libdatamesh/network/guest_fixture.hpp"

#include <catch2/catch.hpp>

using namespace datamesh;
using namespace datamesh::network;
using namespace datamesh::test;

namespace {

errc code_of(const std::string& text) {
  return refusal(parse_capacity(text));
}

} // namespace

TEST_CASE("what is set aside is read as it was written, and nothing is where there is no file", "[capacity]") {
  CHECK(encode_capacity(536'870'912'000) == "datamesh capacity 1\nbytes 536870912000\n");
  for (uint64_t bytes : {uint64_t{0}, uint64_t{1}, UINT64_MAX})
    CHECK(parse_capacity(encode_capacity(bytes)).value() == bytes);
  simulated_files disk;
  CHECK(read_capacity(disk, "/home/capacity").value() == 0);
}

TEST_CASE("a file of what is set aside that is not as it is written is refused", "[capacity]") {
  std::string title = "datamesh capacity 1\n";
  CHECK(code_of(title + "bytes 1\n") == errc{});
  CHECK(code_of("datamesh capacity 2\nwhatever") == errc::format_newer);
  for (const auto& text :
       {std::string{}, std::string{"datamesh capacity 1"}, std::string{"datamesh capacity 0\n"}, std::string{"datamesh grants 1\n"}, title,
        title + "bytes 1", title + "bytes \n", title + "bytes 01\n", title + "bytes -1\n", title + "bytes 18446744073709551616\n",
        title + "1\n", title + "bytes 1\nbytes 1\n", title + "bytes 1 1\n", title + "bytes 1\n\n"}) {
    INFO(text);
    CHECK(code_of(text) == errc::format_damaged);
  }
}
