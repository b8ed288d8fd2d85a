#include "network/link_actor.hpp"

#include "network/asio_transport.hpp"
#include "tests/actors/waiting.hpp"
#include "tests/libdatamesh/network/memory_net.hpp"
#include "tests/libdatamesh/network/node.hpp"

#include "datamesh/base/environment.hpp"

#include <caf/scheduler/test_coordinator.hpp>
#include <catch2/catch.hpp>

using namespace datamesh;
using namespace datamesh::network;
using namespace datamesh::test;
using namespace std::chrono_literals;

namespace {

hub_options usual() {
  hub_options options;
  options.link.network = network_id::from(as_view("a mesh for the tests of its link"));
  return options;
}

struct config : caf::actor_system_config {
  explicit config(bool by_hand) {
    add_message_types<caf::id_block::datamesh>();
    add_message_types<caf::id_block::datamesh_mesh>();
    if (by_hand)
      set("scheduler.policy", caf::atom("testing"));
  }
};

/// What the watcher of one node saw.
struct sights {
  std::vector<v1::LinkUp> ups;
  std::vector<v1::LinkDown> downs;
  std::vector<v1::LinkRefused> refusals;
};

link_watch_actor::behavior_type watcher(link_watch_actor::pointer, sights* to) {
  return {
      [to](const v1::LinkUp& up) { to->ups.push_back(up); },
      [to](const v1::LinkDown& down) { to->downs.push_back(down); },
      [to](const v1::LinkRefused& refused) { to->refusals.push_back(refused); },
  };
}

/// Answers with what it was asked, or the error that it is asked for, or never.
peer_handler_actor::behavior_type echo(peer_handler_actor::pointer self) {
  return {
      [self](const v1::PeerRequest& request, const bytes& body) -> caf::result<v1::PeerAnswer, bytes> {
        if (request.message() == "fail")
          return to_caf(error{errc::drive_full, "store a shard"});
        if (request.message() == "fall") {
          self->quit(caf::exit_reason::kill);
          return to_caf(error{errc::internal, "fall"});
        }
        if (request.message() == "silence")
          return self->make_response_promise<caf::typed_response_promise<v1::PeerAnswer, bytes>>();
        v1::PeerAnswer answer;
        answer.set_message("re: " + request.message());
        return {std::move(answer), body};
      },
  };
}

v1::ConnectPeer connect_to(const endpoint& at, const peer_id& who) {
  v1::ConnectPeer request;
  *request.mutable_address() = to_proto(at);
  request.set_expected(std::string{who.text()});
  return request;
}

v1::AskPeer ask_of(const peer_id& who, std::string message, std::chrono::milliseconds within = 10s) {
  v1::AskPeer request;
  request.set_peer(std::string{who.text()});
  request.set_timeout_ms(static_cast<uint32_t>(within.count()));
  request.set_message(std::move(message));
  return request;
}

/// Two nodes in one system, where nothing happens but by `run` and `pass`.
struct two_actors {
  two_actors() {
    one = make(first, at(1), first_sights);
    two = make(second, at(2), second_sights);
    run();
  }
  ~two_actors() {
    for (auto& each : {one, two})
      caf::anon_send_exit(each, caf::exit_reason::user_shutdown);
    caf::anon_send_exit(handler, caf::exit_reason::user_shutdown);
    run();
  }

  static endpoint at(uint8_t host) {
    return endpoint::v4({10, 0, 0, host}, 4001);
  }
  link_actor make(const test_node& node, const endpoint& where, sights& seen) {
    auto wire = std::make_shared<memory_transport>(net, where);
    auto identity = std::make_shared<tls_identity>(tls_identity::make(node.seed, time, chance).value());
    return spawn_link_actor(sys, {wire, time, std::move(identity), usual(), handler, sys.spawn(watcher, &seen)});
  }

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

  /// The answer of *whom* after all that can happen now.
  template <class Answer, class... Ts>
  result<Answer> ask(const link_actor& whom, Ts&&... what) {
    auto pending = self->request(whom, caf::infinite, std::forward<Ts>(what)...);
    run();
    return answer_to<Answer>(pending);
  }
  void open() {
    REQUIRE(ask<v1::PeerConnected>(one, connect_to(at(2), second.id())));
  }

  std::shared_ptr<manual_clock> time = std::make_shared<manual_clock>();
  memory_net net{time};
  seeded_random chance{7};
  test_node first{1, time};
  test_node second{2, time};
  config cfg{true};
  caf::actor_system sys{cfg};
  caf::scoped_actor self{sys};
  peer_handler_actor handler = sys.spawn(echo);
  sights first_sights;
  sights second_sights;
  link_actor one;
  link_actor two;
};

/// The answer with its body.
template <class Pending>
result<std::pair<std::string, bytes>> answer_and_body(Pending& pending) {
  result<std::pair<std::string, bytes>> outcome = fail(errc::internal, "wait for an answer");
  pending.receive(
      [&](v1::PeerAnswer& answer, bytes& body) {
        outcome = std::pair{answer.message(), body};
      },
      [&](caf::error& reason) { outcome = fail(from_caf(reason)); });
  return outcome;
}

} // namespace

TEST_CASE("an actor connects, asks, and its peer's handler answers", "[link_actor]") {
  two_actors a;
  auto connected = a.ask<v1::PeerConnected>(a.one, connect_to(a.at(2), a.second.id()));
  REQUIRE(connected);
  CHECK(connected->peer() == a.second.id().text());
  auto pending = a.self->request(a.one, caf::infinite, ask_of(a.second.id(), "hello"), bytes::copy_of("a body"));
  a.run();
  auto answer = answer_and_body(pending);
  REQUIRE(answer);
  CHECK(answer->first == "re: hello");
  CHECK(as_text(answer->second) == "a body");
  auto back = a.self->request(a.two, caf::infinite, ask_of(a.first.id(), "and you"), bytes{});
  a.run();
  CHECK(answer_and_body(back)->first == "re: and you");
}

TEST_CASE("what a handler fails with reaches who asked, and it need not answer", "[link_actor]") {
  two_actors a;
  a.open();
  auto failed = a.self->request(a.one, caf::infinite, ask_of(a.second.id(), "fail"), bytes{});
  auto silent = a.self->request(a.one, caf::infinite, ask_of(a.second.id(), "silence", 3s), bytes{});
  a.run();
  CHECK(answer_and_body(failed).error().code() == errc::drive_full);
  a.pass(3s);
  CHECK(answer_and_body(silent).error().code() == errc::timed_out);
  // The peer was answered by the timeout of the other side, so the credit is back.
  CHECK(a.ask<v1::LinkList>(a.one, v1::ListLinks{})->links_size() == 1);
  auto fallen = a.self->request(a.one, caf::infinite, ask_of(a.second.id(), "fall"), bytes{});
  a.run();
  CHECK_FALSE(answer_and_body(fallen));
  auto nobody = a.self->request(a.one, caf::infinite, ask_of(a.second.id(), "anybody"), bytes{});
  a.run();
  CHECK(answer_and_body(nobody).error().code() == errc::unavailable);
}

TEST_CASE("each link is told once when it is up and once when it is down", "[link_actor]") {
  two_actors a;
  a.open();
  REQUIRE(a.first_sights.ups.size() == 1);
  REQUIRE(a.second_sights.ups.size() == 1);
  CHECK(a.first_sights.ups[0].link().peer() == a.second.id().text());
  CHECK(a.first_sights.ups[0].link().dialed());
  CHECK(a.first_sights.ups[0].links() == 1);
  CHECK_FALSE(a.second_sights.ups[0].link().dialed());
  auto listed = a.ask<v1::LinkList>(a.two, v1::ListLinks{});
  REQUIRE(listed);
  REQUIRE(listed->links_size() == 1);
  CHECK(listed->links(0).peer() == a.first.id().text());
  CHECK(from_proto(listed->links(0).address()).value() == a.at(1));
  v1::DropPeer drop;
  drop.set_peer(std::string{a.first.id().text()});
  drop.set_code(static_cast<uint32_t>(errc::permission_denied));
  CHECK(a.ask<v1::Done>(a.two, drop));
  REQUIRE(a.first_sights.downs.size() == 1);
  REQUIRE(a.second_sights.downs.size() == 1);
  CHECK(a.second_sights.downs[0].code() == static_cast<uint32_t>(errc::permission_denied));
  CHECK(a.first_sights.downs[0].code() == static_cast<uint32_t>(errc::unavailable));
  CHECK_FALSE(a.first_sights.downs[0].reason().empty());
  CHECK(a.ask<v1::LinkList>(a.two, v1::ListLinks{})->links_size() == 0);
}

TEST_CASE("a link that goes silent goes down by the clock", "[link_actor]") {
  two_actors a;
  a.open();
  a.pass(2min);
  CHECK(a.first_sights.downs.empty());
  a.net.dead = true;
  a.pass(46s);
  REQUIRE(a.first_sights.downs.size() == 1);
  CHECK(a.first_sights.downs[0].code() == static_cast<uint32_t>(errc::timed_out));
  CHECK(a.second_sights.downs.size() == 1);
}

TEST_CASE("what can not be reached or asked is refused with its reason", "[link_actor]") {
  two_actors a;
  auto third = test_node{3, a.time};
  CHECK(code_of(a.ask<v1::PeerConnected>(a.one, connect_to(a.at(9), a.second.id()))) == errc::unavailable);
  CHECK(code_of(a.ask<v1::PeerConnected>(a.one, connect_to(a.at(2), third.id()))) == errc::peer_refused);
  CHECK(code_of(a.ask<v1::PeerConnected>(a.one, v1::ConnectPeer{})) == errc::invalid_argument);
  auto odd = connect_to(a.at(2), a.second.id());
  odd.set_expected("short");
  CHECK(code_of(a.ask<v1::PeerConnected>(a.one, odd)) == errc::invalid_argument);
  odd = connect_to(a.at(2), a.second.id());
  odd.mutable_address()->set_port(65536);
  CHECK(code_of(a.ask<v1::PeerConnected>(a.one, odd)) == errc::invalid_argument);
  auto stranger = a.self->request(a.one, caf::infinite, ask_of(third.id(), "x"), bytes{});
  auto nobody = a.self->request(a.one, caf::infinite, v1::AskPeer{}, bytes{});
  a.run();
  CHECK(answer_and_body(stranger).error().code() == errc::unavailable);
  CHECK(answer_and_body(nobody).error().code() == errc::invalid_argument);
}

TEST_CASE("who closes tells its peers and ends, and one that falls leaves nobody waiting", "[link_actor]") {
  two_actors a;
  a.open();
  auto waits = a.self->request(a.one, caf::infinite, ask_of(a.second.id(), "silence"), bytes{});
  a.run();
  SECTION("closed by its owner") {
    CHECK(a.ask<v1::Done>(a.two, caf::close_atom_v));
    CHECK(a.first_sights.downs.size() == 1);
    CHECK(code_of(a.ask<v1::LinkList>(a.two, v1::ListLinks{})) == errc::unavailable);
  }
  SECTION("fallen") {
    caf::anon_send_exit(a.one, caf::exit_reason::kill);
    a.run();
    CHECK(a.second_sights.downs.size() == 1);
  }
  a.run();
  CHECK(answer_and_body(waits).error().code() == errc::unavailable);
}

TEST_CASE("two nodes serve each other over sockets", "[link_actor]") {
  auto time = system_environment().clock;
  seeded_random chance{7};
  test_node first{1};
  test_node second{2};
  config cfg{false};
  caf::actor_system sys{cfg};
  caf::scoped_actor self{sys};
  auto handler = sys.spawn(echo);
  auto make = [&](const test_node& node) {
    auto wire = std::shared_ptr{asio_transport::listen({endpoint::v4({127, 0, 0, 1}, 0)}, time).value()};
    auto where = wire->addresses().at(0);
    auto identity = std::make_shared<tls_identity>(tls_identity::make(node.seed, system_environment().clock, chance).value());
    return std::pair{where, spawn_link_actor(sys, {wire, time, std::move(identity), usual(), handler, {}})};
  };
  auto [here, one] = make(first);
  auto [there, two] = make(second);
  REQUIRE(ask<v1::PeerConnected>(self, one, connect_to(there, second.id())));
  std::string body(link_body_max, 'b');
  using pending_type = decltype(self->request(one, caf::infinite, v1::AskPeer{}, bytes{}));
  std::vector<pending_type> pending;
  for (int i = 0; i < 12; ++i)
    pending.push_back(self->request(one, caf::infinite, ask_of(second.id(), "store", 60s), bytes::copy_of(body)));
  for (auto& each : pending) {
    auto answer = answer_and_body(each);
    REQUIRE(answer);
    CHECK(as_text(answer->second) == body);
  }
  CHECK(ask<v1::Done>(self, one, caf::close_atom_v));
  CHECK(ask<v1::Done>(self, two, caf::close_atom_v));
  caf::anon_send_exit(handler, caf::exit_reason::user_shutdown);
}
