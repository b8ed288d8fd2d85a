#include "network/peer_address.hpp"

#include "tests/libdatamesh/storage/seed.hpp"
#include "tests/support/seeded_random.hpp"

#include <catch2/catch.hpp>

using namespace datamesh;
using namespace datamesh::network;

namespace {

const std::string some_id(64, 'a');

ip_address ip(std::string_view text) {
  auto parsed = text.find(':') == std::string_view::npos ? parse_ip4(text) : parse_ip6(text);
  REQUIRE(parsed);
  return *parsed;
}

} // namespace

TEST_CASE("an address of a node is read in each of its forms and printed in one", "[peer_address]") {
  struct row {
    const char* text;
    const char* printed;
  };
  auto good = GENERATE(values<row>({
      {"/ip4/1.2.3.4/tcp/4433", "/ip4/1.2.3.4/tcp/4433"},
      {"/ip4/255.0.0.1/tcp/1", "/ip4/255.0.0.1/tcp/1"},
      {"/ip6/2001:DB8:0:0:0:0:0:7/tcp/65535", "/ip6/2001:db8::7/tcp/65535"},
      {"/ip6/::1/tcp/80", "/ip6/::1/tcp/80"},
      {"/ip6/1::/tcp/80", "/ip6/1::/tcp/80"},
      {"/ip6/1:0:0:2:0:0:0:3/tcp/80", "/ip6/1:0:0:2::3/tcp/80"},
      {"/ip6/1:0:0:2:3:0:0:4/tcp/80", "/ip6/1::2:3:0:0:4/tcp/80"},
      {"/ip6/1:2:3:4:5:6:7:0/tcp/80", "/ip6/1:2:3:4:5:6:7:0/tcp/80"},
      {"/ip6/1:2:3:4:5:6:7::/tcp/80", "/ip6/1:2:3:4:5:6:7:0/tcp/80"},
      {"/ip6/2001:db8::1.2.3.4/tcp/80", "/ip6/2001:db8::102:304/tcp/80"},
      {"/ip6/::ffff:1.2.3.4/tcp/80", "/ip4/1.2.3.4/tcp/80"},
      {"/dns4/Host.Example./tcp/4433", "/dns4/host.example/tcp/4433"},
      {"/dns6/a-b.c/tcp/4433", "/dns6/a-b.c/tcp/4433"},
      {"/dns/host/tcp/4433", "/dns/host/tcp/4433"},
      {"1.2.3.4:4433", "/ip4/1.2.3.4/tcp/4433"},
      {"[::1]:4433", "/ip6/::1/tcp/4433"},
      {"localhost:4433", "/dns/localhost/tcp/4433"},
      {"7.example:4433", "/dns/7.example/tcp/4433"},
  }));
  INFO(good.text);
  auto address = parse_peer_address(good.text);
  REQUIRE(address);
  CHECK(to_string(*address) == good.printed);
  CHECK(parse_peer_address(good.printed).value() == *address);
  auto spec = parse_peer_spec(some_id + "@" + good.text);
  REQUIRE(spec);
  CHECK(spec->id == peer_id::parse(some_id));
  CHECK(spec->address == *address);
  CHECK(to_string(*spec) == some_id + "@" + good.printed);
  CHECK(parse_peer_spec(good.text)->id == std::nullopt);
}

TEST_CASE("what is no address of a node is told with the place of the mistake and what would be right", "[peer_address]") {
  struct row {
    std::string text;
    size_t character;
    const char* says;
  };
  auto bad = GENERATE(values<row>({
      {"", 1, "the address is missing"},
      {"host", 5, "the port is missing"},
      {"host:", 6, "the port is missing"},
      {"host:0", 6, "port 0"},
      {"host:080", 6, "leading zero"},
      {"host:65536", 6, "too large"},
      {"host:99999999999999999999", 6, "too large"},
      {"host:44a", 8, "no digit of a port"},
      {"host:-1", 6, "no digit of a port"},
      {"host :1", 5, "a space"},
      {":4433", 1, "the name of the host is missing"},
      {"http://host:1", 1, "no URL"},
      {"1.2.3:1", 6, "four numbers"},
      {"1.2.3.256:1", 7, "at most 255"},
      {"1.2.3.04:1", 7, "octal"},
      {"0x7f.1:1", 2, "four numbers"},
      {"/ip4/01.2.3.4/tcp/1", 6, "octal"},
      {"/ip4/1.2.3.4.5/tcp/1", 13, "something follows"},
      {"/ip4/::1/tcp/1", 6, "four numbers"},
      {"/ip4/0.0.0.0/tcp/1", 6, "no host's"},
      {"/ip4/224.0.0.1/tcp/1", 6, "no host's"},
      {"/ip4/255.255.255.255/tcp/1", 6, "no host's"},
      {"/ip6/::/tcp/1", 6, "no host's"},
      {"/ip6/ff02::1/tcp/1", 6, "no host's"},
      {"/ip6//tcp/1", 6, "missing"},
      {"/ip6/1:2:3:4:5:6:7/tcp/1", 19, "eight parts"},
      {"/ip6/1:2:3:4:5:6:7:8:9/tcp/1", 22, "at most eight"},
      {"/ip6/1::2::3/tcp/1", 10, "twice"},
      {"/ip6/:::/tcp/1", 8, "missing"},
      {"/ip6/:1/tcp/1", 6, "missing"},
      {"/ip6/1:2:3:4:5:6:7:/tcp/1", 19, "missing"},
      {"/ip6/1::12345/tcp/1", 13, "four digits"},
      {"/ip6/fe80::1%eth0/tcp/1", 13, "a zone"},
      {"/ip6/1.2.3.4::/tcp/1", 6, "only at the end"},
      {"/ip6/::1.2.3/tcp/1", 13, "four numbers"},
      {"[::1:4433", 10, "']' is missing"},
      {"[::1]", 6, "the port is missing"},
      {"[host]:1", 2, "no hexadecimal digit"},
      {"2001:db8::7:4433", 1, "without a port"},
      {"host:1:2", 7, "a second ':'"},
      {"/", 2, "the host is missing"},
      {"/ip4", 5, "the host is missing"},
      {"/ip4/1.2.3.4", 13, "the transport is missing"},
      {"/ip4/1.2.3.4/tcp", 17, "the port is missing"},
      {"/ip4/1.2.3.4/udp/1", 14, "no transport"},
      {"/ip4/1.2.3.4/tcp/1/", 19, "something follows"},
      {"/ip4/1.2.3.4/tcp/1/p2p/x", 19, "something follows"},
      {"/p2p/x/tcp/1", 2, "in front"},
      {"/ip5/1.2.3.4/tcp/1", 2, "no kind"},
      {"/dns4/1.2.3.4/tcp/1", 7, "an IPv4 address"},
      {"/dns4/-a/tcp/1", 7, "'-'"},
      {"/dns4/a-/tcp/1", 8, "'-'"},
      {"/dns4/a..b/tcp/1", 9, "a part of the name is missing"},
      {"/dns4/a_b/tcp/1", 8, "no character of a name"},
      {"/dns4/b\xc3\xbc"
       "cher.example/tcp/1",
       8, "beyond ASCII"},
      {"/dns4/" + std::string(64, 'a') + "/tcp/1", 70, "longer than 63"},
      {std::string(600, 'a') + ":1", 513, "longer than 512"},
      {"abc@host:1", 4, "has 3 digits"},
      {std::string(65, 'a') + "@host:1", 65, "has 65 digits"},
      {"xyz@host:1", 1, "no hexadecimal digit"},
      {"@host:1", 1, "has 0 digits"},
      {some_id + "@", 66, "the address is missing"},
      {some_id + "@/ip4/1.2.3.4/tcp/0", 83, "port 0"},
  }));
  INFO(bad.text);
  auto spec = parse_peer_spec(bad.text);
  REQUIRE_FALSE(spec);
  CHECK(spec.error().code() == errc::invalid_argument);
  CHECK_THAT(spec.error().object(), Catch::Contains("character " + std::to_string(bad.character) + ":"));
  CHECK_THAT(spec.error().object(), Catch::Contains(bad.says));
  // It ends with what would be right.
  CHECK(spec.error().object().find("; ") != std::string::npos);
}

TEST_CASE("an address with a node's id is refused where an address alone is due", "[peer_address]") {
  auto address = parse_peer_address(some_id + "@host:1");
  REQUIRE_FALSE(address);
  CHECK_THAT(address.error().object(), Catch::Contains("leave out"));
}

TEST_CASE("a mistake is told without the control characters of what was written", "[peer_address]") {
  auto spec = parse_peer_spec("\x1b[31mred:1");
  REQUIRE_FALSE(spec);
  CHECK_THAT(spec.error().message(), Catch::Contains("\\x1b"));
  CHECK(spec.error().message().find('\x1b') == std::string::npos);
}

TEST_CASE("any IP address is read as it was printed", "[peer_address]") {
  CAPTURE(test::seed());
  test::seeded_random random{test::seed()};
  for (int i = 0; i < 20'000; ++i) {
    auto raw = random.make(random.below(4) == 0 ? 4 : 16);
    for (auto& b : raw)
      if (random.below(3) == 0)
        b = std::byte{0};
    auto some = ip_from(raw).value();
    auto again = some.v6 ? parse_ip6(to_string(some)) : parse_ip4(to_string(some));
    CAPTURE(to_string(some));
    REQUIRE(again);
    REQUIRE(*again == some);
  }
  CHECK_FALSE(ip_from(random.make(5)));
}

TEST_CASE("addresses are grouped by what is likely to be in one hand", "[ip_address]") {
  ip_rules open;
  auto same = [&](std::string_view a, std::string_view b) {
    return open.group_of(ip(a)) == open.group_of(ip(b));
  };
  CHECK(same("8.8.8.8", "8.8.8.200"));
  CHECK_FALSE(same("8.8.8.8", "8.8.9.8"));
  CHECK(same("2600:1:2::7", "2600:1:2:ffff::8"));
  CHECK_FALSE(same("2600:1:2::7", "2600:1:3::7"));
  // Addresses of IPv6 that anyone with one of IPv4 has.
  CHECK(same("2002:808:808::1", "8.8.8.9"));
  CHECK(same("64:ff9b::8.8.8.8", "8.8.8.9"));
  CHECK(same("2001:0:1::", "2001:0:ffff::1"));
  CHECK_FALSE(same("2001:1::", "2001:0:ffff::1"));
  CHECK(open.group_of(ip("127.0.0.1")));
}

TEST_CASE("a mesh takes only public addresses from others, and those that its rules spare", "[ip_address]") {
  ip_rules open;
  auto local = ip_rules::local();
  for (auto text : {"8.8.8.8", "2600::1", "172.32.0.1", "2002:808:808::1"}) {
    CAPTURE(text);
    CHECK(open.admits(ip(text)));
    CHECK(local.admits(ip(text)));
    CHECK(local.group_of(ip(text)));
  }
  for (auto text : {"127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.1.1", "::1", "fd00::1", "fe80::1"}) {
    CAPTURE(text);
    CHECK_FALSE(open.admits(ip(text)));
    CHECK(local.admits(ip(text)));
    CHECK_FALSE(local.group_of(ip(text)));
  }
  for (auto text : {"0.0.0.0", "0.1.2.3", "100.64.0.1", "192.0.2.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "::", "ff02::1",
                    "2001:db8::1", "::8.8.8.8", "2002:7f00:1::1", "64:ff9b::10.0.0.1"}) {
    CAPTURE(text);
    CHECK_FALSE(open.admits(ip(text)));
    CHECK_FALSE(local.admits(ip(text)));
  }
}

TEST_CASE("a node may listen at all addresses of its machine and at any port, but not at a name", "[peer_address]") {
  CHECK(parse_listen_address("0.0.0.0:0").value() == endpoint{ip("0.0.0.0"), 0});
  CHECK(parse_listen_address("[::]:4433").value() == endpoint{ip("::"), 4433});
  CHECK(parse_listen_address("/ip4/127.0.0.1/tcp/0").value() == endpoint{ip("127.0.0.1"), 0});
  auto bad = GENERATE(values<std::string>({"", "0.0.0.0", "0.0.0.0:", "0.0.0.0:00", "0.0.0.0:65536", "224.0.0.1:1", "[ff02::1]:1",
                                           "[::]4433", "localhost:4433", "/dns/host/tcp/0", std::string(64, 'a') + "@127.0.0.1:1"}));
  INFO(bad);
  auto read = parse_listen_address(bad);
  REQUIRE_FALSE(read);
  CHECK(read.error().code() == errc::invalid_argument);
  // Where others are to dial, neither may stand.
  CHECK_FALSE(parse_peer_address("0.0.0.0:4433"));
  CHECK_FALSE(parse_peer_address("127.0.0.1:0"));
}
