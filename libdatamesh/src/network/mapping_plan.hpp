// When a router is asked for its port, and what holds of what it gave. No socket, no clock.
//
// It is asked every few minutes, long before what it gave ends: so a router that was restarted and forgot, one that has
// another address outside, and another network of this host are all noticed by that.
//
// Not thread-safe.
#pragma once

#include "network/contact.hpp"
#include "network/port_mapper.hpp"

namespace datamesh::network {

/// How often a router that gives a port is asked again: at half of what it gave, within these.
inline constexpr auto port_renewed_first = std::chrono::seconds{10};
inline constexpr auto port_renewed_last = std::chrono::minutes{5};
/// One that gives none is asked again after these times, which double.
inline constexpr auto port_retry_first = std::chrono::seconds{30};
inline constexpr auto port_retry_last = std::chrono::minutes{30};

class mapping_plan {
public:
  /// The router is due at once.
  explicit mapping_plan(mesh_time now) : next_(now) {}

  void gave(const given_port& what, mesh_time now);
  /// What it gave before holds until its end.
  void failed(const error& why, mesh_time now);
  /// Lets go of what has ended.
  void expire(mesh_time now);

  /// When it is asked, or `expire` has something to do.
  [[nodiscard]] mesh_time next() const noexcept;
  /// Whether it is time to ask.
  [[nodiscard]] bool is_due(mesh_time now) const noexcept {
    return now >= next_;
  }
  /// What it gave.
  [[nodiscard]] const std::optional<given_port>& held() const noexcept {
    return held_;
  }
  /// When that ends; none where it stays.
  [[nodiscard]] std::optional<mesh_time> ends() const noexcept {
    return ends_;
  }
  /// Why it gave nothing the last time.
  [[nodiscard]] const std::optional<error>& failure() const noexcept {
    return failure_;
  }

private:
  std::optional<given_port> held_;
  std::optional<mesh_time> ends_;
  std::optional<error> failure_;
  mesh_time next_;
  std::chrono::seconds retry_ = port_retry_first;
};

} // namespace datamesh::network
