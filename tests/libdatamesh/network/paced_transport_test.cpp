#include "network/paced_transport.hpp"
#include "network/rate_plan.hpp"
#include "tests/libdatamesh/network/memory_net.hpp"

#include <catch2/catch.hpp>

#include <algorithm>

using namespace datamesh;
using namespace datamesh::network;
using namespace datamesh::test;
using namespace std::chrono_literals;

namespace {

constexpr uint64_t kib = 1 << 10;
constexpr uint64_t mib = 1 << 20;
const auto here = endpoint::v4({10, 0, 0, 1}, 7000);
const auto there = endpoint::v4({10, 0, 0, 2}, 7000);

/// Sends what it has on each socket as soon as it is taken, and counts what comes.
class pump final : public transport_user {
public:
  explicit pump(transport& by) : by_(by) {
    by_.start(*this);
  }
  pump(const pump&) = delete;
  pump& operator=(const pump&) = delete;
  ~pump() override {
    by_.stop();
  }

  bool accepted(socket_id socket, const endpoint&) override {
    sockets.push_back(socket);
    by_.read(socket, true);
    flow(socket);
    return true;
  }
  void connected(socket_id socket) override {
    sockets.push_back(socket);
    by_.read(socket, true);
    flow(socket);
  }
  void received(socket_id socket, byte_view data) override {
    came[socket] += data.size();
    total += data.size();
  }
  void writable(socket_id socket) override {
    flow(socket);
  }
  void ended(socket_id socket, const error&) override {
    by_.close(socket);
    std::erase(sockets, socket);
  }
  void tick() override {
    ++ticks;
  }

  void give(socket_id socket, uint64_t bytes) {
    has[socket] += bytes;
    flow(socket);
  }

  std::vector<socket_id> sockets;
  std::map<socket_id, uint64_t> has;
  std::map<socket_id, uint64_t> came;
  uint64_t total = 0;
  uint64_t each = 0; ///< What a new socket has to send.
  int ticks = 0;

private:
  void flow(socket_id socket) {
    if (has.try_emplace(socket, each).first->second == 0)
      return;
    auto part = std::vector<std::byte>(std::min<uint64_t>(has[socket], mib));
    auto taken = by_.send(socket, part);
    has[socket] -= taken;
    // As links do: what is taken whole is followed by the rest.
    if (taken == part.size())
      flow(socket);
  }

  transport& by_;
};

/// One side goes by the limits of its line, the other takes what comes and sends what it can.
struct line {
  explicit line(const rate_plan& plan, uint64_t near_sends = 0, uint64_t far_sends = 0) : pace(std::make_shared<line_pace>(plan)) {
    near.each = near_sends;
    far.each = far_sends;
  }
  void dial(size_t count) {
    for (size_t i = 0; i < count; ++i)
      (void) paced.dial(there);
    net.run();
  }

  std::shared_ptr<manual_clock> time = std::make_shared<manual_clock>();
  memory_net net{time};
  std::shared_ptr<line_pace> pace;
  paced_transport paced{std::make_unique<memory_transport>(net, here), time, pace};
  memory_transport plain{net, there};
  pump near{paced};
  pump far{plain};
};

rate_plan up(uint64_t limit) {
  return {{limit, 0}, {}};
}
rate_plan down(uint64_t limit) {
  return {{0, limit}, {}};
}

std::pair<uint64_t, uint64_t> least_and_most(const pump& of) {
  auto least = UINT64_MAX;
  uint64_t most = 0;
  for (const auto& [socket, bytes] : of.came) {
    least = std::min(least, bytes);
    most = std::max(most, bytes);
  }
  return {least, most};
}

} // namespace

TEST_CASE("without a limit what is sent goes out at once", "[pace]") {
  line l{rate_plan{}, 3 * mib, 2 * mib};
  l.dial(4);
  CHECK(l.far.total == 12 * mib);
  CHECK(l.near.total == 8 * mib);
  auto report = l.pace->report(l.time->wall());
  CHECK(report.sent == 12 * mib);
  CHECK(report.received == 8 * mib);
}

TEST_CASE("what is sent keeps to its limit, makes use of it, and is shared alike", "[pace]") {
  auto sockets = GENERATE(1, 7);
  auto limit = GENERATE(as<uint64_t>{}, rate_limit_min + 0, mib + 0, 100 * mib);
  CAPTURE(sockets, limit);
  line l{up(limit), 4096 * mib};
  l.dial(static_cast<size_t>(sockets));
  auto first = l.far.total;
  CHECK(first <= limit / 4 + 2 * 64 * kib);
  l.net.pass(2s);
  CHECK(l.far.total - first <= 2 * limit + 2 * 64 * kib);
  CHECK(l.far.total - first >= 2 * limit - 2 * 64 * kib);
  auto [least, most] = least_and_most(l.far);
  CHECK(l.far.came.size() == static_cast<size_t>(sockets));
  // The burst at the start is not in turns.
  CHECK(most - least <= limit / 4 + 2 * 64 * kib);
}

TEST_CASE("what is received keeps to its limit, makes use of it, and is shared alike", "[pace]") {
  auto sockets = GENERATE(1, 7);
  auto limit = GENERATE(as<uint64_t>{}, rate_limit_min + 0, mib + 0, 20 * mib);
  CAPTURE(sockets, limit);
  line l{down(limit), 0, 4096 * mib};
  l.dial(static_cast<size_t>(sockets));
  auto first = l.near.total;
  CHECK(first <= limit / 4 + 64 * kib * static_cast<uint64_t>(sockets));
  l.net.pass(4s);
  CHECK(l.near.total - first <= 4 * limit + 64 * kib * static_cast<uint64_t>(sockets));
  CHECK(l.near.total >= 4 * limit - 2 * 64 * kib);
  auto [least, most] = least_and_most(l.near);
  CHECK(l.near.came.size() == static_cast<size_t>(sockets));
  CHECK(most - least <= limit / 4 + 2 * 64 * kib);
}

TEST_CASE("one direction does not wait for the other", "[pace]") {
  line l{up(rate_limit_min), 64 * mib, 64 * mib};
  l.dial(3);
  CHECK(l.near.total == 3 * 64 * mib);
  CHECK(l.far.total < 2 * mib);
}

TEST_CASE("who sends little waits for one turn of the others, not for all that they have", "[pace]") {
  line l{up(mib), 64 * mib};
  l.net.buffer = 16 * mib;
  l.dial(15);
  l.near.each = 0;
  l.dial(1);
  auto quiet = l.near.sockets.back();
  l.net.pass(1s);
  auto before = l.far.came.size();
  l.near.give(quiet, 100);
  l.net.pass(1s);
  CHECK(l.near.has[quiet] == 0);
  CHECK(l.far.came.size() == before + 1);
}

TEST_CASE("a limit that is changed or taken away holds from then on", "[pace]") {
  line l{rate_plan{{rate_limit_min, rate_limit_min}, {}}, 256 * mib, 256 * mib};
  l.dial(2);
  l.net.pass(2s);
  CHECK(l.far.total < mib);
  l.pace->set({{8 * mib, 8 * mib}, {}});
  l.net.pass(2s);
  CHECK(l.far.total > 12 * mib);
  CHECK(l.near.total > 12 * mib);
  CHECK(l.far.total < 24 * mib);
  l.pace->set({});
  l.net.pass(2s);
  CHECK(l.far.total == 512 * mib);
  CHECK(l.near.total == 512 * mib);
}

TEST_CASE("the limits of an hour hold from its first minute to its last", "[pace]") {
  line l{rate_plan{}};
  auto now = minute_of_day(l.time->wall());
  auto minute = [&](unsigned later) {
    return static_cast<uint16_t>((now + later) % 1440);
  };
  l.pace->set({{}, {{minute(2), minute(4), {rate_limit_min, 0}}}});
  l.dial(1);
  auto only = l.near.sockets.front();
  l.near.give(only, 64 * mib);
  l.net.pass(1s);
  CHECK(l.far.total == 64 * mib);
  l.net.pass(3min);
  l.near.give(only, 64 * mib);
  l.net.pass(10s);
  CHECK(l.far.total < 68 * mib);
  l.net.pass(2min);
  CHECK(l.far.total == 128 * mib);
}

TEST_CASE("nobody is read from out of turn who is not to be read from, and who went has no turn", "[pace]") {
  line l{down(rate_limit_min), 0, 64 * mib};
  l.dial(3);
  auto paused = l.near.sockets[0];
  auto gone = l.near.sockets[1];
  l.paced.read(paused, false);
  l.paced.close(gone);
  auto of_paused = l.near.came[paused];
  auto of_gone = l.near.came[gone];
  l.net.pass(4s);
  CHECK(l.near.came[paused] == of_paused);
  CHECK(l.near.came[gone] == of_gone);
  CHECK(l.near.came[l.near.sockets[2]] > 3 * rate_limit_min);
  l.paced.read(paused, true);
  l.net.pass(4s);
  CHECK(l.near.came[paused] > of_paused + rate_limit_min);
}

TEST_CASE("its user is woken when he wants to be, whatever waits for its turn", "[pace]") {
  line l{up(rate_limit_min), 64 * mib};
  l.dial(2);
  l.paced.wake_at(l.time->monotonic() + 3s);
  l.net.pass(2900ms);
  CHECK(l.near.ticks == 0);
  l.net.pass(200ms);
  CHECK(l.near.ticks == 1);
  l.net.pass(10s);
  CHECK(l.near.ticks == 1);
}
