#include "network/mapping_plan.hpp"

#include <catch2/catch.hpp>

using namespace datamesh;
using namespace datamesh::network;
using namespace std::chrono_literals;

namespace {

const mesh_time begin = mesh_time{} + 1h;

given_port given(std::chrono::seconds lifetime) {
  return {port_protocol::nat_pmp, parse_ip4("192.168.1.1").value(), endpoint::v4({9, 9, 9, 9}, 7000), lifetime};
}

const error refusal{errc::unavailable, "ask the router for a port", "it does not allow it"};

} // namespace

TEST_CASE("a router is asked at once, and again at half of what it gave, at most five minutes later", "[mapping_plan]") {
  mapping_plan plan{begin};
  CHECK(plan.is_due(begin));
  CHECK_FALSE(plan.held());
  plan.gave(given(1h), begin);
  CHECK_FALSE(plan.is_due(begin));
  CHECK(plan.next() == begin + 5min);
  CHECK(plan.ends() == begin + 1h);
  plan.gave(given(2min), begin);
  CHECK(plan.next() == begin + 1min);
  CHECK(plan.held() == given(2min));
}

TEST_CASE("a port that stays has no end, and its router is asked again nevertheless", "[mapping_plan]") {
  mapping_plan plan{begin};
  plan.gave(given(0s), begin);
  CHECK_FALSE(plan.ends());
  CHECK(plan.next() == begin + 5min);
  plan.expire(begin + 1000h);
  CHECK(plan.held());
}

TEST_CASE("a router that gives a port for a second, or for a hundred years, is asked no more often than others", "[mapping_plan]") {
  mapping_plan plan{begin};
  plan.gave(given(1s), begin);
  CHECK(plan.next() == begin + 1s);
  plan.expire(plan.next());
  CHECK_FALSE(plan.held());
  CHECK_FALSE(plan.is_due(begin + 1s));
  CHECK(plan.next() == begin + 10s);
  plan.gave(given(std::chrono::seconds{UINT32_MAX}), begin);
  CHECK(plan.next() == begin + 5min);
}

TEST_CASE("a router that gives no port is asked again after times that double up to half an hour", "[mapping_plan]") {
  mapping_plan plan{begin};
  auto now = begin;
  for (auto wait : {30s, 60s, 120s, 240s, 480s, 960s, 1800s, 1800s}) {
    plan.failed(refusal, now);
    CHECK(plan.next() == now + wait);
    now = plan.next();
    CHECK(plan.is_due(now));
  }
  CHECK(plan.failure()->code() == errc::unavailable);
  plan.gave(given(1h), now);
  CHECK_FALSE(plan.failure());
  plan.failed(refusal, now);
  CHECK(plan.next() == now + 30s);
}

TEST_CASE("what a router gave holds until its end when it is silent then, and no longer", "[mapping_plan]") {
  mapping_plan plan{begin};
  plan.gave(given(40s), begin);
  plan.failed(refusal, begin + 20s);
  plan.expire(begin + 39s);
  CHECK(plan.held());
  CHECK(plan.failure());
  CHECK(plan.next() == begin + 40s);
  plan.expire(begin + 40s);
  CHECK_FALSE(plan.held());
  CHECK_FALSE(plan.ends());
  CHECK(plan.next() == begin + 50s);
}
