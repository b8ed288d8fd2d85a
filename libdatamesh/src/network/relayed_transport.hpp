// A transport of which some sockets go through another node, which passes on what is sent over them:
// docs/formats/relay.md. To who uses it they are sockets as all others; only where they lead to tells
// (`endpoint::through`). What is sent over them is cut into pieces, each of which is asked over a link with that node; that is
// the carrier's work.
//
// Thread rule: as `transport`; the carrier is called on its thread, and so are all members here but `post` and `stop`.
#pragma once

#include "network/relay_message.hpp"
#include "network/transport.hpp"

#include <map>
#include <memory>
#include <unordered_map>

namespace datamesh::network {

/// Asks and answers relays. Returns at once, and never calls back from within a call.
class relay_carrier {
public:
  virtual ~relay_carrier() = default;
  /// Asks for a stream there: `dialed` or `failed` follows.
  virtual void dial(socket_id socket, const endpoint& way) = 0;
  /// Asks to pass that on: `sent` or `failed` follows.
  virtual void send(socket_id socket, const peer_id& relay, const relay_piece& what, bytes data) = 0;
  /// Tells it that this end uses the stream no more.
  virtual void end(const peer_id& relay, uint64_t stream) = 0;
  /// What was asked with that token is done, or was refused.
  virtual void done(uint64_t token, std::optional<errc> refused) = 0;
};

class relayed_transport final : public transport, private transport_user {
public:
  explicit relayed_transport(std::unique_ptr<transport> below);
  ~relayed_transport() override;

  /// Without a carrier nothing is reached through others. Null: from now on, again.
  void carry_by(std::shared_ptr<relay_carrier> carrier);

  void start(transport_user& user) override;
  void stop() override;
  void post(std::function<void()> what) override;
  [[nodiscard]] socket_id dial(const endpoint& to) override;
  [[nodiscard]] size_t send(socket_id socket, byte_view data) override;
  void read(socket_id socket, bool wanted) override;
  void shut(socket_id socket) override;
  void close(socket_id socket) override;
  void wake_at(clock::monotonic_time when) override;

  // By the carrier.
  void dialed(socket_id socket, const peer_id& relay, uint64_t stream);
  void sent(socket_id socket);
  void failed(socket_id socket, const error& reason);
  /// A relay says that somebody wants to reach this node. @param way through whom, and who it is
  void offered(uint64_t token, const endpoint& way, uint64_t stream);
  void came(uint64_t token, const peer_id& relay, const relay_piece& what, const bytes& data);
  /// The other end, or the relay, uses it no more.
  void closed(const peer_id& relay, uint64_t stream);
  /// There is no link with the relay any more.
  void gone(const peer_id& relay);

private:
  struct waiting_piece {
    uint64_t token = 0;
    bytes data;
  };
  /// One socket through another node.
  struct passage {
    endpoint way;
    std::optional<uint64_t> stream; ///< None while it is dialed.
    bool reading = false;
    bool starved = false; ///< `writable` is due.
    bool shut = false;    ///< It ends when all that is under way was taken.
    bool over = false;    ///< The user knows that it ended.
    size_t under_way = 0; ///< Pieces.
    uint64_t sent = 0;    ///< Bytes.
    uint64_t received = 0;
    std::map<uint64_t, waiting_piece> waits; ///< By offset, what came and was not read; at most `relay_held_max`.
  };
  using stream_key = std::pair<peer_id, uint64_t>;

  bool accepted(socket_id socket, const endpoint& from) override;
  void connected(socket_id socket) override;
  void received(socket_id socket, byte_view data) override;
  void writable(socket_id socket) override;
  void ended(socket_id socket, const error& reason) override;
  void tick() override;

  [[nodiscard]] passage* find(socket_id socket);
  passage& add(socket_id socket, const endpoint& way);
  void deliver(socket_id socket);
  void leave(passage& of);
  void finish_shut(socket_id socket);
  void end_all(const std::vector<socket_id>& sockets, const error& reason);

  std::unique_ptr<transport> below_;
  std::shared_ptr<relay_carrier> carrier_;
  transport_user* user_ = nullptr;
  std::unordered_map<socket_id, passage> passages_;
  std::map<stream_key, socket_id> streams_;
  socket_id last_;
};

} // namespace datamesh::network
