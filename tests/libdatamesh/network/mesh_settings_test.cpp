#include "network/mesh_settings.hpp"

#include <catch2/catch.hpp>

using namespace datamesh;
using namespace datamesh::network;

namespace {

const std::string some_name = "the photos of the millers, 2026";

mesh_options options(std::vector<std::string> listen, std::vector<std::string> announce, std::vector<std::string> seeds, bool local) {
  return {some_name, std::move(listen), std::move(announce), std::move(seeds), local};
}

mesh_options with_lan(mesh_options of, bool on) {
  of.lan = on;
  return of;
}

mesh_options silent(mesh_options of) {
  return with_lan(std::move(of), false);
}

mesh_options with_port(mesh_options of) {
  of.map_port = true;
  return of;
}
mesh_options relaying(uint64_t per_second) {
  auto of = options({"9.9.9.9:7000"}, {}, {}, false);
  of.relay = per_second;
  return of;
}

} // namespace

TEST_CASE("a node is found on the local network where its mesh is a local one and it listens there, or as it is said", "[mesh_settings]") {
  auto lan = [](const mesh_options& from) {
    return read_mesh_options(from).value().lan;
  };
  CHECK(lan(options({"192.168.1.7:4433"}, {}, {}, true)));
  CHECK(lan(options({"127.0.0.1:4433", "0.0.0.0:4433"}, {}, {}, true)));
  CHECK_FALSE(lan(options({"127.0.0.1:4433", "[::1]:4433"}, {}, {}, true)));
  CHECK_FALSE(lan(options({}, {}, {"192.168.1.7:4433"}, true)));
  CHECK_FALSE(lan(options({"9.9.9.9:4433"}, {}, {}, false)));
  CHECK_FALSE(lan(silent(options({"192.168.1.7:4433"}, {}, {}, true))));
  CHECK(lan(with_lan(options({"127.0.0.1:4433"}, {}, {}, true), true)));
  CHECK(lan(with_lan(options({"9.9.9.9:4433"}, {}, {}, false), true)));
  // It hears others, and needs no seed.
  CHECK(lan(with_lan(options({}, {}, {}, true), true)));
}

TEST_CASE("a node of a local mesh that listens everywhere is told by the addresses of its interfaces", "[mesh_settings]") {
  auto read = read_mesh_options(options({"0.0.0.0:4433", "[::]:4434"}, {}, {}, true)).value();
  lan_interface loopback{1, "lo", true, {parse_ip4("127.0.0.1").value(), parse_ip6("::1").value()}};
  lan_interface wire{2, "eth0", false, {parse_ip4("192.168.1.7").value(), parse_ip6("fd00::7").value()}};
  auto at = [](const char* ip, uint16_t port) {
    auto v4 = parse_ip4(ip);
    return endpoint{v4 ? *v4 : parse_ip6(ip).value(), port};
  };
  CHECK(read.told(read.listen, {loopback, wire}) == std::vector{at("192.168.1.7", 4433), at("fd00::7", 4434)});
  CHECK(read.told(read.listen, {loopback}).empty());
  CHECK(read.told({at("127.0.0.1", 1), at("0.0.0.0", 4433)}, {loopback, wire}) == std::vector{at("127.0.0.1", 1), at("192.168.1.7", 4433)});
}

TEST_CASE("a node whose router is asked for a port tells nothing else that is not reached from everywhere", "[mesh_settings]") {
  auto at = [](const char* text) {
    return parse_listen_address(text).value();
  };
  auto read = read_mesh_options(with_port(options({"[::]:7000", "127.0.0.1:1", "0.0.0.0:7000"}, {}, {}, false))).value();
  CHECK(read.map_port);
  REQUIRE(mesh_settings::behind_router(read.listen) != nullptr);
  CHECK(*mesh_settings::behind_router(read.listen) == at("0.0.0.0:7000"));
  lan_interface wire{2, "eth0", false, {parse_ip4("192.168.1.7").value()}};
  CHECK(read.told(read.listen, {wire}).empty());
  read = read_mesh_options(with_port(options({"192.168.1.7:7000", "9.9.9.9:7000"}, {}, {}, false))).value();
  CHECK(*mesh_settings::behind_router(read.listen) == at("192.168.1.7:7000"));
  CHECK(read.told(read.listen, {wire}) == std::vector{at("9.9.9.9:7000")});
  read = read_mesh_options(with_port(options({"0.0.0.0:7000"}, {"9.9.9.9:1"}, {}, false))).value();
  CHECK(read.told(read.listen, {wire}) == std::vector{at("9.9.9.9:1")});
  CHECK_FALSE(read_mesh_options(options({"9.9.9.9:7000"}, {}, {}, false)).value().map_port);
}

TEST_CASE("a node passes on what its settings say, and nothing where they do not", "[mesh_settings]") {
  CHECK(read_mesh_options(options({"9.9.9.9:7000"}, {}, {}, false)).value().relay == 0);
  CHECK(read_mesh_options(relaying(relay_rate_min)).value().relay == relay_rate_min);
}

TEST_CASE("a mesh is named by its id, or by a name that leads to the same id everywhere", "[mesh_settings]") {
  std::string hex(64, 'b');
  CHECK(parse_network(hex).value().hex() == hex);
  // What docs/formats/wire.md shows.
  CHECK(parse_network(some_name).value().hex() == "4d82e18d138f55ac266b9fc836710f20fb9642b16f00d94a7c84fad98c183003");
  CHECK(parse_network(some_name + ".").value() != parse_network(some_name).value());
  CHECK(parse_network(std::string(16, 'x')));
  CHECK(parse_network(std::string(128, 'x')));
}

TEST_CASE("what is guessed, cut short or can not be typed again names no mesh", "[mesh_settings]") {
  auto bad =
      GENERATE(values<std::string>({"", "home", std::string(15, 'x'), std::string(129, 'x'), std::string(63, 'b'), std::string(65, 'b'),
                                    "deadbeefdeadbeefdeadbeef", "a name with a\nline break", std::string("a name with a \0 byte", 20)}));
  INFO(bad);
  auto read = parse_network(bad);
  REQUIRE_FALSE(read);
  CHECK(read.error().code() == errc::invalid_argument);
}

TEST_CASE("a node is told to others where it listens, unless something else is said", "[mesh_settings]") {
  auto here = read_mesh_options(options({"127.0.0.1:0", "[::1]:4433"}, {}, {}, true));
  REQUIRE(here);
  CHECK(here->listen == std::vector{endpoint::v4({127, 0, 0, 1}, 0), parse_listen_address("[::1]:4433").value()});
  auto bound = std::vector{endpoint::v4({127, 0, 0, 1}, 7777)};
  CHECK(here->told(bound, {}) == bound);
  auto said = read_mesh_options(options({"0.0.0.0:4433", "[::]:4433"}, {"9.9.9.9:4433"}, {}, false));
  REQUIRE(said);
  CHECK(said->told(said->listen, {}) == std::vector{endpoint::v4({9, 9, 9, 9}, 4433)});
  auto dials = read_mesh_options(options({}, {}, {"9.9.9.9:4433"}, false));
  REQUIRE(dials);
  CHECK(dials->told({}, {}).empty());
  CHECK(here->rules().admits(parse_ip4("192.168.1.7").value()));
  CHECK_FALSE(said->rules().admits(parse_ip4("192.168.1.7").value()));
}

TEST_CASE("a seed may have a name", "[mesh_settings]") {
  auto read = read_mesh_options(
      options({}, {}, {"host.example:4433", "/dns6/Mesh.Example./tcp/1", std::string(64, 'a') + "@host.example:4433"}, false));
  REQUIRE(read);
  REQUIRE(read->seeds.size() == 3);
  CHECK(to_string(read->seeds[0]) == "/dns/host.example/tcp/4433");
  CHECK(to_string(read->seeds[1]) == "/dns6/mesh.example/tcp/1");
  CHECK(read->seeds[2].id);
}

TEST_CASE("settings of a mesh with which it would not come about are refused, and the wrong one is named", "[mesh_settings]") {
  struct row {
    mesh_options from;
    mesh_part where;
    const char* why;
  };
  std::vector<std::string> many(5, "9.9.9.9:1");
  std::vector<std::string> four(4, "9.9.9.9:1");
  std::vector<std::string> crowd(17, "9.9.9.9:1");
  auto bad = GENERATE_COPY(values<row>({
      {{"short", {"127.0.0.1:1"}, {}, {}, true}, mesh_part::network, "bytes"},
      {options({}, {}, {}, false), mesh_part::network, "never meet"},
      {options({"host.example:1"}, {}, {}, false), mesh_part::listen, "a name"},
      {options({"9.9.9.9"}, {}, {}, false), mesh_part::listen, "port is missing"},
      {options(crowd, {}, {}, false), mesh_part::listen, "at most 16"},
      {silent(options({"0.0.0.0:4433"}, {}, {}, true)), mesh_part::listen, "announce"},
      {silent(options({"[::]:4433"}, {}, {}, true)), mesh_part::listen, "announce"},
      {options({"[::]:4433"}, {}, {}, false), mesh_part::listen, "announce"},
      {silent(options({}, {}, {}, true)), mesh_part::network, "never meet"},
      {options({"192.168.1.7:4433"}, {}, {}, false), mesh_part::listen, "not reached from everywhere"},
      {options({"0.0.0.0:4433"}, {"192.168.1.7:4433"}, {}, false), mesh_part::announce, "not reached from everywhere"},
      {options({"0.0.0.0:4433"}, {"host.example:4433"}, {}, false), mesh_part::announce, "a name"},
      {options({"0.0.0.0:4433"}, {"9.9.9.9:0"}, {}, false), mesh_part::announce, "port 0"},
      {options({"0.0.0.0:4433"}, many, {}, false), mesh_part::announce, "at most 4"},
      {options({}, {}, {"127.0.0.1:4433"}, false), mesh_part::seeds, "not reached from everywhere"},
      {options({}, {}, {"abc@9.9.9.9:4433"}, false), mesh_part::seeds, "64 hexadecimal"},
      {options({}, {}, crowd, false), mesh_part::seeds, "at most 16"},
      {with_port(options({"0.0.0.0:7000"}, {}, {}, true)), mesh_part::map_port, "within one house"},
      {with_port(options({}, {}, {"9.9.9.9:1"}, false)), mesh_part::map_port, "IPv4 address"},
      {with_port(options({"[::]:7000", "127.0.0.1:7000"}, {}, {}, false)), mesh_part::map_port, "IPv4 address"},
      {with_port(options({"0.0.0.0:7000"}, four, {}, false)), mesh_part::map_port, "at most 3"},
      {relaying(1), mesh_part::relay, "at least 65536"},
      {relaying(relay_rate_min - 1), mesh_part::relay, "at least 65536"},
  }));
  INFO(bad.why);
  auto read = read_mesh_options(bad.from);
  REQUIRE_FALSE(read);
  CHECK(read.error().where == bad.where);
  CHECK(read.error().reason.code() == errc::invalid_argument);
  CHECK(read.error().reason.message().find(bad.why) != std::string::npos);
}
