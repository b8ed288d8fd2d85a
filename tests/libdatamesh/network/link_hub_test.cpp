#include "network/link_hub.hpp"

#include "tests/libdatamesh/network/allocated.hpp"
#include "tests/libdatamesh/network/memory_net.hpp"
#include "tests/libdatamesh/network/node.hpp"

#include <catch2/catch.hpp>
#include <openssl/ssl.h>

using namespace datamesh;
using namespace datamesh::network;
using namespace datamesh::test;
using namespace std::chrono_literals;

namespace {

const auto mesh = network_id::from(as_view("a mesh for the tests of its link"));

hub_options usual() {
  hub_options options;
  options.link.network = mesh;
  return options;
}

endpoint at(uint8_t host, uint16_t port = 4001) {
  return endpoint::v4({10, 0, 0, host}, port);
}

/// What a hub told, and what was answered.
struct listener : hub_owner {
  struct request {
    request_key key;
    peer_id from;
    link_time deadline;
    std::string message;
    bytes body;
  };
  struct answer {
    std::optional<errc> failure;
    std::string message;
    bytes body;
  };
  struct down {
    link_facts what;
    size_t links;
    error reason;
  };

  void on_link_up(const link_facts& what, size_t links) override {
    CHECK(links <= links_per_peer + 1);
    ups.push_back(what);
    if (then)
      then();
  }
  void on_link_down(const link_facts& what, size_t links, const error& reason) override {
    downs.push_back({what, links, reason});
  }
  void on_refused(const link_facts& what, const error& reason) override {
    refusals.push_back({what, 0, reason});
  }
  void on_connected(uint64_t token, const result<peer_id>& outcome) override {
    CHECK(connected.emplace(token, outcome).second);
  }
  void on_answer(uint64_t token, std::optional<error> failure, std::string message, bytes body) override {
    auto code = failure ? std::optional{failure->code()} : std::nullopt;
    CHECK(answers.emplace(token, answer{code, std::move(message), std::move(body)}).second);
    order.push_back(token);
  }
  void on_request(const request_key& key, const peer_id& from, link_time deadline, std::string message, bytes body) override {
    requests.push_back({key, from, deadline, std::move(message), std::move(body)});
    if (hub != nullptr)
      hub->answer(key, "re: " + requests.back().message, requests.back().body);
  }
  void on_cancelled(const request_key& key) override {
    cancelled.push_back(key.id);
  }
  void on_closed() override {
    ++closed;
  }

  link_hub* hub = nullptr;    ///< Answers at once, when it is there.
  std::function<void()> then; ///< Done when a link is up.
  std::vector<link_facts> ups;
  std::vector<down> downs;
  std::vector<down> refusals;
  std::map<uint64_t, result<peer_id>> connected;
  std::map<uint64_t, answer> answers;
  std::vector<uint64_t> order; ///< Of the answers.
  std::vector<request> requests;
  std::vector<uint64_t> cancelled;
  int closed = 0;
};

/// A node in the network in memory.
struct place {
  place(memory_net& net, uint64_t number, const endpoint& address, const hub_options& options = usual())
      : node(number, net.time), wire(net, address), hub(node.tls, options, wire, *net.time, told) {
    wire.start(hub);
  }

  const peer_id& id() const {
    return node.id();
  }
  uint64_t connect(const place& to) {
    hub.connect(++tokens, to.wire.at(), to.id());
    return tokens;
  }
  uint64_t ask(const place& whom, std::string message, std::string_view body = {}, link_time::duration within = 10s,
               const request_terms& terms = {}) {
    hub.ask(++tokens, whom.id(), std::move(message), bytes::copy_of(body), node.wall->monotonic() + within, terms);
    return tokens;
  }
  std::optional<errc> failure(uint64_t token) const {
    return told.answers.at(token).failure;
  }
  errc refusal(uint64_t token) const {
    const auto& outcome = told.connected.at(token);
    return outcome ? errc{} : outcome.error().code();
  }

  test_node node;
  memory_transport wire;
  listener told;
  link_hub hub;
  uint64_t tokens = 0;
};

struct two_places {
  explicit two_places(const hub_options& a = usual(), const hub_options& b = usual()) : one(net, 1, at(1), a), two(net, 2, at(2), b) {}

  void open() {
    auto token = one.connect(two);
    net.run();
    REQUIRE(one.told.connected.at(token));
    REQUIRE(two.told.ups.size() == 1);
  }

  memory_net net{std::make_shared<manual_clock>()};
  place one;
  place two;
};

/// Those who are let in.
struct few : peer_gate {
  [[nodiscard]] link_refusal refuses(const peer_id& peer) const override {
    return in.contains(peer) ? link_refusal::none : link_refusal::no_member;
  }
  std::set<peer_id> in;
};

/// Somebody who sends what he likes, from wherever he likes.
struct stranger : transport_user {
  explicit stranger(memory_net& net) : wire(net, at(200), false) {
    wire.start(*this);
  }

  socket_id dial(const place& to, const endpoint& from = at(200)) {
    wire.move_to(from);
    auto socket = wire.dial(to.wire.at());
    wire.read(socket, true);
    return socket;
  }
  void say(socket_id socket, byte_view data) {
    CHECK(wire.send(socket, data) == data.size());
  }

  bool accepted(socket_id, const endpoint&) override {
    return false;
  }
  void connected(socket_id) override {}
  void received(socket_id socket, byte_view data) override {
    auto& all = heard[socket];
    all.insert(all.end(), data.begin(), data.end());
  }
  void writable(socket_id) override {}
  void ended(socket_id socket, const error&) override {
    over.push_back(socket);
  }
  void tick() override {}

  memory_transport wire;
  std::map<socket_id, std::vector<std::byte>> heard;
  std::vector<socket_id> over;
};

uint64_t first_seed() {
  const auto* text = std::getenv("DATAMESH_SEED");
  return text == nullptr ? 1 : std::strtoull(text, nullptr, 10);
}

/// What a client of plain OpenSSL says first.
std::vector<std::byte> client_hello(int version) {
  auto* context = SSL_CTX_new(TLS_method());
  SSL_CTX_set_max_proto_version(context, version);
  auto* session = SSL_new(context);
  auto* out = BIO_new(BIO_s_mem());
  SSL_set_bio(session, BIO_new(BIO_s_mem()), out);
  SSL_set_connect_state(session);
  SSL_do_handshake(session);
  std::vector<std::byte> data(BIO_ctrl_pending(out));
  BIO_read(out, data.data(), static_cast<int>(data.size()));
  SSL_free(session);
  SSL_CTX_free(context);
  return data;
}

} // namespace

TEST_CASE("two nodes open a link, are told once, and ask each other", "[link_hub]") {
  two_places p;
  p.net.piece = GENERATE(size_t{1}, size_t{1000}, SIZE_MAX);
  p.one.told.hub = &p.one.hub;
  p.two.told.hub = &p.two.hub;
  p.open();
  REQUIRE(p.one.told.ups.size() == 1);
  CHECK(p.one.told.ups[0].peer == p.two.id());
  CHECK(p.one.told.ups[0].side == link_side::dialer);
  CHECK(p.one.told.ups[0].address == p.two.wire.at());
  CHECK(p.two.told.ups[0].peer == p.one.id());
  CHECK(p.two.told.ups[0].address == p.one.wire.at());
  auto there = p.one.ask(p.two, "there", "body");
  auto back = p.two.ask(p.one, "back");
  p.net.run();
  CHECK(p.one.told.answers.at(there).message == "re: there");
  CHECK(as_text(p.one.told.answers.at(there).body) == "body");
  CHECK(p.two.told.answers.at(back).message == "re: back");
  CHECK(p.two.told.requests.at(0).from == p.one.id());
  CHECK(p.one.told.downs.empty());
  CHECK(p.one.hub.links().size() == 1);
}

TEST_CASE("whoever is not the one that was dialed is refused, and is told", "[link_hub]") {
  two_places p;
  place third{p.net, 3, at(3)};
  p.one.hub.connect(1, p.two.wire.at(), third.id());
  p.net.run();
  CHECK(p.one.refusal(1) == errc::peer_refused);
  CHECK(p.one.told.ups.empty());
  CHECK(p.two.told.ups.empty());
  CHECK(p.one.hub.size() == 0);
  CHECK(p.two.hub.size() == 0);
  CHECK(p.two.hub.door().links() == 0);
}

TEST_CASE("a node of another mesh is refused on both sides", "[link_hub]") {
  auto other = usual();
  other.link.network = network_id::from(as_view("another mesh for the link's test"));
  two_places p{usual(), other};
  auto token = p.one.connect(p.two);
  p.net.run();
  CHECK(p.one.refusal(token) == errc::peer_refused);
  CHECK(p.one.told.ups.empty());
  CHECK(p.two.told.ups.empty());
  CHECK(p.two.hub.size() == 0);
}

TEST_CASE("in a closed mesh members are let in, and strangers are refused by whoever meets them", "[link_hub]") {
  auto gate = std::make_shared<few>();
  auto closed = usual();
  closed.link.gate = gate;
  memory_net net{std::make_shared<manual_clock>()};
  place one{net, 1, at(1), closed};
  place two{net, 2, at(2), closed};
  place stranger_place{net, 3, at(3)};
  gate->in = {one.id(), two.id()};
  auto let_in = one.connect(two);
  net.run();
  CHECK(one.told.connected.at(let_in));
  CHECK(two.told.ups.size() == 1);

  // He dials: each side is told why, and nothing of his is served.
  auto knocks = stranger_place.connect(one);
  net.run();
  CHECK(stranger_place.refusal(knocks) == errc::peer_refused);
  CHECK(stranger_place.told.ups.empty());
  REQUIRE(one.told.refusals.size() == 1);
  CHECK(one.told.refusals[0].what.peer == stranger_place.id());
  CHECK(one.told.refusals[0].what.side == link_side::acceptor);
  CHECK_THAT(one.told.refusals[0].reason.message(), Catch::Contains("not on the list of members"));
  REQUIRE(stranger_place.told.refusals.size() == 1);
  CHECK(stranger_place.told.refusals[0].what.peer == one.id());
  CHECK_THAT(stranger_place.told.refusals[0].reason.message(), Catch::Contains("not on its list of members"));

  // He is dialed, by his address alone: the same.
  one.hub.connect(70, stranger_place.wire.at(), std::nullopt);
  net.run();
  CHECK(one.refusal(70) == errc::peer_refused);
  CHECK(one.told.refusals.size() == 2);
  CHECK(stranger_place.told.refusals.size() == 2);
  CHECK(stranger_place.told.ups.empty());

  // By his id: nobody is dialed for that.
  one.hub.connect(71, stranger_place.wire.at(), stranger_place.id());
  CHECK(one.refusal(71) == errc::peer_refused);
  CHECK(one.told.refusals.size() == 3);
  net.pass(farewell_max);
  CHECK(one.hub.size() == 1);
  CHECK(stranger_place.hub.size() == 0);
}

TEST_CASE("a link ends with whom the list leaves out, and both are told why", "[link_hub]") {
  auto gate = std::make_shared<few>();
  auto closed = usual();
  closed.link.gate = gate;
  memory_net net{std::make_shared<manual_clock>()};
  place one{net, 1, at(1), closed};
  place two{net, 2, at(2)};
  place three{net, 3, at(3)};
  gate->in = {two.id(), three.id()};
  two.told.hub = &two.hub;
  (void) one.connect(two);
  (void) three.connect(one);
  net.run();
  REQUIRE(one.told.ups.size() == 2);
  auto waits = three.ask(one, "never answered");
  net.run();
  gate->in = {two.id()};
  one.hub.check_gate();
  net.run();
  REQUIRE(one.told.downs.size() == 1);
  CHECK(one.told.downs[0].what.peer == three.id());
  CHECK(one.told.downs[0].reason.code() == errc::peer_refused);
  REQUIRE(three.told.downs.size() == 1);
  CHECK(three.told.downs[0].reason.code() == errc::peer_refused);
  CHECK(three.failure(waits) == errc::unavailable);
  auto asked = one.ask(two, "still there");
  net.run();
  CHECK(one.told.answers.at(asked).message == "re: still there");
}

TEST_CASE("an address where nobody listens is told at once", "[link_hub]") {
  two_places p;
  p.one.hub.connect(1, at(99), p.two.id());
  p.one.hub.connect(2, at(99), std::nullopt);
  p.net.run();
  CHECK(p.one.refusal(1) == errc::unavailable);
  CHECK(p.one.refusal(2) == errc::unavailable);
  CHECK(p.one.hub.size() == 0);
}

TEST_CASE("a node does not link with itself", "[link_hub]") {
  two_places p;
  auto known = p.one.connect(p.one);
  CHECK(p.one.refusal(known) == errc::invalid_argument);
  p.one.hub.connect(7, p.one.wire.at(), std::nullopt);
  p.net.pass(5s);
  CHECK(p.one.refusal(7) == errc::peer_refused);
  CHECK(p.one.told.ups.empty());
  CHECK(p.one.hub.size() == 0);
}

TEST_CASE("what is no link is ended before anything is known of it", "[link_hub]") {
  two_places p;
  stranger s{p.net};
  auto socket = s.dial(p.two);
  p.net.run();
  seeded_random chance{5};
  SECTION("plain text") {
    s.say(socket, as_view("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"));
  }
  SECTION("garbage") {
    s.say(socket, chance.make(3000));
  }
  SECTION("TLS 1.2") {
    s.say(socket, client_hello(TLS1_2_VERSION));
  }
  p.net.run();
  CHECK(s.over == std::vector{socket});
  CHECK(p.two.told.ups.empty());
  // He never closes his end, and that is his business.
  p.net.pass(farewell_max);
  CHECK(p.two.hub.size() == 0);
  CHECK(p.two.wire.size() == 0);
  CHECK(p.two.hub.door().links() == 0);
}

TEST_CASE("a stranger who stops half way is waited for five seconds, and costs little", "[link_hub]") {
  two_places p;
  stranger s{p.net};
  auto said = client_hello(TLS1_3_VERSION);
  // The last but one of these is all but a byte, the last one all.
  auto part = GENERATE_COPY(size_t{0}, size_t{1}, size_t{5}, size_t{100}, said.size() - 1, said.size());
  auto whole = part == said.size();
  auto before = allocated_bytes();
  auto socket = s.dial(p.two);
  p.net.run();
  s.say(socket, byte_view{said}.first(part));
  p.net.run();
  CHECK(allocated_bytes() - before < (whole ? 80u << 10 : 6u << 10));
  CHECK(p.two.hub.door().half_open() == (whole ? 1 : 0));
  p.net.pass(handshake_time_max - 1ms);
  CHECK(p.two.hub.size() == 1);
  p.net.pass(1ms);
  CHECK(p.two.hub.size() == 0);
  CHECK(s.over.size() == 1);
}

TEST_CASE("a stranger who knows TLS and says no hello is waited for as long, and costs no more", "[link_hub]") {
  two_places p;
  stranger s{p.net};
  auto us = tls_link::open(p.one.node.tls, link_side::dialer, p.two.id()).value();
  auto socket = s.dial(p.two);
  p.net.run();
  size_t cost = 0;
  while (true) {
    auto out = us.take_output();
    if (out.empty())
      break;
    auto before = allocated_bytes();
    s.say(socket, out);
    p.net.run();
    cost += allocated_bytes() - before;
    CHECK(cost < 64u << 10);
    auto heard = std::exchange(s.heard[socket], {});
    if (!heard.empty())
      REQUIRE(us.received(heard));
  }
  REQUIRE(us.established());
  CHECK(p.two.hub.door().half_open() == 1);
  CHECK(p.two.told.ups.empty());
  p.net.pass(handshake_time_max);
  CHECK(p.two.hub.size() == 0);
}

TEST_CASE("an open link holds little when it is idle, whatever it carried", "[link_hub]") {
  two_places p;
  p.two.told.hub = &p.two.hub;
  auto before = allocated_bytes();
  p.open();
  for (int i = 0; i < 10; ++i)
    p.one.ask(p.two, "large", std::string(link_body_max, 'x'));
  p.net.run();
  CHECK(p.one.told.answers.size() == 10);
  p.one.told.answers.clear();
  p.two.told.requests.clear();
  CHECK(p.one.hub.held() == 0);
  CHECK(p.two.hub.held() == 0);
  // Both ends.
  CHECK(allocated_bytes() - before < 2 * (28u << 10));
}

TEST_CASE("strangers who say nothing, or half of it, keep nobody out", "[link_hub]") {
  two_places p;
  stranger s{p.net};
  auto said = client_hello(TLS1_3_VERSION);
  for (uint8_t i = 0; i < 100; ++i) {
    auto socket = s.dial(p.two, at(i, 9));
    p.net.run();
    s.say(socket, byte_view{said}.first(i));
  }
  p.net.run();
  CHECK(p.two.hub.size() == 100);
  CHECK(p.two.hub.door().half_open() == 0);
  p.open();
  CHECK(p.two.hub.size() == 101);
  p.net.pass(5s);
  CHECK(p.two.hub.size() == 1);
  CHECK(s.over.size() == 100);
}

TEST_CASE("no more handshakes are under way than the limit says, and who comes for the first time has the next turn", "[link_hub]") {
  two_places p;
  stranger s{p.net};
  auto said = client_hello(TLS1_3_VERSION);
  for (auto round : {0, 1})
    for (uint8_t i = 0; i < 50; ++i) {
      INFO(round);
      auto socket = s.dial(p.two, at(i, 9));
      p.net.run();
      s.say(socket, said);
      p.net.run();
    }
  CHECK(p.two.hub.door().half_open() == 64);
  CHECK(p.two.hub.door().at_door() == 36);
  auto token = p.one.connect(p.two);
  p.net.run();
  CHECK_FALSE(p.one.told.connected.contains(token));
  // The oldest ones had their time.
  p.net.pass(1s);
  CHECK(p.one.told.connected.at(token));
  CHECK(p.two.hub.door().half_open() <= 64);
  CHECK(p.two.hub.door().at_door() == 0);
  p.net.pass(5s);
  CHECK(p.two.hub.size() == 1);
}

TEST_CASE("a stranger whose first message is too long to be one is put out", "[link_hub]") {
  two_places p;
  stranger s{p.net};
  p.net.buffer = 1 << 20;
  std::vector<std::byte> record(5 + (17 << 10));
  // Of a handshake, of the version that all name, and as long as a record may be.
  std::ranges::copy(std::array{std::byte{22}, std::byte{3}, std::byte{1}, std::byte{0x40}, std::byte{0}}, record.begin());
  auto socket = s.dial(p.two);
  p.net.run();
  s.say(socket, byte_view{record}.first(16 << 10));
  p.net.run();
  CHECK(s.over.empty());
  CHECK(p.two.hub.held() > 0);
  s.say(socket, byte_view{record}.subspan(16 << 10));
  p.net.run();
  CHECK(s.over == std::vector{socket});
  p.net.pass(farewell_max);
  CHECK(p.two.hub.size() == 0);
  CHECK(p.two.hub.held() == 0);
}

TEST_CASE("what comes over open links is served between the handshakes of a crowd", "[link_hub]") {
  two_places p;
  p.two.told.hub = &p.two.hub;
  p.open();
  stranger s{p.net};
  auto said = client_hello(TLS1_3_VERSION);
  std::vector<socket_id> all;
  for (uint8_t i = 0; i < 30; ++i)
    all.push_back(s.dial(p.two, at(i, 9)));
  p.net.run();
  for (auto socket : all)
    s.say(socket, said);
  auto asked = p.one.ask(p.two, "there");
  // At each of these the node has an alarm of its own, and what came before it is served first.
  size_t begun = 0;
  while (!p.one.told.answers.contains(asked)) {
    REQUIRE(p.net.step());
    begun = std::max(begun, p.two.hub.door().half_open());
  }
  CHECK(begun <= 2);
  p.net.run();
  CHECK(p.two.hub.door().half_open() == 30);
}

TEST_CASE("one host does not take the room of all who are half open", "[link_hub]") {
  two_places p;
  stranger s{p.net};
  for (int i = 0; i < 10; ++i)
    s.dial(p.two, at(7, 9));
  p.net.run();
  CHECK(p.two.hub.size() == 4);
  auto token = p.one.connect(p.two);
  p.net.run();
  CHECK(p.one.told.connected.at(token));
}

TEST_CASE("who dials the same node twice gets one link", "[link_hub]") {
  two_places p;
  auto first = p.one.connect(p.two);
  auto second = p.one.connect(p.two);
  p.net.run();
  auto third = p.one.connect(p.two);
  CHECK(p.one.told.connected.at(first));
  CHECK(p.one.told.connected.at(second));
  CHECK(p.one.told.connected.at(third));
  CHECK(p.one.told.ups.size() == 1);
  // Without its id, it is found out late.
  p.one.hub.connect(100, p.two.wire.at(), std::nullopt);
  p.net.run();
  CHECK(p.one.told.connected.at(100));
  CHECK(p.one.hub.links().size() == 1);
  CHECK(p.two.hub.links().size() == 1);
  CHECK(p.one.told.ups.size() == 1);
}

TEST_CASE("two nodes that dial each other at once keep one link", "[link_hub]") {
  two_places p;
  p.net.piece = GENERATE(size_t{100}, size_t{700}, SIZE_MAX);
  auto forth = p.one.connect(p.two);
  auto back = p.two.connect(p.one);
  p.net.run();
  CHECK(p.one.told.connected.at(forth));
  CHECK(p.two.told.connected.at(back));
  REQUIRE(p.one.hub.links().size() == 1);
  REQUIRE(p.two.hub.links().size() == 1);
  CHECK(p.one.hub.links()[0].side != p.two.hub.links()[0].side);
  p.two.told.hub = &p.two.hub;
  auto asked = p.one.ask(p.two, "still there?");
  p.net.run();
  CHECK_FALSE(p.one.failure(asked));
}

TEST_CASE("what is asked over the one of two links that goes is answered over the other", "[link_hub]") {
  two_places p;
  p.net.piece = GENERATE(size_t{100}, size_t{700}, SIZE_MAX);
  std::vector<std::pair<place*, uint64_t>> asked;
  auto ask_much = [&](place& by, const place& whom) {
    // More than the peer takes at once.
    for (int i = 0; i < 80; ++i)
      asked.emplace_back(&by, by.ask(whom, std::to_string(i), "a body"));
  };
  p.one.told.hub = &p.one.hub;
  p.two.told.hub = &p.two.hub;
  SECTION("when they cross") {
    p.one.told.then = [&] {
      ask_much(p.one, p.two);
    };
    p.two.told.then = [&] {
      ask_much(p.two, p.one);
    };
    p.one.connect(p.two);
    p.two.connect(p.one);
    p.net.run();
  }
  SECTION("when one is dialed to see that the node is there") {
    p.open();
    p.net.pass(11s);
    p.one.told.then = [&] {
      ask_much(p.one, p.two);
    };
    p.two.hub.connect(++p.two.tokens, at(1), p.one.id(), true);
    p.net.run();
  }
  CHECK(asked.size() >= 80);
  for (const auto& [by, token] : asked) {
    CHECK_FALSE(by->failure(token));
    CHECK(by->told.answers.at(token).message.starts_with("re: "));
  }
  CHECK(p.one.hub.links().size() == 1);
}

TEST_CASE("what is asked over the last link fails when it goes, whatever the peer says why", "[link_hub]") {
  two_places p;
  p.open();
  auto asked = p.one.ask(p.two, "are you there?");
  p.net.run();
  auto given_up = p.one.ask(p.two, "or not?");
  p.net.run();
  p.two.hub.drop(p.one.id(), errc::already_exists);
  p.net.run();
  p.one.hub.give_up(given_up);
  CHECK(p.one.failure(given_up) == errc::cancelled);
  CHECK(p.one.told.answers.count(asked) == 0);
  SECTION("after a while") {
    p.net.pass(6s);
  }
  SECTION("as soon as this node closes") {
    p.one.hub.close();
  }
  CHECK(p.one.failure(asked) == errc::unavailable);
}

TEST_CASE("a node that comes back is heard over its new link, and does not pile them up", "[link_hub]") {
  two_places p;
  p.open();
  std::vector<std::unique_ptr<place>> lives;
  for (uint8_t i = 0; i < 3; ++i) {
    lives.push_back(std::make_unique<place>(p.net, 1, at(static_cast<uint8_t>(20 + i))));
    lives.back()->told.hub = &lives.back()->hub;
    lives.back()->connect(p.two);
    p.net.run();
    CHECK(p.two.hub.links().size() == links_per_peer);
    auto asked = p.two.ask(*lives.back(), "who is it?");
    p.net.run();
    CHECK_FALSE(p.two.failure(asked));
    CHECK(lives.back()->told.requests.size() == 1);
  }
  CHECK(p.two.told.downs.size() == 2);
  CHECK(p.two.told.downs[0].links == 2);
}

TEST_CASE("a node whose power failed is let in at once, whoever dialed before", "[link_hub]") {
  two_places p;
  auto swapped = GENERATE(false, true);
  auto& stays = swapped ? p.two : p.one;
  auto& falls = swapped ? p.one : p.two;
  stays.connect(falls);
  p.net.pass(11s);
  REQUIRE(stays.hub.links().size() == 1);
  place again{p.net, swapped ? uint64_t{1} : uint64_t{2}, at(20)};
  REQUIRE(again.id() == falls.id());
  again.told.hub = &again.hub;
  auto token = again.connect(stays);
  p.net.run();
  CHECK(again.told.connected.at(token));
  CHECK(again.hub.links().size() == 1);
  auto asked = stays.ask(again, "are you well?");
  p.net.run();
  CHECK_FALSE(stays.failure(asked));
  CHECK(again.told.requests.size() == 1);
}

TEST_CASE("requests wait for the peer's credit, in their order", "[link_hub]") {
  auto narrow = usual();
  narrow.link.requests_max = 2;
  two_places p{usual(), narrow};
  p.open();
  for (int i = 1; i <= 5; ++i)
    p.one.ask(p.two, std::to_string(i));
  p.net.run();
  REQUIRE(p.two.told.requests.size() == 2);
  for (size_t i = 0; i < 5; ++i) {
    CHECK(p.two.told.requests.at(i).message == std::to_string(i + 1));
    p.two.hub.answer(p.two.told.requests[i].key, "", {});
    p.net.run();
  }
  CHECK(p.one.told.answers.size() == 5);
}

TEST_CASE("what is small goes before what is large, and does not wait for more than is on its way", "[link_hub]") {
  two_places p;
  p.net.buffer = 64 << 10;
  p.open();
  std::string body(1 << 20, 'b');
  SECTION("of requests") {
    p.two.told.hub = &p.two.hub;
    p.net.dead = true;
    for (int i = 0; i < 6; ++i)
      p.one.ask(p.two, "large", body, 1h);
    p.one.ask(p.two, "small");
    p.one.ask(p.two, "another");
    p.net.dead = false;
    p.net.run();
    const auto& heard = p.two.told.requests;
    REQUIRE(heard.size() == 8);
    CHECK(heard[1].message == "small");
    CHECK(heard[2].message == "another");
    CHECK(p.one.told.answers.size() == 8);
  }
  SECTION("of answers") {
    for (int i = 0; i < 6; ++i)
      p.one.ask(p.two, "large", {}, 1h);
    auto small = p.one.ask(p.two, "small", {}, 1h);
    p.net.run();
    REQUIRE(p.two.told.requests.size() == 7);
    p.net.dead = true;
    for (size_t i = 0; i < 6; ++i)
      p.two.hub.answer(p.two.told.requests[i].key, "", bytes::copy_of(body));
    p.two.hub.answer(p.two.told.requests[6].key, "soon", {});
    CHECK(p.two.hub.held() > 5u << 20);
    p.net.dead = false;
    p.net.run();
    REQUIRE(p.one.told.answers.size() == 7);
    CHECK(p.one.told.order.at(1) == small);
    CHECK(p.two.hub.held() < 1u << 20);
  }
}

TEST_CASE("no more requests wait than may", "[link_hub]") {
  auto narrow = usual();
  narrow.link.requests_max = 1;
  two_places p{usual(), narrow};
  p.open();
  p.one.ask(p.two, "under way");
  SECTION("by number") {
    for (size_t i = 0; i < 256; ++i)
      p.one.ask(p.two, "waits");
    CHECK(p.one.told.answers.empty());
    auto last = p.one.ask(p.two, "too many");
    CHECK(p.one.failure(last) == errc::capacity_exceeded);
  }
  SECTION("by size") {
    std::string body(1 << 20, 'b');
    for (int i = 0; i < 11; ++i)
      p.one.ask(p.two, "waits", body);
    CHECK(p.one.told.answers.empty());
    body.resize(link_body_max);
    CHECK(p.one.failure(p.one.ask(p.two, "too much", body)) == errc::capacity_exceeded);
  }
}

TEST_CASE("a request that waits too long is answered for, and so is one that is given up", "[link_hub]") {
  auto narrow = usual();
  narrow.link.requests_max = 1;
  two_places p{usual(), narrow};
  p.open();
  auto sent = p.one.ask(p.two, "sent", {}, 8s);
  auto late = p.one.ask(p.two, "late", {}, 3s);
  auto dropped = p.one.ask(p.two, "dropped");
  p.net.pass(2999ms);
  CHECK(p.one.told.answers.empty());
  p.net.pass(1ms);
  CHECK(p.one.failure(late) == errc::timed_out);
  p.one.hub.give_up(dropped);
  CHECK(p.one.failure(dropped) == errc::cancelled);
  p.one.hub.give_up(sent);
  p.net.run();
  CHECK(p.one.failure(sent) == errc::cancelled);
  CHECK(p.two.told.cancelled == std::vector{p.two.told.requests.at(0).key.id});
  p.one.hub.give_up(sent);
  CHECK(p.two.told.requests.size() == 1);
  CHECK(p.one.failure(p.one.ask(p.two, "past", {}, 0s)) == errc::timed_out);
}

TEST_CASE("a request that can not be sent is answered at once", "[link_hub]") {
  two_places p;
  CHECK(p.one.failure(p.one.ask(p.two, "no link")) == errc::unavailable);
  p.open();
  CHECK(p.one.failure(p.one.ask(p.two, std::string(link_message_max + 1, 'm'))) == errc::capacity_exceeded);
  CHECK(p.one.failure(p.one.ask(p.two, "m", std::string(link_body_max + 1, 'b'))) == errc::capacity_exceeded);
}

TEST_CASE("an answer that is too large is a mistake of ours, and an answer", "[link_hub]") {
  two_places p;
  p.open();
  auto asked = p.one.ask(p.two, "tell me all");
  p.net.run();
  std::string body(link_body_max + 1, 'b');
  p.two.hub.answer(p.two.told.requests.at(0).key, "", bytes::copy_of(body));
  p.two.hub.answer(p.two.told.requests.at(0).key, "", {});
  p.two.hub.answer({99, 1}, errc::internal);
  p.net.run();
  CHECK(p.one.failure(asked) == errc::internal);
}

TEST_CASE("when a link goes down all that was asked has its answer, and one event tells why", "[link_hub]") {
  auto narrow = usual();
  narrow.link.requests_max = 1;
  two_places p{usual(), narrow};
  p.open();
  auto sent = p.one.ask(p.two, "sent");
  auto waits = p.one.ask(p.two, "waits");
  p.net.run();
  p.two.hub.drop(p.one.id(), errc::permission_denied);
  p.net.run();
  CHECK(p.one.failure(sent) == errc::unavailable);
  CHECK(p.one.failure(waits) == errc::unavailable);
  REQUIRE(p.one.told.downs.size() == 1);
  CHECK(p.one.told.downs[0].links == 0);
  CHECK(p.one.told.downs[0].what.peer == p.two.id());
  CHECK(p.one.told.downs[0].reason.message().find(facts_of(errc::permission_denied).title) != std::string::npos);
  REQUIRE(p.two.told.downs.size() == 1);
  CHECK(p.two.told.downs[0].reason.code() == errc::permission_denied);
  CHECK(p.one.hub.size() == 0);
  CHECK(p.two.hub.size() == 0);
  // The answer to what was asked over the link goes nowhere.
  p.two.hub.answer(p.two.told.requests.at(0).key, "late", {});
  auto again = p.one.connect(p.two);
  p.net.run();
  CHECK(p.one.told.connected.at(again));
}

TEST_CASE("a quiet link lives for hours, and not long when nothing comes back", "[link_hub]") {
  two_places p;
  p.open();
  p.net.pass(3h);
  CHECK(p.one.told.downs.empty());
  CHECK(p.two.told.downs.empty());
  p.net.dead = true;
  p.net.pass(silence_max);
  REQUIRE(p.one.told.downs.size() == 1);
  REQUIRE(p.two.told.downs.size() == 1);
  CHECK(p.one.told.downs[0].reason.code() == errc::timed_out);
  CHECK(p.one.wire.size() == 0);
  CHECK(p.two.wire.size() == 0);
}

TEST_CASE("who sends more requests than his pace is read no faster than it", "[link_hub]") {
  auto slow = usual();
  slow.items = {100, 200};
  two_places p{usual(), slow};
  p.two.told.hub = &p.two.hub;
  p.open();
  // A request is a frame and a small record.
  size_t asked = 0;
  auto flood = [&] {
    for (; p.one.told.answers.size() + 200 > asked; ++asked)
      p.one.ask(p.two, "x", {}, 1h);
    p.net.run();
  };
  for (int i = 0; i < 10; ++i)
    flood();
  // What came in one piece with the last that was due.
  auto at_once = p.two.told.requests.size();
  CHECK(at_once < 100 + 2 * 64);
  for (int i = 0; i < 100; ++i) {
    p.net.pass(100ms);
    flood();
  }
  auto later = p.two.told.requests.size() - at_once;
  CHECK(later < 500 + 2 * 64);
  CHECK(later > 300);
  CHECK(p.one.told.downs.empty());
}

TEST_CASE("who sends more bytes than his pace is read no faster than it", "[link_hub]") {
  auto slow = usual();
  slow.bytes = {1 << 20, 4 << 20};
  two_places p{usual(), slow};
  p.two.told.hub = &p.two.hub;
  p.open();
  for (int i = 0; i < 7; ++i)
    p.one.ask(p.two, "x", std::string(1 << 20, 'b'), 1h);
  p.net.run();
  CHECK(p.two.told.requests.size() >= 3);
  CHECK(p.two.told.requests.size() <= 4);
  p.net.pass(1s);
  CHECK(p.two.told.requests.size() <= 5);
  p.net.pass(4s);
  CHECK(p.two.told.requests.size() == 7);
}

TEST_CASE("a peer does not gain by coming back, or by several links", "[link_hub]") {
  auto slow = usual();
  slow.bytes = {1 << 20, 4 << 20};
  two_places p{usual(), slow};
  p.two.told.hub = &p.two.hub;
  for (int i = 0; i < 5; ++i) {
    place life{p.net, 7, at(static_cast<uint8_t>(30 + i))};
    life.connect(p.two);
    p.net.run();
    for (int k = 0; k < 6; ++k)
      life.ask(p.two, "x", std::string(1 << 20, 'b'), 1h);
    p.net.run();
  }
  CHECK(p.two.told.requests.size() <= 5);
}

TEST_CASE("a peer that takes nothing is left after a while", "[link_hub]") {
  two_places p;
  p.open();
  // Its socket is not read, as when its process was stopped.
  p.one.wire.read(1, false);
  auto asked = p.two.ask(p.one, "hello?", std::string(1 << 20, 'b'), 1h);
  p.net.pass(stall_max - 1s);
  CHECK(p.two.told.downs.empty());
  p.net.pass(2s);
  REQUIRE(p.two.told.downs.size() == 1);
  CHECK(p.two.told.downs[0].reason.code() == errc::timed_out);
  CHECK(p.two.failure(asked) == errc::unavailable);
  CHECK(p.two.wire.size() == 0);
}

TEST_CASE("peers that read slowly are left before they take much memory, and others stay", "[link_hub]") {
  auto tight = usual();
  tight.held_max = 8 << 20;
  tight.link.bytes_max = 2 << 20;
  two_places p{tight, usual()};
  std::vector<std::unique_ptr<place>> greedy;
  p.open();
  for (uint8_t i = 0; i < 8; ++i) {
    greedy.push_back(std::make_unique<place>(p.net, 10 + i, at(static_cast<uint8_t>(10 + i))));
    greedy.back()->connect(p.one);
  }
  p.net.run();
  for (auto& each : greedy)
    for (int k = 0; k < 3; ++k)
      each->ask(p.one, "large", {}, 1h);
  p.net.run();
  for (auto& each : greedy)
    each->wire.read(1, false);
  REQUIRE(p.one.told.requests.size() == 24);
  std::string body(1 << 20, 'b');
  for (const auto& request : p.one.told.requests) {
    p.one.hub.answer(request.key, "", bytes::copy_of(body));
    CHECK(p.one.hub.held() <= 8u << 20);
  }
  p.net.run();
  CHECK(p.one.told.downs.size() >= 4);
  for (const auto& down : p.one.told.downs) {
    CHECK(down.reason.code() == errc::capacity_exceeded);
    CHECK(down.what.peer != p.two.id());
  }
  p.two.told.hub = &p.two.hub;
  auto asked = p.one.ask(p.two, "and you?");
  p.net.run();
  CHECK_FALSE(p.one.failure(asked));
}

TEST_CASE("a node that holds too much already refuses what it is asked", "[link_hub]") {
  auto tight = usual();
  tight.held_max = 4 << 20;
  two_places p{usual(), tight};
  p.open();
  std::string body(1 << 20, 'b');
  std::vector<uint64_t> asked;
  for (int i = 0; i < 4; ++i)
    asked.push_back(p.one.ask(p.two, "keep this", body));
  p.net.run();
  REQUIRE(p.two.told.requests.size() == 1);
  CHECK(p.one.failure(asked[1]) == errc::capacity_exceeded);
  CHECK(p.one.failure(asked[3]) == errc::capacity_exceeded);
  p.two.hub.answer(p.two.told.requests[0].key, "", {});
  auto later = p.one.ask(p.two, "and this", body);
  p.net.run();
  CHECK(p.two.told.requests.size() == 2);
  CHECK_FALSE(p.one.told.answers.contains(later));
}

TEST_CASE("who takes little is served while others hold too much", "[link_hub]") {
  auto tight = usual();
  tight.held_max = 4 << 20;
  two_places p{usual(), tight};
  place other{p.net, 3, at(3)};
  p.open();
  other.connect(p.two);
  p.net.run();
  // All but a few bytes of the half.
  std::string body(1 << 20, 'b');
  p.one.ask(p.two, "keep this", body);
  p.one.ask(p.two, "keep this", std::string_view{body}.substr(20));
  p.net.run();
  auto taken = p.two.told.requests.size();
  REQUIRE(taken == 2);
  other.ask(p.two, "a few words");
  p.net.run();
  REQUIRE(p.two.told.requests.size() == taken + 1);
  // One at a time, and no large one.
  auto second = other.ask(p.two, "and some more");
  p.net.run();
  CHECK(other.failure(second) == errc::capacity_exceeded);
  p.two.hub.answer(p.two.told.requests.back().key, "", {});
  auto large = other.ask(p.two, "take this", body);
  p.net.run();
  CHECK(other.failure(large) == errc::capacity_exceeded);
}

TEST_CASE("when links hold too much, one goes over which nothing moves before one over which much does", "[link_hub]") {
  auto tight = usual();
  tight.held_max = 4 << 20;
  two_places p{tight, usual()};
  place idle{p.net, 3, at(3)};
  p.open();
  idle.connect(p.one);
  p.net.run();
  idle.ask(p.one, "keep this", std::string(512 << 10, 'b'), 1h);
  p.net.run();
  p.net.pass(2s);
  for (int i = 0; i < 4; ++i)
    p.two.ask(p.one, "large");
  p.net.run();
  REQUIRE(p.one.told.requests.size() == 5);
  p.two.wire.read(1, false);
  std::string body(1 << 20, 'b');
  for (size_t i = 1; i < 5; ++i)
    p.one.hub.answer(p.one.told.requests[i].key, "", bytes::copy_of(body));
  p.net.run();
  REQUIRE(p.one.told.downs.size() == 1);
  CHECK(p.one.told.downs[0].what.peer == idle.id());
}

/// One that is linked with many.
struct one_and_many {
  one_and_many(const hub_options& options, uint8_t count) : one(net, 1, at(1), options) {
    for (uint8_t i = 0; i < count; ++i) {
      many.push_back(std::make_unique<place>(net, 10 + i, at(static_cast<uint8_t>(10 + i))));
      one.connect(*many.back());
    }
    net.run();
    REQUIRE(one.told.ups.size() == count);
  }

  [[nodiscard]] std::vector<std::string> asked() const {
    std::vector<std::string> all;
    for (const auto& each : many)
      for (const auto& request : each->told.requests)
        all.push_back(request.message);
    return all;
  }
  /// What is asked of them now is answered with a MiB, and so is what is asked after that.
  void answer_all() {
    std::string body(1 << 20, 'b');
    std::map<const place*, size_t> done;
    for (bool any = true; any;) {
      any = false;
      for (auto& each : many)
        for (auto& from = done[each.get()]; from < each->told.requests.size(); ++from, any = true)
          each->hub.answer(each->told.requests[from].key, "", bytes::copy_of(body));
      net.run();
    }
  }

  memory_net net{std::make_shared<manual_clock>()};
  place one;
  std::vector<std::unique_ptr<place>> many;
};

TEST_CASE("what a node asked for is not held against those who send it, and what it did not ask for is", "[link_hub]") {
  auto tight = usual();
  tight.held_max = 4 << 20;
  one_and_many p{tight, 8};
  auto asked_for = GENERATE(uint32_t{1} << 20, uint32_t{0});
  for (auto& each : p.many)
    p.one.ask(*each, "large", {}, 1h, {asked_for});
  p.net.run();
  p.answer_all();
  REQUIRE(p.one.told.answers.size() == 8);
  CHECK(p.one.told.downs.empty() == (asked_for > 0));
  CHECK(p.one.hub.own() == 0);
}

TEST_CASE("what a node asks for has its bound, in which clients come before repair, and repair before scrubbing", "[link_hub]") {
  auto tight = usual();
  tight.own_max = 4 << 20;
  one_and_many p{tight, 8};
  constexpr std::array names{"client", "repair", "scrub"};
  auto ask_all = [&](work_kind work) {
    for (auto& each : p.many)
      p.one.ask(*each, names.at(static_cast<size_t>(work)), {}, 1h, {1'000'000, work});
    p.net.run();
  };
  auto count = [&](const char* name) {
    return std::ranges::count(p.asked(), name);
  };
  ask_all(work_kind::scrub);
  CHECK(count("scrub") == 1);
  ask_all(work_kind::repair);
  CHECK(count("repair") == 1);
  ask_all(work_kind::client);
  CHECK(count("client") == 2);
  CHECK(p.one.hub.own() <= tight.own_max);
  // What is small waits for nobody.
  p.one.ask(*p.many[0], "small", {}, 1h);
  p.net.run();
  CHECK(count("small") == 1);

  std::vector<uint64_t> kinds;
  p.answer_all();
  REQUIRE(p.one.told.answers.size() == 25);
  for (const auto& [token, answer] : p.one.told.answers)
    CHECK_FALSE(answer.failure);
  for (auto token : p.one.told.order)
    kinds.push_back(token <= 8 ? 2 : token <= 16 ? 1 : 0);
  // But for one of each, which always goes on.
  auto last_client = std::ranges::find(kinds.rbegin(), kinds.rend(), 0u).base() - kinds.begin();
  CHECK(std::count(kinds.begin(), kinds.begin() + last_client, 2u) < 8);
  CHECK(std::count(kinds.begin(), kinds.begin() + last_client, 1u) < 8);
  CHECK(p.one.hub.own() == 0);
}

TEST_CASE("a link that goes gives back what was asked for over it", "[link_hub]") {
  auto tight = usual();
  tight.own_max = 4 << 20;
  one_and_many p{tight, 8};
  for (auto& each : p.many)
    p.one.ask(*each, "large", {}, 1h, {1'000'000});
  p.net.run();
  REQUIRE(p.asked().size() == 4);
  for (size_t i = 0; i < 4; ++i)
    p.one.hub.drop(p.many[i]->id(), errc::cancelled);
  p.net.run();
  CHECK(p.asked().size() == 8);
  p.net.pass(61min);
  CHECK(p.one.told.answers.size() == 8);
  CHECK(p.one.hub.own() == 0);
}

TEST_CASE("a node that closes tells all, once, and takes nothing more", "[link_hub]") {
  two_places p;
  place third{p.net, 3, at(3)};
  p.open();
  third.connect(p.two);
  p.net.run();
  auto asked = p.one.ask(p.two, "x");
  auto dialed = p.two.connect(place{p.net, 9, at(9)});
  stranger s{p.net};
  s.dial(p.two);
  p.net.run();
  p.two.hub.close();
  p.net.run();
  CHECK(p.one.failure(asked) == errc::unavailable);
  CHECK(p.two.refusal(dialed) == errc::unavailable);
  CHECK(p.one.told.downs.size() == 1);
  CHECK(third.told.downs.size() == 1);
  CHECK(p.two.told.downs.size() == 2);
  p.net.pass(farewell_max);
  CHECK(p.two.told.closed == 1);
  CHECK(p.two.wire.size() == 0);
  auto again = p.one.connect(p.two);
  p.net.run();
  CHECK(p.one.refusal(again) == errc::unavailable);
  CHECK(p.two.refusal(p.two.connect(p.one)) == errc::unavailable);
  p.two.hub.close();
  CHECK(p.two.told.closed == 1);
}

TEST_CASE("too many dials at once are refused", "[link_hub]") {
  auto few = usual();
  few.dials_max = 2;
  two_places p{few, usual()};
  p.net.dead = true;
  p.one.hub.connect(101, p.two.wire.at(), std::nullopt);
  p.one.hub.connect(102, p.two.wire.at(), std::nullopt);
  p.one.hub.connect(103, p.two.wire.at(), std::nullopt);
  CHECK(p.one.refusal(103) == errc::capacity_exceeded);
  p.net.pass(handshake_time_max);
  CHECK(p.one.refusal(101) == errc::timed_out);
  CHECK(p.one.refusal(102) == errc::timed_out);
  p.net.dead = false;
  auto token = p.one.connect(p.two);
  p.net.run();
  CHECK(p.one.told.connected.at(token));
}

TEST_CASE("whatever happens, each question has one answer and each link one end", "[link_hub]") {
  auto seed = first_seed() + GENERATE(range(uint64_t{0}, uint64_t{20}));
  INFO("DATAMESH_SEED=" << seed);
  seeded_random chance{seed};
  memory_net net{std::make_shared<manual_clock>()};
  net.piece = 1 + chance.below(3000);
  net.buffer = 1000 + chance.below(100'000);
  auto options = usual();
  options.link.requests_max = static_cast<uint32_t>(1 + chance.below(8));
  options.waiting_max = 1 + chance.below(20);
  options.items = {500 + chance.below(5000), 500};
  options.held_max = (2 + chance.below(8)) << 20;
  options.door.half_open = 1 + chance.below(4);
  options.door.arrivals_per_host = {1000, 1000};
  std::vector<std::unique_ptr<place>> all;
  for (uint8_t i = 0; i < 4; ++i)
    all.push_back(std::make_unique<place>(net, i, at(i), options));
  std::vector<std::vector<uint64_t>> asked(all.size());
  std::vector<std::vector<uint64_t>> dialed(all.size());
  auto some = [&]() -> size_t {
    return chance.below(all.size());
  };
  std::string body(200'000, 'b');
  for (int step = 0; step < 150; ++step) {
    auto me = some();
    auto other = some();
    auto& here = *all[me];
    switch (chance.below(12)) {
    case 0:
    case 1:
      dialed[me].push_back(here.connect(*all[other]));
      break;
    case 2:
      here.hub.drop(all[other]->id(), errc::unavailable);
      break;
    case 3:
      net.pass(std::chrono::milliseconds{chance.below(20'000)});
      break;
    case 4:
      if (!asked[me].empty())
        here.hub.give_up(asked[me][chance.below(asked[me].size())]);
      break;
    case 5:
    case 6:
      // What was not answered so far; some of it twice.
      for (const auto& request : here.told.requests)
        if (chance.below(2) == 0)
          here.hub.answer(request.key, "re", bytes::copy_of(std::string_view{body}.substr(0, chance.below(body.size()))));
      break;
    case 7:
      here.told.hub = chance.below(2) == 0 ? &here.hub : nullptr;
      break;
    default:
      asked[me].push_back(here.ask(*all[other], "x", std::string_view{body}.substr(0, chance.below(body.size())),
                                   std::chrono::milliseconds{1 + chance.below(5000)}));
    }
    if (chance.below(3) != 0)
      net.run();
    for (const auto& each : all)
      CHECK(each->hub.held() <= options.held_max);
  }
  for (auto& each : all)
    each->hub.close();
  net.pass(10s);
  for (size_t i = 0; i < all.size(); ++i) {
    const auto& told = all[i]->told;
    // That none came twice was looked at as they came.
    CHECK(told.answers.size() == asked[i].size());
    CHECK(told.connected.size() == dialed[i].size());
    CHECK(told.ups.size() == told.downs.size());
    CHECK(told.closed == 1);
    CHECK(all[i]->hub.size() == 0);
    CHECK(all[i]->hub.held() == 0);
    CHECK(all[i]->wire.size() == 0);
    CHECK(all[i]->hub.door().links() == 0);
    CHECK(all[i]->hub.door().half_open() == 0);
  }
}

TEST_CASE("who dialed us is dialed where it says that it is, once for as long as there is a link", "[link_hub]") {
  two_places t;
  t.open();
  auto there = [&](const endpoint& to) {
    auto token = ++t.two.tokens;
    t.two.hub.connect(token, to, t.one.id(), true);
    t.net.run();
    return t.two.refusal(token);
  };
  SECTION("a while after") {
    t.net.pass(11s);
    CHECK(there(at(9)) == errc::unavailable);
    CHECK(there(at(1)) == errc{});
    REQUIRE(t.two.hub.links().size() == 1);
    CHECK(t.two.hub.links().front().side == link_side::acceptor);
    auto sockets = t.one.wire.size();
    // It is known now, so nothing is dialed.
    t.one.wire.move_to(at(3));
    t.net.dead = true;
    CHECK(there(at(1)) == errc{});
    CHECK(t.one.wire.size() == sockets);
    t.net.dead = false;
    // Another address is another thing.
    CHECK(there(at(9)) == errc::unavailable);
  }
  SECTION("at once, when one of the two links goes") {
    CHECK(there(at(1)) == errc{});
    t.net.pass(3s);
    REQUIRE(t.two.hub.links().size() == 1);
    CHECK(t.one.hub.links().size() == 1);
    t.net.dead = true;
    CHECK(there(at(1)) == errc{});
  }
  SECTION("not any more when the link has gone") {
    t.net.pass(11s);
    CHECK(there(at(1)) == errc{});
    t.one.hub.drop(t.two.id(), errc::unavailable);
    t.net.pass(3s);
    REQUIRE(t.two.hub.links().empty());
    t.one.hub.close();
    t.net.pass(3s);
    CHECK(there(at(1)) != errc{});
  }
}

TEST_CASE("of more links than are kept, the one that nobody used for longest goes", "[link_hub]") {
  auto options = usual();
  options.links_kept = 2;
  memory_net net{std::make_shared<manual_clock>()};
  place one{net, 1, at(1), options};
  std::deque<place> others;
  auto open_another = [&] {
    auto number = static_cast<uint8_t>(others.size() + 2);
    auto& fresh = others.emplace_back(net, number, at(number));
    auto token = one.connect(fresh);
    net.run();
    REQUIRE(one.told.connected.at(token));
  };
  open_another();
  open_another();
  open_another();
  // None was unused for long enough.
  CHECK(one.hub.links().size() == 3);
  net.pass(4min);
  others[0].told.hub = &others[0].hub;
  one.ask(others[0], "x");
  net.run();
  net.pass(2min);
  open_another();
  CHECK(one.hub.links().size() == 3);
  REQUIRE(one.told.downs.size() == 1);
  CHECK(one.told.downs[0].what.peer == others[1].id());
  CHECK(one.told.downs[0].reason.code() == errc::capacity_exceeded);
  SECTION("not one over which something is asked") {
    // Nobody answers.
    one.ask(others[2], "x", {}, 1h);
    net.pass(1min);
    for (size_t i : {0, 3}) {
      others[i].told.hub = &others[i].hub;
      one.ask(others[i], "x");
    }
    net.pass(6min);
    open_another();
    REQUIRE(one.told.downs.size() == 2);
    CHECK(one.told.downs[1].what.peer == others[0].id());
  }
}
