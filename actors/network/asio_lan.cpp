#include "network/asio_lan.hpp"

#include "network/beacon.hpp"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/multicast.hpp>
#include <boost/asio/ip/udp.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/post.hpp>

#include <algorithm>
#include <cstring>
#include <future>
#include <map>
#include <thread>

#include <ifaddrs.h>
#include <net/if.h>

namespace datamesh::network {

namespace {

namespace asio = boost::asio;
using asio::ip::udp;
using boost::system::error_code;

constexpr auto attempted = "listen on the local network";
/// Datagrams that are read at once, before others have their turn.
constexpr int reads_at_once = 64;

asio::ip::address_v4 to_asio(const ip_address& v4) {
  return asio::ip::address_v4{{v4.raw[0], v4.raw[1], v4.raw[2], v4.raw[3]}};
}

asio::ip::address_v4 group_v4() {
  return to_asio(beacon_group(false));
}

asio::ip::address_v6 group_v6(uint32_t interface) {
  return asio::ip::address_v6{beacon_group(true).raw, interface};
}

template <size_t Size>
std::optional<ip_address> ip_of(const std::array<unsigned char, Size>& raw) {
  return ip_from(std::as_bytes(std::span{raw}));
}

std::optional<ip_address> ip_of(const asio::ip::address& from) {
  return from.is_v4() ? ip_of(from.to_v4().to_bytes()) : ip_of(from.to_v6().to_bytes());
}

/// As the system lists it.
std::optional<ip_address> ip_of(const ifaddrs& from) {
  udp::endpoint at;
  if (from.ifa_addr == nullptr || (from.ifa_addr->sa_family != AF_INET && from.ifa_addr->sa_family != AF_INET6))
    return std::nullopt;
  std::memcpy(at.data(), from.ifa_addr, from.ifa_addr->sa_family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6));
  return ip_of(at.address());
}

bool is_link_local_v6(const ip_address& ip) {
  return ip.v6 && ip.raw[0] == 0xfe && (ip.raw[1] & 0xc0) == 0x80;
}

/// What is known of one interface, with what families it has.
struct seen_interface {
  lan_interface facts;
  bool v6 = false;
};

const ip_address* first_v4(const lan_interface& of) {
  auto found = std::ranges::find(of.addresses, false, &ip_address::v6);
  return found == of.addresses.end() ? nullptr : &*found;
}

result<std::map<uint32_t, seen_interface>> interfaces_now() {
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0)
    return fail(from_errno(errno, attempted, "the interfaces"));
  std::unique_ptr<ifaddrs, void (*)(ifaddrs*)> owned{list, ::freeifaddrs};
  std::map<uint32_t, seen_interface> all;
  for (auto* one = list; one != nullptr; one = one->ifa_next) {
    auto ip = ip_of(*one);
    auto loopback = (one->ifa_flags & IFF_LOOPBACK) != 0;
    if (!ip || (one->ifa_flags & IFF_UP) == 0 || (!loopback && (one->ifa_flags & IFF_MULTICAST) == 0))
      continue;
    auto number = ::if_nametoindex(one->ifa_name);
    if (number == 0 || (all.size() >= lan_interfaces_max && !all.contains(number)))
      continue;
    auto& of = all[number];
    of.facts.number = number;
    of.facts.name = one->ifa_name;
    of.facts.loopback = loopback;
    of.v6 = of.v6 || ip->v6;
    if (!is_link_local_v6(*ip))
      of.facts.addresses.push_back(*ip);
  }
  return all;
}

/// Bound to the group, so that only what was sent to it comes in, and nothing from behind a router.
error_code open_to_hear(udp::socket& socket, const udp::endpoint& at) {
  error_code code;
  if (socket.open(at.protocol(), code) || socket.set_option(asio::socket_base::reuse_address{true}, code))
    return code;
  if (at.protocol() == udp::v6() && socket.set_option(asio::ip::v6_only{true}, code))
    return code;
  if (socket.bind(at, code) || socket.non_blocking(true, code))
    return code;
  return {};
}

error_code open_to_say(udp::socket& socket, const udp& protocol) {
  error_code code;
  if (!socket.open(protocol, code))
    socket.non_blocking(true, code);
  return code;
}

class asio_lan final : public lan_wire {
public:
  ~asio_lan() override {
    asio_lan::stop();
  }

  result<void> start(std::function<void(const ip_address&, byte_view)> heard) override {
    heard_ = std::move(heard);
    auto v4 = open_to_hear(*v4_, {group_v4(), beacon_port});
    has_v4_ = !v4 && !open_to_say(says_v4_, udp::v4());
    auto has_v6 = !open_to_say(says_v6_, udp::v6());
    if (!has_v4_ && !has_v6)
      return fail(errc::unavailable, attempted, "UDP port " + std::to_string(beacon_port) + ": " + v4.message());
    if (has_v4_)
      await(v4_);
    thread_ = std::thread{[this] {
      context_.run();
    }};
    return {};
  }

  void stop() override {
    if (!thread_.joinable())
      return;
    context_.stop();
    thread_.join();
  }

  result<std::vector<lan_interface>> look() override {
    auto now = interfaces_now();
    if (!now)
      return fail(now.error());
    std::promise<std::vector<lan_interface>> done;
    auto all = done.get_future();
    asio::post(context_, [&] { done.set_value(join_all(*now)); });
    auto heard = all.get();
    if (heard.empty())
      return fail(errc::unavailable, attempted, "no interface of this machine can");
    return heard;
  }

  void send(const lan_interface& on, byte_view datagram) override {
    auto what = asio::buffer(datagram.data(), datagram.size());
    error_code code;
    if (const auto* from = first_v4(on); from != nullptr && has_v4_) {
      says_v4_.set_option(asio::ip::multicast::outbound_interface{to_asio(*from)}, code);
      if (!code)
        says_v4_.send_to(what, {group_v4(), beacon_port}, 0, code);
    }
    if (says_v6_.is_open())
      says_v6_.send_to(what, {group_v6(on.number), beacon_port}, 0, code);
  }

private:
  /// On the thread of the context, as all that hears.
  std::vector<lan_interface> join_all(std::map<uint32_t, seen_interface>& now) {
    // One that went and comes back is another one to the system.
    std::erase_if(v6_, [&](const auto& one) { return !now.contains(one.first); });
    std::vector<lan_interface> all;
    for (auto& [number, one] : now) {
      auto hears = join_v4(one.facts);
      hears = (one.v6 && join_v6(number)) || hears;
      if (hears)
        all.push_back(std::move(one.facts));
    }
    return all;
  }

  /// Again and again: what the interface lost with its address the socket does not tell.
  bool join_v4(const lan_interface& on) {
    const auto* at = first_v4(on);
    if (at == nullptr || !has_v4_)
      return false;
    error_code code;
    v4_->set_option(asio::ip::multicast::join_group{group_v4(), to_asio(*at)}, code);
    return !code || code == asio::error::address_in_use;
  }

  bool join_v6(uint32_t interface) {
    if (v6_.contains(interface))
      return true;
    auto made = std::make_shared<udp::socket>(context_);
    if (open_to_hear(*made, {group_v6(interface), beacon_port}))
      return false;
    error_code code;
    made->set_option(asio::ip::multicast::join_group{group_v6(interface), interface}, code);
    if (code)
      return false;
    await(made);
    v6_.emplace(interface, std::move(made));
    return true;
  }

  /// Until it is let go.
  void await(const std::shared_ptr<udp::socket>& from) {
    from->async_wait(udp::socket::wait_read, [this, known = std::weak_ptr{from}](const error_code& code) {
      auto socket = known.lock();
      if (!socket || code == asio::error::operation_aborted)
        return;
      take_all(*socket);
      await(socket);
    });
  }

  void take_all(udp::socket& socket) {
    for (int i = 0; i < reads_at_once; ++i) {
      udp::endpoint sender;
      error_code code;
      auto got = socket.receive_from(asio::buffer(room_), sender, 0, code);
      if (code)
        return;
      if (auto ip = ip_of(sender.address()))
        heard_(*ip, byte_view{room_}.first(got));
    }
  }

  asio::io_context context_{1};
  asio::executor_work_guard<asio::io_context::executor_type> work_{context_.get_executor()};
  std::function<void(const ip_address&, byte_view)> heard_;
  std::shared_ptr<udp::socket> v4_ = std::make_shared<udp::socket>(context_);
  std::map<uint32_t, std::shared_ptr<udp::socket>> v6_; ///< One an interface: a link-local group is bound to one.
  udp::socket says_v4_{context_};
  udp::socket says_v6_{context_};
  bool has_v4_ = false;
  std::array<std::byte, beacon_size_max + 1> room_{};
  std::thread thread_;
};

} // namespace

result<std::vector<lan_interface>> interfaces_of_machine() {
  auto now = interfaces_now();
  if (!now)
    return fail(now.error());
  std::vector<lan_interface> all;
  for (auto& [number, one] : *now)
    all.push_back(std::move(one.facts));
  return all;
}

std::unique_ptr<lan_wire> make_asio_lan() {
  return std::make_unique<asio_lan>();
}

} // namespace datamesh::network
