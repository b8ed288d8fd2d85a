// A router in memory that leads ports to hosts behind it, by NAT-PMP and by UPnP, and that a test can make refuse, forget,
// lie and be silent.
//
// Thread rule: one thread asks as `router_wire` says; the others may be called from any.
#pragma once

#include "network/router_wire.hpp"

#include <condition_variable>
#include <map>
#include <mutex>

namespace datamesh::test {

class memory_router final : public network::router_wire {
public:
  struct state {
    bool is_there = true;
    bool by_nat_pmp = true;
    bool by_upnp = true;
    bool hangs = false; ///< Says nothing, however long it is waited for.
    std::string outside = "9.9.9.9";
    uint32_t lifetime_max = 3600;                           ///< Of NAT-PMP; seconds.
    bool only_for_ever = false;                             ///< Of UPnP.
    uint32_t upnp_code = 0;                                 ///< Refuses to lead a port by UPnP.
    uint16_t nat_pmp_code = 0;                              ///< Refuses by NAT-PMP.
    std::map<uint16_t, std::string> ports{};                ///< Outside; to whom they lead, as "192.168.1.7:7000".
    std::vector<std::string> said{};                        ///< What it was asked, in order.
    std::optional<std::vector<std::byte>> nat_pmp_answer{}; ///< To all that is asked so.
    std::optional<std::string> description{};
    std::optional<network::http_answer> control_answer{};
    std::string found{}; ///< An answer to a search in place of its own.
  };

  /// Another host has that port.
  static inline const std::string somebody = "192.168.1.99:1";

  /// Changes the router, or looks at it.
  template <class Do>
  auto with(Do what) {
    std::lock_guard guard{mutex_};
    return what(state_);
  }
  /// Until *what* is so of it; false after a minute.
  template <class Is>
  [[nodiscard]] bool await(Is what) {
    std::unique_lock lock{mutex_};
    return changed_.wait_for(lock, std::chrono::minutes{1}, [&] { return what(state_); });
  }

  result<network::ip_address> gateway() override;
  result<void> exchange(const network::endpoint& to, byte_view datagram, const std::function<bool(byte_view)>& is_answer) override;
  result<void> search(const network::endpoint& group, byte_view datagram, const network::ip_address& from,
                      const std::function<bool(byte_view)>& is_answer) override;
  result<network::http_answer> http(const network::http_place& at, const network::upnp_call* call) override;
  void cancel() noexcept override;
  void resume() noexcept override;

private:
  [[nodiscard]] result<void> ask(std::string what);
  [[nodiscard]] std::vector<std::byte> answer_nat_pmp(byte_view datagram);
  [[nodiscard]] network::http_answer answer_call(const network::upnp_call& call);
  [[nodiscard]] network::http_answer add_port(const network::upnp_call& call);

  std::mutex mutex_;
  std::condition_variable changed_;
  state state_;
  bool cancelled_ = false;
};

} // namespace datamesh::test
