#include "network/relayed_transport.hpp"

#include "network/link_hub.hpp"
#include "network/relay_table.hpp"
#include "tests/libdatamesh/network/memory_net.hpp"
#include "tests/libdatamesh/network/node.hpp"

#include <catch2/catch.hpp>

#include <algorithm>

using namespace datamesh;
using namespace datamesh::network;
using namespace datamesh::test;
using namespace std::chrono_literals;

namespace {

constexpr size_t mib = 1 << 20;
const auto ann = peer_id::from(as_view("the id of a node that is named A"));
const auto ned = peer_id::from(as_view("the id of a node that is named N"));
const auto ray = peer_id::from(as_view("the id of a node that is named R"));
const auto place_of_ray = endpoint::v4({9, 9, 9, 9}, 7000);

endpoint way_to(const peer_id& whom) {
  auto way = place_of_ray;
  way.through = relay_way{ray, whom};
  return way;
}

/// A node that passes on, without links: what it is asked happens as the next thing on the net.
class memory_relay {
public:
  void add(const peer_id& whom, relayed_transport& wire);
  void open(const peer_id& from, socket_id socket, const peer_id& to);
  void pass(const peer_id& from, socket_id socket, const relay_piece& what, const bytes& data);
  void end(const peer_id& from, uint64_t stream);
  void done(uint64_t token, std::optional<errc> refused);

  std::map<peer_id, relayed_transport*> ends;
  relay_table table{{64 * mib}};
  std::string seen;       ///< All that it could read.
  size_t most_held = 0;   ///< Pieces that waited at the same time.
  bool twice = false;     ///< It passes each piece on twice.
  bool backwards = false; ///< Of two that wait, the later one goes first.
  bool open_twice = false;

private:
  void hand_over(const peer_id& to, uint64_t token, const relay_piece& what, const bytes& data);

  uint64_t tokens_ = 0;
  std::map<uint64_t, std::function<void(std::optional<errc>)>> promises_;
  std::optional<std::function<void()>> held_back_;
  size_t held_ = 0;
};

struct memory_carrier final : relay_carrier {
  memory_carrier(memory_relay& by, const peer_id& who, relayed_transport& at) : relay(by), self(who), wire(at) {}
  void dial(socket_id socket, const endpoint& way) override {
    wire.post([this, socket, to = way.through->to] { relay.open(self, socket, to); });
  }
  void send(socket_id socket, const peer_id&, const relay_piece& what, bytes data) override {
    wire.post([=, this] { relay.pass(self, socket, what, data); });
  }
  void end(const peer_id&, uint64_t stream) override {
    wire.post([=, this] { relay.end(self, stream); });
  }
  void done(uint64_t token, std::optional<errc> refused) override {
    wire.post([=, this] { relay.done(token, refused); });
  }

  memory_relay& relay;
  peer_id self;
  relayed_transport& wire;
};

void memory_relay::add(const peer_id& whom, relayed_transport& wire) {
  ends[whom] = &wire;
  wire.carry_by(std::make_shared<memory_carrier>(*this, whom, wire));
}

void memory_relay::open(const peer_id& from, socket_id socket, const peer_id& to) {
  auto opened = table.open(from, {to, socket}, {});
  if (!opened)
    return ends[from]->failed(socket, opened.error());
  auto stream = opened->stream;
  promises_[++tokens_] = [=, this](std::optional<errc> refused) {
    if (refused)
      return ends[from]->failed(socket, error{*refused, "open a stream"});
    table.opened(stream);
    ends[from]->dialed(socket, ray, stream);
  };
  auto way = way_to(from);
  ends[to]->offered(tokens_, way, stream);
  if (open_twice) {
    promises_[++tokens_] = [](std::optional<errc> refused) {
      CHECK_FALSE(refused);
    };
    ends[to]->offered(tokens_, way, stream);
  }
}

void memory_relay::pass(const peer_id& from, socket_id socket, const relay_piece& what, const bytes& data) {
  seen += as_text(data.view());
  auto way = table.pass(what.stream, from, data.size(), {});
  if (!way) {
    ends[from]->failed(socket, way.error());
    return way.error().code() == errc::protocol_violated ? end(from, what.stream) : void();
  }
  most_held = std::max(most_held, ++held_);
  promises_[++tokens_] = [this, from, socket, stream = what.stream, size = data.size()](std::optional<errc> refused) {
    --held_;
    table.passed(stream, from, size);
    refused ? ends[from]->failed(socket, error{*refused, "pass on"}) : ends[from]->sent(socket);
  };
  hand_over(way->to, tokens_, {what.stream, what.offset, true}, data);
  if (twice)
    hand_over(way->to, ++tokens_, {what.stream, what.offset, true}, data);
}

void memory_relay::hand_over(const peer_id& to, uint64_t token, const relay_piece& what, const bytes& data) {
  auto go = [=, this] {
    ends[to]->came(token, ray, what, data);
  };
  if (!backwards)
    return go();
  if (held_back_) {
    go();
    std::exchange(held_back_, std::nullopt).value()();
    return;
  }
  held_back_ = go;
  ends[to]->post([this] {
    if (auto late = std::exchange(held_back_, std::nullopt))
      (*late)();
  });
}

void memory_relay::end(const peer_id& from, uint64_t stream) {
  if (auto ended = table.end(stream, from))
    for (const auto& each : ended->ends)
      ends[each]->closed(ray, stream);
}

void memory_relay::done(uint64_t token, std::optional<errc> refused) {
  if (auto found = promises_.extract(token); !found.empty())
    found.mapped()(refused);
}

/// Has bytes to send, and takes those that come while it reads.
class far_end final : public transport_user {
public:
  far_end(memory_net& net, memory_relay& relay, const peer_id& who, uint8_t host)
      : wire(std::make_unique<memory_transport>(net, endpoint::v4({10, 0, 0, host}, 1))) {
    wire.start(*this);
    relay.add(who, wire);
  }
  far_end(const far_end&) = delete;
  far_end& operator=(const far_end&) = delete;
  ~far_end() override {
    wire.stop();
  }

  bool accepted(socket_id from_whom, const endpoint& at) override {
    came_from = at;
    take(from_whom);
    return lets_in;
  }
  void connected(socket_id to) override {
    take(to);
    flow();
  }
  void received(socket_id, byte_view data) override {
    got.append(as_text(data));
  }
  void writable(socket_id) override {
    flow();
  }
  void ended(socket_id, const error& reason) override {
    ends.push_back(reason.code());
  }
  void tick() override {}

  void give(std::string text) {
    left += text;
    flow();
  }
  void take(socket_id it) {
    socket = it;
    if (reads)
      wire.read(it, true);
  }

  relayed_transport wire;
  socket_id socket = 0;
  std::optional<endpoint> came_from;
  bool reads = true;
  bool lets_in = true;
  std::string left;
  std::string got;
  std::vector<errc> ends;

private:
  void flow() {
    if (socket == 0 || left.empty())
      return;
    auto taken = wire.send(socket, as_view(left));
    left.erase(0, taken);
  }
};

std::string text_of(size_t size) {
  std::string text(size, '\0');
  for (size_t i = 0; i < size; ++i)
    text[i] = static_cast<char>(i * 2654435761U >> 13);
  return text;
}

/// Ann reaches Ned through Ray.
struct passage {
  passage() {
    REQUIRE(relay.table.reserve(ned));
  }
  void dial() {
    (void) one.wire.dial(way_to(ned));
    net.run();
  }
  memory_net net{std::make_shared<manual_clock>()};
  memory_relay relay;
  far_end one{net, relay, ann, 1};
  far_end two{net, relay, ned, 2};
};

} // namespace

TEST_CASE("a socket through another node carries bytes both ways, and tells through whom it goes", "[relay]") {
  passage p;
  p.dial();
  REQUIRE(p.two.socket != 0);
  CHECK(p.two.came_from == way_to(ann));
  auto there = text_of(3 * mib + 17);
  auto back = text_of(mib);
  p.one.give(there);
  p.two.give(back);
  p.net.run();
  CHECK(p.two.got == there);
  CHECK(p.one.got == back);
  CHECK(p.relay.most_held <= 2 * relay_window);
  CHECK(p.one.ends.empty());
}

TEST_CASE("pieces that come twice, or in another order, are one text", "[relay]") {
  passage p;
  p.relay.twice = GENERATE(true, false);
  p.relay.backwards = GENERATE(true, false);
  p.relay.open_twice = true;
  p.dial();
  auto there = text_of(2 * mib);
  p.one.give(there);
  p.net.run();
  CHECK(p.two.got == there);
  CHECK(p.one.ends.empty());
}

TEST_CASE("who reads nothing is sent a window and no more, and all when he reads", "[relay]") {
  passage p;
  p.two.reads = false;
  p.dial();
  auto there = text_of(4 * mib);
  p.one.give(there);
  p.net.run();
  CHECK(p.two.got.empty());
  CHECK(p.one.left.size() == 4 * mib - relay_window * relay_piece_max);
  CHECK(p.relay.most_held == relay_window);
  p.two.wire.read(p.two.socket, true);
  p.net.run();
  CHECK(p.two.got == there);
}

TEST_CASE("whoever is not let in, or not there, is told, and nothing is left of the socket", "[relay]") {
  passage p;
  SECTION("not let in") {
    p.two.lets_in = false;
    p.dial();
    CHECK(p.one.ends == std::vector{errc::capacity_exceeded});
  }
  SECTION("nobody who asked to be reached") {
    (void) p.one.wire.dial(way_to(ray));
    p.net.run();
    CHECK(p.one.ends == std::vector{errc::unavailable});
  }
  SECTION("no relay is asked at all") {
    p.one.wire.carry_by(nullptr);
    p.dial();
    CHECK(p.one.ends == std::vector{errc::unavailable});
  }
  CHECK(p.two.got.empty());
}

TEST_CASE("what one end sent before it ended arrives, and then both know", "[relay]") {
  passage p;
  p.dial();
  auto there = text_of(relay_window * relay_piece_max);
  p.one.give(there);
  p.one.wire.shut(p.one.socket);
  p.net.run();
  CHECK(p.two.got == there);
  CHECK(p.one.ends.size() == 1);
  CHECK(p.two.ends == std::vector{errc::unavailable});
  CHECK(p.relay.table.report().streams == 0);
  CHECK(p.one.wire.send(p.one.socket, as_view("more")) == 0);
}

TEST_CASE("a socket that is closed tells the other end, and one that was closed while it was dialed leaves no stream", "[relay]") {
  passage p;
  p.dial();
  p.one.wire.close(p.one.socket);
  p.net.run();
  CHECK(p.two.ends == std::vector{errc::unavailable});
  CHECK(p.one.ends.empty());
  p.one.wire.close(p.one.wire.dial(way_to(ned)));
  p.net.run();
  CHECK(p.relay.table.report().streams == 0);
  CHECK(p.two.ends.size() == 2);
}

TEST_CASE("sockets end with the link to who passes on", "[relay]") {
  passage p;
  p.dial();
  p.one.wire.gone(ned);
  CHECK(p.one.ends.empty());
  p.one.wire.gone(ray);
  CHECK(p.one.ends == std::vector{errc::unavailable});
}

TEST_CASE("a relay that sends more than is due, or for a stream that is not there, gets nowhere", "[relay]") {
  passage p;
  p.dial();
  auto piece = bytes::copy_of(std::string(100, 'x'));
  p.two.wire.came(1000, ray, {77, 0, true}, piece);
  p.two.wire.came(1001, ann, {1, 0, true}, piece);
  p.net.run();
  CHECK(p.two.got.empty());
  SECTION("far ahead of what came") {
    p.two.wire.came(1002, ray, {1, uint64_t{1} << 40, true}, piece);
  }
  SECTION("with a gap that is never filled") {
    for (uint64_t i = 0; i <= relay_held_max; ++i)
      p.two.wire.came(1002 + i, ray, {1, 1 + 100 * i, true}, piece);
  }
  CHECK(p.two.ends == std::vector{errc::protocol_violated});
  CHECK(p.two.got.empty());
}

// -- links over such sockets -----------------------------------------------------------------

namespace {

struct quiet_owner : hub_owner {
  void on_link_up(const link_facts& what, size_t) override {
    ups.push_back(what);
  }
  void on_link_down(const link_facts& what, size_t, const error& reason) override {
    downs.emplace_back(what, reason.code());
  }
  void on_refused(const link_facts&, const error&) override {}
  void on_connected(uint64_t, const result<peer_id>& outcome) override {
    connected.push_back(outcome ? errc{} : outcome.error().code());
  }
  void on_answer(uint64_t, std::optional<error> failure, std::string message, bytes) override {
    answers.push_back(failure ? std::string{facts_of(failure->code()).name} : message);
  }
  void on_request(const request_key& key, const peer_id&, link_time, std::string message, bytes) override {
    hub->answer(key, "re: " + message, {});
  }
  void on_cancelled(const request_key&) override {}
  void on_closed() override {}

  link_hub* hub = nullptr;
  std::vector<link_facts> ups;
  std::vector<std::pair<link_facts, errc>> downs;
  std::vector<errc> connected;
  std::vector<std::string> answers;
};

/// A node with a hub, of which some sockets go through another one.
struct linked_node {
  linked_node(memory_net& net, memory_relay& relay, uint64_t number)
      : node(number, net.time), at(endpoint::v4({10, 0, 0, static_cast<uint8_t>(number)}, 4001)),
        wire(std::make_unique<memory_transport>(net, at)), hub(node.tls, options(), wire, *net.time, told) {
    told.hub = &hub;
    wire.start(hub);
    relay.add(node.id(), wire);
  }
  ~linked_node() {
    wire.stop();
  }
  static hub_options options() {
    hub_options of;
    of.link.network = network_id::from(as_view("a mesh for the tests of a relay."));
    return of;
  }
  void ask(const linked_node& whom, const std::string& what) {
    hub.ask(++tokens, whom.node.id(), what, {}, node.wall->monotonic() + 10s);
  }

  test_node node;
  endpoint at;
  quiet_owner told;
  relayed_transport wire;
  link_hub hub;
  uint64_t tokens = 0;
};

struct linked_pair {
  linked_pair() {
    REQUIRE(relay.table.reserve(two.node.id()));
    REQUIRE(relay.table.reserve(one.node.id()));
  }
  void connect(linked_node& from, const linked_node& to, bool direct) {
    from.hub.connect(++from.tokens, direct ? to.at : way_to(to.node.id()), to.node.id(), direct);
    net.run();
  }
  memory_net net{std::make_shared<manual_clock>()};
  memory_relay relay;
  linked_node one{net, relay, 1};
  linked_node two{net, relay, 2};
};

} // namespace

TEST_CASE("two nodes have a link through a third one, which can not read what they say", "[relay]") {
  linked_pair p;
  p.connect(p.one, p.two, false);
  REQUIRE(p.one.told.connected == std::vector{errc{}});
  REQUIRE(p.one.told.ups.size() == 1);
  REQUIRE(p.two.told.ups.size() == 1);
  CHECK(p.two.told.ups[0].peer == p.one.node.id());
  CHECK(p.two.told.ups[0].address.through == relay_way{ray, p.one.node.id()});
  p.one.ask(p.two, "a word that is for nobody else");
  p.two.ask(p.one, "and one that goes back");
  p.net.run();
  CHECK(p.one.told.answers == std::vector<std::string>{"re: a word that is for nobody else"});
  CHECK(p.two.told.answers == std::vector<std::string>{"re: and one that goes back"});
  CHECK(p.relay.seen.size() > 1000);
  CHECK(p.relay.seen.find("a word that") == std::string::npos);
  CHECK(p.relay.seen.find("goes back") == std::string::npos);
}

TEST_CASE("a relay that leads to another node than was meant is found out", "[relay]") {
  linked_pair p;
  linked_node three{p.net, p.relay, 3};
  p.relay.add(p.two.node.id(), three.wire);
  p.connect(p.one, p.two, false);
  CHECK(p.one.told.connected == std::vector{errc::peer_refused});
  CHECK(p.two.told.ups.empty());
  CHECK(p.one.told.ups.empty());
}

TEST_CASE("a direct link takes the place of one through another node, whoever dials it", "[relay]") {
  linked_pair p;
  bool by_who_was_dialed = GENERATE(false, true);
  p.connect(p.one, p.two, false);
  if (GENERATE(false, true))
    p.net.pass(11s);
  p.connect(by_who_was_dialed ? p.two : p.one, by_who_was_dialed ? p.one : p.two, true);
  p.net.pass(3s);
  for (auto* each : {&p.one, &p.two}) {
    REQUIRE(each->hub.links().size() == 1);
    CHECK_FALSE(each->hub.links()[0].address.through);
    REQUIRE(each->told.downs.size() == 1);
    CHECK(each->told.downs[0].first.address.through);
  }
  p.one.ask(p.two, "still there");
  p.net.run();
  CHECK(p.one.told.answers == std::vector<std::string>{"re: still there"});
  CHECK(p.relay.table.report().streams == 0);
}

TEST_CASE("a quiet link through another node lives, and ends when that passes on nothing more", "[relay]") {
  linked_pair p;
  p.connect(p.one, p.two, false);
  p.net.pass(10min);
  CHECK(p.one.hub.links().size() == 1);
  p.relay.end(p.one.node.id(), 1);
  p.net.pass(3s);
  CHECK(p.one.hub.links().empty());
  CHECK(p.two.hub.links().empty());
  CHECK(p.one.hub.size() == 0);
}
