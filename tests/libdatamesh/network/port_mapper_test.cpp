#include "network/port_mapper.hpp"

#include "tests/libdatamesh/network/memory_router.hpp"
#include "tests/libdatamesh/storage/seed.hpp"
#include "tests/support/seeded_random.hpp"

#include <catch2/catch.hpp>

using namespace datamesh;
using namespace datamesh::network;
using namespace datamesh::test;
using namespace std::chrono_literals;

namespace {

using state = memory_router::state;
using said = std::vector<std::string>;

struct behind {
  memory_router router;
  seeded_random chance{seed()};
  port_mapper mapper{router, chance};
  port_wish wish{7000, 7000, std::nullopt};

  template <class Do>
  explicit behind(Do what) {
    router.with(what);
  }
  behind() = default;

  result<given_port> map() {
    return mapper.map(wish, ip_rules{});
  }
  std::string refusal() {
    auto given = map();
    REQUIRE_FALSE(given);
    return given.error().message();
  }
  std::map<uint16_t, std::string> ports() {
    return router.with([](state& of) { return of.ports; });
  }
};

bool has(const std::string& text, const char* part) {
  INFO(text);
  return text.find(part) != std::string::npos;
}

} // namespace

TEST_CASE("a port is asked for by NAT-PMP first, and by UPnP where that is not answered", "[port_mapper]") {
  behind both;
  auto given = both.map().value();
  CHECK(given.by == port_protocol::nat_pmp);
  CHECK(given.outside.text() == "9.9.9.9:7000");
  CHECK(given.lifetime == 1h);
  CHECK(to_string(given.gateway) == "192.168.1.1");
  CHECK(both.router.with([](state& of) { return of.said; }) == said{"nat-pmp", "nat-pmp"});
  behind one([](state& of) { of.by_nat_pmp = false; });
  given = one.map().value();
  CHECK(given.by == port_protocol::upnp);
  CHECK(given.outside.text() == "9.9.9.9:7000");
  CHECK(one.ports() == std::map<uint16_t, std::string>{{7000, "192.168.1.7:7000"}});
}

TEST_CASE("a port is given back as it was given", "[port_mapper]") {
  auto by_nat_pmp = GENERATE(true, false);
  behind at([&](state& of) { of.by_nat_pmp = by_nat_pmp; });
  auto given = at.map().value();
  CHECK(at.ports().size() == 1);
  CHECK(at.mapper.unmap(at.wish, given));
  CHECK(at.ports().empty());
}

TEST_CASE("a port that is asked for again stays one", "[port_mapper]") {
  auto by_nat_pmp = GENERATE(true, false);
  behind at([&](state& of) { of.by_nat_pmp = by_nat_pmp; });
  auto first = at.map().value();
  CHECK(at.map().value() == first);
  CHECK(at.ports().size() == 1);
}

TEST_CASE("where another host has the port, another one is taken", "[port_mapper]") {
  auto by_nat_pmp = GENERATE(true, false);
  behind at([&](state& of) {
    of.by_nat_pmp = by_nat_pmp;
    of.ports[7000] = memory_router::somebody;
  });
  auto given = at.map().value();
  CHECK(given.outside.port != 7000);
  CHECK(given.outside.port > 1024);
  CHECK(at.ports() == std::map<uint16_t, std::string>{{7000, memory_router::somebody}, {given.outside.port, "192.168.1.7:7000"}});
}

TEST_CASE("where other hosts have all ports, it is given up", "[port_mapper]") {
  behind at([](state& of) {
    of.by_nat_pmp = false;
    of.upnp_code = 718;
  });
  CHECK(has(at.refusal(), "taken"));
  CHECK(at.router.with([](state& of) { return std::ranges::count(of.said, "AddPortMapping"); }) == port_tries_max);
}

TEST_CASE("a router that gives ports for ever alone gives one for ever", "[port_mapper]") {
  behind at([](state& of) {
    of.by_nat_pmp = false;
    of.only_for_ever = true;
  });
  CHECK(at.map().value().lifetime == 0s);
}

TEST_CASE("a node that listens at one address has the port led there", "[port_mapper]") {
  behind at([](state& of) { of.by_nat_pmp = false; });
  at.wish.to = parse_ip4("192.168.1.8").value();
  CHECK(at.map());
  CHECK(at.ports() == std::map<uint16_t, std::string>{{7000, "192.168.1.8:7000"}});
}

TEST_CASE("a router whose address outside is not reached from everywhere gives no port, and that is told as double NAT", "[port_mapper]") {
  auto by_nat_pmp = GENERATE(true, false);
  std::string outside = GENERATE(values<std::string>({"192.168.0.2", "100.64.1.2", "127.0.0.1", "192.0.2.1"}));
  behind at([&](state& of) {
    of.by_nat_pmp = by_nat_pmp;
    of.outside = outside;
  });
  auto why = at.refusal();
  CHECK(has(why, "double NAT"));
  CHECK(has(why, outside.c_str()));
  // Nothing was left behind there.
  CHECK(at.ports().empty());
}

TEST_CASE("a router without an address outside is told as that", "[port_mapper]") {
  behind at([](state& of) { of.outside = "0.0.0.0"; });
  auto why = at.refusal();
  CHECK(has(why, "NAT-PMP: it has no address outside now"));
  CHECK(has(why, "UPnP: it has no address outside now"));
}

TEST_CASE("a router that is silent, and a host without one, are told apart, with what can be done", "[port_mapper]") {
  behind silent([](state& of) { of.by_nat_pmp = of.by_upnp = false; });
  auto why = silent.refusal();
  CHECK(has(why, "the router 192.168.1.1 gives none"));
  CHECK(has(why, "NAT-PMP: no answer; UPnP: no answer"));
  CHECK(has(why, "forward the port there by hand"));
  behind alone([](state& of) { of.is_there = false; });
  CHECK(alone.map().error().code() == errc::not_found);
  CHECK_FALSE(alone.mapper.gateway());
}

TEST_CASE("a router that refuses by NAT-PMP is asked by UPnP, and both reasons are told", "[port_mapper]") {
  behind refuses([](state& of) { of.nat_pmp_code = 2; });
  CHECK(refuses.map().value().by == port_protocol::upnp);
  behind twice([](state& of) {
    of.nat_pmp_code = 4;
    of.upnp_code = 606;
  });
  auto why = twice.refusal();
  CHECK(has(why, "NAT-PMP: it has no port left"));
  CHECK(has(why, "UPnP: it does not allow it"));
}

TEST_CASE("a router that answers by NAT-PMP with what can not be is asked by UPnP", "[port_mapper]") {
  auto size = GENERATE(range(0, 20));
  behind at([&](state& of) { of.nat_pmp_answer = std::vector(static_cast<size_t>(size), std::byte{0x80}); });
  CHECK(at.map().value().by == port_protocol::upnp);
}

TEST_CASE("a router that answers by UPnP with what can not be gives no port", "[port_mapper]") {
  auto answer = GENERATE(values<http_answer>({{200, "", {}},
                                              {500, "", {}},
                                              {200, "<NewExternalIPAddress>9.9.9</NewExternalIPAddress>", {}},
                                              {200, "<NewExternalIPAddress>::1</NewExternalIPAddress>", {}},
                                              {500, "<errorCode>501</errorCode>", {}},
                                              {404, "<errorCode>x</errorCode>", {}}}));
  behind at([&](state& of) {
    of.by_nat_pmp = false;
    of.control_answer = answer;
  });
  CHECK(has(at.refusal(), "UPnP: it "));
}

TEST_CASE("a search that is answered with another host asks that one nothing", "[port_mapper]") {
  behind at([](state& of) {
    of.by_nat_pmp = false;
    of.found = "HTTP/1.1 200 OK\r\nLOCATION: http://192.168.1.66:5000/desc.xml\r\n\r\n";
  });
  CHECK(has(at.refusal(), "it leads to another host"));
  CHECK(at.router.with([](state& of) { return of.said; }) == said{"nat-pmp", "search"});
}

TEST_CASE("of two services the one that is connected is used", "[port_mapper]") {
  behind at([](state& of) {
    of.by_nat_pmp = false;
    of.description =
        "<service><serviceType>urn:schemas-upnp-org:service:WANIPConnection:2</serviceType><controlURL>/gone</controlURL></service>"
        "<service><serviceType>urn:schemas-upnp-org:service:WANIPConnection:1</serviceType><controlURL>/control</controlURL></service>";
  });
  CHECK(at.map());
}

TEST_CASE("who cancels is not asked in another way", "[port_mapper]") {
  behind at;
  at.router.cancel();
  CHECK(at.map().error().code() == errc::cancelled);
  at.router.resume();
  CHECK(at.map());
}
