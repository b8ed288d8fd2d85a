#include "network/asio_router_wire.hpp"

#include "network/contact.hpp"
#include "network/default_gateway.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/multicast.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/udp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>

#include <algorithm>
#include <atomic>

namespace datamesh::network {

namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using asio::ip::tcp;
using asio::ip::udp;
using boost::system::error_code;

constexpr auto attempted = "ask the router";
/// Who waits looks so often whether it was cancelled.
constexpr auto look_every = std::chrono::milliseconds{50};
constexpr auto search_again_after = std::chrono::milliseconds{700};
/// As far as a search goes; UPnP Device Architecture 1.1.
constexpr int search_hops = 2;
constexpr uint32_t http_header_max = 8 << 10;

asio::ip::address_v4 to_asio(const ip_address& v4) {
  return asio::ip::address_v4{{v4.raw[0], v4.raw[1], v4.raw[2], v4.raw[3]}};
}

ip_address ip_of(const asio::ip::address_v4& from) {
  return endpoint::v4(from.to_bytes(), 0).ip;
}

tl::unexpected<error> refused(const error_code& code) {
  return fail(errc::unavailable, attempted, code.message());
}

class asio_router_wire final : public router_wire {
public:
  asio_router_wire(const environment& env, const std::optional<ip_address>& from) : files_(env.files), time_(env.clock), from_(from) {}

  result<ip_address> gateway() override {
    auto routes = read_whole(*files_, routes_file, routes_size_max);
    if (!routes)
      return fail(routes.error().within("find the router", "the routes of this host can not be read"));
    auto found = default_gateway(as_text(*routes));
    if (!found)
      return fail(errc::not_found, "find the router", "this host has no default route by IPv4");
    return *found;
  }

  result<void> exchange(const endpoint& to, byte_view datagram, const std::function<bool(byte_view)>& is_answer) override {
    udp::socket socket{context_};
    error_code code;
    // Who is connected hears that one alone.
    if (open(socket, udp::v4(), code) || socket.connect({to_asio(to.ip), to.port}, code))
      return refused(code);
    for (auto wait : router_waits) {
      socket.send(asio::buffer(datagram.data(), datagram.size()), 0, code);
      if (code)
        return refused(code);
      if (auto taken = receive(socket, to.ip, now() + wait, is_answer); taken || taken.error().code() != errc::timed_out)
        return taken;
    }
    return fail(errc::timed_out, attempted);
  }

  result<void> search(const endpoint& group, byte_view datagram, const ip_address& from,
                      const std::function<bool(byte_view)>& is_answer) override {
    udp::socket socket{context_};
    error_code code;
    auto own = own_address_to(from, code);
    if (code || open(socket, udp::v4(), code) || socket.set_option(asio::ip::multicast::outbound_interface{own}, code)
        || socket.set_option(asio::ip::multicast::hops{search_hops}, code))
      return refused(code);
    auto ends = now() + router_search_max;
    for (bool again : {false, true}) {
      socket.send_to(asio::buffer(datagram.data(), datagram.size()), {to_asio(group.ip), group.port}, 0, code);
      if (code)
        return refused(code);
      auto until = again ? ends : now() + search_again_after;
      if (auto taken = receive(socket, from, until, is_answer); taken || taken.error().code() != errc::timed_out)
        return taken;
    }
    return fail(errc::timed_out, attempted);
  }

  result<http_answer> http(const http_place& at, const upnp_call* call) override {
    tcp::socket socket{context_};
    auto ends = now() + router_http_max;
    http_answer answer;
    auto done = connect(socket, at, ends).and_then([&] { return send(socket, at, call, ends); }).and_then([&] {
      return take_answer(socket, answer, ends);
    });
    if (done)
      return answer;
    error_code ignored;
    socket.close(ignored);
    drain();
    return fail(done.error());
  }

  void cancel() noexcept override {
    cancelled_ = true;
  }
  void resume() noexcept override {
    cancelled_ = false;
  }

private:
  [[nodiscard]] mesh_time now() const {
    return time_->monotonic();
  }

  template <class Socket, class Protocol>
  error_code open(Socket& socket, const Protocol& protocol, error_code& code) {
    if (!socket.open(protocol, code) && from_)
      socket.bind({to_asio(*from_), 0}, code);
    return code;
  }

  [[nodiscard]] asio::ip::address_v4 own_address_to(const ip_address& router, error_code& code) {
    if (from_)
      return to_asio(*from_);
    // Nothing is sent by that.
    udp::socket socket{context_};
    if (socket.open(udp::v4(), code) || socket.connect({to_asio(router), upnp_group().port}, code))
      return {};
    return socket.local_endpoint(code).address().to_v4();
  }

  /// Until *done*, which what was begun sets. Where it fails, that is still under way.
  result<void> await(const bool& done, mesh_time ends) {
    while (!done) {
      if (cancelled_)
        return fail(errc::cancelled, attempted);
      auto left = ends - now();
      if (left <= left.zero())
        return fail(errc::timed_out, attempted);
      context_.restart();
      context_.run_one_for(std::min<mesh_time::duration>(left, look_every));
    }
    return {};
  }

  /// Runs what was cancelled to its end.
  void drain() {
    context_.restart();
    context_.run();
  }

  result<void> receive(udp::socket& socket, const ip_address& from, mesh_time ends, const std::function<bool(byte_view)>& is_answer) {
    for (;;) {
      udp::endpoint sender;
      error_code code;
      size_t size = 0;
      bool done = false;
      socket.async_receive_from(asio::buffer(room_), sender, [&](const error_code& why, size_t got) {
        code = why;
        size = got;
        done = true;
      });
      if (auto waited = await(done, ends); !waited) {
        error_code ignored;
        socket.cancel(ignored);
        drain();
        return waited;
      }
      if (code == asio::error::connection_refused)
        return fail(errc::unavailable, attempted, "it does not do that");
      if (code)
        return refused(code);
      if (ip_of(sender.address().to_v4()) == from && is_answer(byte_view{room_}.first(size)))
        return {};
    }
  }

  /// Begins what takes a handler, and waits for its end.
  template <class Begin>
  result<void> run(mesh_time ends, Begin begin) {
    // What is given up ends by `drain`, after this one has returned.
    auto ended = std::make_shared<std::pair<bool, error_code>>();
    begin([ended](const error_code& why, size_t = 0) { *ended = {true, why}; });
    if (auto waited = await(ended->first, ends); !waited)
      return waited;
    auto code = ended->second;
    if (!code)
      return {};
    if (code.category() == http::make_error_code(http::error::end_of_stream).category())
      return fail(errc::protocol_violated, attempted, "no answer by HTTP: " + code.message());
    return refused(code);
  }

  result<void> connect(tcp::socket& socket, const http_place& at, mesh_time ends) {
    error_code code;
    if (open(socket, tcp::v4(), code))
      return refused(code);
    return run(ends, [&](auto handler) {
      socket.async_connect({to_asio(at.at.ip), at.at.port}, [handler](const error_code& why) { handler(why); });
    });
  }

  result<void> send(tcp::socket& socket, const http_place& at, const upnp_call* call, mesh_time ends) {
    request_ = {call != nullptr ? http::verb::post : http::verb::get, at.target, 11};
    request_.set(http::field::host, at.at.text());
    request_.set(http::field::connection, "close");
    if (call != nullptr) {
      request_.set(http::field::content_type, "text/xml; charset=\"utf-8\"");
      // As all write it: some routers look for just that.
      request_.set("SOAPAction", call->action);
      request_.body() = call->body;
      request_.prepare_payload();
    }
    return run(ends, [&](auto handler) { http::async_write(socket, request_, handler); });
  }

  result<void> take_answer(tcp::socket& socket, http_answer& to, mesh_time ends) {
    parser_.emplace();
    parser_->header_limit(http_header_max);
    parser_->body_limit(upnp_body_max);
    buffer_.clear();
    auto taken = run(ends, [&](auto handler) { http::async_read(socket, buffer_, *parser_, handler); });
    if (!taken)
      return taken;
    error_code code;
    to.own = ip_of(socket.local_endpoint(code).address().to_v4());
    if (code)
      return refused(code);
    to.status = parser_->get().result_int();
    to.body = std::move(parser_->get().body());
    return {};
  }

  asio::io_context context_{1};
  std::shared_ptr<file_system> files_;
  std::shared_ptr<const clock> time_;
  std::optional<ip_address> from_;
  std::atomic<bool> cancelled_ = false;
  std::array<std::byte, upnp_datagram_max> room_{};
  // Of the exchange by HTTP that is under way.
  http::request<http::string_body> request_;
  std::optional<http::response_parser<http::string_body>> parser_;
  boost::beast::flat_buffer buffer_{upnp_body_max};
};

} // namespace

std::unique_ptr<router_wire> make_asio_router_wire(const environment& env, const std::optional<ip_address>& from) {
  return std::make_unique<asio_router_wire>(env, from);
}

} // namespace datamesh::network
