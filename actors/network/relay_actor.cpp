#include "network/relay_actor.hpp"

#include "network/peer_part.hpp"
#include "storage/kept_promise.hpp"

#include <algorithm>
#include <deque>
#include <unordered_map>

namespace datamesh::network {

namespace {

using std::chrono::milliseconds;
using storage::kept_promise;
using time_point = clock::monotonic_time;

constexpr auto attempted = "pass on to another node";
constexpr auto grace = std::chrono::seconds{1};
/// How long a node may take to say whether it takes a stream, or what else takes no time.
constexpr auto word_time_max = std::chrono::seconds{4};

using relay_core =
    relay_actor::extend<caf::reacts_to<v1::RelaySocketDial>, caf::reacts_to<v1::RelaySocketSend, bytes>, caf::reacts_to<v1::RelaySocketEnd>,
                        caf::reacts_to<v1::RelaySocketDone>, caf::reacts_to<v1::RelayWake>>;
using answer_promise = kept_promise<v1::PeerAnswer, bytes>;

peer_id peer_from(const std::string& raw) {
  return peer_id::from(as_view(raw));
}

std::string text_of(const peer_id& peer) {
  return std::string{peer.text()};
}

/// Tells the actor what the sockets want, from their thread.
class carrier final : public relay_carrier {
public:
  explicit carrier(relay_core to) : to_(std::move(to)) {}

  void dial(socket_id socket, const endpoint& way) override {
    v1::RelaySocketDial message;
    message.set_socket(socket);
    *message.mutable_way() = to_proto(way);
    caf::anon_send(to_, std::move(message));
  }
  void send(socket_id socket, const peer_id& relay, const relay_piece& what, bytes data) override {
    v1::RelaySocketSend message;
    message.set_socket(socket);
    message.set_relay(text_of(relay));
    message.set_stream(what.stream);
    message.set_offset(what.offset);
    caf::anon_send(to_, std::move(message), std::move(data));
  }
  void end(const peer_id& relay, uint64_t stream) override {
    v1::RelaySocketEnd message;
    message.set_relay(text_of(relay));
    message.set_stream(stream);
    caf::anon_send(to_, std::move(message));
  }
  void done(uint64_t token, std::optional<errc> refused) override {
    v1::RelaySocketDone message;
    message.set_token(token);
    message.set_code(static_cast<uint32_t>(refused.value_or(errc{})));
    caf::anon_send(to_, std::move(message));
  }

private:
  relay_core to_;
};

/// A node that this one dialed, and may ask to pass on.
struct candidate {
  endpoint at;
  bool serves = false;
  bool asked = false;    ///< And has not answered yet.
  time_point again{};    ///< Not asked before.
  time_point asked_at{}; ///< Of one that serves.
};

/// A piece that waits for its turn.
struct waiting_piece {
  relay_table::passing way;
  peer_id from;
  relay_piece what;
  bytes data;
  time_point ends;
  answer_promise promise;
};

struct relay_state;
using relay_pointer = relay_core::stateful_pointer<relay_state>;

/// What the actor does, on its thread.
class relayer {
public:
  relayer(relay_pointer self, const relay_parts& parts) : self_(self), parts_(parts), dialed_(parts.dialed) {
    if (parts.bytes_per_second > 0)
      table_.emplace(relay_limits{parts.bytes_per_second});
  }

  void begin();
  void wake();
  /// That of a piece has come.
  void turn();
  [[nodiscard]] caf::result<v1::PeerAnswer, bytes> serve(const v1::PeerRequest& request, const bytes& body);
  void up(const v1::LinkFacts& link);
  void down(const v1::LinkDown& what);
  void told(bool is_dialed);

  void dial(socket_id socket, const endpoint& way);
  void send(const v1::RelaySocketSend& what, const bytes& data);
  void end(const peer_id& relay, uint64_t stream);
  void done(const v1::RelaySocketDone& what);

private:
  using answered = std::function<void(uint64_t stream)>;
  using refused = std::function<void(const error& reason)>;

  [[nodiscard]] time_point now() const {
    return parts_.time->monotonic();
  }
  static void answer(answer_promise to, uint64_t stream = 0) {
    v1::PeerAnswer message;
    message.set_message(encode_relay_answer(stream));
    to.deliver(std::move(message), bytes{});
  }
  void ask(const peer_id& whom, const relay_request& what, const bytes& body, milliseconds within, answered good, refused bad);
  /// Nobody waits for what comes of it.
  void say(const peer_id& whom, const relay_request& what);
  template <class F>
  void post(F what) {
    parts_.wire->post([wire = parts_.wire.get(), what = std::move(what)]() mutable { what(*wire); });
  }

  // As the one that passes on.
  [[nodiscard]] std::optional<error> may_relay(const peer_id& peer) const;
  void reserve(const peer_id& from, answer_promise to);
  void open(const peer_id& from, const relay_open& what, answer_promise to);
  void pass(const peer_id& from, const relay_piece& what, const bytes& data, milliseconds within, answer_promise to);
  void pass_due();
  void pass_now(waiting_piece piece);
  void over(const relay_table::ended& what);
  void tell();

  // As an end of streams.
  void offered(const peer_id& relay, const relay_offer& what, answer_promise to);
  void came(const peer_id& relay, const relay_piece& what, const bytes& data, answer_promise to);
  void open_at(socket_id socket, const endpoint& way);
  void fail_socket(socket_id socket, const error& reason);

  // As one that nobody can dial.
  void look_for_relays();
  void ask_for_relay(const peer_id& relay);
  void ask_linked(const peer_id& relay);
  void not_served(const peer_id& relay, milliseconds again_in);
  void tell_relays();

  relay_pointer self_;
  relay_parts parts_;
  bool dialed_;
  std::optional<relay_table> table_;
  std::deque<waiting_piece> waiting_; ///< By when they are due.
  bool pass_awaited_ = false;
  std::unordered_map<uint64_t, answer_promise> promises_; ///< That the sockets have to keep.
  uint64_t last_token_ = 0;
  std::map<peer_id, candidate> candidates_;
  std::vector<endpoint> relays_;
  std::optional<relay_report> told_;
};

struct relay_state {
  static inline constexpr const char* name = "relay";
  std::unique_ptr<relayer> does;
};

// -- asking --------------------------------------------------------------------------------

void relayer::ask(const peer_id& whom, const relay_request& what, const bytes& body, milliseconds within, answered good, refused bad) {
  v1::AskPeer request;
  request.set_peer(text_of(whom));
  request.set_timeout_ms(static_cast<uint32_t>(within.count()));
  request.set_message(message_to(peer_part::relay, encode(what)));
  self_->request(parts_.links, within + grace, std::move(request), body)
      .then(
          [good = std::move(good), bad](const v1::PeerAnswer& answer, const bytes&) {
            if (auto stream = decode_relay_answer(as_view(answer.message())))
              good(*stream);
            else
              bad(stream.error());
          },
          [bad](const caf::error& reason) { bad(from_caf(reason)); });
}

void relayer::say(const peer_id& whom, const relay_request& what) {
  ask(
      whom, what, {}, word_time_max, [](uint64_t) {}, [](const error&) {});
}

caf::result<v1::PeerAnswer, bytes> relayer::serve(const v1::PeerRequest& request, const bytes& body) {
  if (request.peer().size() != peer_id::size)
    return to_caf(error{errc::invalid_argument, attempted, "a node's id has 32 bytes"});
  auto what = decode_relay_request(as_view(request.message()), body.size());
  if (!what)
    return to_caf(what.error());
  auto from = peer_from(request.peer());
  auto due = self_->make_response_promise<answer_promise::promise_type>();
  answer_promise held{due, attempted};
  if (std::holds_alternative<relay_reserve>(*what)) {
    reserve(from, held);
  } else if (const auto* opens = std::get_if<relay_open>(&*what)) {
    open(from, *opens, held);
  } else if (const auto* offers = std::get_if<relay_offer>(&*what)) {
    offered(from, *offers, held);
  } else if (const auto* piece = std::get_if<relay_piece>(&*what)) {
    if (piece->by_relay)
      came(from, *piece, body, held);
    else
      pass(from, *piece, body, milliseconds{request.timeout_ms()}, held);
  } else {
    const auto& ends = std::get<relay_end>(*what);
    if (ends.by_relay)
      post([from, ends](relayed_transport& on) { on.closed(from, ends.stream); });
    else if (auto ended = table_ ? table_->end(ends.stream, from) : std::nullopt)
      over(*ended);
    answer(held);
  }
  return due;
}

// -- passing on ------------------------------------------------------------------------------

/// What goes through another node itself is not passed on.
std::optional<error> relayer::may_relay(const peer_id& peer) const {
  if (!table_)
    return error{errc::unavailable, attempted, "this node passes on nothing"};
  if (!parts_.linked->is_direct(peer))
    return error{errc::unavailable, attempted, "there is no link with it, or one through another node"};
  return std::nullopt;
}

void relayer::reserve(const peer_id& from, answer_promise to) {
  if (auto why = may_relay(from))
    return to.deliver(to_caf(*why));
  if (auto reserved = table_->reserve(from); !reserved)
    return to.deliver(to_caf(reserved.error()));
  answer(to);
  tell();
}

void relayer::open(const peer_id& from, const relay_open& what, answer_promise to) {
  for (const auto& peer : {from, what.to})
    if (auto why = may_relay(peer))
      return to.deliver(to_caf(*why));
  auto opening = table_->open(from, what, now());
  if (!opening)
    return to.deliver(to_caf(opening.error()));
  tell();
  auto stream = opening->stream;
  ask(
      what.to, relay_offer{from, stream}, {}, word_time_max,
      [this, stream, to](uint64_t) {
        table_->opened(stream);
        answer(to, stream);
      },
      [this, stream, from, to](const error& reason) mutable {
        to.deliver(to_caf(reason.as(errc::unavailable, attempted)));
        if (auto ended = table_->end(stream, from))
          over(*ended);
      });
}

void relayer::pass(const peer_id& from, const relay_piece& what, const bytes& data, milliseconds within, answer_promise to) {
  if (!table_)
    return to.deliver(to_caf(error{errc::unavailable, attempted, "this node passes on nothing"}));
  auto way = table_->pass(what.stream, from, data.size(), now());
  if (!way) {
    to.deliver(to_caf(way.error()));
    if (auto ended = way.error().code() == errc::protocol_violated ? table_->end(what.stream, from) : std::nullopt)
      over(*ended);
    return;
  }
  waiting_.push_back({*way, from, what, data, now() + std::min<milliseconds>(within, piece_time_max), std::move(to)});
  pass_due();
}

/// Those whose turn has come, and the next when its turn comes.
void relayer::pass_due() {
  while (!waiting_.empty() && waiting_.front().way.due <= now()) {
    auto next = std::move(waiting_.front());
    waiting_.pop_front();
    pass_now(std::move(next));
  }
  if (waiting_.empty() || std::exchange(pass_awaited_, true))
    return;
  v1::RelayWake wake;
  wake.set_pieces(true);
  self_->delayed_send(self_, std::max<time_point::duration>(waiting_.front().way.due - now(), milliseconds{1}), wake);
}

void relayer::pass_now(waiting_piece piece) {
  auto failed = [this, stream = piece.what.stream, from = piece.from, to = piece.promise](const error& reason) mutable {
    to.deliver(to_caf(reason.as(errc::unavailable, attempted)));
    if (auto ended = table_->end(stream, from))
      over(*ended);
  };
  auto left = std::chrono::floor<milliseconds>(piece.ends - now());
  if (left <= milliseconds{0})
    return failed(error{errc::timed_out, attempted, "it had to wait for its turn"});
  auto size = piece.data.size();
  ask(
      piece.way.to, relay_piece{piece.what.stream, piece.what.offset, true}, piece.data, left,
      [this, stream = piece.what.stream, from = piece.from, size, to = piece.promise](uint64_t) {
        table_->passed(stream, from, size);
        answer(to);
        tell();
      },
      failed);
}

void relayer::over(const relay_table::ended& what) {
  for (const auto& end : what.ends)
    if (parts_.linked->has(end))
      say(end, relay_end{what.stream, true});
  tell();
}

void relayer::tell() {
  auto report = table_ ? std::optional{table_->report()} : std::nullopt;
  if (std::exchange(told_, report) != report)
    parts_.changed({report, relays_});
}

// -- an end of streams -----------------------------------------------------------------------

void relayer::offered(const peer_id& relay, const relay_offer& what, answer_promise to) {
  auto known = candidates_.find(relay);
  if (known == candidates_.end() || !known->second.serves)
    return to.deliver(to_caf(error{errc::unavailable, attempted, "this node did not ask for that"}));
  auto way = known->second.at;
  way.through = relay_way{relay, what.from};
  auto token = ++last_token_;
  promises_.emplace(token, std::move(to));
  post([token, way, stream = what.stream](relayed_transport& on) { on.offered(token, way, stream); });
}

void relayer::came(const peer_id& relay, const relay_piece& what, const bytes& data, answer_promise to) {
  auto token = ++last_token_;
  promises_.emplace(token, std::move(to));
  post([token, relay, what, data](relayed_transport& on) { on.came(token, relay, what, data); });
}

void relayer::done(const v1::RelaySocketDone& what) {
  auto found = promises_.extract(what.token());
  if (found.empty())
    return;
  if (what.code() == 0)
    answer(found.mapped());
  else
    found.mapped().deliver(to_caf(error{static_cast<errc>(what.code()), attempted}));
}

void relayer::fail_socket(socket_id socket, const error& reason) {
  post([socket, reason](relayed_transport& on) { on.failed(socket, reason); });
}

void relayer::dial(socket_id socket, const endpoint& way) {
  // Whoever signed the record must not make this node dial into the house.
  if (!parts_.rules.admits(way.ip))
    return fail_socket(socket, error{errc::invalid_argument, attempted, "the node that passes on has an address that is not public"});
  if (way.through->relay == parts_.self || way.through->to == parts_.self)
    return fail_socket(socket, error{errc::invalid_argument, attempted, "it is this one"});
  if (parts_.linked->is_direct(way.through->relay))
    return open_at(socket, way);
  v1::ConnectPeer request;
  auto at = way;
  at.through.reset();
  *request.mutable_address() = to_proto(at);
  request.set_expected(text_of(way.through->relay));
  self_->request(parts_.links, handshake_time_max + grace, std::move(request))
      .then([this, socket, way](const v1::PeerConnected&) { open_at(socket, way); },
            [this, socket](const caf::error& reason) { fail_socket(socket, from_caf(reason)); });
}

void relayer::open_at(socket_id socket, const endpoint& way) {
  auto relay = way.through->relay;
  ask(
      relay, relay_open{way.through->to, socket}, {}, handshake_time_max,
      [this, socket, relay](uint64_t stream) { post([=](relayed_transport& on) { on.dialed(socket, relay, stream); }); },
      [this, socket](const error& reason) { fail_socket(socket, reason); });
}

void relayer::send(const v1::RelaySocketSend& what, const bytes& data) {
  auto socket = what.socket();
  ask(
      peer_from(what.relay()), relay_piece{what.stream(), what.offset(), false}, data, piece_time_max,
      [this, socket](uint64_t) { post([socket](relayed_transport& on) { on.sent(socket); }); },
      [this, socket](const error& reason) { fail_socket(socket, reason); });
}

void relayer::end(const peer_id& relay, uint64_t stream) {
  if (parts_.linked->has(relay))
    say(relay, relay_end{stream, false});
}

// -- links ------------------------------------------------------------------------------------

void relayer::up(const v1::LinkFacts& link) {
  auto at = from_proto(link.address());
  if (!link.dialed() || !at || at->through)
    return;
  // The newest that was not asked yet is worth more than one that refused.
  if (candidates_.size() >= relay_candidates_max)
    if (auto idle = std::ranges::find_if(candidates_, [](const auto& each) { return !each.second.serves && !each.second.asked; });
        idle != candidates_.end())
      candidates_.erase(idle);
  auto& one = candidates_[peer_from(link.peer())];
  one.at = *at;
  one.again = one.serves ? one.again : time_point{};
  look_for_relays();
}

void relayer::down(const v1::LinkDown& what) {
  if (what.links() > 0)
    return;
  auto peer = peer_from(what.link().peer());
  post([peer](relayed_transport& on) { on.gone(peer); });
  if (table_)
    for (const auto& ended : table_->gone(peer))
      over(ended);
  tell();
  // It is dialed again soon, since others may know that this node is reached through it.
  if (auto known = candidates_.find(peer); known != candidates_.end())
    not_served(peer, known->second.serves ? milliseconds{0} : lost_dialed_again);
}

// -- a node that nobody can dial --------------------------------------------------------------

void relayer::told(bool is_dialed) {
  dialed_ = is_dialed;
  if (dialed_)
    for (auto& [relay, one] : candidates_)
      one.serves = false;
  tell_relays();
  look_for_relays();
}

void relayer::look_for_relays() {
  if (dialed_)
    return;
  auto serving =
      static_cast<size_t>(std::ranges::count_if(candidates_, [](const auto& each) { return each.second.serves || each.second.asked; }));
  for (auto& [relay, one] : candidates_) {
    auto is_due = one.serves ? now() >= one.asked_at + relays_looked_at : serving < relays_max && now() >= one.again;
    if (one.asked || !is_due)
      continue;
    serving += one.serves ? 0 : 1;
    one.asked = true;
    ask_for_relay(relay);
  }
}

void relayer::ask_for_relay(const peer_id& relay) {
  if (parts_.linked->has(relay))
    return ask_linked(relay);
  v1::ConnectPeer request;
  *request.mutable_address() = to_proto(candidates_.at(relay).at);
  request.set_expected(text_of(relay));
  self_->request(parts_.links, handshake_time_max + grace, std::move(request))
      .then([this, relay](const v1::PeerConnected&) { ask_linked(relay); },
            [this, relay](const caf::error&) { not_served(relay, lost_dialed_again); });
}

void relayer::ask_linked(const peer_id& relay) {
  ask(
      relay, relay_reserve{}, {}, word_time_max,
      [this, relay](uint64_t) {
        auto known = candidates_.find(relay);
        if (known == candidates_.end())
          return;
        auto& one = known->second;
        one.asked = false;
        one.serves = !dialed_;
        one.asked_at = now();
        tell_relays();
      },
      [this, relay](const error&) { not_served(relay, refused_asked_again); });
}

/// One whose link was lost while it was asked may have given way to another meanwhile.
void relayer::not_served(const peer_id& relay, milliseconds again_in) {
  auto known = candidates_.find(relay);
  if (known == candidates_.end())
    return;
  auto& one = known->second;
  one.asked = false;
  one.serves = false;
  one.again = now() + again_in;
  tell_relays();
  look_for_relays();
}

void relayer::tell_relays() {
  std::vector<endpoint> relays;
  for (const auto& [relay, one] : candidates_)
    if (one.serves) {
      relays.push_back(one.at);
      relays.back().through = relay_way{relay, parts_.self};
    }
  if (relays == relays_)
    return;
  relays_ = std::move(relays);
  parts_.changed({told_, relays_});
}

// -- the actor ---------------------------------------------------------------------------------

void relayer::begin() {
  auto by = std::make_shared<carrier>(caf::actor_cast<relay_core>(self_));
  post([by](relayed_transport& on) { on.carry_by(by); });
  tell();
  self_->request(parts_.links, std::chrono::seconds{10}, v1::ListLinks{})
      .then(
          [this](const v1::LinkList& list) {
            for (const auto& link : list.links())
              up(link);
          },
          [](const caf::error&) {});
  wake();
}

void relayer::turn() {
  pass_awaited_ = false;
  pass_due();
}

void relayer::wake() {
  self_->delayed_send(self_, relays_looked_at, v1::RelayWake{});
  if (table_)
    for (const auto& ended : table_->expire(now()))
      over(ended);
  tell();
  look_for_relays();
}

relay_core::behavior_type relay(relay_pointer self, const relay_parts& parts) {
  self->state.does = std::make_unique<relayer>(self, parts);
  self->state.does->begin();
  return {
      [=](const v1::PeerRequest& request, const bytes& body) { return self->state.does->serve(request, body); },
      [=](const v1::LinkUp& what) { self->state.does->up(what.link()); },
      [=](const v1::LinkDown& what) { self->state.does->down(what); },
      [=](const v1::TellAddresses& what) { self->state.does->told(what.address_size() > 0); },
      [=](const v1::RelaySocketDial& what) {
        if (auto way = from_proto(what.way()); way && way->through)
          self->state.does->dial(what.socket(), *way);
      },
      [=](const v1::RelaySocketSend& what, const bytes& data) { self->state.does->send(what, data); },
      [=](const v1::RelaySocketEnd& what) { self->state.does->end(peer_from(what.relay()), what.stream()); },
      [=](const v1::RelaySocketDone& what) { self->state.does->done(what); },
      [=](const v1::RelayWake& what) { what.pieces() ? self->state.does->turn() : self->state.does->wake(); },
  };
}

} // namespace

relay_actor spawn_relay_actor(caf::actor_system& sys, const relay_parts& parts) {
  return caf::actor_cast<relay_actor>(sys.spawn(relay, parts));
}

} // namespace datamesh::network
