// The daemon's end of the control socket: takes connections, knows who is there, and
// carries out what they ask of the node. One thread a connection, and one more while
// a long request of it runs; both numbers are bounded. The protocol: docs/formats/control.md.
//
// Thread rule: any thread; `run` once.
#pragma once

#include "base/local_socket.hpp"
#include "datamesh/node.hpp"

#include <functional>
#include <memory>

namespace datamesh::control {

struct server_options {
  std::string socket;
  std::string group = "datamesh"; ///< Gets the socket, where there is such a group.
  uint32_t mode = 0660;
  uint32_t own_uid = 0; ///< What the daemon runs as.
  size_t connections_max = 32;
  size_t connections_per_uid = 16;
  /// The daemon lets go of its own handle of a vault, until the answer is dropped.
  std::function<std::shared_ptr<void>(const std::string& vault)> release;
};

class server {
public:
  /// Listens; *of* outlives the server.
  [[nodiscard]] static result<std::unique_ptr<server>> listen(node& of, server_options options);
  ~server();

  /// Serves until `stop`.
  void run();
  /// No more connections and requests; what runs may end within *grace*, then it is
  /// cancelled. Returns when all are gone.
  void stop(std::chrono::milliseconds grace);

  /// For `node_options::on_event`: shows an event to the one whose job it is.
  void publish(const event& what);

  [[nodiscard]] size_t connections() const;

  struct shared;

private:
  explicit server(std::unique_ptr<shared> state);
  std::unique_ptr<shared> state_;
};

} // namespace datamesh::control
