#include "datamesh/lan.hpp"

#include "datamesh/base/environment.hpp"
#include "network/asio_lan.hpp"
#include "network/neighbourhood.hpp"

#include <condition_variable>
#include <mutex>

namespace datamesh {

namespace {

/// Asked so often: a question may be lost, and who answered just now waits for a second.
constexpr std::chrono::milliseconds asked_every{1500};

neighbour_report report_of(const network::neighbour& who, network::discovery_time now) {
  neighbour_report one;
  one.id = who.id;
  one.heard_ns = (now.wall - (now.now - who.heard)).time_since_epoch().count();
  for (const auto& at : who.addresses)
    one.addresses.push_back(who.id ? at.text() : to_string(at.ip));
  return one;
}

} // namespace

result<std::vector<neighbour_report>> look_around(const std::optional<network_id>& mesh, std::chrono::milliseconds time) {
  auto env = system_environment();
  auto now = [&] {
    return network::discovery_time{env.clock->monotonic(), env.clock->wall()};
  };
  std::mutex mutex;
  network::datagram_limits limits;
  network::neighbourhood heard{{mesh, {}, {}, false}, *env.random, now().now};
  auto wire = network::make_asio_lan();
  auto started = wire->start([&](const network::ip_address& from, byte_view datagram) {
    auto at = now();
    if (!limits.admits(datagram, from, at.now))
      return;
    std::lock_guard guard{mutex};
    (void) heard.heard(datagram, from, at);
  });
  if (!started)
    return fail(started.error());
  auto interfaces = wire->look();
  if (!interfaces)
    return fail(interfaces.error());
  std::unique_lock lock{mutex};
  std::condition_variable never;
  auto end = now().now + time;
  for (auto at = now().now; at < end; at = now().now) {
    if (mesh)
      for (const auto& one : *interfaces)
        if (auto question = network::seal_question(*mesh, *env.random))
          wire->send(one, *question);
    auto next = std::min<network::mesh_time>(end, at + asked_every);
    never.wait_until(lock, next, [&] { return now().now >= next; });
  }
  lock.unlock();
  wire->stop();
  std::vector<neighbour_report> all;
  for (const auto& one : heard.of_late(now().now))
    all.push_back(report_of(one, now()));
  return all;
}

} // namespace datamesh
