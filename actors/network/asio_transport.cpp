#include "network/asio_transport.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include <sys/resource.h>

#include <array>
#include <thread>
#include <unordered_map>

namespace datamesh::network {

namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

/// Bytes that are read at once, and how often before others have their turn.
constexpr size_t scratch_size = 64 << 10;
constexpr int reads_at_once = 4;
constexpr int backlog = 512;
/// Bytes that the system takes ahead of what the peer has room for. Without a bound it takes some 2 MiB, of each who
/// reads slowly.
constexpr int ahead_max = 256 << 10;
using ahead = asio::detail::socket_option::integer<IPPROTO_TCP, TCP_NOTSENT_LOWAT>;
/// How long nobody is accepted after the system had no descriptor or memory for it.
constexpr auto accept_pause = std::chrono::milliseconds{100};

tcp::endpoint to_asio(const endpoint& from) {
  const auto& raw = from.ip.raw;
  if (!from.ip.v6)
    return {asio::ip::address_v4{{raw[0], raw[1], raw[2], raw[3]}}, from.port};
  return {asio::ip::address_v6{raw, from.scope}, from.port};
}

endpoint from_asio(const tcp::endpoint& from) {
  if (from.address().is_v4())
    return endpoint::v4(from.address().to_v4().to_bytes(), from.port());
  auto v6 = from.address().to_v6();
  return {{v6.to_bytes(), true}, from.port(), static_cast<uint32_t>(v6.scope_id())};
}

error reason_of(const error_code& code, const char* attempted, std::string object) {
  if (code == asio::error::eof)
    return error{errc::unavailable, attempted, object + ": the other side closed it"};
  if (code.category() != boost::system::system_category())
    return error{errc::io_failed, attempted, object + ": " + code.message()};
  auto reason = from_errno(code.value(), attempted, object);
  // That a node is not there is no failure of this one.
  return reason.code() == errc::io_failed ? error{errc::unavailable, attempted, object + ": " + code.message()} : reason;
}

/// Descriptors beyond which nobody is accepted, so that files can still be opened.
size_t descriptors_max() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
    return SIZE_MAX;
  return static_cast<size_t>(limit.rlim_cur) / 10 * 9;
}

/// As each connected socket is to be.
error_code set_up(tcp::socket& socket) {
  error_code code;
  if (!socket.non_blocking(true, code) && !socket.set_option(tcp::no_delay{true}, code))
    socket.set_option(ahead{ahead_max}, code);
  return code;
}

struct connection {
  explicit connection(asio::io_context& context) : socket(context) {}

  tcp::socket socket;
  endpoint there;
  bool reading = false;
  bool waits_to_read = false;
  bool waits_to_write = false;
  bool ended = false; ///< The user knows.
};

} // namespace

// What waits names its connection by number: one that was closed is not found any more.
struct asio_transport::impl {
  explicit impl(std::shared_ptr<const clock> with) : time(std::move(with)) {}

  std::shared_ptr<const clock> time;
  asio::io_context context{1};
  asio::executor_work_guard<asio::io_context::executor_type> work{context.get_executor()};
  std::vector<tcp::acceptor> acceptors;
  asio::steady_timer alarm{context};
  asio::steady_timer pause{context};
  bool pausing = false;
  size_t sockets_max = descriptors_max();
  transport_user* user = nullptr;
  std::unordered_map<socket_id, connection> connections;
  socket_id last = 0;
  std::array<std::byte, scratch_size> scratch;
  std::thread thread;

  connection* find(socket_id socket) {
    auto at = connections.find(socket);
    return at == connections.end() ? nullptr : &at->second;
  }

  error_code open(const endpoint& at);
  void accept_all();
  void accept(tcp::acceptor& from);
  void take(tcp::socket&& socket);
  void pause_accepting();
  void end(socket_id socket, const error_code& code, const char* attempted);
  void end_later(socket_id socket, const error_code& code, const char* attempted);
  void await_readable(socket_id socket, connection& c);
  void readable(socket_id socket);
  void await_writable(socket_id socket, connection& c);
};

asio_transport::asio_transport(std::unique_ptr<impl> with) : impl_(std::move(with)) {}

asio_transport::~asio_transport() {
  stop();
}

// -- listening -------------------------------------------------------------------------

result<std::unique_ptr<asio_transport>> asio_transport::listen(const std::vector<endpoint>& at, std::shared_ptr<const clock> time) {
  auto made = std::make_unique<impl>(std::move(time));
  for (const auto& each : at)
    if (auto code = made->open(each); code)
      return fail(reason_of(code, "listen for nodes", each.text()));
  return std::unique_ptr<asio_transport>{new asio_transport{std::move(made)}};
}

error_code asio_transport::impl::open(const endpoint& at) {
  error_code code;
  auto where = to_asio(at);
  tcp::acceptor one{context};
  if (one.open(where.protocol(), code) || one.set_option(asio::socket_base::reuse_address{true}, code))
    return code;
  if (at.ip.v6 && one.set_option(asio::ip::v6_only{true}, code))
    return code;
  if (one.bind(where, code) || one.listen(backlog, code) || one.non_blocking(true, code))
    return code;
  acceptors.push_back(std::move(one));
  return {};
}

std::vector<endpoint> asio_transport::addresses() const {
  std::vector<endpoint> all;
  for (const auto& each : impl_->acceptors) {
    error_code code;
    if (auto where = each.local_endpoint(code); !code)
      all.push_back(from_asio(where));
  }
  return all;
}

void asio_transport::impl::accept_all() {
  for (auto& each : acceptors)
    accept(each);
}

void asio_transport::impl::accept(tcp::acceptor& from) {
  from.async_accept([this, &from](const error_code& code, tcp::socket socket) {
    if (code == asio::error::operation_aborted)
      return;
    if (!code)
      take(std::move(socket));
    // What is in the queue of the system can wait there. Others would spin.
    if ((code && code != asio::error::connection_aborted) || connections.size() >= sockets_max)
      return pause_accepting();
    accept(from);
  });
}

void asio_transport::impl::take(tcp::socket&& socket) {
  error_code code;
  auto from = socket.remote_endpoint(code);
  if (code || set_up(socket))
    return;
  auto number = ++last;
  auto& c = connections.try_emplace(number, context).first->second;
  c.socket = std::move(socket);
  c.there = from_asio(from);
  if (user->accepted(number, c.there))
    return;
  // No state is kept for those who are not let in, nor by the system.
  c.socket.set_option(asio::socket_base::linger{true, 0}, code);
  connections.erase(number);
}

void asio_transport::impl::pause_accepting() {
  for (auto& each : acceptors)
    each.cancel();
  if (std::exchange(pausing, true))
    return;
  pause.expires_after(accept_pause);
  pause.async_wait([this](const error_code& code) {
    pausing = false;
    if (code)
      return;
    if (connections.size() >= sockets_max)
      return pause_accepting();
    accept_all();
  });
}

// -- the thread --------------------------------------------------------------------------

void asio_transport::start(transport_user& user) {
  impl_->user = &user;
  impl_->accept_all();
  impl_->thread = std::thread{[this] {
    impl_->context.run();
  }};
}

void asio_transport::stop() {
  auto& self = *impl_;
  self.context.stop();
  if (self.thread.joinable())
    self.thread.join();
  self.connections.clear();
  self.acceptors.clear();
}

void asio_transport::post(std::function<void()> what) {
  asio::post(impl_->context, std::move(what));
}

void asio_transport::wake_at(clock::monotonic_time when) {
  auto& self = *impl_;
  self.alarm.expires_after(std::max(when - self.time->monotonic(), clock::monotonic_time::duration{0}));
  self.alarm.async_wait([&self](const error_code& code) {
    if (!code)
      self.user->tick();
  });
}

// -- connections ---------------------------------------------------------------------------

socket_id asio_transport::dial(const endpoint& to) {
  constexpr auto attempted = "reach a node";
  auto& self = *impl_;
  auto number = ++self.last;
  auto& c = self.connections.try_emplace(number, self.context).first->second;
  c.there = to;
  error_code code;
  auto where = to_asio(to);
  c.socket.open(where.protocol(), code);
  if (!code)
    code = set_up(c.socket);
  if (code) {
    self.end_later(number, code, attempted);
    return number;
  }
  c.socket.async_connect(where, [&self, number](const error_code& outcome) {
    if (self.find(number) == nullptr)
      return;
    if (outcome)
      return self.end(number, outcome, attempted);
    self.user->connected(number);
  });
  return number;
}

void asio_transport::impl::end(socket_id socket, const error_code& code, const char* attempted) {
  auto* c = find(socket);
  if (c != nullptr && !std::exchange(c->ended, true))
    user->ended(socket, reason_of(code, attempted, c->there.text()));
}

void asio_transport::impl::end_later(socket_id socket, const error_code& code, const char* attempted) {
  asio::post(context, [this, socket, code, attempted] { end(socket, code, attempted); });
}

size_t asio_transport::send(socket_id socket, byte_view data) {
  auto& self = *impl_;
  auto* c = self.find(socket);
  if (c == nullptr || c->ended)
    return 0;
  error_code code;
  auto sent = c->socket.write_some(asio::buffer(data.data(), data.size()), code);
  if (code && code != asio::error::would_block && code != asio::error::try_again) {
    self.end_later(socket, code, "send to a node");
    return 0;
  }
  if (sent < data.size())
    self.await_writable(socket, *c);
  return sent;
}

void asio_transport::impl::await_writable(socket_id socket, connection& c) {
  if (std::exchange(c.waits_to_write, true))
    return;
  c.socket.async_wait(tcp::socket::wait_write, [this, socket](const error_code& code) {
    auto* found = find(socket);
    if (found == nullptr || code)
      return;
    found->waits_to_write = false;
    user->writable(socket);
  });
}

void asio_transport::read(socket_id socket, bool wanted) {
  auto& self = *impl_;
  if (auto* c = self.find(socket)) {
    c->reading = wanted;
    if (wanted)
      self.await_readable(socket, *c);
  }
}

void asio_transport::impl::await_readable(socket_id socket, connection& c) {
  if (c.ended || std::exchange(c.waits_to_read, true))
    return;
  c.socket.async_wait(tcp::socket::wait_read, [this, socket](const error_code& code) {
    auto* found = find(socket);
    if (found == nullptr || code)
      return;
    found->waits_to_read = false;
    readable(socket);
  });
}

// The user may stop reading, or close, whenever it was given something.
void asio_transport::impl::readable(socket_id socket) {
  for (int i = 0; i < reads_at_once; ++i) {
    auto* c = find(socket);
    if (c == nullptr || !c->reading)
      return;
    error_code code;
    auto got = c->socket.read_some(asio::buffer(scratch), code);
    if (code == asio::error::would_block || code == asio::error::try_again)
      break;
    if (code)
      return end(socket, code, "receive from a node");
    user->received(socket, byte_view{scratch}.first(got));
    if (got < scratch.size())
      break;
  }
  if (auto* c = find(socket); c != nullptr && c->reading)
    await_readable(socket, *c);
}

void asio_transport::shut(socket_id socket) {
  error_code code;
  if (auto* c = impl_->find(socket))
    c->socket.shutdown(tcp::socket::shutdown_send, code);
}

void asio_transport::close(socket_id socket) {
  impl_->connections.erase(socket);
}

} // namespace datamesh::network
