#include "control/server.hpp"

#include "control/convert.hpp"
#include "control/session.hpp"

#include <list>

#include <algorithm>

#include <fmt/format.h>

namespace datamesh::control {

namespace {

/// A client that stops amid a frame, or takes nothing, is dropped after this.
constexpr auto frame_deadline = std::chrono::seconds{30};
constexpr auto glance = std::chrono::seconds{1};
/// Jobs of a session are numbered from a range of their own.
constexpr uint64_t jobs_per_session = uint64_t{1} << 32;

} // namespace

struct server::shared {
  struct served {
    std::shared_ptr<session> what;
    std::thread thread;
    std::shared_ptr<std::atomic<bool>> ended = std::make_shared<std::atomic<bool>>(false);
  };

  shared(node& n, server_options o, local_listener l, wake_up b)
      : of(n), options(std::move(o)), listener(std::move(l)), bell(std::move(b)) {}

  node& of;
  server_options options;
  std::optional<local_listener> listener;
  wake_up bell;
  std::atomic<bool> stopping = false;
  mutable std::mutex mutex;
  std::condition_variable changed;
  std::list<served> sessions;
  uint64_t next_session = 1;

  void join_ended() {
    std::list<served> over;
    {
      std::lock_guard guard{mutex};
      for (auto i = sessions.begin(); i != sessions.end();) {
        auto now = i++;
        if (*now->ended)
          over.splice(over.end(), sessions, now);
      }
    }
    for (auto& one : over)
      one.thread.join();
  }

  /// Says why before the program has asked anything: so little, a new socket takes at once.
  static void refuse(local_socket socket, std::string attempted) {
    v1::ControlReply why;
    write(*why.mutable_failure(), error{errc::unavailable, std::move(attempted)});
    (void) link{std::move(socket), side::daemon}.send(frame_type::reply, &why);
  }

  void take(local_socket socket) {
    auto peer = socket.peer_uid();
    auto ring = wake_up::make();
    if (!peer || !ring || !socket.set_deadline(frame_deadline))
      return;
    std::lock_guard guard{mutex};
    auto of_peer = static_cast<size_t>(
        std::count_if(sessions.begin(), sessions.end(), [&](const served& one) { return one.what->peer() == *peer && !*one.ended; }));
    if (stopping)
      return;
    if (of_peer >= options.connections_per_uid)
      return refuse(std::move(socket), fmt::format("serve more than {} programs of user {} at once", options.connections_per_uid, *peer));
    if (sessions.size() >= options.connections_max)
      return refuse(std::move(socket), fmt::format("serve more than {} programs at once", options.connections_max));
    auto& one = sessions.emplace_back();
    one.what = std::make_shared<session>(of, options, std::move(socket), std::move(*ring), *peer, next_session++ * jobs_per_session);
    one.thread = std::thread{[this, what = one.what, ended = one.ended] {
      what->run();
      std::lock_guard done{mutex};
      *ended = true;
      changed.notify_all();
    }};
  }
};

server::server(std::unique_ptr<shared> state) : state_(std::move(state)) {}

server::~server() {
  stop(std::chrono::milliseconds{0});
}

result<std::unique_ptr<server>> server::listen(node& of, server_options options) {
  auto bell = wake_up::make();
  if (!bell)
    return fail(bell.error());
  auto listener = local_listener::listen(options.socket, options.mode, options.group);
  if (!listener)
    return fail(listener.error());
  return std::unique_ptr<server>{new server{std::make_unique<shared>(of, std::move(options), std::move(*listener), std::move(*bell))}};
}

void server::run() {
  while (!state_->stopping) {
    auto why = state_->listener->wait(state_->bell, glance);
    if (!why)
      break;
    state_->join_ended();
    if (*why == waited::readable)
      if (auto socket = state_->listener->accept())
        state_->take(std::move(*socket));
  }
}

void server::stop(std::chrono::milliseconds grace) {
  auto& state = *state_;
  state.stopping = true;
  state.bell.ring();
  {
    std::unique_lock lock{state.mutex};
    for (auto& one : state.sessions)
      one.what->stop(false);
    auto all_ended = [&] {
      return std::all_of(state.sessions.begin(), state.sessions.end(), [](const auto& one) { return one.ended->load(); });
    };
    state.changed.wait_for(lock, grace, all_ended);
    for (auto& one : state.sessions)
      one.what->stop(true);
    state.changed.wait(lock, all_ended);
  }
  state.join_ended();
}

void server::publish(const event& what) {
  auto number = what.job / jobs_per_session;
  if (number == 0)
    return;
  std::lock_guard guard{state_->mutex};
  for (auto& one : state_->sessions)
    one.what->publish(what);
}

size_t server::connections() const {
  std::lock_guard guard{state_->mutex};
  return state_->sessions.size();
}

} // namespace datamesh::control
