#include "network/relayed_transport.hpp"

#include <algorithm>

namespace datamesh::network {

namespace {

constexpr auto attempted = "reach a node through another one";
/// Numbers of sockets through others begin here; of others there are never so many.
constexpr socket_id first_passage = socket_id{1} << 63;

} // namespace

relayed_transport::relayed_transport(std::unique_ptr<transport> below) : below_(std::move(below)), last_(first_passage) {}

relayed_transport::~relayed_transport() {
  // Below it calls this one until then.
  below_->stop();
}

void relayed_transport::carry_by(std::shared_ptr<relay_carrier> carrier) {
  carrier_ = std::move(carrier);
}

void relayed_transport::start(transport_user& user) {
  user_ = &user;
  below_->start(*this);
}

void relayed_transport::stop() {
  below_->stop();
  passages_.clear();
  streams_.clear();
}

void relayed_transport::post(std::function<void()> what) {
  below_->post(std::move(what));
}

void relayed_transport::wake_at(clock::monotonic_time when) {
  below_->wake_at(when);
}

relayed_transport::passage* relayed_transport::find(socket_id socket) {
  auto at = passages_.find(socket);
  return at == passages_.end() ? nullptr : &at->second;
}

relayed_transport::passage& relayed_transport::add(socket_id socket, const endpoint& way) {
  auto& made = passages_[socket];
  made.way = way;
  return made;
}

// -- by the user -------------------------------------------------------------------------

socket_id relayed_transport::dial(const endpoint& to) {
  if (!to.through)
    return below_->dial(to);
  auto socket = ++last_;
  add(socket, to);
  if (carrier_)
    carrier_->dial(socket, to);
  else
    post([this, socket] { failed(socket, error{errc::unavailable, attempted, "this node asks no others to pass on"}); });
  return socket;
}

size_t relayed_transport::send(socket_id socket, byte_view data) {
  if (socket < first_passage)
    return below_->send(socket, data);
  auto* at = find(socket);
  if (at == nullptr || at->over || at->shut || !carrier_)
    return 0;
  size_t taken = 0;
  while (taken < data.size() && at->stream && at->under_way < relay_window) {
    auto piece = data.subspan(taken, std::min(relay_piece_max, data.size() - taken));
    carrier_->send(socket, at->way.through->relay, {*at->stream, at->sent, false}, bytes::copy_of(piece));
    ++at->under_way;
    at->sent += piece.size();
    taken += piece.size();
  }
  at->starved = taken < data.size();
  return taken;
}

void relayed_transport::read(socket_id socket, bool wanted) {
  if (socket < first_passage)
    return below_->read(socket, wanted);
  auto* at = find(socket);
  if (at == nullptr)
    return;
  at->reading = wanted;
  if (wanted && !at->waits.empty())
    post([this, socket] { deliver(socket); });
}

void relayed_transport::shut(socket_id socket) {
  if (socket < first_passage)
    return below_->shut(socket);
  if (auto* at = find(socket); at != nullptr && !at->over) {
    at->shut = true;
    post([this, socket] { finish_shut(socket); });
  }
}

/// Behind all that was sent: then the stream ends, both ways.
void relayed_transport::finish_shut(socket_id socket) {
  auto* at = find(socket);
  if (at != nullptr && at->shut && !at->over && at->under_way == 0)
    end_all({socket}, error{errc::unavailable, attempted, "this node closed it"});
}

void relayed_transport::close(socket_id socket) {
  if (socket < first_passage)
    return below_->close(socket);
  if (auto* at = find(socket)) {
    leave(*at);
    passages_.erase(socket);
  }
}

/// The relay hears it, and gets the answers that are due.
void relayed_transport::leave(passage& of) {
  if (of.stream && carrier_) {
    streams_.erase({of.way.through->relay, *of.stream});
    for (const auto& [offset, piece] : of.waits)
      carrier_->done(piece.token, errc::unavailable);
    carrier_->end(of.way.through->relay, *of.stream);
  }
  of.waits.clear();
  of.stream.reset();
}

// -- by the carrier ------------------------------------------------------------------------

void relayed_transport::dialed(socket_id socket, const peer_id& relay, uint64_t stream) {
  auto* at = find(socket);
  if (at == nullptr || at->over || !streams_.try_emplace({relay, stream}, socket).second)
    return carrier_ ? carrier_->end(relay, stream) : void();
  at->stream = stream;
  user_->connected(socket);
}

void relayed_transport::sent(socket_id socket) {
  auto* at = find(socket);
  if (at == nullptr)
    return;
  at->under_way -= std::min<size_t>(at->under_way, 1);
  if (at->shut)
    return finish_shut(socket);
  if (!at->over && std::exchange(at->starved, false))
    user_->writable(socket);
}

void relayed_transport::failed(socket_id socket, const error& reason) {
  end_all({socket}, reason);
}

void relayed_transport::offered(uint64_t token, const endpoint& way, uint64_t stream) {
  if (!carrier_)
    return;
  auto [known, is_new] = streams_.try_emplace({way.through->relay, stream}, last_ + 1);
  // Asked again over another link.
  if (!is_new)
    return carrier_->done(token, std::nullopt);
  auto socket = ++last_;
  add(socket, way).stream = stream;
  if (user_->accepted(socket, way))
    return carrier_->done(token, std::nullopt);
  streams_.erase({way.through->relay, stream});
  passages_.erase(socket);
  carrier_->done(token, errc::capacity_exceeded);
}

void relayed_transport::came(uint64_t token, const peer_id& relay, const relay_piece& what, const bytes& data) {
  auto which = streams_.find({relay, what.stream});
  if (which == streams_.end() || !carrier_)
    return carrier_ ? carrier_->done(token, errc::not_found) : void();
  auto socket = which->second;
  auto& to = *find(socket);
  // Asked again over another link.
  if (what.offset < to.received || to.waits.contains(what.offset))
    return carrier_->done(token, std::nullopt);
  // What is small overtakes what is large, and no more than a window is under way.
  if (to.waits.size() >= relay_held_max || what.offset - to.received > relay_held_max * relay_piece_max) {
    carrier_->done(token, errc::protocol_violated);
    return end_all({socket}, error{errc::protocol_violated, attempted, "more came than is due"});
  }
  to.waits.emplace(what.offset, waiting_piece{token, data});
  deliver(socket);
}

/// The user may stop reading, or close, whenever it was given something.
void relayed_transport::deliver(socket_id socket) {
  for (auto* at = find(socket); at != nullptr && at->reading && !at->over; at = find(socket)) {
    auto next = at->waits.find(at->received);
    if (next == at->waits.end())
      return;
    auto piece = std::move(next->second);
    at->waits.erase(next);
    at->received += piece.data.size();
    carrier_->done(piece.token, std::nullopt);
    user_->received(socket, piece.data);
  }
}

void relayed_transport::closed(const peer_id& relay, uint64_t stream) {
  if (auto which = streams_.find({relay, stream}); which != streams_.end())
    end_all({which->second}, error{errc::unavailable, attempted, "the other side closed it"});
}

void relayed_transport::gone(const peer_id& relay) {
  std::vector<socket_id> all;
  for (const auto& [key, socket] : streams_)
    if (key.first == relay)
      all.push_back(socket);
  end_all(all, error{errc::unavailable, attempted, "there is no link with the node that passes on"});
}

void relayed_transport::end_all(const std::vector<socket_id>& sockets, const error& reason) {
  for (auto socket : sockets)
    if (auto* at = find(socket); at != nullptr && !std::exchange(at->over, true)) {
      leave(*at);
      user_->ended(socket, reason);
    }
}

// -- from below --------------------------------------------------------------------------------

bool relayed_transport::accepted(socket_id socket, const endpoint& from) {
  return user_->accepted(socket, from);
}

void relayed_transport::connected(socket_id socket) {
  user_->connected(socket);
}

void relayed_transport::received(socket_id socket, byte_view data) {
  user_->received(socket, data);
}

void relayed_transport::writable(socket_id socket) {
  user_->writable(socket);
}

void relayed_transport::ended(socket_id socket, const error& reason) {
  user_->ended(socket, reason);
}

void relayed_transport::tick() {
  user_->tick();
}

} // namespace datamesh::network
