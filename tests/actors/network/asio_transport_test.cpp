#include "network/asio_transport.hpp"

#include "network/link_hub.hpp"
#include "tests/libdatamesh/network/node.hpp"

#include "datamesh/base/environment.hpp"

#include <boost/asio/ip/tcp.hpp>
#include <catch2/catch.hpp>

#include <condition_variable>
#include <mutex>

using namespace datamesh;
using namespace datamesh::network;
using namespace datamesh::test;
using namespace std::chrono_literals;

namespace {

hub_options usual() {
  hub_options options;
  options.link.network = network_id::from(as_view("a mesh for the tests of its link"));
  return options;
}

endpoint loopback(bool v6) {
  if (!v6)
    return endpoint::v4({127, 0, 0, 1}, 0);
  endpoint any;
  any.ip.v6 = true;
  any.ip.raw.back() = 1;
  return any;
}

/// What one thread tells and another waits for.
struct news {
  template <class F>
  void tell(F what) {
    std::lock_guard guard{mutex};
    what();
    changed.notify_all();
  }
  /// Whether it came to be so; what it waits for takes no such time.
  template <class F>
  bool await(F holds) {
    std::unique_lock lock{mutex};
    return changed.wait_for(lock, 60s, holds);
  }
  std::mutex mutex;
  std::condition_variable changed;
};

/// Answers at once, and counts.
struct owner : hub_owner, news {
  void on_link_up(const link_facts& what, size_t) override {
    tell([&] { ups.push_back(what); });
  }
  void on_link_down(const link_facts&, size_t, const error& reason) override {
    tell([&] { downs.push_back(reason.code()); });
  }
  void on_refused(const link_facts&, const error&) override {}
  void on_connected(uint64_t, const result<peer_id>& outcome) override {
    tell([&] { connected.push_back(outcome ? errc{} : outcome.error().code()); });
  }
  void on_answer(uint64_t, std::optional<error> failure, std::string, bytes body) override {
    tell([&] {
      failures += failure ? 1 : 0;
      answered += body.size();
    });
  }
  void on_request(const request_key& key, const peer_id&, link_time, std::string, bytes body) override {
    hub->answer(key, "", body);
  }
  void on_cancelled(const request_key&) override {}
  void on_closed() override {
    tell([&] { closed = true; });
  }

  link_hub* hub = nullptr;
  std::vector<link_facts> ups;
  std::vector<errc> downs;
  std::vector<errc> connected;
  size_t failures = 0;
  size_t answered = 0;
  bool closed = false;
};

/// A node behind real sockets.
struct place {
  place(uint64_t number, const std::vector<endpoint>& at, std::shared_ptr<const datamesh::clock> with, const hub_options& options = usual())
      : time(std::move(with)), node(number), wire(asio_transport::listen(at, time).value()), hub(node.tls, options, *wire, *time, told) {
    told.hub = &hub;
    wire->start(hub);
  }
  ~place() {
    wire->stop();
  }
  void connect(const place& to) {
    wire->post([this, at = to.wire->addresses().at(0), who = to.node.id()] { hub.connect(1, at, who); });
  }

  std::shared_ptr<const datamesh::clock> time;
  test_node node;
  owner told;
  std::unique_ptr<asio_transport> wire;
  link_hub hub;
};

/// Somebody with sockets who says what he likes.
struct stranger : transport_user, news {
  stranger() : wire(asio_transport::listen({}, system_environment().clock).value()) {
    wire->start(*this);
  }
  ~stranger() override {
    wire->stop();
  }
  void dial(const place& to, std::string say = {}) {
    wire->post([this, at = to.wire->addresses().at(0), say = std::move(say)] { says[wire->dial(at)] = say; });
  }
  bool accepted(socket_id, const endpoint&) override {
    return false;
  }
  void connected(socket_id socket) override {
    (void) wire->send(socket, as_view(says[socket]));
    wire->read(socket, true);
    tell([&] { ++here; });
  }
  void received(socket_id, byte_view) override {}
  void writable(socket_id) override {}
  void ended(socket_id, const error&) override {
    tell([&] { ++gone; });
  }
  void tick() override {}

  std::map<socket_id, std::string> says;
  int here = 0;
  int gone = 0;
  std::unique_ptr<asio_transport> wire;
};

std::shared_ptr<const datamesh::clock> system_clock() {
  return system_environment().clock;
}

} // namespace

TEST_CASE("links carry what is asked and answered over sockets of IPv4 and IPv6", "[asio_transport]") {
  auto v6 = GENERATE(false, true);
  if (v6 && !asio_transport::listen({loopback(true)}, system_clock())) {
    WARN("this system has no IPv6");
    return;
  }
  place one{1, {loopback(v6)}, system_clock()};
  place two{2, {loopback(v6)}, system_clock()};
  one.connect(two);
  REQUIRE(two.told.await([&] { return two.told.ups.size() == 1; }));
  CHECK(two.told.ups[0].address.ip.v6 == v6);
  REQUIRE(one.told.await([&] { return one.told.ups.size() == 1; }));
  // More than the system's buffers hold, so that sockets stall.
  constexpr size_t count = 40;
  one.wire->post([&] {
    for (uint64_t i = 0; i < count; ++i)
      one.hub.ask(i, two.node.id(), "x", bytes::copy_of(std::string(i % 5 == 0 ? 1000 : 150'000, 'b')), one.time->monotonic() + 60s);
  });
  CHECK(one.told.await([&] { return one.told.answered == count / 5 * (1000 + 4 * 150'000); }));
  CHECK(one.told.failures == 0);
  two.wire->post([&] { two.hub.close(); });
  CHECK(two.told.await([&] { return two.told.closed; }));
  CHECK(one.told.await([&] { return one.told.downs == std::vector{errc::unavailable}; }));
}

TEST_CASE("one node listens at several addresses", "[asio_transport]") {
  auto both = asio_transport::listen({loopback(false), loopback(false)}, system_clock());
  REQUIRE(both);
  auto at = (*both)->addresses();
  REQUIRE(at.size() == 2);
  CHECK(at[0].port != 0);
  CHECK(at[0].port != at[1].port);
}

TEST_CASE("an address that is taken, or nobody's, is told", "[asio_transport]") {
  auto first = asio_transport::listen({loopback(false)}, system_clock()).value();
  CHECK_FALSE(asio_transport::listen({first->addresses().at(0)}, system_clock()));
  CHECK_FALSE(asio_transport::listen({endpoint::v4({192, 0, 2, 1}, 0)}, system_clock()));
}

TEST_CASE("a port where nobody listens is told", "[asio_transport]") {
  place one{1, {}, system_clock()};
  auto nobody = asio_transport::listen({loopback(false)}, system_clock()).value()->addresses().at(0);
  one.wire->post([&] { one.hub.connect(1, nobody, std::nullopt); });
  REQUIRE(one.told.await([&] { return one.told.connected.size() == 1; }));
  CHECK(one.told.connected[0] == errc::unavailable);
}

TEST_CASE("whoever is not the one that was dialed is refused over sockets", "[asio_transport]") {
  place one{1, {}, system_clock()};
  place two{2, {loopback(false)}, system_clock()};
  test_node third{3};
  one.wire->post([&] { one.hub.connect(1, two.wire->addresses().at(0), third.id()); });
  REQUIRE(one.told.await([&] { return one.told.connected.size() == 1; }));
  CHECK(one.told.connected[0] == errc::peer_refused);
}

TEST_CASE("plain text and garbage are ended over sockets", "[asio_transport]") {
  place one{1, {loopback(false)}, system_clock()};
  stranger s;
  s.dial(one, "GET / HTTP/1.1\r\n\r\n");
  s.dial(one, std::string(3000, '\x16'));
  CHECK(s.await([&] { return s.gone == 2; }));
}

TEST_CASE("one host has few sockets half open, and silent ones end by the clock", "[asio_transport]") {
  auto time = std::make_shared<manual_clock>();
  place one{1, {loopback(false)}, time};
  stranger s;
  for (int i = 0; i < 10; ++i)
    s.dial(one);
  REQUIRE(s.await([&] { return s.gone == 6; }));
  time->advance(handshake_time_max);
  one.wire->post([&] { one.hub.tick(); });
  CHECK(s.await([&] { return s.gone == 10; }));
}

TEST_CASE("a peer's process that ends is noticed", "[asio_transport]") {
  place one{1, {}, system_clock()};
  {
    place two{2, {loopback(false)}, system_clock()};
    one.connect(two);
    REQUIRE(one.told.await([&] { return one.told.ups.size() == 1; }));
  }
  REQUIRE(one.told.await([&] { return one.told.downs.size() == 1; }));
  CHECK(one.told.downs[0] == errc::unavailable);
}

TEST_CASE("little is held by the system for a peer that does not read", "[asio_transport]") {
  /// Sends as much as is taken.
  struct giver : transport_user, news {
    giver() : wire(asio_transport::listen({loopback(false)}, system_environment().clock).value()) {
      wire->start(*this);
    }
    ~giver() override {
      wire->stop();
    }
    bool accepted(socket_id socket, const endpoint&) override {
      writable(socket);
      return true;
    }
    void connected(socket_id) override {}
    void received(socket_id, byte_view) override {}
    void writable(socket_id socket) override {
      std::vector<std::byte> part(64 << 10);
      size_t taken = 0;
      do {
        taken = wire->send(socket, part);
        sent += taken;
      } while (taken == part.size());
      tell([&] { stalled = true; });
    }
    void ended(socket_id socket, const error&) override {
      wire->close(socket);
    }
    void tick() override {}

    std::unique_ptr<asio_transport> wire;
    size_t sent = 0;
    bool stalled = false;
  };
  giver gives;
  auto at = gives.wire->addresses().at(0);
  boost::asio::io_context context;
  boost::asio::ip::tcp::socket reader{context};
  reader.open(boost::asio::ip::tcp::v4());
  reader.set_option(boost::asio::socket_base::receive_buffer_size{16 << 10});
  reader.connect({boost::asio::ip::address_v4::loopback(), at.port});
  REQUIRE(gives.await([&] { return gives.stalled; }));
  gives.wire->stop();
  CHECK(gives.sent >= 64 << 10);
  CHECK(gives.sent <= 1 << 20);
}

TEST_CASE("a transport stops while it is busy", "[asio_transport]") {
  for (int i = 0; i < 10; ++i) {
    place one{1, {}, system_clock()};
    place two{2, {loopback(false)}, system_clock()};
    one.connect(two);
    for (int k = 0; k < i; ++k)
      one.wire->post([&] { one.hub.ask(7, two.node.id(), "x", bytes::copy_of(std::string(100'000, 'b')), one.time->monotonic() + 60s); });
    if (i % 2 == 0)
      CHECK(one.told.await([&] { return one.told.ups.size() == 1; }));
  }
}
