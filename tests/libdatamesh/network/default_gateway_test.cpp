#include "network/default_gateway.hpp"

#include <catch2/catch.hpp>

using namespace datamesh;
using namespace datamesh::network;

namespace {

const std::string heading = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n";
const std::string by_wire = "eth0\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n";
const std::string by_air = "wlan0\t00000000\t0102A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0\n";
const std::string nearby = "eth0\t0001A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0\n";

std::string text_of(const std::optional<ip_address>& ip) {
  return ip ? to_string(*ip) : "none";
}

} // namespace

TEST_CASE("the router is that of the default route with the least metric", "[default_gateway]") {
  CHECK(text_of(default_gateway(heading + by_air + nearby + by_wire)) == "192.168.1.1");
  CHECK(text_of(default_gateway(heading + by_air)) == "192.168.2.1");
  CHECK(text_of(default_gateway(by_wire.substr(0, by_wire.size() - 1))) == "192.168.1.1");
}

TEST_CASE("where no default route leads to a router there is none", "[default_gateway]") {
  CHECK_FALSE(default_gateway(""));
  CHECK_FALSE(default_gateway(heading + nearby));
  // Down; straight to the wire; of half of all addresses; to nobody.
  CHECK_FALSE(default_gateway("eth0\t00000000\t0101A8C0\t0002\t0\t0\t100\t00000000\t0\t0\t0\n"));
  CHECK_FALSE(default_gateway("ppp0\t00000000\t00000000\t0001\t0\t0\t0\t00000000\t0\t0\t0\n"));
  CHECK_FALSE(default_gateway("tun0\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000080\t0\t0\t0\n"));
  CHECK_FALSE(default_gateway("eth0\t00000000\t00000000\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"));
}

TEST_CASE("lines of routes that are cut short or no numbers are passed over", "[default_gateway]") {
  // A mask that is cut short is still all zeros.
  for (size_t size = 0; size < by_wire.find("00000000\t0\t0\t0\n", 20); ++size)
    CHECK_FALSE(default_gateway(by_wire.substr(0, size)));
  CHECK_FALSE(default_gateway("eth0\t0000000x\t0101A8C0\t0003\t0\t0\t100\t00000000\n"));
  CHECK_FALSE(default_gateway("eth0\t00000000\t1101A8C0F\t0003\t0\t0\t100\t00000000\n"));
  CHECK_FALSE(default_gateway("eth0\t00000000\t0101A8C0\t0003\t0\t0\tx\t00000000\n"));
  CHECK(text_of(default_gateway("x\n\n" + by_wire)) == "192.168.1.1");
}
