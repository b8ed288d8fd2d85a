#include "network/admission.hpp"

#include <catch2/catch.hpp>

using namespace datamesh;
using namespace datamesh::network;
using namespace std::chrono_literals;

namespace {

struct entrance {
  explicit entrance(const admission_limits& limits = {}) : door(limits) {}

  bool come(uint64_t host) {
    auto in = door.arrive(++last, host, now);
    if (in && in->instead_of)
      gone.push_back(*in->instead_of);
    return in.has_value();
  }
  /// Comes and proves who it is.
  bool enter(uint64_t host) {
    auto in = come(host);
    if (in)
      door.opened(last);
    return in;
  }

  admission door;
  admission::time now{1h};
  uint64_t last = 0;
  std::vector<uint64_t> gone;
};

constexpr rate any{1'000'000, 1'000'000};

} // namespace

TEST_CASE("no more links are half open than the limit says", "[admission]") {
  entrance e;
  for (uint64_t host = 1; host <= 64; ++host)
    CHECK(e.come(host));
  CHECK_FALSE(e.come(100));
  CHECK(e.door.half_open() == 64);
  e.door.opened(10);
  CHECK(e.come(100));
  e.door.left(20);
  CHECK(e.come(101));
  CHECK_FALSE(e.come(102));
  CHECK(e.gone.empty());
}

TEST_CASE("the oldest half-open link makes room when it had its time", "[admission]") {
  entrance e;
  for (uint64_t host = 1; host <= 64; ++host)
    CHECK(e.come(host));
  e.now += 999ms;
  CHECK_FALSE(e.come(100));
  e.now += 1ms;
  CHECK(e.come(100));
  CHECK(e.gone == std::vector<uint64_t>{1});
  CHECK(e.door.half_open() == 64);
  CHECK(e.door.links() == 64);
}

TEST_CASE("one host has few links half open, others have theirs", "[admission]") {
  entrance e;
  for (int i = 0; i < 4; ++i)
    CHECK(e.come(1));
  CHECK_FALSE(e.come(1));
  e.now += 3s;
  CHECK_FALSE(e.come(1));
  CHECK(e.come(2));
  e.door.opened(1);
  CHECK(e.come(1));
}

TEST_CASE("one host has few links, others have theirs", "[admission]") {
  admission_limits limits;
  limits.arrivals_per_host = any;
  entrance e{limits};
  for (int i = 0; i < 64; ++i)
    CHECK(e.enter(1));
  CHECK_FALSE(e.enter(1));
  CHECK(e.enter(2));
  e.door.left(5);
  CHECK(e.enter(1));
  CHECK_FALSE(e.enter(1));
}

TEST_CASE("all links together are no more than the limit says", "[admission]") {
  admission_limits limits;
  limits.links = 10;
  entrance e{limits};
  for (uint64_t host = 1; host <= 10; ++host)
    CHECK(e.enter(host));
  CHECK_FALSE(e.enter(11));
  e.door.left(1);
  CHECK(e.enter(11));
}

TEST_CASE("a host that comes and goes has to wait, and the others do not", "[admission]") {
  entrance e;
  auto visit = [&](uint64_t host) {
    auto in = e.enter(host);
    e.door.left(e.last);
    return in;
  };
  for (int i = 0; i < 32; ++i)
    CHECK(visit(1));
  for (int i = 0; i < 10'000; ++i)
    CHECK_FALSE(visit(1));
  CHECK(visit(2));
  e.now += 250ms;
  CHECK(visit(1));
  CHECK_FALSE(visit(1));
}

TEST_CASE("strangers from everywhere come no faster than handshakes may cost", "[admission]") {
  entrance e;
  uint64_t host = 0;
  auto burst = [&] {
    int in = 0;
    for (int i = 0; i < 1000; ++i) {
      in += e.enter(++host) ? 1 : 0;
      e.door.left(e.last);
    }
    return in;
  };
  CHECK(burst() == 512);
  e.now += 1s;
  CHECK(burst() == 256);
}

TEST_CASE("hosts that left are forgotten once nothing is gained by it", "[admission]") {
  entrance e;
  for (uint64_t host = 1; host <= 500; ++host) {
    CHECK(e.enter(host));
    if (host != 1)
      e.door.left(e.last);
  }
  CHECK(e.door.hosts() == 500);
  e.now += 20s;
  CHECK(e.enter(1000));
  CHECK(e.door.hosts() == 2);
}

TEST_CASE("a link that is unknown can leave, also twice", "[admission]") {
  entrance e;
  e.door.left(7);
  CHECK(e.come(1));
  e.door.left(e.last);
  e.door.left(e.last);
  CHECK(e.door.links() == 0);
  CHECK(e.door.half_open() == 0);
  CHECK(e.come(1));
}
