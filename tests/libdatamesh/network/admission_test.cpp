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
  /// Comes, and says what he has to.
  bool knock(uint64_t host) {
    auto in = come(host);
    if (in)
      door.knock(last);
    return in;
  }
  /// Whose handshake begins, or 0.
  uint64_t next() {
    auto turn = door.next(now);
    if (turn && turn->instead_of)
      gone.push_back(*turn->instead_of);
    return turn ? turn->link : 0;
  }
  /// Comes, and his handshake begins.
  bool begin(uint64_t host) {
    return knock(host) && next() == last;
  }
  /// Comes and proves who it is.
  bool enter(uint64_t host) {
    auto in = begin(host);
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

TEST_CASE("no more links are half open than the limit says, and others wait for their turn", "[admission]") {
  entrance e;
  for (uint64_t host = 1; host <= 64; ++host)
    CHECK(e.begin(host));
  CHECK_FALSE(e.begin(100));
  CHECK(e.knock(101));
  CHECK(e.door.half_open() == 64);
  CHECK(e.door.at_door() == 2);
  e.door.opened(10);
  CHECK(e.next() == 66);
  e.door.left(20);
  CHECK(e.next() == 65);
  CHECK(e.next() == 0);
  CHECK(e.door.half_open() == 64);
  CHECK(e.door.at_door() == 0);
  CHECK(e.gone.empty());
}

TEST_CASE("the oldest half-open link makes room for the next turn when it had its time", "[admission]") {
  entrance e;
  for (uint64_t host = 1; host <= 64; ++host)
    CHECK(e.begin(host));
  CHECK(e.knock(100));
  CHECK(e.door.next_at() == e.now + 1s);
  e.now += 999ms;
  CHECK(e.next() == 0);
  e.now += 1ms;
  CHECK(e.next() == 65);
  CHECK(e.gone == std::vector<uint64_t>{1});
  CHECK(e.door.half_open() == 64);
  CHECK(e.door.links() == 64);
}

TEST_CASE("who says nothing makes room at the door when he had his time, and until then keeps nobody from a turn", "[admission]") {
  entrance e;
  for (uint64_t host = 1; host < 1024; ++host)
    CHECK(e.come(host));
  CHECK(e.begin(5000));
  CHECK(e.begin(5001));
  CHECK(e.come(5002));
  CHECK(e.door.at_door() == 1024);
  CHECK_FALSE(e.come(5003));
  CHECK_FALSE(e.door.next_at());
  e.now += 999ms;
  CHECK_FALSE(e.come(5003));
  e.now += 1ms;
  CHECK(e.begin(5003));
  CHECK(e.gone == std::vector<uint64_t>{1});
  CHECK(e.door.at_door() == 1023);
}

TEST_CASE("who waited at the door for a turn and is put out does not get one", "[admission]") {
  admission_limits limits;
  limits.at_door = 1;
  limits.handshakes = {1, 1};
  entrance e{limits};
  CHECK(e.enter(1));
  CHECK(e.knock(2));
  CHECK(e.door.next_at() == e.now + 1s);
  e.now += 1s;
  CHECK(e.come(3));
  CHECK(e.gone == std::vector<uint64_t>{2});
  CHECK(e.next() == 0);
  e.door.knock(3);
  CHECK(e.next() == 3);
}

TEST_CASE("turns go to hosts that had none, the last of them first, and then to those whose last one was longest ago", "[admission]") {
  admission_limits limits;
  limits.handshakes = {1, 3};
  entrance e{limits};
  for (uint64_t host : {1, 2, 3}) {
    CHECK(e.enter(host));
    e.now += 10ms;
  }
  // In another order than before, and all of them before who comes for the first time.
  for (uint64_t host : {3, 1, 7, 2, 8})
    CHECK(e.knock(host));
  std::vector<uint64_t> order;
  for (int i = 0; i < 6; ++i) {
    e.now += 1s;
    if (auto link = e.next(); link != 0)
      order.push_back(link);
  }
  CHECK(order == std::vector<uint64_t>{8, 6, 5, 7, 4});
}

TEST_CASE("a host is known to have had a turn for a while after it has gone", "[admission]") {
  entrance e;
  CHECK(e.enter(1));
  e.door.left(e.last);
  auto after = GENERATE(59s, 60s);
  e.now += after;
  CHECK(e.knock(2));
  CHECK(e.knock(1));
  CHECK(e.next() == (after == 59s ? 2 : 3));
}

TEST_CASE("one host has few links that prove nothing, others have theirs", "[admission]") {
  entrance e;
  for (int i = 0; i < 2; ++i)
    CHECK(e.come(1));
  for (int i = 0; i < 2; ++i)
    CHECK(e.begin(1));
  CHECK_FALSE(e.come(1));
  e.now += 3s;
  CHECK_FALSE(e.come(1));
  CHECK(e.come(2));
  e.door.opened(3);
  CHECK(e.come(1));
  CHECK_FALSE(e.come(1));
  e.door.left(1);
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

TEST_CASE("handshakes of strangers from everywhere begin no faster than they may cost", "[admission]") {
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
  CHECK(burst() == 64);
}

TEST_CASE("hosts that left are forgotten once nothing is gained by it", "[admission]") {
  entrance e;
  for (uint64_t host = 1; host <= 500; ++host) {
    CHECK(e.enter(host));
    if (host != 1)
      e.door.left(e.last);
  }
  CHECK(e.door.hosts() == 500);
  e.now += 59s;
  CHECK(e.come(1001));
  CHECK(e.door.hosts() == 501);
  e.door.left(e.last);
  e.now += 10s;
  CHECK(e.enter(1000));
  CHECK(e.door.hosts() == 2);
}

TEST_CASE("a link that is unknown can leave, also twice", "[admission]") {
  entrance e;
  e.door.left(7);
  CHECK(e.come(1));
  e.door.left(e.last);
  e.door.left(e.last);
  CHECK(e.begin(1));
  e.door.left(e.last);
  e.door.left(e.last);
  CHECK(e.door.links() == 0);
  CHECK(e.door.half_open() == 0);
  CHECK(e.door.at_door() == 0);
  CHECK(e.begin(1));
}
