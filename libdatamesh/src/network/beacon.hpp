// What a node says on the local network, as one datagram: that it is there and where it is reached, or that it
// wants to know who is. Sealed for those who know the mesh, and signed by the node. docs/formats/beacon.md.
//
// Thread rule: values; functions are safe to call from any thread.
#pragma once

#include "crypto/identity.hpp"
#include "datamesh/base/random_source.hpp"
#include "network/contact.hpp"
#include "network/network_id.hpp"

#include <functional>
#include <variant>

namespace datamesh::network {

/// Where it is said, and heard.
inline constexpr uint16_t beacon_port = 17468;
/// 239.255.68.77 and ff12::c44d:4c4e.
[[nodiscard]] ip_address beacon_group(bool v6) noexcept;

/// Bytes of a datagram that is looked at. The longest of this version has 240.
inline constexpr size_t beacon_size_max = 1200;

struct beacon {
  peer_id id;                      ///< Follows from the key.
  crypto::public_key key;          ///< That signed it.
  uint64_t sequence = 0;           ///< Grows with each; milliseconds since 1970 when it was made.
  std::vector<endpoint> addresses; ///< 1 to `contact_addresses_max`, the best first; of hosts, and none link-local.

  friend bool operator==(const beacon&, const beacon&) = default;
};
/// "Who is there?" Says nothing of who asks.
struct beacon_question {
  friend bool operator==(const beacon_question&, const beacon_question&) = default;
};

/// A datagram of this version, whoever can read it. Costs nothing.
[[nodiscard]] bool is_beacon(byte_view datagram) noexcept;

/// @param sign by the key of *what*. `invalid_argument` for what no beacon may be.
[[nodiscard]] result<bytes> seal_beacon(const network_id& mesh, const beacon& what,
                                        const std::function<result<crypto::signature>(byte_view)>& sign, random_source& random);
[[nodiscard]] result<bytes> seal_question(const network_id& mesh, random_source& random);

/// What was unsealed; whether the signature holds was not looked at yet.
struct unsealed_beacon {
  beacon what;
  crypto::signature signature;
  bytes content; ///< That was signed.
};

/// `format_alien` for what is no beacon, `authentication_failed` where it is another mesh's or was changed,
/// `format_damaged` where who knows the mesh wrote what none may say.
[[nodiscard]] result<std::variant<unsealed_beacon, beacon_question>> unseal_beacon(const network_id& mesh, byte_view datagram);
/// The one thing that takes a while: some 60 us of a core.
[[nodiscard]] bool holds(const network_id& mesh, const unsealed_beacon& what);

} // namespace datamesh::network
