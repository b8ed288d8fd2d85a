#include "network/peer_link.hpp"

#include "datamesh/v1/link.pb.h"
#include "tests/libdatamesh/network/node.hpp"

#include <catch2/catch.hpp>

using namespace datamesh;
using namespace datamesh::network;
using namespace datamesh::test;
using namespace std::chrono_literals;

namespace {

const auto mesh = network_id::from(as_view("a mesh for the tests of its link"));
const link_options usual{mesh, 64, 8 << 20};

/// One side of a link with all that it told.
struct end_of_link {
  end_of_link(const test_node& node, link_side side, const link_options& options, std::optional<peer_id> expected = std::nullopt)
      : link(peer_link::open(node.tls, side, expected, options, link_time{}).value()) {}

  void look() {
    while (auto event = link.take_event()) {
      CHECK_FALSE(closed); // It is the last one.
      if (auto* opened_now = std::get_if<link_opened>(&*event))
        opened = opened_now->peer;
      else if (auto* request = std::get_if<link_request>(&*event))
        requests.push_back(std::move(*request));
      else if (auto* answer = std::get_if<link_answer>(&*event))
        answers.push_back(std::move(*answer));
      else if (auto* cancel = std::get_if<link_cancelled>(&*event))
        cancelled.push_back(cancel->id);
      else
        closed = std::get<link_closed>(*event).reason;
    }
  }

  peer_link link;
  std::optional<peer_id> opened;
  std::vector<link_request> requests;
  std::vector<link_answer> answers;
  std::vector<uint64_t> cancelled;
  std::optional<error> closed;
};

struct pair_of_links {
  explicit pair_of_links(const link_options& a = usual, const link_options& b = usual)
      : dialer(one, link_side::dialer, a, two.id()), acceptor(two, link_side::acceptor, b) {
    carry();
  }

  void carry(size_t step = SIZE_MAX) {
    for (bool moved = true; moved;) {
      moved = move(dialer, acceptor, step);
      moved = move(acceptor, dialer, step) || moved;
    }
  }

  bool move(end_of_link& from, end_of_link& to, size_t step) {
    auto data = from.link.take_output();
    for (byte_view rest{data}; !rest.empty();) {
      auto part = rest.first(std::min(rest.size(), step));
      to.link.received(part, now);
      rest = rest.subspan(part.size());
    }
    from.look();
    to.look();
    return !data.empty();
  }

  void wait(link_time::duration time) {
    now += time;
    dialer.link.tick(now);
    acceptor.link.tick(now);
    dialer.look();
    acceptor.look();
  }

  uint64_t ask(std::string message, std::string_view body = {}, link_time::duration within = 10s) {
    auto id = dialer.link.request(std::move(message), as_view(body), now + within, now);
    REQUIRE(id);
    return *id;
  }

  test_node one{1};
  test_node two{2};
  link_time now{};
  end_of_link dialer;
  end_of_link acceptor;
};

/// A peer that speaks TLS as it should, and frames as it likes.
struct liar {
  liar(const test_node& us, const test_node& them)
      : victim(them, link_side::acceptor, usual), tls(tls_link::open(us.tls, link_side::dialer, them.id()).value()), identity(us) {
    carry();
    REQUIRE(tls.established());
  }

  void carry() {
    for (bool moved = true; moved;) {
      auto there = tls.take_output();
      victim.link.received(there, link_time{});
      auto back = victim.link.take_output();
      if (!back.empty())
        (void) tls.received(back);
      moved = !there.empty() || !back.empty();
    }
    victim.look();
  }

  void send(uint8_t type, std::string_view header, std::string_view body = {}) {
    std::vector<std::byte> raw(frame_prefix_size);
    byte_span out{raw};
    store_le<uint32_t>(out, static_cast<uint32_t>(8 + header.size() + body.size()));
    out[4] = static_cast<std::byte>(type);
    store_le<uint16_t>(out.subspan(6), 1);
    store_le<uint32_t>(out.subspan(8), static_cast<uint32_t>(header.size()));
    REQUIRE(tls.write(raw));
    REQUIRE(tls.write(as_view(header)));
    REQUIRE(tls.write(as_view(body)));
    carry();
  }

  static v1::HelloTerms good_terms() {
    v1::HelloTerms terms;
    terms.set_network(std::string{mesh.text()});
    terms.set_protocol_min(1);
    terms.set_protocol_max(1);
    terms.set_requests_max(10);
    terms.set_bytes_max(8 << 20);
    return terms;
  }

  /// @param side which the signature says that we are
  void hello(const v1::HelloTerms& terms, char side = 'd') {
    auto encoded = terms.SerializeAsString();
    auto key = tls.exported("EXPORTER-datamesh-hello", as_view(std::string_view{&side, 1})).value();
    auto message = "datamesh hello 1" + std::string{as_text(key.view())} + encoded;
    auto sig = identity.tls.sign(as_view(message)).value();
    v1::Hello hello;
    hello.set_terms(encoded);
    hello.set_signature(std::string{as_text(sig)});
    send(1, hello.SerializeAsString());
  }

  static std::string request(uint64_t id, std::string message = "x") {
    v1::LinkRequest header;
    header.set_id(id);
    header.set_deadline_ms(1000);
    header.set_message(std::move(message));
    return header.SerializeAsString();
  }

  errc end() {
    REQUIRE(victim.closed);
    CHECK(victim.link.is_closed());
    return victim.closed->code();
  }

  end_of_link victim;
  tls_link tls;
  const test_node& identity;
};

struct lies {
  test_node us{1};
  test_node them{2};
  liar l{us, them};
};

} // namespace

TEST_CASE("a link opens when both said hello", "[peer_link]") {
  pair_of_links p;
  CHECK(p.dialer.opened == p.two.id());
  CHECK(p.acceptor.opened == p.one.id());
  CHECK(p.dialer.link.is_open());
  CHECK_FALSE(p.dialer.closed);
}

TEST_CASE("a request finds its answer, whatever the order and the pieces", "[peer_link]") {
  pair_of_links p;
  auto step = GENERATE(size_t{1}, size_t{1000}, SIZE_MAX);
  auto first = p.ask("first", "with a body");
  auto second = p.ask("second");
  p.carry(step);
  REQUIRE(p.acceptor.requests.size() == 2);
  CHECK(p.acceptor.requests[0].message == "first");
  CHECK(as_text(p.acceptor.requests[0].body) == "with a body");
  CHECK(p.acceptor.requests[0].deadline == p.now + 10s);
  REQUIRE(p.acceptor.link.answer(p.acceptor.requests[1].id, "to the second", as_view("body")));
  REQUIRE(p.acceptor.link.answer(p.acceptor.requests[0].id, errc::not_found));
  p.carry(step);
  REQUIRE(p.dialer.answers.size() == 2);
  CHECK(p.dialer.answers[0].id == second);
  CHECK(p.dialer.answers[0].message == "to the second");
  CHECK(as_text(p.dialer.answers[0].body) == "body");
  CHECK_FALSE(p.dialer.answers[0].failure);
  CHECK(p.dialer.answers[1].id == first);
  CHECK(p.dialer.answers[1].failure->code() == errc::not_found);
}

TEST_CASE("whom the gate does not let in is told so, and not which mesh it is", "[peer_link]") {
  struct nobody : peer_gate {
    [[nodiscard]] link_refusal refuses(const peer_id&) const override {
      return link_refusal::no_member;
    }
  };
  auto closed = usual;
  closed.gate = std::make_shared<nobody>();
  auto is_dialer = GENERATE(true, false);
  pair_of_links p{is_dialer ? closed : usual, is_dialer ? usual : closed};
  auto& refuses = is_dialer ? p.dialer : p.acceptor;
  auto& refused = is_dialer ? p.acceptor : p.dialer;
  REQUIRE(refuses.closed);
  CHECK(refuses.closed->code() == errc::peer_refused);
  CHECK_FALSE(refuses.opened);
  REQUIRE(refused.closed);
  CHECK(refused.closed->code() == errc::peer_refused);
  // A hello of the other would have opened it.
  CHECK_FALSE(refused.opened);
}

TEST_CASE("a gate that closes between the hellos is closed", "[peer_link]") {
  struct once : peer_gate {
    [[nodiscard]] link_refusal refuses(const peer_id&) const override {
      return std::exchange(asked, true) ? link_refusal::members_expired : link_refusal::none;
    }
    mutable bool asked = false;
  };
  auto closed = usual;
  closed.gate = std::make_shared<once>();
  pair_of_links p{usual, closed};
  REQUIRE(p.acceptor.closed);
  CHECK_FALSE(p.acceptor.opened);
  REQUIRE(p.dialer.closed);
  CHECK_THAT(p.dialer.closed->message(), Catch::Contains("ran out"));
}

TEST_CASE("both sides may ask", "[peer_link]") {
  pair_of_links p;
  p.ask("there");
  REQUIRE(p.acceptor.link.request("back", {}, p.now + 1s, p.now));
  p.carry();
  CHECK(p.acceptor.requests.at(0).message == "there");
  CHECK(p.dialer.requests.at(0).message == "back");
}

TEST_CASE("the largest request passes and a larger one is refused", "[peer_link]") {
  pair_of_links p;
  std::string message(link_message_max, 'm');
  std::string body(link_body_max, 'b');
  p.ask(message, body);
  p.carry();
  REQUIRE(p.acceptor.requests.size() == 1);
  CHECK(p.acceptor.requests[0].body.size() == link_body_max);
  CHECK(p.dialer.link.request(message + "m", {}, p.now + 1s, p.now).error().code() == errc::capacity_exceeded);
  CHECK(p.dialer.link.request("m", as_view(body + "b"), p.now + 1s, p.now).error().code() == errc::capacity_exceeded);
  auto id = p.acceptor.requests[0].id;
  CHECK(p.acceptor.link.answer(id, "m", as_view(body + "b")).error().code() == errc::capacity_exceeded);
  CHECK(p.acceptor.link.answer(id, message, as_view(body)));
}

TEST_CASE("nobody asks more at once than the peer granted", "[peer_link]") {
  pair_of_links p{usual, {mesh, 2, link_message_max + link_body_max}};
  p.ask("one");
  p.ask("two");
  CHECK(p.dialer.link.request("three", {}, p.now + 1s, p.now).error().code() == errc::capacity_exceeded);
  p.carry();
  REQUIRE(p.acceptor.link.answer(p.acceptor.requests.at(0).id, "", {}));
  p.carry();
  p.ask("three");
  p.carry();
  CHECK(p.acceptor.requests.size() == 3);
  CHECK_FALSE(p.acceptor.closed);
}

TEST_CASE("nobody sends more bytes at once than the peer granted", "[peer_link]") {
  pair_of_links p{usual, {mesh, 64, link_message_max + link_body_max}};
  std::string body(link_body_max, 'b');
  p.ask("one", body);
  CHECK(p.dialer.link.request("two", as_view(body), p.now + 1s, p.now).error().code() == errc::capacity_exceeded);
  p.carry();
  REQUIRE(p.acceptor.link.answer(p.acceptor.requests.at(0).id, "", {}));
  p.carry();
  p.ask("two", body);
}

TEST_CASE("nothing is asked before the link is open", "[peer_link]") {
  test_node a{1};
  end_of_link e{a, link_side::dialer, usual};
  CHECK(e.link.request("too early", {}, link_time{} + 1s, link_time{}).error().code() == errc::unavailable);
}

TEST_CASE("an answer that is late is answered for, once, and its end is told to the peer", "[peer_link]") {
  pair_of_links p;
  auto id = p.ask("slow", {}, 3s);
  p.carry();
  CHECK(p.dialer.link.next_tick() == p.now + 3s);
  p.wait(3s);
  REQUIRE(p.dialer.answers.size() == 1);
  CHECK(p.dialer.answers[0].id == id);
  CHECK(p.dialer.answers[0].failure->code() == errc::timed_out);
  p.carry();
  CHECK(p.acceptor.cancelled == std::vector<uint64_t>{id});
  REQUIRE(p.acceptor.link.answer(id, "here at last", {}));
  p.carry();
  CHECK(p.dialer.answers.size() == 1);
  CHECK_FALSE(p.dialer.closed);
}

TEST_CASE("a request that is given up is answered at once and still counts until the peer answers", "[peer_link]") {
  pair_of_links p{usual, {mesh, 1, 8 << 20}};
  auto id = p.ask("never mind");
  p.dialer.link.cancel(id);
  p.dialer.link.cancel(id);
  p.carry();
  REQUIRE(p.dialer.answers.size() == 1);
  CHECK(p.dialer.answers[0].failure->code() == errc::cancelled);
  CHECK(p.acceptor.cancelled.size() == 1);
  CHECK_FALSE(p.dialer.link.request("more", {}, p.now + 1s, p.now));
  REQUIRE(p.acceptor.link.answer(id, errc::cancelled));
  p.carry();
  CHECK(p.dialer.link.request("more", {}, p.now + 1s, p.now));
}

TEST_CASE("a cancel that crosses the answer does no harm", "[peer_link]") {
  pair_of_links p;
  auto id = p.ask("quick");
  p.move(p.dialer, p.acceptor, SIZE_MAX);
  REQUIRE(p.acceptor.link.answer(id, "done", {}));
  p.dialer.link.cancel(id);
  p.carry();
  CHECK(p.acceptor.cancelled.empty());
  CHECK(p.dialer.answers.size() == 1);
  CHECK_FALSE(p.dialer.closed);
  CHECK_FALSE(p.acceptor.closed);
}

TEST_CASE("an answer is given once", "[peer_link]") {
  pair_of_links p;
  auto id = p.ask("x");
  p.carry();
  REQUIRE(p.acceptor.link.answer(id, "y", {}));
  CHECK(p.acceptor.link.answer(id, "z", {}).error().code() == errc::not_found);
  CHECK(p.acceptor.link.answer(id + 1, errc::internal).error().code() == errc::not_found);
}

TEST_CASE("a peer that never answers what nobody waits for is left", "[peer_link]") {
  pair_of_links p;
  p.ask("x", {}, 1s);
  p.carry();
  p.wait(1s);
  while (p.now < link_time{} + 1s + overdue_max - 10s) {
    p.wait(10s);
    p.carry();
  }
  CHECK_FALSE(p.dialer.closed);
  p.wait(10s);
  REQUIRE(p.dialer.closed);
  CHECK(p.dialer.closed->code() == errc::timed_out);
}

TEST_CASE("a quiet link is kept by pings and ends when nothing comes back", "[peer_link]") {
  pair_of_links p;
  for (int i = 0; i < 20; ++i) {
    p.wait(ping_after);
    p.carry();
  }
  CHECK_FALSE(p.dialer.closed);
  p.wait(ping_after);
  (void) p.dialer.link.take_output();
  (void) p.acceptor.link.take_output();
  CHECK(p.dialer.link.next_tick() == p.now - ping_after + silence_max);
  p.wait(silence_max - ping_after);
  REQUIRE(p.dialer.closed);
  CHECK(p.dialer.closed->code() == errc::timed_out);
  CHECK(p.acceptor.closed);
}

TEST_CASE("a peer is not silent while the ping that it is to answer waits for what is sent before it", "[peer_link]") {
  pair_of_links p;
  (void) p.ask("much", std::string(1 << 20, 'x'), 1h);
  auto& link = p.dialer.link;
  // A slow line, which takes a little each second.
  for (int i = 0; i < 100; ++i) {
    p.now += 1s;
    link.drop_output(8 << 10, p.now);
    link.tick(p.now);
  }
  p.dialer.look();
  REQUIRE_FALSE(p.dialer.closed);
  // Now it is on its way, and is answered or not.
  link.drop_output(link.output().size(), p.now);
  CHECK(link.next_tick() == p.now + (silence_max - ping_after));
  p.now += silence_max - ping_after - 1ms;
  link.tick(p.now);
  p.dialer.look();
  CHECK_FALSE(p.dialer.closed);
  p.now += 1ms;
  link.tick(p.now);
  p.dialer.look();
  REQUIRE(p.dialer.closed);
  CHECK(p.dialer.closed->code() == errc::timed_out);
}

TEST_CASE("a ping that never gets its turn ends the link at last", "[peer_link]") {
  pair_of_links p;
  (void) p.ask("much", std::string(1 << 20, 'x'), 1h);
  auto& link = p.dialer.link;
  for (; !p.dialer.closed && p.now < link_time{} + 20min; p.dialer.look()) {
    p.now += 1s;
    link.drop_output(1, p.now);
    link.tick(p.now);
  }
  REQUIRE(p.dialer.closed);
  CHECK(p.dialer.closed->code() == errc::timed_out);
  CHECK(p.now >= link_time{} + 10min);
}

TEST_CASE("a handshake that is not over in time ends", "[peer_link]") {
  test_node a{1};
  end_of_link e{a, link_side::acceptor, usual};
  CHECK(e.link.next_tick() == link_time{} + handshake_time_max);
  e.link.tick(link_time{} + handshake_time_max - 1ms);
  e.look();
  CHECK_FALSE(e.closed);
  e.link.tick(link_time{} + handshake_time_max);
  e.look();
  REQUIRE(e.closed);
  CHECK(e.closed->code() == errc::timed_out);
  CHECK(e.link.next_tick() == link_time::max());
}

TEST_CASE("TLS without a hello does not keep a link", "[peer_link]") {
  lies t;
  t.l.victim.link.tick(link_time{} + handshake_time_max);
  t.l.victim.look();
  CHECK(t.l.end() == errc::timed_out);
}

TEST_CASE("whoever closes is heard, and all that waited is answered", "[peer_link]") {
  pair_of_links p;
  p.ask("one");
  p.ask("two");
  p.carry();
  p.acceptor.link.close(errc::unavailable);
  p.carry();
  REQUIRE(p.dialer.closed);
  CHECK(p.dialer.closed->code() == errc::unavailable);
  REQUIRE(p.dialer.answers.size() == 2);
  CHECK(p.dialer.answers[0].failure->code() == errc::unavailable);
  CHECK(p.acceptor.closed);
  CHECK_FALSE(p.acceptor.link.answer(p.acceptor.requests[0].id, "", {}));
}

TEST_CASE("a lost wire answers all that waited", "[peer_link]") {
  pair_of_links p;
  p.ask("one");
  p.dialer.link.lost(error{errc::io_failed, "read from a socket"});
  p.dialer.look();
  REQUIRE(p.dialer.answers.size() == 1);
  CHECK(p.dialer.answers[0].failure->code() == errc::unavailable);
  CHECK(p.dialer.closed->code() == errc::io_failed);
}

TEST_CASE("a node of another mesh is refused by both", "[peer_link]") {
  auto other = usual;
  other.network = network_id::from(as_view("another mesh for the link's test"));
  pair_of_links p{usual, other};
  REQUIRE(p.dialer.closed);
  REQUIRE(p.acceptor.closed);
  CHECK(p.dialer.closed->code() == errc::peer_refused);
  CHECK_FALSE(p.dialer.opened);
  CHECK_FALSE(p.acceptor.opened);
}

TEST_CASE("a node that reaches itself says so", "[peer_link]") {
  test_node a{1};
  end_of_link d{a, link_side::dialer, usual};
  end_of_link s{a, link_side::acceptor, usual};
  for (int i = 0; i < 4; ++i) {
    s.link.received(d.link.take_output(), link_time{});
    d.link.received(s.link.take_output(), link_time{});
  }
  d.look();
  REQUIRE(d.closed);
  CHECK(d.closed->code() == errc::peer_refused);
}

TEST_CASE("what the peer must not send ends the link", "[peer_link]") {
  lies t;
  auto& l = t.l;
  SECTION("a request before the hello") {
    l.send(2, liar::request(1));
    CHECK(l.end() == errc::protocol_violated);
    CHECK(l.victim.requests.empty());
  }
  SECTION("more than a hello can be, and none of it whole") {
    // A hello of 1 KiB, a byte in each record.
    REQUIRE(l.tls.write(as_view(std::string_view("\x08\x04\0\0\x01\0\x01\0\0\x04\0\0", 12))));
    for (int i = 0; i < 1000 && !l.victim.closed; ++i) {
      REQUIRE(l.tls.write(as_view("x")));
      l.carry();
    }
    CHECK(l.end() == errc::protocol_violated);
  }
  SECTION("a hello that was signed for the other side") {
    l.hello(liar::good_terms(), 'a');
    CHECK(l.end() == errc::protocol_violated);
  }
  SECTION("a hello whose signature is short") {
    v1::Hello hello;
    hello.set_terms(liar::good_terms().SerializeAsString());
    hello.set_signature("short");
    l.send(1, hello.SerializeAsString());
    CHECK(l.end() == errc::protocol_violated);
  }
  SECTION("a hello that grants nothing") {
    auto terms = liar::good_terms();
    terms.set_requests_max(0);
    l.hello(terms);
    CHECK(l.end() == errc::protocol_violated);
  }
  SECTION("a hello of a later protocol alone") {
    auto terms = liar::good_terms();
    terms.set_protocol_min(2);
    terms.set_protocol_max(3);
    l.hello(terms);
    CHECK(l.end() == errc::format_newer);
  }
  SECTION("a second hello") {
    l.hello(liar::good_terms());
    CHECK(l.victim.opened);
    l.hello(liar::good_terms());
    CHECK(l.end() == errc::protocol_violated);
  }
  SECTION("an unknown type of frame") {
    l.hello(liar::good_terms());
    l.send(200, "");
    CHECK(l.end() == errc::protocol_violated);
  }
  SECTION("an answer that nobody asked for") {
    l.hello(liar::good_terms());
    v1::LinkAnswer answer;
    answer.set_id(1);
    l.send(3, answer.SerializeAsString());
    CHECK(l.end() == errc::protocol_violated);
    CHECK(l.victim.answers.empty());
  }
  SECTION("a request that comes twice") {
    l.hello(liar::good_terms());
    l.send(2, liar::request(7));
    REQUIRE(l.victim.link.answer(7, "done", {}));
    l.send(2, liar::request(7));
    CHECK(l.end() == errc::protocol_violated);
    CHECK(l.victim.requests.size() == 1);
  }
  SECTION("a request without a number") {
    l.hello(liar::good_terms());
    l.send(2, liar::request(0));
    CHECK(l.end() == errc::protocol_violated);
  }
  SECTION("a header that is no message") {
    l.hello(liar::good_terms());
    l.send(2, "\xff\xff\xff");
    CHECK(l.end() == errc::protocol_violated);
  }
  SECTION("more requests than were granted") {
    l.hello(liar::good_terms());
    for (uint64_t id = 1; id <= usual.requests_max; ++id)
      l.send(2, liar::request(id));
    CHECK_FALSE(l.victim.closed);
    l.send(2, liar::request(usual.requests_max + 1));
    CHECK(l.end() == errc::protocol_violated);
    CHECK(l.victim.requests.size() == usual.requests_max);
  }
  SECTION("more bytes than were granted") {
    l.hello(liar::good_terms());
    std::string body(1 << 20, 'b');
    for (uint64_t id = 1; id <= 9 && !l.victim.closed; ++id)
      l.send(2, liar::request(id), body);
    CHECK(l.end() == errc::protocol_violated);
    CHECK(l.victim.requests.size() == 7);
  }
  SECTION("a body where none may be") {
    l.hello(liar::good_terms());
    l.send(5, "", "x");
    CHECK(l.end() == errc::protocol_violated);
  }
  SECTION("a cancel of what was never asked") {
    l.hello(liar::good_terms());
    v1::LinkCancel cancel;
    cancel.set_id(1);
    l.send(4, cancel.SerializeAsString());
    CHECK(l.end() == errc::protocol_violated);
  }
  SECTION("a pong without a ping") {
    l.hello(liar::good_terms());
    v1::LinkPing pong;
    pong.set_token(1);
    l.send(6, pong.SerializeAsString());
    CHECK(l.end() == errc::protocol_violated);
  }
}

TEST_CASE("a link knows what costs it more than bytes, and what it is made to hold", "[peer_link]") {
  lies t;
  auto& l = t.l;
  l.hello(liar::good_terms());
  auto items = l.victim.link.items();
  CHECK(l.victim.link.held() == 0);
  SECTION("small frames in one record") {
    v1::LinkPing ping;
    auto header = ping.SerializeAsString();
    std::string frames;
    for (int i = 0; i < 100; ++i)
      frames += std::string("\x08\0\0\0\x05\0\x01\0\0\0\0\0", 12);
    REQUIRE(l.tls.write(as_view(frames)));
    l.carry();
    CHECK(l.victim.link.items() == items + 100);
  }
  SECTION("records with a byte each") {
    std::string frame("\x08\0\0\0\x05\0\x01\0\0\0\0\0", 12);
    for (auto byte : frame)
      REQUIRE(l.tls.write(as_view(std::string_view{&byte, 1})));
    l.carry();
    CHECK(l.victim.link.items() == items + 13);
  }
  SECTION("a frame that is not whole") {
    REQUIRE(l.tls.write(as_view(std::string("\x08\0\x10\0\x02\0\x01\0\0\0\0\0\0", 13))));
    l.carry();
    CHECK(l.victim.link.held() == 64u << 10);
  }
  SECTION("a request that is not answered") {
    l.send(2, liar::request(1, "12345"), "body");
    CHECK(l.victim.link.held() == 9);
    REQUIRE(l.victim.link.answer(1, "", {}));
    l.carry();
    CHECK(l.victim.link.held() == 0);
  }
  CHECK_FALSE(l.victim.closed);
}

TEST_CASE("a peer that takes what waits for it is no silent peer", "[peer_link]") {
  pair_of_links p;
  std::string body(link_body_max, 'b');
  for (int i = 0; i < 4; ++i)
    p.ask("x", body, 1h);
  CHECK_FALSE(p.dialer.link.wants_input());
  for (int i = 0; i < 20; ++i) {
    p.dialer.link.drop_output(1, p.now);
    p.wait(30s);
  }
  CHECK_FALSE(p.dialer.closed);
  p.wait(45s);
  CHECK(p.dialer.closed);
}

TEST_CASE("one cancel is told, however many come", "[peer_link]") {
  lies t;
  t.l.hello(liar::good_terms());
  t.l.send(2, liar::request(1));
  v1::LinkCancel cancel;
  cancel.set_id(1);
  for (int i = 0; i < 100; ++i)
    t.l.send(4, cancel.SerializeAsString());
  CHECK(t.l.victim.cancelled.size() == 1);
  CHECK_FALSE(t.l.victim.closed);
}

TEST_CASE("a peer that asks and never reads is left before it takes much memory", "[peer_link]") {
  pair_of_links p;
  std::string body(link_body_max, 'b');
  size_t answered = 0;
  for (int i = 0; i < 100 && !p.acceptor.closed; ++i) {
    auto id = p.dialer.link.request("more", {}, p.now + 100s, p.now);
    if (!id)
      break;
    p.acceptor.link.received(p.dialer.link.take_output(), p.now);
    p.acceptor.look();
    if (p.acceptor.link.answer(*id, "", as_view(body)))
      ++answered;
    CHECK(p.acceptor.link.wants_input() == (answered < 4));
    p.acceptor.look();
  }
  REQUIRE(p.acceptor.closed);
  CHECK(p.acceptor.closed->code() == errc::capacity_exceeded);
  CHECK(answered < 16);
}
