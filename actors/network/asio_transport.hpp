// Sockets over Boost.Asio, on a thread of their own that CAF knows nothing of. It keeps
// no bytes: what is not taken by the system stays with the link, and what comes is
// handed on from one buffer that all share, so an idle connection costs its descriptor.
#pragma once

#include "datamesh/base/clock.hpp"
#include "datamesh/base/result.hpp"
#include "network/transport.hpp"

#include <memory>
#include <vector>

namespace datamesh::network {

class asio_transport final : public transport {
public:
  /// Listens at all of *at*, where port 0 is any that is free; at none for a node that
  /// only dials. IPv4 and IPv6 are listened to apart.
  [[nodiscard]] static result<std::unique_ptr<asio_transport>> listen(const std::vector<endpoint>& at, std::shared_ptr<const clock> time);
  ~asio_transport() override;

  /// Where it listens, with the ports that there are.
  [[nodiscard]] std::vector<endpoint> addresses() const;

  void start(transport_user& user) override;
  void stop() override;
  void post(std::function<void()> what) override;
  [[nodiscard]] socket_id dial(const endpoint& to) override;
  [[nodiscard]] size_t send(socket_id socket, byte_view data) override;
  void read(socket_id socket, bool wanted) override;
  void shut(socket_id socket) override;
  void close(socket_id socket) override;
  void wake_at(clock::monotonic_time when) override;

private:
  struct impl;
  explicit asio_transport(std::unique_ptr<impl> with);
  std::unique_ptr<impl> impl_;
};

} // namespace datamesh::network
