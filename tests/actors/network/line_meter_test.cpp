#include "network/line_meter_actor.hpp"

#include "network/line_course.hpp"
#include "network/line_message.hpp"
#include "network/line_service_actor.hpp"
#include "tests/actors/network/mesh_of_actors.hpp"

#include <catch2/catch.hpp>

using namespace datamesh;
using namespace datamesh::network;
using namespace datamesh::test;
using namespace std::chrono_literals;

namespace {

constexpr uint64_t mib = 1 << 20;

/// Enough for every test here but those of the budget.
line_budget_limits plenty() {
  return {{mib, 1024 * mib}, {mib, 1024 * mib}};
}

/// A node that lets others measure the line to it.
class measured_place {
public:
  measured_place(mesh_world& world, uint64_t number, const line_budget_limits& limits = plenty(), const rate_plan& plan = {},
                 const mesh_place_options& options = {})
      : place(world, number, options) {
    auto env = system_environment();
    service_ = spawn_line_service(world.sys, {env.clock, env.random, std::make_shared<line_pace>(plan), limits});
    place.serve(peer_part::line, caf::actor_cast<caf::actor>(service_));
  }
  ~measured_place() {
    caf::anon_send_exit(service_, caf::exit_reason::user_shutdown);
  }
  measured_place(const measured_place&) = delete;
  measured_place& operator=(const measured_place&) = delete;

  mesh_place place;

private:
  peer_handler_actor service_;
};

void link(mesh_world& world, mesh_place& from, const mesh_place& to) {
  v1::ConnectPeer request;
  *request.mutable_address() = to_proto(to.at());
  REQUIRE(ask<v1::PeerConnected>(world.self, from.links, request));
}

struct test_run {
  uint64_t bytes = 2 * mib;
  std::function<std::optional<error>()> ended = [] {
    return std::nullopt;
  };
  std::function<void(uint64_t, uint64_t)> progress = [](uint64_t, uint64_t) {
  };
};

result<line_report> measure(mesh_world& world, mesh_place& from, const peer_id& to, const test_run& how = {}) {
  auto env = system_environment();
  auto meter = spawn_line_meter(world.sys, {env.clock, env.random, from.links, from.discovery, {mib, 0}, how.ended, how.progress});
  v1::MeasureLine request;
  request.set_peer(std::string{to.text()});
  request.set_bytes(how.bytes);
  request.set_time_ms(60'000);
  auto measured = ask<line_measured>(world.self, meter, request);
  // It ends by itself, whatever came of it.
  world.self->wait_for(meter);
  if (!measured)
    return fail(measured.error());
  return *measured->it;
}

/// Answers of all parts in the same way.
peer_handler_actor::behavior_type answers(peer_handler_actor::pointer self,
                                          const std::function<caf::result<v1::PeerAnswer, bytes>()>& how) {
  (void) self;
  return {
      [how](const v1::PeerRequest&, const bytes&) { return how(); },
  };
}

peer_handler_actor::behavior_type silent(peer_handler_actor::pointer self) {
  return {
      [self](const v1::PeerRequest&, const bytes&) -> caf::result<v1::PeerAnswer, bytes> {
        return self->make_response_promise<caf::typed_response_promise<v1::PeerAnswer, bytes>>();
      },
  };
}

result<line_answer> say(mesh_world& world, mesh_place& from, const peer_id& to, const std::string& message, const bytes& body,
                        size_t* beside = nullptr) {
  v1::AskPeer request;
  request.set_peer(std::string{to.text()});
  request.set_timeout_ms(30'000);
  request.set_message(message_to(peer_part::line, message));
  result<line_answer> outcome = fail(errc::internal, "wait for an answer");
  world.self->request(from.links, caf::infinite, request, body)
      .receive(
          [&](const v1::PeerAnswer& answer, const bytes& data) {
            outcome = decode_line_answer(as_view(answer.message()));
            if (beside != nullptr)
              *beside = data.size();
          },
          [&](const caf::error& reason) { outcome = fail(from_caf(reason)); });
  return outcome;
}

} // namespace

TEST_CASE("a line is measured both ways by bytes that all arrive", "[line]") {
  mesh_world world;
  mesh_place here{world, 1};
  measured_place there{world, 2, plenty(), {{0, 3 * mib}, {}}};
  link(world, here, there.place);
  uint64_t moved = 0;
  uint64_t all = 0;
  test_run how;
  how.bytes = 5 * mib + 1;
  how.progress = [&](uint64_t now, uint64_t of) {
    CHECK(now > moved);
    moved = now;
    all = of;
  };
  auto report = measure(world, here, there.place.id(), how).value();
  CHECK(report.peer == there.place.id());
  CHECK(report.address == there.place.at().text());
  CHECK(report.rtt_min_ns > 0);
  CHECK(report.rtt_median_ns >= report.rtt_min_ns);
  for (const auto& flow : {report.up, report.down}) {
    CHECK(flow.bytes == 5 * mib + 1);
    CHECK(flow.elapsed_ns > 0);
    CHECK(flow.stop == line_stop::bytes);
  }
  // Each node's limit is told with the way that it holds for.
  CHECK(report.up.own_limit == mib);
  CHECK(report.up.their_limit == 3 * mib);
  CHECK(report.down.own_limit == 0);
  CHECK(report.down.their_limit == 0);
  CHECK_FALSE(report.refilled_in);
  CHECK(moved == 2 * (5 * mib + 1));
  CHECK(all == moved);
}

TEST_CASE("a node answers tests within its budget, shared by both ways, and tells how long to wait", "[line]") {
  mesh_world world;
  mesh_place here{world, 1};
  mesh_place other{world, 3};
  // A byte a second comes back.
  measured_place there{world, 2, {{1, 8 * mib}, {1, 12 * mib}}};
  link(world, here, there.place);
  link(world, other, there.place);
  auto first = measure(world, here, there.place.id()).value();
  CHECK(first.up.stop == line_stop::bytes);
  CHECK(first.down.stop == line_stop::bytes);
  auto second = measure(world, here, there.place.id()).value();
  CHECK(second.up.stop == line_stop::budget);
  CHECK(second.down.stop == line_stop::budget);
  CHECK(second.up.bytes < 2 * mib);
  CHECK(second.up.bytes > mib);
  CHECK(second.up.bytes + second.down.bytes < 4 * mib);
  REQUIRE(second.refilled_in);
  CHECK(*second.refilled_in > 1h);
  auto third = measure(world, here, there.place.id()).value();
  CHECK(third.up.bytes + third.down.bytes == 0);
  CHECK(third.refilled_in);
  // Who asks nevertheless is served nothing.
  size_t beside = 1;
  CHECK(say(world, here, there.place.id(), encode(line_request{mib}), {}, &beside).value().refused);
  CHECK(beside == 0);
  // Another node has what is left of the budget of all.
  auto of_other = measure(world, other, there.place.id()).value();
  CHECK(of_other.up.bytes + of_other.down.bytes > 2 * mib);
  CHECK(of_other.up.bytes + of_other.down.bytes <= 4 * mib);
}

TEST_CASE("a node that knows of no such tests is told to be older, and one that does not run them is not there", "[line]") {
  mesh_world world;
  mesh_place here{world, 1};
  auto older = world.sys.spawn(answers, [] { return caf::result<v1::PeerAnswer, bytes>{to_caf(error{errc::format_newer, "serve"})}; });
  {
    mesh_place_options options;
    options.handler = older;
    mesh_place there{world, 2, options};
    link(world, here, there);
    auto report = measure(world, here, there.id());
    REQUIRE(code_of(report) == errc::format_newer);
    CHECK(report.error().message().find("older") != std::string::npos);
  }
  mesh_place without{world, 3};
  link(world, here, without);
  CHECK(code_of(measure(world, here, without.id())) == errc::unavailable);
  caf::anon_send_exit(older, caf::exit_reason::user_shutdown);
}

TEST_CASE("a node that sends other bytes than were asked for is not believed", "[line]") {
  mesh_world world;
  mesh_place here{world, 1};
  auto answer = [](const std::string& message, size_t bytes_beside) {
    return [message, bytes_beside] {
      v1::PeerAnswer told;
      told.set_message(message);
      return caf::result<v1::PeerAnswer, bytes>{told, bytes::take(std::vector<std::byte>(bytes_beside))};
    };
  };
  auto good = encode(line_answer{false, 100 * mib, 0ms, {}});
  for (const auto& [message, beside] : {std::pair{good, size_t{7}}, std::pair{std::string{"\x0a"}, size_t{0}}}) {
    auto liar = world.sys.spawn(answers, answer(message, beside));
    mesh_place_options options;
    options.handler = liar;
    mesh_place there{world, 2, options};
    link(world, here, there);
    CHECK(code_of(measure(world, here, there.id())) == errc::protocol_violated);
    caf::anon_send_exit(liar, caf::exit_reason::user_shutdown);
  }
}

TEST_CASE("a test that is cancelled ends, also where the other node says nothing", "[line]") {
  mesh_world world;
  mesh_place here{world, 1};
  auto handler = world.sys.spawn(silent);
  mesh_place_options options;
  options.handler = handler;
  mesh_place there{world, 2, options};
  measured_place good{world, 3};
  link(world, here, there);
  link(world, here, good.place);
  test_run cancelled;
  cancelled.ended = [] {
    return error{errc::cancelled, "run a job"};
  };
  CHECK(code_of(measure(world, here, there.id(), cancelled)) == errc::cancelled);
  test_run amid;
  auto stop = std::make_shared<std::atomic<bool>>(false);
  amid.bytes = 64 * mib;
  amid.progress = [stop](uint64_t moved, uint64_t) {
    *stop = moved > mib;
  };
  amid.ended = [stop] {
    return *stop ? std::optional{error{errc::cancelled, "run a job"}} : std::nullopt;
  };
  CHECK(code_of(measure(world, here, good.place.id(), amid)) == errc::cancelled);
  // The line is as good as before.
  CHECK(measure(world, here, good.place.id()));
  caf::anon_send_exit(handler, caf::exit_reason::user_shutdown);
}

TEST_CASE("a node without a link is dialed, and one that is not in the mesh is not reached", "[line]") {
  mesh_world world;
  measured_place there{world, 2};
  mesh_place_options options;
  options.seeds = {there.place.spec()};
  options.tells.emplace(); // Nobody dials it.
  mesh_place here{world, 1, options};
  REQUIRE(here.told->await_alive(1));
  v1::DropPeer drop;
  drop.set_peer(std::string{there.place.id().text()});
  drop.set_code(static_cast<uint32_t>(errc::unavailable));
  REQUIRE(ask<v1::Done>(world.self, here.links, drop));
  auto report = measure(world, here, there.place.id());
  INFO((report ? std::string{} : report.error().message()));
  REQUIRE(report);
  CHECK(report->address == there.place.at().text());
  CHECK(code_of(measure(world, here, test_node{9}.id())) == errc::unavailable);
}

TEST_CASE("a node takes and gives no more for a test than a request may ask for", "[line]") {
  mesh_world world;
  mesh_place here{world, 1};
  measured_place there{world, 2};
  link(world, here, there.place);
  auto body = bytes::take(std::vector<std::byte>(line_piece_max));
  size_t beside = 0;
  auto taken = say(world, here, there.place.id(), encode(line_request{}), body, &beside).value();
  CHECK_FALSE(taken.refused);
  CHECK(beside == 0);
  CHECK(say(world, here, there.place.id(), encode(line_request{line_piece_max}), {}, &beside).value().left < taken.left);
  CHECK(beside == line_piece_max);
  auto refused = [&](const std::string& message, const bytes& with) {
    return code_of(say(world, here, there.place.id(), message, with)) == errc::protocol_violated;
  };
  CHECK(refused(encode(line_request{line_piece_max + 1}), {}));
  CHECK(refused(encode(line_request{1}), body.slice(0, 1)));
  CHECK(refused(encode(line_request{}), bytes::take(std::vector<std::byte>(line_piece_max + 1))));
  CHECK(refused("\x0a", {}));
}
