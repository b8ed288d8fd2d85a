#include "network/peer_link.hpp"

#include "crypto/parse_message.hpp"
#include "datamesh/v1/link.pb.h"

namespace datamesh::network {

namespace {

/// Of what rides on the link.
constexpr uint32_t protocol_version = 1;
constexpr std::string_view hello_label = "EXPORTER-datamesh-hello";
constexpr std::string_view hello_purpose = "datamesh hello 1";

/// How long a ping may wait for what is to be sent before it. Whether anything moves is for the owner of the wire.
constexpr auto ping_waits_max = std::chrono::minutes{10};

/// Of the handshake and the hello.
constexpr size_t early_max = handshake_bytes_max + (4 << 10);

enum class frame_type : uint8_t { hello = 1, request = 2, answer = 3, cancel = 4, ping = 5, pong = 6, end = 7 };

struct protocol {
  using type = frame_type;
  static constexpr uint16_t version = 1;
  static constexpr const char* name = "a link frame";

  [[nodiscard]] std::optional<frame_caps> caps(frame_type of) const noexcept {
    switch (of) {
    case frame_type::hello:
      return frame_caps{1 << 10, 0};
    case frame_type::request:
    case frame_type::answer:
      // The message with its number and deadline.
      return frame_caps{link_message_max + 64, link_body_max};
    case frame_type::cancel:
    case frame_type::ping:
    case frame_type::pong:
    case frame_type::end:
      return frame_caps{64, 0};
    }
    return std::nullopt;
  }
};

using frame = basic_frame<frame_type>;

/// What a side may still ask of the other.
struct credit {
  uint32_t requests_max = 0;
  uint32_t bytes_max = 0;
  uint32_t requests = 0;
  uint64_t bytes = 0;

  [[nodiscard]] bool has_room(size_t size) const noexcept {
    return requests < requests_max && bytes + size <= bytes_max;
  }
  void take(size_t size) noexcept {
    ++requests;
    bytes += size;
  }
  void give_back(size_t size) noexcept {
    --requests;
    bytes -= size;
  }
};

/// A request of ours that the peer has not answered.
struct asked {
  size_t size = 0;
  size_t answer_max = 0; ///< Bytes of the body that it asks for.
  link_time deadline;
  bool abandoned = false; ///< Has had its answer from us; the peer still works on it.
};

/// A request of the peer that we owe an answer for.
struct taken {
  size_t size = 0;
  bool cancelled = false;
};

std::vector<std::byte> hello_message(const crypto::key256& key, std::string_view terms) {
  std::vector<std::byte> message;
  for (auto part : {as_view(hello_purpose), key.view(), as_view(terms)})
    message.insert(message.end(), part.begin(), part.end());
  return message;
}

link_side other(link_side side) noexcept {
  return side == link_side::dialer ? link_side::acceptor : link_side::dialer;
}

const char* text_of(link_refusal why) {
  switch (why) {
  case link_refusal::none:
    break;
  case link_refusal::other_mesh:
    return "the node belongs to another mesh";
  case link_refusal::no_member:
    return "the node is not on the list of members";
  case link_refusal::members_expired:
    return "the list of members ran out: the operators have to sign a new one";
  }
  return "for a reason that this version does not know";
}

const char* text_of_peer(link_refusal why) {
  switch (why) {
  case link_refusal::none:
    break;
  case link_refusal::other_mesh:
    return "the other node refused this one: they belong to different meshes";
  case link_refusal::no_member:
    return "the other node refused this one: it is not on its list of members";
  case link_refusal::members_expired:
    return "the other node refused this one: its list of members ran out";
  }
  return "the other node refused this one";
}

/// A code from outside, which may be of a later version.
errc read_code(uint32_t code) noexcept {
  for (const auto& row : all_error_facts())
    if (static_cast<uint32_t>(row.code) == code)
      return row.code;
  return errc::internal;
}

} // namespace

struct peer_link::impl {
  impl(const tls_identity& identity, tls_link link, link_side which, const link_options& with, link_time now)
      : us(identity), tls(std::move(link)), side(which), options(with), begun(now), heard(now) {
    theirs.requests_max = with.requests_max;
    theirs.bytes_max = with.bytes_max;
  }

  const tls_identity& us;
  tls_link tls;
  link_side side;
  link_options options;
  link_time begun;
  link_time heard;                ///< When bytes last came.
  std::optional<uint64_t> pinged; ///< Whose pong is due.
  uint64_t pings = 0;
  link_time ping_made{};
  link_time ping_sent{};  ///< When its last byte was taken by the wire.
  size_t ping_behind = 0; ///< Bytes that are to be sent up to its end.
  size_t early = 0;       ///< Bytes that came before the link was open.
  uint64_t frames = 0;
  bool hello_sent = false;
  bool open = false;
  bool closed = false;
  basic_frame_reader<protocol> reader{protocol{}};
  std::deque<link_event> events;

  credit ours;   ///< What the peer grants.
  credit theirs; ///< What we grant.
  uint64_t last_asked = 0;
  uint64_t last_taken = 0;
  std::map<uint64_t, asked> outgoing;
  size_t expected = 0; ///< Bytes that were asked for.
  std::map<uint64_t, taken> incoming;

  void end(const error& reason, link_refusal refused = link_refusal::none, bool doubled = false);
  void refuse(link_refusal why);
  [[nodiscard]] link_refusal gate_refuses() const;
  void violated(std::string rule);
  result<void> send(frame_type type, const google::protobuf::MessageLite& header, byte_view body = {});
  void send_or_end(frame_type type, const google::protobuf::MessageLite& header);
  result<crypto::key256> hello_key(link_side of) const;
  void say_hello();
  void read_frames(link_time now);
  void take(const frame& from, link_time now);
  void take_hello(byte_view header);
  void take_request(const frame& from, link_time now);
  void take_answer(const frame& from);
  void take_cancel(byte_view header);
  void take_ping(byte_view header);
  void take_pong(byte_view header);
  void abandon(uint64_t id, asked& what, errc code);
  void ping(link_time now);
  [[nodiscard]] link_time silent_at() const;
};

peer_link::peer_link(std::unique_ptr<impl> with) : impl_(std::move(with)) {}
peer_link::peer_link(peer_link&&) noexcept = default;
peer_link& peer_link::operator=(peer_link&&) noexcept = default;
peer_link::~peer_link() = default;

result<peer_link> peer_link::open(const tls_identity& us, link_side side, std::optional<peer_id> expected, const link_options& options,
                                  link_time now) {
  if (options.requests_max == 0 || options.bytes_max < link_message_max + link_body_max)
    return fail(errc::invalid_argument, "open a link", "it must take one request of the largest size");
  auto tls = tls_link::open(us, side, expected);
  if (!tls)
    return fail(tls.error());
  return peer_link{std::make_unique<impl>(us, std::move(*tls), side, options, now)};
}

// -- its end -------------------------------------------------------------------------

void peer_link::impl::end(const error& reason, link_refusal refused, bool doubled) {
  if (closed)
    return;
  closed = true;
  open = false;
  tls.close();
  for (const auto& [id, what] : outgoing)
    if (!what.abandoned)
      events.push_back(link_answer{id, reason.as(errc::unavailable, "ask another node"), {}, {}, doubled});
  outgoing.clear();
  expected = 0;
  incoming.clear();
  theirs.requests = 0;
  theirs.bytes = 0;
  reader = basic_frame_reader<protocol>{protocol{}};
  events.push_back(link_closed{reason, refused, doubled});
}

link_refusal peer_link::impl::gate_refuses() const {
  return options.gate ? options.gate->refuses(tls.peer()) : link_refusal::none;
}

void peer_link::impl::refuse(link_refusal why) {
  if (closed)
    return;
  v1::LinkEnd message;
  message.set_code(static_cast<uint32_t>(errc::peer_refused));
  message.set_why(static_cast<uint32_t>(why));
  (void) send(frame_type::end, message);
  end(error{errc::peer_refused, "open a link", text_of(why)}, why);
}

void peer_link::check_gate() {
  auto& self = *impl_;
  if (self.closed || !self.tls.established())
    return;
  if (auto why = self.gate_refuses(); why != link_refusal::none)
    self.refuse(why);
}

std::optional<peer_id> peer_link::proven() const {
  return impl_->tls.established() ? std::optional{impl_->tls.peer()} : std::nullopt;
}

void peer_link::impl::violated(std::string rule) {
  if (closed)
    return;
  v1::LinkEnd message;
  message.set_code(static_cast<uint32_t>(errc::protocol_violated));
  (void) send(frame_type::end, message);
  end(error{errc::protocol_violated, "read from a link", std::move(rule)});
}

void peer_link::close(errc reason) {
  auto& self = *impl_;
  if (self.closed)
    return;
  if (self.hello_sent) {
    v1::LinkEnd message;
    message.set_code(static_cast<uint32_t>(reason));
    (void) self.send(frame_type::end, message);
  }
  self.end(error{reason, "close a link"}, link_refusal::none, reason == errc::already_exists);
}

void peer_link::lost(const error& reason) {
  impl_->end(reason);
}

// -- sending ---------------------------------------------------------------------------

result<void> peer_link::impl::send(frame_type type, const google::protobuf::MessageLite& header, byte_view body) {
  auto encoded = header.SerializeAsString();
  auto prefix = make_frame_prefix(protocol{}, type, encoded.size(), body.size());
  if (!prefix)
    return fail(prefix.error());
  if (tls.output_size() + encoded.size() + body.size() > output_max)
    return fail(errc::capacity_exceeded, "send to another node", "it does not read what was sent");
  std::vector<std::byte> front{prefix->begin(), prefix->end()};
  auto rest = as_view(encoded);
  front.insert(front.end(), rest.begin(), rest.end());
  return tls.write(front).and_then([&] { return tls.write(body); });
}

void peer_link::impl::send_or_end(frame_type type, const google::protobuf::MessageLite& header) {
  if (auto sent = send(type, header); !sent)
    end(sent.error());
}

result<crypto::key256> peer_link::impl::hello_key(link_side of) const {
  auto who = of == link_side::dialer ? std::byte{'d'} : std::byte{'a'};
  return tls.exported(hello_label, byte_view{&who, 1});
}

void peer_link::impl::say_hello() {
  hello_sent = true;
  v1::HelloTerms terms;
  terms.set_network(std::string{options.network.text()});
  terms.set_protocol_min(protocol_version);
  terms.set_protocol_max(protocol_version);
  terms.set_requests_max(options.requests_max);
  terms.set_bytes_max(options.bytes_max);
  v1::Hello hello;
  hello.set_terms(terms.SerializeAsString());
  auto key = hello_key(side);
  auto sig = key ? us.sign(hello_message(*key, hello.terms())) : fail(key.error());
  if (!sig)
    return end(sig.error());
  hello.set_signature(std::string{as_text(*sig)});
  send_or_end(frame_type::hello, hello);
}

// -- receiving ---------------------------------------------------------------------------

void peer_link::received(byte_view data, link_time now) {
  auto& self = *impl_;
  if (self.closed || data.empty())
    return;
  self.heard = now;
  if (!self.open) {
    // The last piece may hold more than the hello.
    if (self.early > early_max)
      return self.end(error{errc::protocol_violated, "open a link", "too much before the hello"});
    self.early += data.size();
  }
  if (auto taken = self.tls.received(data); !taken)
    return self.end(taken.error());
  if (!self.tls.established())
    return;
  if (self.tls.peer() == self.us.id())
    return self.end(error{errc::peer_refused, "open a link", "the address is this node's own"});
  if (!self.hello_sent) {
    // Who may not come in is not even told which mesh it is.
    if (auto why = self.gate_refuses(); why != link_refusal::none)
      return self.refuse(why);
    self.say_hello();
  }
  self.read_frames(now);
}

void peer_link::impl::read_frames(link_time now) {
  while (!closed) {
    auto got = tls.read(reader.wanted());
    if (!got)
      return end(got.error());
    if (*got == 0)
      return;
    auto whole = reader.filled(*got);
    if (!whole)
      return violated(whole.error().message());
    if (*whole) {
      ++frames;
      take(**whole, now);
    }
  }
}

void peer_link::impl::take(const frame& from, link_time now) {
  if (open == (from.type == frame_type::hello))
    if (from.type != frame_type::end)
      return violated(open ? "a second hello" : "no hello");
  switch (from.type) {
  case frame_type::hello:
    return take_hello(from.header());
  case frame_type::request:
    return take_request(from, now);
  case frame_type::answer:
    return take_answer(from);
  case frame_type::cancel:
    return take_cancel(from.header());
  case frame_type::ping:
    return take_ping(from.header());
  case frame_type::pong:
    return take_pong(from.header());
  case frame_type::end: {
    v1::LinkEnd message;
    if (!crypto::parse_message(message, from.header()))
      return violated("an end that can not be read");
    if (read_code(message.code()) == errc::peer_refused) {
      auto why = message.why() <= static_cast<uint32_t>(link_refusal::members_expired) ? static_cast<link_refusal>(message.why())
                                                                                       : link_refusal::none;
      return end(error{errc::peer_refused, "use a link", text_of_peer(why)}, why);
    }
    auto code = read_code(message.code());
    return end(error{errc::unavailable, "use a link", "the peer closed it: " + std::string{facts_of(code).title}}, link_refusal::none,
               code == errc::already_exists);
  }
  }
}

void peer_link::impl::take_hello(byte_view header) {
  v1::Hello hello;
  v1::HelloTerms terms;
  if (!crypto::parse_message(hello, header) || !crypto::parse_message(terms, as_view(hello.terms())) || hello.signature().size() != 64)
    return violated("a hello that can not be read");
  auto key = hello_key(other(side));
  if (!key)
    return end(key.error());
  crypto::signature sig;
  auto raw = as_view(hello.signature());
  std::copy(raw.begin(), raw.end(), sig.begin());
  if (!tls.is_signed_by_peer(hello_message(*key, hello.terms()), sig))
    return violated("a hello that is not the peer's for this link");
  auto refuse_for = [this](errc code, std::string reason) {
    v1::LinkEnd message;
    message.set_code(static_cast<uint32_t>(code));
    (void) send(frame_type::end, message);
    end(error{code, "open a link", std::move(reason)});
  };
  if (terms.network() != options.network.text())
    return refuse(link_refusal::other_mesh);
  // The list may have become another one since our hello.
  if (auto why = gate_refuses(); why != link_refusal::none)
    return refuse(why);
  if (terms.protocol_min() > terms.protocol_max() || terms.protocol_max() < protocol_version)
    return refuse_for(errc::protocol_violated, "the node speaks no version of the protocol that is still spoken");
  if (terms.protocol_min() > protocol_version)
    return refuse_for(errc::format_newer, "the node speaks a later version of the protocol alone");
  if (terms.requests_max() == 0 || terms.bytes_max() < link_message_max + link_body_max)
    return violated("a hello that grants no request");
  ours.requests_max = terms.requests_max();
  ours.bytes_max = terms.bytes_max();
  open = true;
  events.push_back(link_opened{tls.peer()});
}

void peer_link::impl::take_request(const frame& from, link_time now) {
  v1::LinkRequest message;
  if (!crypto::parse_message(message, from.header()) || message.message().size() > link_message_max)
    return violated("a request that can not be read");
  if (message.id() <= last_taken)
    return violated("a request with the number of an earlier one");
  auto size = message.message().size() + from.body().size();
  if (!theirs.has_room(size))
    return violated("more requests than it may have unanswered");
  last_taken = message.id();
  theirs.take(size);
  incoming.emplace(message.id(), taken{size, false});
  auto deadline = now + std::chrono::milliseconds{message.deadline_ms()};
  events.push_back(link_request{message.id(), deadline, std::move(*message.mutable_message()), from.kept_body()});
}

void peer_link::impl::take_answer(const frame& from) {
  v1::LinkAnswer message;
  if (!crypto::parse_message(message, from.header()) || message.message().size() > link_message_max)
    return violated("an answer that can not be read");
  auto found = outgoing.find(message.id());
  if (found == outgoing.end())
    return violated("an answer that nobody asked for");
  auto was = found->second;
  outgoing.erase(found);
  ours.give_back(was.size);
  expected -= was.answer_max;
  if (was.abandoned)
    return;
  link_answer answer{message.id(), std::nullopt, std::move(*message.mutable_message()), from.kept_body()};
  if (message.code() != 0)
    answer.failure = error{read_code(message.code()), "ask another node", tls.peer().brief()};
  events.push_back(std::move(answer));
}

void peer_link::impl::take_cancel(byte_view header) {
  v1::LinkCancel message;
  if (!crypto::parse_message(message, header) || message.id() > last_taken)
    return violated("a cancel of no request");
  // Its answer may be on the way.
  if (auto found = incoming.find(message.id()); found != incoming.end() && !std::exchange(found->second.cancelled, true))
    events.push_back(link_cancelled{message.id()});
}

void peer_link::impl::take_ping(byte_view header) {
  v1::LinkPing message;
  if (!crypto::parse_message(message, header))
    return violated("a ping that can not be read");
  send_or_end(frame_type::pong, message);
}

void peer_link::impl::take_pong(byte_view header) {
  v1::LinkPing message;
  if (!crypto::parse_message(message, header) || pinged != message.token())
    return violated("a pong without a ping");
  pinged.reset();
}

// -- time ------------------------------------------------------------------------------------

void peer_link::impl::abandon(uint64_t id, asked& what, errc code) {
  what.abandoned = true;
  events.push_back(link_answer{id, error{code, "ask another node", tls.peer().brief()}, {}, {}});
  v1::LinkCancel message;
  message.set_id(id);
  send_or_end(frame_type::cancel, message);
}

void peer_link::tick(link_time now) {
  auto& self = *impl_;
  if (self.closed)
    return;
  if (!self.open) {
    if (now >= self.begun + handshake_time_max)
      self.end(error{errc::timed_out, "open a link"});
    return;
  }
  if (now >= self.silent_at())
    return self.end(error{errc::timed_out, "hear from another node", self.tls.peer().brief()});
  for (auto& [id, what] : self.outgoing) {
    if (what.abandoned && now >= what.deadline + overdue_max)
      return self.end(error{errc::timed_out, "wait for another node's answer", self.tls.peer().brief()});
    if (!what.abandoned && now >= what.deadline)
      self.abandon(id, what, errc::timed_out);
    if (self.closed)
      return;
  }
  if (now >= self.heard + ping_after && !self.pinged)
    self.ping(now);
}

void peer_link::impl::ping(link_time now) {
  pinged = ++pings;
  v1::LinkPing message;
  message.set_token(pings);
  send_or_end(frame_type::ping, message);
  ping_made = now;
  ping_behind = tls.output_size();
}

/// When the peer is given up. On a slow line it can not answer a ping that waits behind other bytes.
link_time peer_link::impl::silent_at() const {
  if (!pinged)
    return heard + silence_max;
  auto answered = ping_behind > 0 ? ping_made + ping_waits_max : ping_sent + (silence_max - ping_after);
  return std::max<link_time>(heard + silence_max, answered);
}

link_time peer_link::next_tick() const {
  const auto& self = *impl_;
  if (self.closed)
    return link_time::max();
  if (!self.open)
    return self.begun + handshake_time_max;
  auto next = self.pinged ? self.silent_at() : self.heard + ping_after;
  for (const auto& [id, what] : self.outgoing)
    next = std::min(next, what.deadline + (what.abandoned ? overdue_max : link_time::duration{0}));
  return next;
}

// -- requests -------------------------------------------------------------------------------------

bool peer_link::has_credit(size_t size) const noexcept {
  return impl_->open && impl_->ours.has_room(size) && impl_->tls.output_size() <= output_high;
}

result<uint64_t> peer_link::request(std::string message, byte_view body, link_time deadline, link_time now, size_t answer_max) {
  constexpr auto attempted = "ask another node";
  auto& self = *impl_;
  if (!self.open)
    return fail(errc::unavailable, attempted, "the link is not open");
  auto size = message.size() + body.size();
  if (message.size() > link_message_max || body.size() > link_body_max)
    return fail(errc::capacity_exceeded, attempted, "the request is too large");
  if (!has_credit(size))
    return fail(errc::capacity_exceeded, attempted, "it has enough to do");
  auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - now).count();
  v1::LinkRequest header;
  header.set_id(++self.last_asked);
  header.set_deadline_ms(static_cast<uint32_t>(std::clamp<int64_t>(left, 0, UINT32_MAX)));
  header.set_message(std::move(message));
  if (auto sent = self.send(frame_type::request, header, body); !sent) {
    self.end(sent.error());
    return fail(sent.error());
  }
  self.ours.take(size);
  self.outgoing.emplace(self.last_asked, asked{size, answer_max, deadline, false});
  self.expected += answer_max;
  return self.last_asked;
}

void peer_link::cancel(uint64_t id) {
  auto found = impl_->outgoing.find(id);
  if (found != impl_->outgoing.end() && !found->second.abandoned)
    impl_->abandon(id, found->second, errc::cancelled);
}

result<void> peer_link::answer(uint64_t id, std::string message, byte_view body) {
  constexpr auto attempted = "answer another node";
  auto& self = *impl_;
  auto found = self.incoming.find(id);
  if (found == self.incoming.end())
    return fail(errc::not_found, attempted, "it waits for no such answer");
  if (message.size() > link_message_max || body.size() > link_body_max)
    return fail(errc::capacity_exceeded, attempted, "the answer is too large");
  v1::LinkAnswer header;
  header.set_id(id);
  header.set_message(std::move(message));
  self.theirs.give_back(found->second.size);
  self.incoming.erase(found);
  auto sent = self.send(frame_type::answer, header, body);
  if (!sent)
    self.end(sent.error());
  return sent;
}

result<void> peer_link::answer(uint64_t id, errc failure) {
  auto& self = *impl_;
  auto found = self.incoming.find(id);
  if (found == self.incoming.end())
    return fail(errc::not_found, "answer another node", "it waits for no such answer");
  v1::LinkAnswer header;
  header.set_id(id);
  header.set_code(static_cast<uint32_t>(failure));
  self.theirs.give_back(found->second.size);
  self.incoming.erase(found);
  auto sent = self.send(frame_type::answer, header);
  if (!sent)
    self.end(sent.error());
  return sent;
}

byte_view peer_link::output() const noexcept {
  return impl_->tls.output();
}

void peer_link::drop_output(size_t count, link_time now) {
  auto& self = *impl_;
  // Nothing is read meanwhile, so this is the peer's sign of life.
  if (count > 0 && !wants_input())
    self.heard = now;
  self.tls.drop_output(count);
  if (self.ping_behind > 0 && (self.ping_behind -= std::min(count, self.ping_behind)) == 0)
    self.ping_sent = now;
}

std::vector<std::byte> peer_link::take_output() {
  impl_->ping_sent = impl_->ping_made;
  impl_->ping_behind = 0;
  return impl_->tls.take_output();
}

uint64_t peer_link::items() const noexcept {
  return impl_->frames + impl_->tls.small_records();
}

size_t peer_link::held() const noexcept {
  const auto& self = *impl_;
  auto reading = self.reader.room();
  auto read_for_us = std::min(reading, 2 * self.expected);
  auto unsent_of_ours = std::min<size_t>(self.tls.output_size(), self.ours.bytes);
  return self.tls.output_size() - unsent_of_ours + reading - read_for_us + self.theirs.bytes;
}

size_t peer_link::owed() const noexcept {
  return impl_->incoming.size();
}

bool peer_link::wants_input() const noexcept {
  return !impl_->closed && impl_->tls.output_size() <= output_high;
}

std::optional<link_event> peer_link::take_event() {
  auto& events = impl_->events;
  if (events.empty())
    return std::nullopt;
  auto first = std::move(events.front());
  events.pop_front();
  return first;
}

bool peer_link::is_open() const noexcept {
  return impl_->open;
}

const peer_id& peer_link::peer() const noexcept {
  return impl_->tls.peer();
}

bool peer_link::is_closed() const noexcept {
  return impl_->closed;
}

} // namespace datamesh::network
