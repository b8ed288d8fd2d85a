// Names of hosts as addresses, for seeds.
#pragma once

#include "datamesh/base/result.hpp"
#include "network/peer_address.hpp"

#include <chrono>
#include <functional>

namespace datamesh::network {

/// How long a name server may take.
inline constexpr auto resolve_time_max = std::chrono::seconds{10};
/// Addresses of one name that are tried, the first ones of the answer.
inline constexpr size_t resolved_max = 16;

class name_resolver {
public:
  virtual ~name_resolver() = default;
  /// Calls *done* once, on any thread, with at least one address and at most `resolved_max`, or with why there is
  /// none: `not_found`, `timed_out`, `unavailable`. *done* does not call the resolver, and nobody is called any more
  /// when that has gone.
  virtual void resolve(const host_name& name, std::function<void(result<std::vector<ip_address>>)> done) = 0;
};

} // namespace datamesh::network
