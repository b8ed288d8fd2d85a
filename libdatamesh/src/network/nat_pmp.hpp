// NAT-PMP (RFC 6886): a host asks its router which address it has outside, and for a TCP port there that leads to
// the host. What is sent and what comes back, as bytes. No socket, no clock.
//
// Thread rule: functions are safe to call from any thread.
#pragma once

#include "network/ip_address.hpp"

#include <chrono>

namespace datamesh::network {

inline constexpr uint16_t nat_pmp_port = 5351;
/// Bytes of the longest answer.
inline constexpr size_t nat_pmp_answer_max = 16;

struct nat_pmp_given {
  uint16_t outside = 0;          ///< Not 0.
  std::chrono::seconds lifetime; ///< More than 0.
};

[[nodiscard]] std::array<std::byte, 2> nat_pmp_ask_address();
/// @param outside  the port that is wished for; the router may give another
/// @param lifetime 0 ends it; then *outside* is 0, too
[[nodiscard]] std::array<std::byte, 12> nat_pmp_ask_port(uint16_t inside, uint16_t outside, std::chrono::seconds lifetime);

// What a router answers. `format_alien` for what is no answer to that request, but may be one to another;
// `protocol_violated` for one that can not be; `unavailable` with the router's reason where it refuses.

[[nodiscard]] result<ip_address> nat_pmp_read_address(byte_view answer);
[[nodiscard]] result<nat_pmp_given> nat_pmp_read_port(byte_view answer, uint16_t inside);
/// That the port is no longer kept.
[[nodiscard]] result<void> nat_pmp_read_end(byte_view answer, uint16_t inside);

} // namespace datamesh::network
