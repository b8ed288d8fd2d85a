// What carries requests to the router in front of a host, or what stands for it in a test. It knows nothing of what
// they mean.
//
// Thread rule: one thread calls its members, and waits in them; `cancel` may be called from any other.
#pragma once

#include "network/upnp.hpp"

#include <chrono>
#include <functional>

namespace datamesh::network {

/// A datagram is sent again after these times without an answer, and given up after the last.
inline constexpr std::array router_waits{std::chrono::milliseconds{250}, std::chrono::milliseconds{500}, std::chrono::milliseconds{1000}};
/// How long routers that were searched for are waited for, and an answer by HTTP, all of it.
inline constexpr auto router_search_max = std::chrono::milliseconds{2500};
inline constexpr auto router_http_max = std::chrono::seconds{4};

struct http_answer {
  unsigned status = 0;
  std::string body;
  ip_address own; ///< Of this host, as the router sees it.
};

// All fail with `timed_out` when nothing came that was due, with `cancelled` from `cancel` on, and with `unavailable` for what
// the system says.
class router_wire {
public:
  virtual ~router_wire() = default;

  /// The router that packets for everywhere go to. `not_found` where there is none.
  [[nodiscard]] virtual result<ip_address> gateway() = 0;
  /// Sends *datagram* there until *is_answer* takes one that came from there.
  [[nodiscard]] virtual result<void> exchange(const endpoint& to, byte_view datagram, const std::function<bool(byte_view)>& is_answer) = 0;
  /// Sends *datagram* to a group until *is_answer* takes one that came from that host.
  [[nodiscard]] virtual result<void> search(const endpoint& group, byte_view datagram, const ip_address& from,
                                            const std::function<bool(byte_view)>& is_answer) = 0;
  /// A GET, or a POST where there is a call. `protocol_violated` for what is no HTTP, or longer than `upnp_body_max`.
  [[nodiscard]] virtual result<http_answer> http(const http_place& at, const upnp_call* call) = 0;
  /// From now on everything fails, also what is under way, until `resume`.
  virtual void cancel() noexcept = 0;
  virtual void resume() noexcept = 0;
};

} // namespace datamesh::network
