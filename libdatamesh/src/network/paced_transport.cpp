#include "network/paced_transport.hpp"

#include <algorithm>

namespace datamesh::network {

namespace {

/// Which limits hold is looked up so often: they change with the time of the day.
constexpr auto looked_every = std::chrono::seconds{1};

/// Sixteen turns a second, within reason: who waits among many must not wait for so long that it is given up.
size_t turn_of(uint64_t limit) {
  return std::clamp<uint64_t>(limit / 16, 4 << 10, 64 << 10);
}

} // namespace

paced_transport::paced_transport(std::unique_ptr<transport> below, std::shared_ptr<const clock> time, std::shared_ptr<line_pace> pace)
    : below_(std::move(below)), time_(std::move(time)), pace_(std::move(pace)) {}

paced_transport::~paced_transport() {
  // Below it calls this one until then.
  below_->stop();
}

void paced_transport::start(transport_user& user) {
  user_ = &user;
  below_->start(*this);
}

void paced_transport::stop() {
  below_->stop();
  sockets_.clear();
}

void paced_transport::post(std::function<void()> what) {
  below_->post(std::move(what));
}

socket_id paced_transport::dial(const endpoint& to) {
  auto socket = below_->dial(to);
  sockets_.try_emplace(socket);
  return socket;
}

void paced_transport::shut(socket_id socket) {
  below_->shut(socket);
}

void paced_transport::close(socket_id socket) {
  sockets_.erase(socket);
  below_->close(socket);
}

size_t paced_transport::send(socket_id socket, byte_view data) {
  auto now = time_->monotonic();
  look_at_limits(now);
  auto asked = data.size();
  if (up_.bucket)
    asked = up_.bucket->ready_at() > now ? 0 : std::min(asked, up_.turn);
  auto sent = asked == 0 ? size_t{0} : below_->send(socket, data.first(asked));
  pace_->sent(sent);
  if (up_.bucket && sent > 0)
    up_.bucket->take(sent, now);
  // Where it took less than it was given, it tells by itself when there is room.
  auto at = sockets_.find(socket);
  if (sent == asked && asked < data.size() && at != sockets_.end() && !std::exchange(at->second.starved, true)) {
    up_.waiting.push_back(socket);
    arm();
  }
  return sent;
}

void paced_transport::read(socket_id socket, bool wanted) {
  auto at = sockets_.find(socket);
  if (at == sockets_.end())
    return;
  at->second.reading = wanted;
  if (!at->second.held)
    below_->read(socket, wanted);
}

void paced_transport::wake_at(clock::monotonic_time when) {
  user_wakes_ = when;
  arm();
}

// -- from below ------------------------------------------------------------------------------

bool paced_transport::accepted(socket_id socket, const endpoint& from) {
  sockets_.try_emplace(socket);
  auto wanted = user_->accepted(socket, from);
  if (!wanted)
    sockets_.erase(socket);
  return wanted;
}

void paced_transport::connected(socket_id socket) {
  user_->connected(socket);
}

void paced_transport::received(socket_id socket, byte_view data) {
  auto now = time_->monotonic();
  look_at_limits(now);
  pace_->received(data.size());
  auto at = sockets_.find(socket);
  if (down_.bucket && at != sockets_.end()) {
    down_.bucket->take(data.size(), now);
    if (down_.bucket->ready_at() > now && !std::exchange(at->second.held, true)) {
      below_->read(socket, false);
      down_.waiting.push_back(socket);
      arm();
    }
  }
  user_->received(socket, data);
}

void paced_transport::writable(socket_id socket) {
  user_->writable(socket);
}

void paced_transport::ended(socket_id socket, const error& reason) {
  user_->ended(socket, reason);
}

void paced_transport::tick() {
  auto now = time_->monotonic();
  look_at_limits(now);
  give_turns(now);
  if (user_wakes_ && *user_wakes_ <= now) {
    user_wakes_.reset();
    user_->tick();
  }
  arm();
}

// -- turns -------------------------------------------------------------------------------------

void paced_transport::look_at_limits(clock::monotonic_time now) {
  auto version = pace_->version();
  if (looked_once_ && version == version_ && now - looked_ < looked_every)
    return;
  looked_once_ = true;
  version_ = version;
  looked_ = now;
  auto limits = pace_->limits(time_->wall());
  set_limit(up_, limits.up);
  set_limit(down_, limits.down);
}

void paced_transport::set_limit(direction& of, uint64_t limit) {
  if (of.limit == limit)
    return;
  of.limit = limit;
  of.turn = turn_of(limit);
  of.next = {};
  of.bucket.reset();
  if (limit > 0)
    of.bucket.emplace(rate{limit, std::max<uint64_t>(limit / 4, of.turn)});
}

std::optional<socket_id> paced_transport::take_next(direction& of, bool waits::*which) {
  while (!of.waiting.empty()) {
    auto socket = of.waiting.front();
    of.waiting.pop_front();
    if (auto at = sockets_.find(socket); at != sockets_.end() && std::exchange(at->second.*which, false))
      return socket;
  }
  return std::nullopt;
}

void paced_transport::give_turns(clock::monotonic_time now) {
  while (!up_.bucket || up_.bucket->ready_at() <= now) {
    auto socket = take_next(up_, &waits::starved);
    if (!socket)
      break;
    user_->writable(*socket);
  }
  // What one of them reads is known when it comes: the next has its turn when it may have been this much.
  while (!down_.bucket || (down_.bucket->ready_at() <= now && down_.next <= now)) {
    auto socket = take_next(down_, &waits::held);
    if (!socket)
      break;
    if (!sockets_[*socket].reading)
      continue;
    below_->read(*socket, true);
    if (down_.bucket)
      down_.next = now + std::chrono::nanoseconds{down_.turn * 1'000'000'000 / down_.limit};
  }
}

void paced_transport::arm() {
  auto next = user_wakes_;
  auto add = [&](const direction& of) {
    if (of.waiting.empty())
      return;
    auto at = of.bucket ? std::max(of.bucket->ready_at(), of.next) : time_->monotonic();
    next = next ? std::min(*next, at) : at;
  };
  add(up_);
  add(down_);
  if (next)
    below_->wake_at(*next);
}

} // namespace datamesh::network
