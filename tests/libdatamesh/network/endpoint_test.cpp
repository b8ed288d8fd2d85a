#include "network/endpoint.hpp"

#include <catch2/catch.hpp>

using namespace datamesh::network;

namespace {

endpoint v6(std::array<uint16_t, 8> parts, uint16_t port) {
  endpoint made;
  for (size_t i = 0; i < parts.size(); ++i) {
    made.ip.raw[2 * i] = static_cast<uint8_t>(parts[i] >> 8);
    made.ip.raw[2 * i + 1] = static_cast<uint8_t>(parts[i]);
  }
  made.ip.v6 = true;
  made.port = port;
  return made;
}

} // namespace

TEST_CASE("an address is written as everybody writes it", "[endpoint]") {
  CHECK(endpoint::v4({192, 0, 2, 1}, 4001).text() == "192.0.2.1:4001");
  CHECK(v6({0x2001, 0xdb8, 0, 0, 0, 0, 0, 1}, 80).text() == "[2001:db8::1]:80");
  CHECK(v6({0, 0, 0, 0, 0, 0, 0, 1}, 80).text() == "[::1]:80");
  CHECK(v6({}, 80).text() == "[::]:80");
  CHECK(v6({1, 0, 0, 0, 0, 0, 0, 0}, 80).text() == "[1::]:80");
  // The longer gap is hidden, the first of two, and a single zero is not one.
  CHECK(v6({1, 0, 0, 1, 0, 0, 0, 1}, 80).text() == "[1:0:0:1::1]:80");
  CHECK(v6({1, 0, 0, 1, 1, 0, 0, 1}, 80).text() == "[1::1:1:0:0:1]:80");
  CHECK(v6({1, 0, 1, 1, 1, 1, 1, 1}, 80).text() == "[1:0:1:1:1:1:1:1]:80");
  auto local = v6({0xfe80, 0, 0, 0, 0, 0, 0, 1}, 80);
  local.scope = 3;
  CHECK(local.text() == "[fe80::1%3]:80");
}

TEST_CASE("a host is an address of IPv4 or a network of IPv6", "[endpoint]") {
  auto host = endpoint::v4({192, 0, 2, 1}, 1).host();
  CHECK(host == endpoint::v4({192, 0, 2, 1}, 2).host());
  CHECK(host != endpoint::v4({192, 0, 2, 2}, 1).host());
  auto network = v6({0x2001, 0xdb8, 0, 1, 0, 0, 0, 1}, 1).host();
  CHECK(network == v6({0x2001, 0xdb8, 0, 1, 9, 9, 9, 9}, 2).host());
  CHECK(network != v6({0x2001, 0xdb8, 0, 2, 0, 0, 0, 1}, 1).host());
  CHECK(v6({}, 0).host() != endpoint::v4({0, 0, 0, 0}, 0).host());
}

TEST_CASE("a node behind another one is told by both, and each is a host of its own", "[endpoint]") {
  auto behind = [](const char* id) {
    auto at = endpoint::v4({192, 0, 2, 1}, 4001);
    at.through = relay_way{peer_id::from(datamesh::as_view("the id of a node that is named R")), peer_id::from(datamesh::as_view(id))};
    return at;
  };
  auto ned = behind("the id of a node that is named N");
  CHECK(ned.text() == "through " + ned.through->relay.hex() + "@192.0.2.1:4001");
  CHECK(ned != endpoint::v4({192, 0, 2, 1}, 4001));
  CHECK(ned.host() == behind("the id of a node that is named N").host());
  CHECK(ned.host() != behind("a node's id which begins by itse").host());
  CHECK(ned.host() != endpoint::v4({192, 0, 2, 1}, 4001).host());
}
