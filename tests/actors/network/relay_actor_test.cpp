#include "network/relay_actor.hpp"

#include "network/peer_router.hpp"
#include "tests/actors/waiting.hpp"
#include "tests/libdatamesh/network/memory_net.hpp"
#include "tests/libdatamesh/network/node.hpp"

#include <caf/scheduler/test_coordinator.hpp>
#include <catch2/catch.hpp>

using namespace datamesh;
using namespace datamesh::network;
using namespace datamesh::test;
using namespace std::chrono_literals;

namespace {

constexpr uint64_t mib = 1 << 20;

struct config : caf::actor_system_config {
  config() {
    add_message_types<caf::id_block::datamesh>();
    add_message_types<caf::id_block::datamesh_mesh>();
    set("scheduler.policy", caf::atom("testing"));
  }
};

peer_handler_actor::behavior_type echo(peer_handler_actor::pointer) {
  return {
      [](const v1::PeerRequest& request, const bytes& body) -> caf::result<v1::PeerAnswer, bytes> {
        v1::PeerAnswer answer;
        answer.set_message("re: " + request.message());
        return {std::move(answer), body};
      },
  };
}

link_watch_actor::behavior_type watcher(link_watch_actor::pointer self, std::shared_ptr<relay_actor> to) {
  return {
      [=](const v1::LinkUp& up) { self->send(*to, up); },
      [=](const v1::LinkDown& down) { self->send(*to, down); },
      [](const v1::LinkRefused&) {},
  };
}

/// One system, where nothing happens but by `run` and `pass`.
struct relay_world {
  void run() {
    while (scheduler().run() > 0 || net.run()) {
    }
  }
  void pass(std::chrono::milliseconds span) {
    for (auto end = time->monotonic() + span; time->monotonic() < end; run()) {
      scheduler().advance_time(100ms);
      net.pass(100ms);
    }
  }
  caf::scheduler::test_coordinator& scheduler() {
    return dynamic_cast<caf::scheduler::test_coordinator&>(sys.scheduler());
  }
  /// What comes of it by all that can happen now.
  template <class Answer, class... Ts>
  result<Answer> ask(const link_actor& whom, Ts&&... what) {
    auto pending = self->request(whom, caf::infinite, std::forward<Ts>(what)...);
    run();
    return answer_to<Answer>(pending);
  }

  std::shared_ptr<manual_clock> time = std::make_shared<manual_clock>();
  memory_net net{time};
  seeded_random chance{7};
  config cfg;
  caf::actor_system sys{cfg};
  caf::scoped_actor self{sys};
};

struct place_options {
  uint64_t relays = 0; ///< Bytes a second.
  bool dialed = true;  ///< Others can dial it.
  ip_rules rules = ip_rules::local();
};

class place {
public:
  place(relay_world& world, uint64_t number, const place_options& how = {})
      : world_(world), node_(number, world.time), at_(endpoint::v4({10, 0, 0, static_cast<uint8_t>(number)}, 4001)) {
    auto wire = std::make_shared<relayed_transport>(std::make_unique<memory_transport>(world.net, at_, how.dialed));
    auto identity = std::make_shared<tls_identity>(tls_identity::make(node_.seed, world.time, world.chance).value());
    auto linked = std::make_shared<linked_peers>();
    auto to = std::make_shared<relay_actor>();
    hub_options options;
    options.link.network = network_id::from(as_view("a mesh for the tests of a relay."));
    router_ = spawn_peer_router(world.sys);
    links = spawn_link_actor(world.sys, {wire, world.time, identity, options, router_, world.sys.spawn(watcher, to), linked});
    relay = spawn_relay_actor(world.sys,
                              {world.time, id(), how.relays, how.rules, how.dialed, links, linked, wire, [this](const relay_facts& now) {
                                 facts = now;
                               }});
    *to = relay;
    serve(peer_part::relay, caf::actor_cast<caf::actor>(relay));
    serve(peer_part::line, caf::actor_cast<caf::actor>(world.sys.spawn(echo)));
  }
  place(const place&) = delete;
  place& operator=(const place&) = delete;
  ~place() {
    end();
  }

  void end() {
    for (const auto& each : {caf::actor_cast<caf::actor>(relay), caf::actor_cast<caf::actor>(links), caf::actor_cast<caf::actor>(router_)})
      caf::anon_send_exit(each, caf::exit_reason::user_shutdown);
    world_.run();
  }

  [[nodiscard]] const peer_id& id() const {
    return node_.id();
  }
  [[nodiscard]] endpoint through(const place& by) const {
    auto way = by.at_;
    way.through = relay_way{by.id(), id()};
    return way;
  }
  [[nodiscard]] const endpoint& at() const {
    return at_;
  }

  errc connect(const place& to, const endpoint& way) {
    v1::ConnectPeer request;
    *request.mutable_address() = to_proto(way);
    request.set_expected(std::string{to.id().text()});
    auto answer = world_.ask<v1::PeerConnected>(links, request);
    return answer ? errc{} : answer.error().code();
  }
  /// What the other answers to *what* for that part.
  result<v1::PeerAnswer> ask(const place& whom, peer_part part, std::string_view what, size_t body = 0,
                             std::chrono::milliseconds span = 0ms) {
    v1::AskPeer request;
    request.set_peer(std::string{whom.id().text()});
    request.set_timeout_ms(60'000);
    request.set_message(message_to(part, what));
    auto pending = world_.self->request(links, caf::infinite, std::move(request), bytes::copy_of(std::string(body, 'x')));
    world_.run();
    world_.pass(span);
    result<v1::PeerAnswer> outcome = fail(errc::internal, "wait for an answer");
    pending.receive(
        [&](v1::PeerAnswer& answer, bytes& back) {
          CHECK(back.size() == (part == peer_part::line ? body : 0));
          outcome = std::move(answer);
        },
        [&](caf::error& reason) { outcome = fail(from_caf(reason)); });
    return outcome;
  }
  errc refusal(const place& whom, const relay_request& what, size_t body = 0) {
    auto answer = ask(whom, peer_part::relay, encode(what), body);
    return answer ? errc{} : answer.error().code();
  }

  relay_facts facts;
  link_actor links;
  relay_actor relay;

private:
  void serve(peer_part part, const caf::actor& by) {
    auto pending = world_.self->request(router_, caf::infinite, serve_part(part), by);
    world_.run();
    REQUIRE(answer_to<v1::Done>(pending));
  }

  relay_world& world_;
  test_node node_;
  endpoint at_;
  peer_router_actor router_;
};

/// Ann, a node that passes on, and Ned, whom nobody can dial.
struct three_places {
  explicit three_places(uint64_t relays = 64 * mib, bool dialed = false)
      : ray(world, 2, {relays, true, ip_rules::local()}), ned(world, 3, {0, dialed, ip_rules::local()}) {
    REQUIRE(ned.connect(ray, ray.at()) == errc{});
  }
  relay_world world;
  place ann{world, 1};
  place ray;
  place ned;
};

} // namespace

TEST_CASE("a node that nobody can dial is reached through one that passes on, and what goes there is counted", "[relay]") {
  three_places t;
  CHECK(t.ann.connect(t.ned, t.ned.at()) == errc::unavailable);
  REQUIRE(t.ned.facts.relays == std::vector{t.ned.through(t.ray)});
  REQUIRE(t.ann.connect(t.ned, t.ned.through(t.ray)) == errc{});
  CHECK(t.ann.ask(t.ned, peer_part::line, "there", mib).value().message() == "re: there");
  CHECK(t.ned.ask(t.ann, peer_part::line, "and back").value().message() == "re: and back");
  REQUIRE(t.ray.facts.report);
  CHECK(t.ray.facts.report->streams == 1);
  CHECK(t.ray.facts.report->served == 1);
  CHECK(t.ray.facts.report->bytes > 2 * mib);
  CHECK(t.ray.facts.report->bytes < 3 * mib);
}

TEST_CASE("nobody passes on whose operator did not say so, or for a node that others can dial", "[relay]") {
  bool dialed = GENERATE(false, true);
  three_places t{dialed ? 64 * mib : 0, dialed};
  CHECK(t.ned.facts.relays.empty());
  CHECK(t.ann.connect(t.ned, t.ned.through(t.ray)) == errc::unavailable);
  CHECK(t.ray.facts.report.value_or(relay_report{}).streams == 0);
}

TEST_CASE("a node that can be dialed from now on asks nobody to pass on", "[relay]") {
  three_places t;
  v1::TellAddresses told;
  *told.add_address() = to_proto(t.ned.at());
  caf::anon_send(t.ned.relay, told);
  t.world.run();
  CHECK(t.ned.facts.relays.empty());
  CHECK(t.ann.connect(t.ned, t.ned.through(t.ray)) == errc::unavailable);
}

TEST_CASE("what goes through another node already is not passed on again", "[relay]") {
  three_places t;
  place ben{t.world, 4, {64 * mib, true, ip_rules::local()}};
  REQUIRE(ben.connect(t.ned, t.ned.through(t.ray)) == errc{});
  CHECK(t.ned.refusal(ben, relay_reserve{}) == errc::unavailable);
  CHECK(t.ned.facts.relays == std::vector{t.ned.through(t.ray)});
  REQUIRE(t.ann.connect(ben, ben.at()) == errc{});
  CHECK(t.ann.refusal(ben, relay_open{t.ned.id(), 1}) == errc::unavailable);
  CHECK(t.ned.refusal(ben, relay_open{t.ann.id(), 1}) == errc::unavailable);
}

TEST_CASE("when the node that passes on goes, links through it end, and who was reached says so", "[relay]") {
  three_places t;
  REQUIRE(t.ann.connect(t.ned, t.ned.through(t.ray)) == errc{});
  t.ray.end();
  t.world.pass(5s);
  CHECK(t.ned.facts.relays.empty());
  CHECK(t.ann.ask(t.ned, peer_part::line, "there").error().code() == errc::unavailable);
}

TEST_CASE("who is none of the ends gets nothing into a stream, and nobody is offered one that he did not ask for", "[relay]") {
  three_places t;
  REQUIRE(t.ann.connect(t.ned, t.ned.through(t.ray)) == errc{});
  place ben{t.world, 4};
  REQUIRE(ben.connect(t.ray, t.ray.at()) == errc{});
  CHECK(ben.refusal(t.ray, relay_piece{1, 0, false}, 100) == errc::not_found);
  CHECK(ben.refusal(t.ray, relay_end{1, false}) == errc{});
  CHECK(ben.refusal(t.ray, relay_open{ben.id(), 1}) == errc::invalid_argument);
  CHECK(ben.refusal(t.ray, relay_open{t.ann.id(), 1}) == errc::unavailable);
  CHECK(ben.refusal(t.ray, relay_offer{t.ann.id(), 1}) == errc::unavailable);
  CHECK(ben.refusal(t.ray, relay_piece{1, 0, true}, 100) == errc::not_found);
  CHECK(ben.refusal(t.ray, relay_piece{1, 0, false}, 0) == errc::protocol_violated);
  // The stream is as it was.
  CHECK(t.ann.ask(t.ned, peer_part::line, "there").value().message() == "re: there");
}

TEST_CASE("a thousand streams that nobody uses take no more room than is given, and end", "[relay]") {
  three_places t;
  place ben{t.world, 4};
  REQUIRE(ben.connect(t.ray, t.ray.at()) == errc{});
  size_t open = 0;
  for (uint64_t i = 0; i < 1000; ++i)
    open += ben.refusal(t.ray, relay_open{t.ned.id(), i}) == errc{} ? 1 : 0;
  // A node that is offered links and hears nothing over them refuses them, too.
  CHECK(open > 0);
  CHECK(open <= relay_limits{}.opened_by_one);
  CHECK(t.ann.connect(t.ned, t.ned.through(t.ray)) == errc{});
  t.world.pass(10s);
  CHECK(t.ray.facts.report->streams == 1);
}

TEST_CASE("a relay passes on no faster than its operator lets it", "[relay]") {
  three_places t{256 << 10};
  REQUIRE(t.ann.connect(t.ned, t.ned.through(t.ray)) == errc{});
  auto begun = t.world.time->monotonic();
  t.world.pass(2s);
  // A MiB there and back, of which the first 256 KiB go at once.
  CHECK(t.ann.ask(t.ned, peer_part::line, "there", mib, 9s).value().message() == "re: there");
  CHECK(t.ray.facts.report->streams == 1);
  CHECK(t.world.time->monotonic() - begun == 11s);
}

TEST_CASE("nobody is made to dial into the house by what a record says of who passes on", "[relay]") {
  relay_world world;
  place ann{world, 1, {0, true, ip_rules{}}};
  place ned{world, 3};
  place ray{world, 2};
  CHECK(ann.connect(ned, ned.through(ray)) == errc::invalid_argument);
}
