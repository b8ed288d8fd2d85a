#include "network/asio_router_wire.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/udp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/write.hpp>

#include <catch2/catch.hpp>

#include <atomic>
#include <future>
#include <thread>

using namespace datamesh;
using namespace datamesh::network;

namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using asio::ip::udp;

const auto loopback = endpoint::v4({127, 0, 0, 1}, 0).ip;

std::unique_ptr<router_wire> make_wire() {
  return make_asio_router_wire(system_environment(), std::nullopt);
}

/// Takes one connection, reads a request to its end, and writes an answer piece by piece.
class http_router {
public:
  explicit http_router(std::string answer, bool closes = true)
      : thread_([this, answer = std::move(answer), closes] {
          boost::system::error_code code;
          tcp::socket socket{context_};
          acceptor_.accept(socket, code);
          auto header = asio::read_until(socket, asio::dynamic_buffer(request_), "\r\n\r\n", code);
          while (request_.size() < header + body_size() && !code)
            asio::read(socket, asio::dynamic_buffer(request_), asio::transfer_at_least(1), code);
          asio::write(socket, asio::buffer(answer), code);
          // Who asked ends it otherwise.
          std::array<char, 64> rest{};
          while (!closes && !code)
            socket.read_some(asio::buffer(rest), code);
        }) {}
  ~http_router() {
    if (thread_.joinable())
      thread_.join();
  }
  [[nodiscard]] http_place place(const std::string& target = "/desc.xml") const {
    return {{loopback, acceptor_.local_endpoint().port()}, target};
  }
  /// Once it has been answered.
  [[nodiscard]] const std::string& request() {
    if (thread_.joinable())
      thread_.join();
    return request_;
  }

private:
  [[nodiscard]] size_t body_size() const {
    constexpr std::string_view field = "Content-Length: ";
    auto at = request_.find(field);
    return at == std::string::npos ? 0 : std::stoul(request_.substr(at + field.size()));
  }

  asio::io_context context_;
  tcp::acceptor acceptor_{context_, tcp::endpoint{asio::ip::address_v4::loopback(), 0}};
  std::string request_;
  std::thread thread_;
};

std::string answer_of(const std::string& body) {
  return "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

} // namespace

TEST_CASE("a router is asked by HTTP and its answer taken, whatever tells where that ends", "[asio_router_wire]") {
  auto answer = GENERATE(values<std::string>({answer_of("<root/>"), "HTTP/1.0 200 OK\r\n\r\n<root/>",
                                              "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n<ro\r\n4\r\not/>\r\n0\r\n\r\n"}));
  http_router router{answer};
  auto got = make_wire()->http(router.place(), nullptr);
  REQUIRE(got);
  CHECK(got->status == 200);
  CHECK(got->body == "<root/>");
  CHECK(got->own == loopback);
  CHECK(router.request().starts_with("GET /desc.xml HTTP/1.1\r\nHost: " + router.place().at.text() + "\r\n"));
}

TEST_CASE("a call is posted with its action", "[asio_router_wire]") {
  http_router router{"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 3\r\n\r\n718"};
  upnp_call call{"\"urn:x#AddPortMapping\"", "<body/>"};
  auto got = make_wire()->http(router.place("/control"), &call);
  REQUIRE(got);
  CHECK(got->status == 500);
  CHECK(got->body == "718");
  CHECK(router.request().starts_with("POST /control HTTP/1.1\r\n"));
  CHECK(router.request().find("SOAPAction: \"urn:x#AddPortMapping\"\r\n") != std::string::npos);
  CHECK(router.request().ends_with("\r\n\r\n<body/>"));
}

TEST_CASE("what is no HTTP, cut short or longer than there is room for is no answer of a router", "[asio_router_wire]") {
  auto answer = GENERATE(
      values<std::string>({"", "SSH-2.0-x\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n<root/>", "HTTP/1.1 200 OK\r\nContent-Le",
                           answer_of(std::string(upnp_body_max + 1, 'a')), "HTTP/1.0 200 OK\r\n\r\n" + std::string(2 * upnp_body_max, 'a'),
                           "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
                           "HTTP/1.1 200 OK\r\nX: " + std::string(100'000, 'a') + "\r\n\r\n"}));
  http_router router{answer};
  auto got = make_wire()->http(router.place(), nullptr);
  REQUIRE_FALSE(got);
  CHECK(got.error().code() == errc::protocol_violated);
}

TEST_CASE("a router that takes a request and goes silent is given up, at once by who cancels", "[asio_router_wire]") {
  auto cancels = GENERATE(false, true);
  http_router router{"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n<root/>", false};
  auto wire = make_wire();
  auto asked = std::async(std::launch::async, [&] { return wire->http(router.place(), nullptr); });
  if (cancels)
    wire->cancel();
  auto got = asked.get();
  REQUIRE_FALSE(got);
  CHECK(got.error().code() == (cancels ? errc::cancelled : errc::timed_out));
  wire->resume();
  // A router that waits for the connection that never was made.
  boost::system::error_code ignored;
  asio::io_context context;
  tcp::socket last{context};
  last.connect({asio::ip::address_v4::loopback(), router.place().at.port}, ignored);
}

TEST_CASE("a port at which nothing listens is told at once", "[asio_router_wire]") {
  uint16_t port = 0;
  {
    asio::io_context context;
    udp::socket socket{context, udp::endpoint{asio::ip::address_v4::loopback(), 0}};
    port = socket.local_endpoint().port();
  }
  auto wire = make_wire();
  CHECK(wire->exchange({loopback, port}, as_view("?"), [](byte_view) { return true; }).error().code() == errc::unavailable);
  CHECK(wire->http({{loopback, port}, "/"}, nullptr).error().code() == errc::unavailable);
}

TEST_CASE("a datagram is sent until an answer is taken that came from there, and others are passed over", "[asio_router_wire]") {
  asio::io_context context;
  udp::socket router{context, udp::endpoint{asio::ip::address_v4::loopback(), 0}};
  auto answers = std::async(std::launch::async, [&] {
    std::array<char, 16> got{};
    udp::endpoint from;
    // The first one is lost.
    size_t heard = 0;
    for (int i = 0; i < 2; ++i)
      heard = router.receive_from(asio::buffer(got), from);
    udp::socket stranger{context, udp::endpoint{asio::ip::address_v4::loopback(), 0}};
    stranger.send_to(asio::buffer("yes", 3), from);
    for (const char* text : {"no", "", "yes"})
      router.send_to(asio::buffer(text, std::strlen(text)), from);
    return std::string{got.data(), heard};
  });
  std::vector<std::string> seen;
  auto taken = make_wire()->exchange({loopback, router.local_endpoint().port()}, as_view("?"), [&](byte_view datagram) {
    seen.emplace_back(as_text(datagram));
    return seen.back() == "yes";
  });
  CHECK(taken);
  CHECK(answers.get() == "?");
  CHECK(seen == std::vector<std::string>{"no", "", "yes"});
}

TEST_CASE("a router that answers with what nobody asked for is waited for no longer than one that is silent", "[asio_router_wire]") {
  asio::io_context context;
  udp::socket router{context, udp::endpoint{asio::ip::address_v4::loopback(), 0}};
  auto wire = make_wire();
  std::atomic<bool> gone = false;
  auto chatters = std::async(std::launch::async, [&] {
    std::array<char, 16> got{};
    udp::endpoint from;
    boost::system::error_code code;
    router.receive_from(asio::buffer(got), from, 0, code);
    while (!gone)
      router.send_to(asio::buffer("no", 2), from, 0, code);
  });
  size_t heard = 0;
  auto taken = wire->exchange({loopback, router.local_endpoint().port()}, as_view("?"), [&](byte_view) { return ++heard == 0; });
  gone = true;
  chatters.get();
  REQUIRE_FALSE(taken);
  CHECK(taken.error().code() == errc::timed_out);
  CHECK(heard > 0);
}
