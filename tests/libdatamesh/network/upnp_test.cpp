#include "network/upnp.hpp"

#include <catch2/catch.hpp>

using namespace datamesh;
using namespace datamesh::network;

namespace {

const auto router = parse_ip4("192.168.1.1").value();

std::string answer(const std::string& location) {
  return "HTTP/1.1 200 OK\r\nCACHE-CONTROL: max-age=120\r\nST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\nLocation: " + location
         + "\r\n\r\n";
}

std::string service(const std::string& type, const std::string& control) {
  return "<service><serviceType>" + type + "</serviceType><serviceId>urn:upnp-org:serviceId:x</serviceId><controlURL>" + control
         + "</controlURL></service>\n";
}

const std::string ip1 = "urn:schemas-upnp-org:service:WANIPConnection:1";
const std::string ip2 = "urn:schemas-upnp-org:service:WANIPConnection:2";
const std::string ppp = "urn:schemas-upnp-org:service:WANPPPConnection:1";

std::string description(const std::string& services, const std::string& base = "") {
  return "<?xml version=\"1.0\"?>\n<root xmlns=\"urn:schemas-upnp-org:device-1-0\">"
         + (base.empty() ? base : "<URLBase>" + base + "</URLBase>") + "<device><deviceList><device><serviceList>" + services
         + "</serviceList></device></deviceList></device></root>";
}

const auto from = parse_http_place("http://192.168.1.1:5000/igd/desc.xml?a=1").value();

} // namespace

TEST_CASE("an address of a router is one of a host by number, over HTTP without TLS", "[upnp]") {
  auto place = parse_http_place("http://192.168.1.1:5000/desc.xml").value();
  CHECK(place.at.text() == "192.168.1.1:5000");
  CHECK(place.target == "/desc.xml");
  CHECK(parse_http_place("HTTP://192.168.1.1").value() == http_place{{router, 80}, "/"});
  CHECK(parse_http_place("http://192.168.1.1:1?a#b").value().target == "/?a");
}

TEST_CASE("an address that leads nowhere, or would change the request that it is put into, is refused", "[upnp]") {
  auto bad = GENERATE(values<std::string>({"", "http", "http://", "https://192.168.1.1/", "http://router/", "http://192.168.1.1:0/",
                                           "http://192.168.1.1:65536/", "http://192.168.1.1:80x/", "http://192.168.1.1:/", "http://[::1]/",
                                           "http://user@192.168.1.1/", "http://192.168.1.1/a b", "http://192.168.1.1/a\r\nX: y",
                                           "http://192.168.1.1/\x80", "http://192.168.1.1/" + std::string(upnp_target_max, 'a')}));
  INFO(bad);
  auto read = parse_http_place(bad);
  REQUIRE_FALSE(read);
  CHECK(read.error().code() == errc::invalid_argument);
}

TEST_CASE("a router that answers a search is found where it says", "[upnp]") {
  auto at = upnp_read_found(as_view(answer("http://192.168.1.1:5000/igd/desc.xml?a=1")), router);
  REQUIRE(at);
  CHECK(*at == from);
}

TEST_CASE("an answer to a search that leads to another host than the router is not followed", "[upnp]") {
  auto bad = GENERATE(
      values<std::string>({"http://192.168.1.2/desc.xml", "http://9.9.9.9/", "http://127.0.0.1:7000/", "http://evil.example/", ""}));
  CHECK(upnp_read_found(as_view(answer(bad)), router).error().code() == errc::protocol_violated);
}

TEST_CASE("what is no answer to a search is passed over", "[upnp]") {
  auto bad =
      GENERATE(values<std::string>({"", "NOTIFY * HTTP/1.1\r\nLocation: http://192.168.1.1/\r\n\r\n", "HTTP/1.1 404 Not Found\r\n\r\n",
                                    "HTTP/1.1 200 OK\r\nServer: x\r\n\r\n", upnp_search(), std::string(2000, '\0')}));
  CHECK(upnp_read_found(as_view(bad), router).error().code() == errc::format_alien);
  auto whole = answer("http://192.168.1.1:5000/igd/desc.xml");
  for (size_t size = 0; size < whole.find("http://"); ++size)
    CHECK_FALSE(upnp_read_found(as_view(whole).first(size), router));
}

TEST_CASE("the services of a router that give ports are found, those for addresses first", "[upnp]") {
  auto xml = description(service("urn:schemas-upnp-org:service:Layer3Forwarding:1", "/l3f") + service(ppp, "/ppp")
                         + service(ip1, "/ip?a&amp;b") + service(ip2, "relative"));
  auto found = upnp_read_description(xml, from).value();
  REQUIRE(found.size() == 3);
  CHECK(found[0].type == ip2);
  CHECK(found[0].control == http_place{from.at, "/igd/relative"});
  CHECK(found[1].type == ip1);
  CHECK(found[1].control == http_place{from.at, "/ip?a&b"});
  CHECK(found[2].control.target == "/ppp");
  auto based = upnp_read_description(description(service(ip1, "/ip"), "http://192.168.1.1:49000/"), from).value();
  CHECK(based.at(0).control.at.port == 49000);
}

TEST_CASE("a description that leads to another host, or into the headers of a request, is refused", "[upnp]") {
  auto bad =
      GENERATE(values<std::string>({description(service(ip1, "http://192.168.1.2/ip")), description(service(ip1, "/ip"), "http://9.9.9.9/"),
                                    description(service(ip1, "/a\r\nHost: b")), description(service(ip1, "")),
                                    description("<service><serviceType>" + ip1 + "</serviceType></service>")}));
  CHECK(upnp_read_description(bad, from).error().code() == errc::protocol_violated);
  CHECK(upnp_read_description(description(service("urn:x:" + ip1, "/ip")), from).error().code() == errc::not_found);
}

TEST_CASE("no part of a description from its beginning on is taken for more than it is", "[upnp]") {
  auto whole = description(service(ip1, "/ip"));
  for (size_t size = 0; size < whole.size(); ++size)
    if (auto read = upnp_read_description(whole.substr(0, size), from))
      CHECK(read->at(0).control.target == "/ip");
  std::string many;
  for (int i = 0; i < 100; ++i)
    many += service(ip1, "/ip");
  CHECK(upnp_read_description(description(many), from).value().size() == upnp_services_max);
  CHECK_FALSE(upnp_read_description(std::string(upnp_body_max, '<'), from));
}

TEST_CASE("a call names its service and action, and has its arguments in their order", "[upnp]") {
  std::array<upnp_argument, 2> arguments{{{"NewExternalPort", "7000"}, {"NewProtocol", "TCP"}}};
  auto call = upnp_ask(ip1, "DeletePortMapping", arguments);
  CHECK(call.action == "\"" + ip1 + "#DeletePortMapping\"");
  CHECK(call.body.find("<u:DeletePortMapping xmlns:u=\"" + ip1
                       + "\"><NewExternalPort>7000</NewExternalPort><NewProtocol>TCP</NewProtocol></u:DeletePortMapping>")
        != std::string::npos);
}

TEST_CASE("the elements of an answer are read with and without prefixes and attributes", "[upnp]") {
  CHECK(upnp_element("<a><u:B x=\"1\"> 9.9.9.9\n</u:B></a>", "B") == "9.9.9.9");
  CHECK(upnp_element("<B/><B>1</B>", "B") == "1");
  CHECK(upnp_element("<B></B>", "B") == "");
  CHECK_FALSE(upnp_element("<BB>1</BB>", "B"));
  CHECK_FALSE(upnp_element("<B>1</C>", "B"));
  CHECK_FALSE(upnp_element("<B>1</B", "B"));
  CHECK(upnp_error("<s:Fault><detail><UPnPError><errorCode>718</errorCode></UPnPError></detail></s:Fault>") == 718);
  CHECK_FALSE(upnp_error("<errorCode>718x</errorCode>"));
  CHECK_FALSE(upnp_error("<errorCode></errorCode>"));
  CHECK_FALSE(upnp_error(""));
}
