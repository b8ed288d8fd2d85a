// What carries bytes between nodes: sockets, or what stands for them in a test. It
// knows nothing of what the bytes mean and keeps none of them.
//
// Thread rule: a transport has one thread. `post` and `stop` may be called from any;
// everything else on that thread alone, and so is its user called. It never calls its
// user from within a call of its user's.
#pragma once

#include "datamesh/base/bytes.hpp"
#include "datamesh/base/clock.hpp"
#include "datamesh/base/error.hpp"
#include "network/endpoint.hpp"

#include <functional>

namespace datamesh::network {

/// Each is given out once; later ones are greater.
using socket_id = uint64_t;

class transport_user {
public:
  virtual ~transport_user() = default;
  /// Somebody dialed us. False when he is not wanted: the socket is gone then.
  [[nodiscard]] virtual bool accepted(socket_id socket, const endpoint& from) = 0;
  /// Whom we dialed is there.
  virtual void connected(socket_id socket) = 0;
  /// Bytes came, while they were asked for.
  virtual void received(socket_id socket, byte_view data) = 0;
  /// More can be sent, after `send` had not taken all.
  virtual void writable(socket_id socket) = 0;
  /// Nothing more will come: the other side ended it, or it broke, or it never came to
  /// be. `close` is still due.
  virtual void ended(socket_id socket, const error& reason) = 0;
  /// The time that `wake_at` named has come.
  virtual void tick() = 0;
};

class transport {
public:
  virtual ~transport() = default;

  /// From now on *user* is called, until `stop`.
  virtual void start(transport_user& user) = 0;
  /// Drops all sockets and calls nobody any more. Not on the transport's own thread.
  virtual void stop() = 0;
  /// Calls *what* on the transport's thread; after `stop` it is dropped.
  virtual void post(std::function<void()> what) = 0;

  [[nodiscard]] virtual socket_id dial(const endpoint& to) = 0;
  /// Hands over as much of *data* as is taken now; answers how many bytes that was.
  [[nodiscard]] virtual size_t send(socket_id socket, byte_view data) = 0;
  /// Whether bytes are wanted. A new socket wants none.
  virtual void read(socket_id socket, bool wanted) = 0;
  /// Tells the other side that nothing more is sent.
  virtual void shut(socket_id socket) = 0;
  /// Drops it. Nothing is told of it any more.
  virtual void close(socket_id socket) = 0;
  /// Calls `tick` then, or soon after; a later call takes the place of an earlier one.
  virtual void wake_at(clock::monotonic_time when) = 0;
};

} // namespace datamesh::network
