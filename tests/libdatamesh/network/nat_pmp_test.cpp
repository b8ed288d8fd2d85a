#include "network/nat_pmp.hpp"

#include <catch2/catch.hpp>

#include <algorithm>

using namespace datamesh;
using namespace datamesh::network;
using namespace std::chrono_literals;

namespace {

bytes raw(std::initializer_list<unsigned> from) {
  std::vector<std::byte> all;
  for (auto one : from)
    all.push_back(static_cast<std::byte>(one));
  return bytes::take(std::move(all));
}

// 9.9.9.9 outside; port 7000 here is port 7001 there, for an hour.
const auto address = raw({0, 0x80, 0, 0, 0, 0, 1, 0, 9, 9, 9, 9});
const auto port = raw({0, 0x82, 0, 0, 0, 0, 1, 0, 0x1b, 0x58, 0x1b, 0x59, 0, 0, 0x0e, 0x10});

bytes changed(const bytes& from, size_t at, unsigned to) {
  std::vector<std::byte> all(from.view().begin(), from.view().end());
  all.at(at) = static_cast<std::byte>(to);
  return bytes::take(std::move(all));
}

} // namespace

TEST_CASE("a router is asked by NAT-PMP as RFC 6886 draws it", "[nat_pmp]") {
  auto ask = nat_pmp_ask_address();
  CHECK(std::ranges::equal(ask, raw({0, 0}).view()));
  auto keep = nat_pmp_ask_port(7000, 7001, 3600s);
  CHECK(std::ranges::equal(keep, raw({0, 2, 0, 0, 0x1b, 0x58, 0x1b, 0x59, 0, 0, 0x0e, 0x10}).view()));
  auto end = nat_pmp_ask_port(7000, 0, 0s);
  CHECK(std::ranges::equal(end, raw({0, 2, 0, 0, 0x1b, 0x58, 0, 0, 0, 0, 0, 0}).view()));
}

TEST_CASE("what a router gives by NAT-PMP is read, and it may be another port than was asked for", "[nat_pmp]") {
  CHECK(to_string(nat_pmp_read_address(address).value()) == "9.9.9.9");
  auto given = nat_pmp_read_port(port, 7000).value();
  CHECK(given.outside == 7001);
  CHECK(given.lifetime == 1h);
  CHECK(nat_pmp_read_end(raw({0, 0x82, 0, 0, 0, 0, 1, 0, 0x1b, 0x58, 0, 0, 0, 0, 0, 0}), 7000));
}

TEST_CASE("an answer to another request is told from one that can not be", "[nat_pmp]") {
  CHECK(nat_pmp_read_address(port).error().code() == errc::format_alien);
  CHECK(nat_pmp_read_port(address, 7000).error().code() == errc::format_alien);
  CHECK(nat_pmp_read_port(port, 7777).error().code() == errc::format_alien);
  CHECK(nat_pmp_read_address(nat_pmp_ask_address()).error().code() == errc::format_alien);
  CHECK(nat_pmp_read_address({}).error().code() == errc::format_alien);
  // It says that it gives a port and gives none, or for no time.
  CHECK(nat_pmp_read_port(changed(changed(port, 10, 0), 11, 0), 7000).error().code() == errc::protocol_violated);
  CHECK(nat_pmp_read_port(changed(changed(port, 14, 0), 15, 0), 7000).error().code() == errc::protocol_violated);
}

TEST_CASE("an answer by NAT-PMP that was cut short or has more is not taken", "[nat_pmp]") {
  for (size_t size = 0; size < port.size(); ++size) {
    INFO(size);
    CHECK_FALSE(nat_pmp_read_port(port.view().first(size), 7000));
    if (size != address.size())
      CHECK_FALSE(nat_pmp_read_address(port.view().first(size)));
  }
  for (size_t size = 0; size < address.size(); ++size)
    CHECK_FALSE(nat_pmp_read_address(address.view().first(size)));
  std::vector<std::byte> longer(port.view().begin(), port.view().end());
  longer.push_back(std::byte{0});
  CHECK(nat_pmp_read_port(longer, 7000).error().code() == errc::protocol_violated);
}

TEST_CASE("a router that refuses by NAT-PMP is told with its reason, also by the four bytes of it alone", "[nat_pmp]") {
  struct row {
    unsigned version, code;
    const char* why;
  };
  auto one = GENERATE(values<row>({{0, 1, "another version"},
                                   {2, 1, "another version"},
                                   {0, 2, "allow"},
                                   {0, 3, "no address"},
                                   {0, 4, "no port"},
                                   {0, 5, "does not do"},
                                   {0, 99, "code 99"}}));
  INFO(one.why);
  auto answer = raw({one.version, 0x82, 0, one.code});
  auto read = nat_pmp_read_port(answer, 7000);
  REQUIRE_FALSE(read);
  CHECK(read.error().code() == errc::unavailable);
  CHECK(read.error().message().find(one.why) != std::string::npos);
}
