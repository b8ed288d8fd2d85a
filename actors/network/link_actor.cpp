#include "network/link_actor.hpp"

#include "storage/kept_promise.hpp"

#include <algorithm>
#include <map>
#include <unordered_map>

namespace datamesh::network {

namespace {

using storage::kept_promise;

constexpr auto longest_wait = std::chrono::milliseconds{std::chrono::hours{1}};

/// With what only the thread of the sockets may send it.
using link_core =
    link_actor::extend<caf::reacts_to<v1::ConnectOutcome>, caf::reacts_to<v1::AskOutcome, bytes>,
                       caf::reacts_to<v1::TokenFailed, caf::error>, caf::reacts_to<v1::ArrivedRequest, bytes>, caf::reacts_to<v1::LinkUp>,
                       caf::reacts_to<v1::LinkDown>, caf::reacts_to<v1::LinkRefused>, caf::reacts_to<v1::LinksClosed>>;

v1::LinkFacts to_proto(const link_facts& from) {
  v1::LinkFacts to;
  to.set_link(from.link);
  to.set_peer(std::string{from.peer.text()});
  *to.mutable_address() = network::to_proto(from.address);
  to.set_dialed(from.side == link_side::dialer);
  return to;
}

/// For people. A refusal is told by itself: what a code of errors says of it in general would mislead.
std::string text_of(const error& reason) {
  return reason.code() == errc::peer_refused && !reason.object().empty() ? reason.object() : reason.message();
}

result<peer_id> peer_from(const std::string& raw, const char* attempted) {
  if (raw.size() != peer_id::size)
    return fail(errc::invalid_argument, attempted, "a node's id has 32 bytes");
  return peer_id::from(as_view(raw));
}

/// The hub, and what it tells, on the thread of the transport. All but `post` and the
/// life of it belongs there.
class socket_side final : public hub_owner {
public:
  socket_side(const link_parts& parts, link_core actor)
      : wire_(parts.wire), time_(parts.time), identity_(parts.identity), actor_(std::move(actor)),
        hub(*identity_, parts.options, *wire_, *time_, *this) {
    wire_->start(hub);
  }
  ~socket_side() override {
    wire_->stop();
  }
  socket_side(const socket_side&) = delete;
  socket_side& operator=(const socket_side&) = delete;

  /// From any thread: calls *what* with the hub, on its own.
  template <class F>
  void post(F what) {
    wire_->post([this, what = std::move(what)]() mutable { what(*this); });
  }
  [[nodiscard]] link_time after(std::chrono::milliseconds span) const {
    return time_->monotonic() + span;
  }

  void on_link_up(const link_facts& what, size_t links) override {
    v1::LinkUp message;
    *message.mutable_link() = to_proto(what);
    message.set_links(static_cast<uint32_t>(links));
    caf::anon_send(actor_, std::move(message));
  }
  void on_link_down(const link_facts& what, size_t links, const error& reason) override {
    v1::LinkDown message;
    *message.mutable_link() = to_proto(what);
    message.set_links(static_cast<uint32_t>(links));
    message.set_code(static_cast<uint32_t>(reason.code()));
    message.set_reason(text_of(reason));
    caf::anon_send(actor_, std::move(message));
  }
  void on_refused(const link_facts& what, const error& reason) override {
    v1::LinkRefused message;
    *message.mutable_link() = to_proto(what);
    message.set_code(static_cast<uint32_t>(reason.code()));
    message.set_reason(text_of(reason));
    caf::anon_send(actor_, std::move(message));
  }
  void on_connected(uint64_t token, const result<peer_id>& outcome) override {
    if (!outcome)
      return failed(token, outcome.error());
    v1::ConnectOutcome message;
    message.set_token(token);
    message.set_peer(std::string{outcome->text()});
    caf::anon_send(actor_, std::move(message));
  }
  void on_answer(uint64_t token, std::optional<error> failure, std::string text, bytes body) override {
    if (failure)
      return failed(token, *failure);
    v1::AskOutcome message;
    message.set_token(token);
    message.set_message(std::move(text));
    caf::anon_send(actor_, std::move(message), std::move(body));
  }
  void on_request(const request_key& key, const peer_id& from, link_time deadline, std::string text, bytes body) override {
    auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - time_->monotonic());
    v1::ArrivedRequest message;
    message.set_link(key.link);
    message.set_id(key.id);
    message.mutable_request()->set_peer(std::string{from.text()});
    message.mutable_request()->set_timeout_ms(static_cast<uint32_t>(std::clamp(left, std::chrono::milliseconds{1}, longest_wait).count()));
    message.mutable_request()->set_message(std::move(text));
    caf::anon_send(actor_, std::move(message), std::move(body));
  }
  // Who works on it finds out by its deadline.
  void on_cancelled(const request_key&) override {}
  void on_closed() override {
    caf::anon_send(actor_, v1::LinksClosed{});
  }

private:
  void failed(uint64_t token, const error& reason) {
    v1::TokenFailed message;
    message.set_token(token);
    caf::anon_send(actor_, std::move(message), to_caf(reason));
  }

  std::shared_ptr<transport> wire_;
  std::shared_ptr<const clock> time_;
  std::shared_ptr<const tls_identity> identity_;
  link_core actor_;

public:
  link_hub hub;
};

using connect_promise = kept_promise<v1::PeerConnected>;
using ask_promise = kept_promise<v1::PeerAnswer, bytes>;
using close_promise = kept_promise<v1::Done>;

struct link_state {
  static inline constexpr const char* name = "links";
  uint64_t last_token = 0;
  peer_handler_actor handler;
  link_watch_actor watch;
  std::shared_ptr<linked_peers> linked;
  std::unordered_map<uint64_t, connect_promise> connecting;
  std::unordered_map<uint64_t, ask_promise> asking;
  std::vector<close_promise> closing;
  std::map<uint64_t, v1::LinkFacts> links;
  /// Ends first: nothing comes from there any more.
  std::unique_ptr<socket_side> sockets;
};

using link_pointer = link_core::stateful_pointer<link_state>;

template <class Promise>
std::optional<Promise> take(std::unordered_map<uint64_t, Promise>& from, uint64_t token) {
  auto found = from.extract(token);
  return found.empty() ? std::nullopt : std::optional{std::move(found.mapped())};
}

caf::result<v1::PeerConnected> connect(link_pointer self, const v1::ConnectPeer& request) {
  constexpr auto attempted = "reach a node";
  auto to = from_proto(request.address());
  if (!to)
    return to_caf(to.error());
  std::optional<peer_id> expected;
  if (!request.expected().empty()) {
    auto peer = peer_from(request.expected(), attempted);
    if (!peer)
      return to_caf(peer.error());
    expected = *peer;
  }
  auto promise = self->make_response_promise<connect_promise::promise_type>();
  auto token = ++self->state.last_token;
  self->state.connecting.emplace(token, connect_promise{promise, attempted});
  self->state.sockets->post(
      [token, at = *to, expected, there = request.there()](socket_side& on) { on.hub.connect(token, at, expected, there); });
  return promise;
}

caf::result<v1::PeerAnswer, bytes> ask(link_pointer self, const v1::AskPeer& request, const bytes& body) {
  constexpr auto attempted = "ask another node";
  auto peer = peer_from(request.peer(), attempted);
  if (!peer)
    return to_caf(peer.error());
  auto promise = self->make_response_promise<ask_promise::promise_type>();
  auto token = ++self->state.last_token;
  self->state.asking.emplace(token, ask_promise{promise, attempted});
  auto wait = std::min(std::chrono::milliseconds{request.timeout_ms()}, longest_wait);
  request_terms terms{request.answer_max(), work_kind_of(request.work())};
  self->state.sockets->post([token, whom = *peer, message = request.message(), body, wait, terms](socket_side& on) mutable {
    on.hub.ask(token, whom, std::move(message), std::move(body), on.after(wait), terms);
  });
  return promise;
}

// An answer is due whatever becomes of the handler: CAF tells of one that is gone or late.
void serve(link_pointer self, const v1::ArrivedRequest& arrived, const bytes& body) {
  auto& state = self->state;
  request_key key{arrived.link(), arrived.id()};
  if (!state.handler)
    return state.sockets->post([key](socket_side& on) { on.hub.answer(key, errc::unavailable); });
  const auto& request = arrived.request();
  self->request(state.handler, std::chrono::milliseconds{request.timeout_ms()}, request, body)
      .then(
          [self, key](v1::PeerAnswer& answer, bytes& data) {
            self->state.sockets->post([key, message = std::move(*answer.mutable_message()), data = std::move(data)](
                                          socket_side& on) mutable { on.hub.answer(key, std::move(message), std::move(data)); });
          },
          [self, key](caf::error& reason) {
            self->state.sockets->post([key, code = from_caf(reason).code()](socket_side& on) { on.hub.answer(key, code); });
          });
}

/// Of a link that is up or down now.
template <class Change>
void note(const link_state& state, const Change& what) {
  if (state.linked)
    state.linked->note(peer_id::from(as_view(what.link().peer())), what.links());
}

v1::LinkList list(const link_state& state) {
  v1::LinkList all;
  for (const auto& [number, facts] : state.links)
    *all.add_links() = facts;
  return all;
}

link_core::behavior_type links(link_pointer self, const link_parts& parts) {
  self->state.handler = parts.handler;
  self->state.watch = parts.watch;
  self->state.linked = parts.linked;
  self->state.sockets = std::make_unique<socket_side>(parts, caf::actor_cast<link_core>(self));
  return {
      [=](const v1::ConnectPeer& request) { return connect(self, request); },
      [=](const v1::AskPeer& request, const bytes& body) { return ask(self, request, body); },
      [=](const v1::DropPeer& request) -> caf::result<v1::Done> {
        auto peer = peer_from(request.peer(), "close a link");
        if (!peer)
          return to_caf(peer.error());
        self->state.sockets->post([whom = *peer, code = static_cast<errc>(request.code())](socket_side& on) { on.hub.drop(whom, code); });
        return v1::Done{};
      },
      [=](const v1::CheckPeers&) { self->state.sockets->post([](socket_side& on) { on.hub.check_gate(); }); },
      [=](const v1::ListLinks&) { return list(self->state); },
      [=](caf::close_atom) -> caf::result<v1::Done> {
        auto promise = self->make_response_promise<close_promise::promise_type>();
        self->state.closing.emplace_back(promise, "close the links");
        self->state.sockets->post([](socket_side& on) { on.hub.close(); });
        return promise;
      },
      [=](const v1::ConnectOutcome& outcome) {
        if (auto promise = take(self->state.connecting, outcome.token())) {
          v1::PeerConnected answer;
          answer.set_peer(outcome.peer());
          promise->deliver(std::move(answer));
        }
      },
      [=](v1::AskOutcome& outcome, bytes& body) {
        if (auto promise = take(self->state.asking, outcome.token())) {
          v1::PeerAnswer answer;
          answer.set_message(std::move(*outcome.mutable_message()));
          promise->deliver(std::move(answer), std::move(body));
        }
      },
      [=](const v1::TokenFailed& which, const caf::error& reason) {
        if (auto ask_waits = take(self->state.asking, which.token()))
          ask_waits->deliver(reason);
        else if (auto connect_waits = take(self->state.connecting, which.token()))
          connect_waits->deliver(reason);
      },
      [=](const v1::ArrivedRequest& arrived, const bytes& body) { serve(self, arrived, body); },
      [=](const v1::LinkUp& up) {
        self->state.links[up.link().link()] = up.link();
        if (self->state.linked && !up.link().address().relay().empty())
          self->state.linked->note_relayed(up.link().link(), peer_id::from(as_view(up.link().peer())));
        note(self->state, up);
        if (self->state.watch)
          self->send(self->state.watch, up);
      },
      [=](const v1::LinkDown& down) {
        self->state.links.erase(down.link().link());
        if (self->state.linked)
          self->state.linked->note_ended(down.link().link());
        note(self->state, down);
        if (self->state.watch)
          self->send(self->state.watch, down);
      },
      [=](const v1::LinkRefused& refused) {
        if (self->state.watch)
          self->send(self->state.watch, refused);
      },
      [=](const v1::LinksClosed&) {
        for (auto& promise : self->state.closing)
          promise.deliver(v1::Done{});
        self->quit();
      },
  };
}

} // namespace

v1::PeerAddress to_proto(const endpoint& from) {
  v1::PeerAddress to;
  to.set_address(std::string{as_text(from.ip.view())});
  to.set_port(from.port);
  to.set_scope(from.scope);
  if (from.through) {
    to.set_relay(std::string{from.through->relay.text()});
    to.set_to(std::string{from.through->to.text()});
  }
  return to;
}

result<endpoint> from_proto(const v1::PeerAddress& from) {
  auto ip = ip_from(as_view(from.address()));
  if (!ip || from.port() == 0 || from.port() > UINT16_MAX)
    return fail(errc::invalid_argument, "read a node's address");
  endpoint to{*ip, static_cast<uint16_t>(from.port()), from.scope()};
  if (from.relay().empty() && from.to().empty())
    return to;
  auto relay = peer_from(from.relay(), "read a node's address");
  auto meant = peer_from(from.to(), "read a node's address");
  if (!relay || !meant)
    return fail(errc::invalid_argument, "read a node's address", "who passes on to whom");
  to.through = relay_way{*relay, *meant};
  return to;
}

link_actor spawn_link_actor(caf::actor_system& sys, const link_parts& parts) {
  return sys.spawn(links, parts);
}

} // namespace datamesh::network
