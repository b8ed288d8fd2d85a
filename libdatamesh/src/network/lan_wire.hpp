// What carries datagrams on the local network: multicast on each interface, or what stands for it in a test. It
// knows nothing of what they mean.
//
// Thread rule: one thread calls its members; whom `start` names is called on one other.
#pragma once

#include "datamesh/base/bytes.hpp"
#include "datamesh/base/result.hpp"
#include "network/ip_address.hpp"

#include <functional>
#include <string>
#include <vector>

namespace datamesh::network {

/// Interfaces that are used, at most: the system lets a socket be in no more than 20 groups.
inline constexpr size_t lan_interfaces_max = 16;

struct lan_interface {
  uint32_t number = 0; ///< Of the system; not used again soon.
  std::string name;
  bool loopback = false;
  std::vector<ip_address> addresses; ///< Without link-local ones.

  friend bool operator==(const lan_interface&, const lan_interface&) = default;
};

class lan_wire {
public:
  virtual ~lan_wire() = default;

  /// From now on *heard* is called with each datagram, of any size, until `stop`.
  [[nodiscard]] virtual result<void> start(std::function<void(const ip_address& from, byte_view datagram)> heard) = 0;
  /// Nobody is called any more when it returns.
  virtual void stop() = 0;
  /// The interfaces that there are now, and listens on those that are new; at most `lan_interfaces_max`.
  [[nodiscard]] virtual result<std::vector<lan_interface>> look() = 0;
  /// To all who listen on that interface. What is not sent is lost, as on the way.
  virtual void send(const lan_interface& on, byte_view datagram) = 0;
};

} // namespace datamesh::network
