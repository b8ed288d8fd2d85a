#include "network/discovery_actor.hpp"

#include "network/asio_resolver.hpp"
#include "network/discovery_message.hpp"
#include "tests/actors/network/mesh_of_actors.hpp"
#include "tests/libdatamesh/storage/seed.hpp"

#include <catch2/catch.hpp>

#include <deque>
#include <future>

using namespace datamesh;
using namespace datamesh::network;
using namespace datamesh::test;
using namespace std::chrono_literals;

namespace {

const std::string table_path = "/node/peers";
constexpr auto provider = static_cast<uint32_t>(record_kind::provider);

std::shared_ptr<simulated_files> disk_with_folder() {
  auto disk = std::make_shared<simulated_files>();
  REQUIRE(disk->make_folder("/node"));
  disk->sync_all();
  return disk;
}

point some_point(uint64_t number) {
  seeded_random random{seed() + number};
  return random_id<point>(random).value();
}

/// A port of this machine where nobody is.
endpoint nobody_at() {
  return asio_transport::listen({endpoint::v4({127, 0, 0, 1}, 0)}, system_environment().clock).value()->addresses().at(0);
}

mesh_place_options from_seeds(std::vector<peer_spec> seeds) {
  mesh_place_options options;
  options.seeds = std::move(seeds);
  return options;
}

/// Looks the record up until it is found, for as long as that may take.
bool finds(mesh_place& by, const record_name& name) {
  for (auto end = std::chrono::steady_clock::now() + 60s; std::chrono::steady_clock::now() < end;) {
    auto found = by.look_up(name.key, static_cast<uint32_t>(name.kind));
    if (!found)
      return false;
    if (found->record_size() > 0)
      return true;
  }
  return false;
}

/// Looks the node up until it is known, for as long as that may take.
bool meets(mesh_place& by, const mesh_place& other) {
  for (auto end = std::chrono::steady_clock::now() + 60s; std::chrono::steady_clock::now() < end;) {
    if (by.knows(other))
      return true;
    if (!by.look_up(point_of(other.id())))
      return false;
  }
  return false;
}

/// A peer that answers a sign of life, keeps nothing, and says what it likes of nodes and records,
/// or nothing; an empty text stands for `unavailable`.
using liar_says = std::function<std::optional<std::string>(const point& target)>;
peer_handler_actor::behavior_type liar(peer_handler_actor::pointer self, const liar_says& says) {
  return {
      [=](const v1::PeerRequest& request, const bytes&) -> caf::result<v1::PeerAnswer, bytes> {
        auto what = decode_request(as_view(request.message()).subspan(1)).value().what;
        std::optional<std::string> said;
        if (std::holds_alternative<ping>(what))
          said = encode(discovery_answer{pong{}});
        else if (std::holds_alternative<store_record>(what))
          said = encode(discovery_answer{store_answer{store_outcome::stored}});
        else if (auto node = std::get_if<find_node>(&what))
          said = says(node->target);
        else
          said = says(std::get<find_record>(what).key);
        if (!said)
          return self->make_response_promise<caf::typed_response_promise<v1::PeerAnswer, bytes>>();
        if (said->empty())
          return to_caf(error{errc::unavailable, "answer"});
        v1::PeerAnswer answer;
        answer.set_message(std::move(*said));
        return {std::move(answer), bytes{}};
      },
  };
}

} // namespace

TEST_CASE("three nodes find each other from one seed, whether its id is known or not", "[discovery_actor]") {
  auto with_id = GENERATE(true, false);
  mesh_world world;
  mesh_place first{world, 1};
  mesh_place second{world, 2, from_seeds({first.spec(with_id)})};
  mesh_place third{world, 3, from_seeds({first.spec(with_id)})};
  for (auto* each : {&first, &second, &third})
    CHECK(each->told->await_alive(2));
  CHECK(second.knows(third));
  CHECK(third.knows(second));
  // Each tells the mesh where it is.
  auto found = first.look_up(point_of(third.id()));
  REQUIRE(found);
  REQUIRE(found->nearest_size() > 0);
  CHECK(found->nearest(0).peer() == third.id().text());
  auto name = third.sign(record_kind::node, 1, "").name;
  CHECK(finds(second, name));
  auto record = open_record(world.mesh, as_view(second.look_up(name.key, 1)->record(0)), system_environment().clock->wall());
  REQUIRE(record);
  CHECK(decode_node_record(record->value, third.id()).value() == std::vector{third.at()});
}

TEST_CASE("twenty-four nodes join from two seeds, and all find what one published that has left", "[discovery_actor]") {
  constexpr size_t count = 24;
  mesh_world world;
  std::deque<mesh_place> places;
  places.emplace_back(world, 1);
  places.emplace_back(world, 2, from_seeds({places[0].spec()}));
  for (size_t i = 2; i < count; ++i)
    places.emplace_back(world, i + 1, from_seeds({places[0].spec(), places[1].spec()}));
  for (auto& each : places)
    REQUIRE(each.told->await_alive(10));
  auto record = places.back().sign(record_kind::provider, 1, "here", some_point(1));
  auto copies = places.back().publish(record);
  REQUIRE(copies);
  CHECK(*copies >= 10);
  places.pop_back();
  for (auto& each : places) {
    auto found = each.look_up(record.name.key, provider);
    REQUIRE(found);
    REQUIRE(found->record_size() == 1);
    CHECK(found->record(0) == as_text(record.raw));
  }
}

TEST_CASE("a node comes back by the nodes that it knew when its seeds are gone", "[discovery_actor]") {
  auto disk = disk_with_folder();
  mesh_world world;
  mesh_place first{world, 1};
  mesh_place second{world, 2, from_seeds({first.spec()})};
  auto options = from_seeds({first.spec()});
  options.saved_at = table_path;
  options.files = disk;
  {
    mesh_place third{world, 3, options};
    REQUIRE(third.told->await_alive(2));
  }
  // What is there without what a power loss takes.
  options.files = std::make_shared<simulated_files>(disk->snapshot());
  first.close();
  options.seeds = {first.spec(), {std::nullopt, {nobody_at().ip, nobody_at().port}}};
  mesh_place third{world, 3, options};
  CHECK(third.told->await_alive(1));
  CHECK(third.knows(second));
  CHECK(third.told->file_failures.empty());
}

TEST_CASE("a recovery record is there after all who keep it were restarted, and one of a node is not", "[discovery_actor]") {
  auto disk = disk_with_folder();
  mesh_world world;
  auto options = from_seeds({});
  options.saved_at = table_path;
  options.files = disk;
  std::optional<network::point> key;
  {
    mesh_place first{world, 1, options};
    mesh_place second{world, 2, from_seeds({first.spec()})};
    REQUIRE(second.told->await_alive(1));
    auto record = second.sign(record_kind::recovery, 1, "sealed");
    key = record.name.key;
    CHECK(second.publish(record).value() == 1);
    CHECK(second.publish(second.sign(record_kind::provider, 1, "here", *key)).value() == 1);
  }
  mesh_place first{world, 1, options};
  mesh_place third{world, 3, from_seeds({first.spec()})};
  REQUIRE(third.told->await_alive(1));
  CHECK(third.look_up(*key, static_cast<uint32_t>(record_kind::recovery)).value().record_size() == 1);
  CHECK(third.look_up(*key, provider).value().record_size() == 0);
  CHECK(first.told->file_failures.empty());
}

TEST_CASE("a file of nodes that is damaged is told, and the seeds are asked all the same", "[discovery_actor]") {
  auto disk = disk_with_folder();
  mesh_world world;
  mesh_place first{world, 1};
  auto options = from_seeds({first.spec()});
  options.saved_at = table_path;
  options.files = disk;
  {
    mesh_place second{world, 2, options};
    REQUIRE(second.told->await_alive(1));
  }
  REQUIRE(disk->flip_bit(table_path, 40 * 8));
  mesh_place second{world, 2, options};
  REQUIRE(second.told->await([&] { return !second.told->file_failures.empty(); }));
  CHECK(second.told->file_failures == std::vector{errc::format_damaged});
  CHECK(second.told->await_alive(1));
}

TEST_CASE("a file of nodes that can not be written is told, and the one before stands", "[discovery_actor]") {
  auto disk = disk_with_folder();
  mesh_world world;
  mesh_place first{world, 1};
  auto options = from_seeds({first.spec()});
  options.saved_at = table_path;
  options.files = disk;
  mesh_place second{world, 2, options};
  REQUIRE(second.told->await_alive(1));
  disk->fail_call(1, errc::no_space);
  second.close();
  CHECK(second.told->await([&] { return second.told->file_failures == std::vector{errc::no_space}; }));
  CHECK_FALSE(disk->status(table_path));
}

TEST_CASE("who reaches nobody does not forget whom it knew", "[discovery_actor]") {
  auto disk = disk_with_folder();
  mesh_world world;
  mesh_place_options options;
  options.saved_at = table_path;
  options.files = disk;
  {
    mesh_place second{world, 2, options};
    CHECK(second.list());
  }
  CHECK(disk->status(table_path).error().code() == errc::not_found);
  {
    mesh_place first{world, 1};
    options.seeds = {first.spec()};
    mesh_place second{world, 2, options};
    REQUIRE(second.told->await_alive(1));
  }
  auto before = read_whole(*disk, table_path, 1 << 20).value();
  {
    mesh_place second{world, 2, options};
    CHECK(second.list());
  }
  CHECK(as_text(read_whole(*disk, table_path, 1 << 20).value()) == as_text(before));
}

TEST_CASE("who is not available just when it is asked is asked once more", "[discovery_actor]") {
  mesh_world world;
  // As when one of two links goes that crossed.
  auto asked = std::make_shared<std::set<point>>();
  auto options = mesh_place_options{};
  options.handler = world.sys.spawn(liar, liar_says{[asked](const point& target) -> std::optional<std::string> {
                                      if (asked->insert(target).second)
                                        return std::string{};
                                      return encode(discovery_answer{found_answer{}});
                                    }});
  {
    mesh_place first{world, 1, options};
    mesh_place second{world, 2, from_seeds({first.spec()})};
    REQUIRE(second.told->await_alive(1));
    for (uint64_t i = 0; i < 5; ++i) {
      auto found = second.look_up(some_point(i));
      REQUIRE(found);
      CHECK(found->nearest_size() == 1);
      CHECK(found->unanswered() == 0);
    }
  }
  caf::anon_send_exit(options.handler, caf::exit_reason::user_shutdown);
}

TEST_CASE("a node that lies in its answers costs nothing", "[discovery_actor]") {
  mesh_world world;
  mesh_place first{world, 1};
  auto lie = GENERATE(0, 1, 2, 3);
  CAPTURE(lie);
  liar_says says = [=, at = first.at()](const point& target) -> std::optional<std::string> {
    switch (lie) {
    case 0:
      return "\xff\xffgarbage";
    case 1: // Somebody else's address, and the point that was asked for as an id.
      return encode(discovery_answer{found_answer{{{peer_id::from(target.view()), {at}}}, {}}});
    case 2: { // Farther than itself.
      auto far = peer_id::from(target.view());
      for (auto& part : far.span())
        part = ~part;
      return encode(discovery_answer{found_answer{{{far, {{ip_address{{10, 1, 2, 3}, false}, 1}}}}, {}}});
    }
    default:
      return encode(discovery_answer{store_answer{store_outcome::stored}});
    }
  };
  auto options = from_seeds({first.spec()});
  options.handler = world.sys.spawn(liar, says);
  {
    mesh_place bad{world, 2, options};
    mesh_place third{world, 3, from_seeds({bad.spec(), first.spec()})};
    mesh_place fourth{world, 4, from_seeds({bad.spec(), first.spec()})};
    for (auto* each : {&third, &fourth}) {
      REQUIRE(each->told->await_alive(1));
      REQUIRE(meets(*each, first));
    }
    REQUIRE(meets(third, fourth));
    REQUIRE(meets(fourth, third));
    auto record = third.sign(record_kind::provider, 1, "here", some_point(2));
    REQUIRE(third.publish(record));
    CHECK(finds(fourth, record.name));
    CHECK(finds(first, record.name));
    auto found = fourth.look_up(some_point(3));
    REQUIRE(found);
    for (const auto& one : found->nearest())
      CHECK((one.peer() == first.id().text() || one.peer() == third.id().text() || (lie == 1 && one.peer() == bad.id().text())));
    CHECK(third.knows(first));
    CHECK(fourth.knows(first));
    CHECK(fourth.knows(third));
  }
  caf::anon_send_exit(options.handler, caf::exit_reason::user_shutdown);
}

/// Knows no recovery records, as nodes did before there were any.
peer_handler_actor::behavior_type older_node(peer_handler_actor::pointer) {
  return {
      [](const v1::PeerRequest& request, const bytes&) -> caf::result<v1::PeerAnswer, bytes> {
        auto what = decode_request(as_view(request.message()).subspan(1)).value().what;
        auto is_recovery = std::holds_alternative<find_record>(what) && std::get<find_record>(what).kind == record_kind::recovery;
        if (is_recovery)
          return to_caf(error{errc::protocol_violated, "read another node's request"});
        v1::PeerAnswer answer;
        if (std::holds_alternative<ping>(what))
          answer.set_message(encode(discovery_answer{pong{}}));
        else if (std::holds_alternative<store_record>(what))
          answer.set_message(encode(discovery_answer{store_answer{store_outcome::not_valid}}));
        else
          answer.set_message(encode(discovery_answer{found_answer{}}));
        return {std::move(answer), bytes{}};
      },
  };
}

TEST_CASE("nodes that do not know recovery records yet keep none, and stay known", "[discovery_actor]") {
  mesh_world world;
  mesh_place first{world, 1};
  auto options = from_seeds({first.spec()});
  options.handler = world.sys.spawn(older_node);
  {
    mesh_place old{world, 2, options};
    mesh_place third{world, 3, from_seeds({old.spec(), first.spec()})};
    REQUIRE(third.told->await_alive(2));
    auto record = third.sign(record_kind::recovery, 1, "sealed");
    CHECK(third.publish(record).value() == 1);
    for (int i = 0; i < 8; ++i)
      CHECK(finds(third, record.name));
    CHECK(third.knows(old));
    CHECK(third.list()->alive() == 2);
  }
  caf::anon_send_exit(options.handler, caf::exit_reason::user_shutdown);
}

TEST_CASE("a node of another mesh is refused, and known to nobody", "[discovery_actor]") {
  mesh_world world;
  mesh_world other;
  other.mesh = network_id::from(as_view("another mesh for tests of actors"));
  mesh_place first{world, 1};
  mesh_place second{world, 2, from_seeds({first.spec()})};
  mesh_place alien{other, 3, from_seeds({first.spec(), second.spec(false)})};
  v1::ConnectPeer request;
  *request.mutable_address() = to_proto(first.at());
  CHECK(code_of(ask<v1::PeerConnected>(other.self, alien.links, request)) == errc::peer_refused);
  REQUIRE(second.told->await_alive(1));
  CHECK(alien.list()->node_size() == 0);
  CHECK_FALSE(first.knows(alien));
  CHECK(code_of(first.publish(alien.sign(record_kind::provider, 1, "here", some_point(1)))) == errc::authentication_failed);
}

TEST_CASE("who dials us is known only where it is reached", "[discovery_actor]") {
  mesh_world world;
  mesh_place first{world, 1};
  auto options = from_seeds({first.spec()});
  auto how = GENERATE(0, 1, 2, 3);
  CAPTURE(how);
  if (how == 0)
    options.tells = {nobody_at()};
  if (how == 1)
    options.tells = std::vector<endpoint>{};
  auto where = nobody_at();
  if (how == 2) {
    options.at = where;
    options.tells = {nobody_at(), where};
  }
  // Takes connections, and never says a word.
  auto silent = asio_transport::listen({endpoint::v4({127, 0, 0, 1}, 0)}, system_environment().clock).value();
  if (how == 3) {
    options.at = where;
    options.tells = {silent->addresses().at(0), where};
  }
  mesh_place second{world, 2, options};
  REQUIRE(second.told->await_alive(1));
  if (how >= 2) {
    CHECK(first.told->await_alive(1));
    REQUIRE(first.list()->node_size() == 1);
    // The one that is true comes first; both have the same IP address.
    CHECK(first.list()->node(0).address_size() == 2);
    return;
  }
  // What the first asks back it asks before it answers again.
  for (uint64_t i = 0; i < 20; ++i)
    REQUIRE(second.look_up(some_point(i)));
  CHECK(first.list()->node_size() == 0);
}

TEST_CASE("a node that learns only later where it is reached is known there from then on", "[discovery_actor]") {
  mesh_world world;
  mesh_place first{world, 1};
  mesh_place_options behind;
  behind.seeds = {first.spec()};
  behind.tells = std::vector<endpoint>{};
  mesh_place second{world, 2, behind};
  REQUIRE(second.told->await_alive(1));
  CHECK_FALSE(first.knows(second));
  v1::TellAddresses told;
  *told.add_address() = to_proto(second.at());
  *told.add_address() = to_proto(endpoint::v4({127, 0, 0, 1}, 0)); // Nobody is reached at port 0.
  world.self->send(second.discovery, told);
  REQUIRE(first.told->await_alive(1));
  CHECK(first.knows(second));
  // Its record says so, too.
  auto found = first.look_up(point_of(second.id()), static_cast<uint32_t>(record_kind::node));
  REQUIRE(found);
  CHECK(found->record_size() == 1);
}

TEST_CASE("a node that nobody can dial says in its record through whom it is reached, and is in no table", "[discovery_actor]") {
  mesh_world world;
  mesh_place first{world, 1};
  auto hidden = from_seeds({first.spec()});
  hidden.tells = std::vector<endpoint>{};
  mesh_place second{world, 2, hidden};
  REQUIRE(second.told->await_alive(1));
  auto way = first.at();
  way.through = relay_way{first.id(), second.id()};
  v1::TellRelays told;
  *told.add_address() = to_proto(way);
  *told.add_address() = to_proto(second.at()); // Not through anybody.
  world.self->send(second.discovery, told);
  auto name = second.sign(record_kind::node, 1, "").name;
  REQUIRE(finds(first, name));
  auto record = open_record(world.mesh, as_view(first.look_up(name.key, 1)->record(0)), system_environment().clock->wall());
  REQUIRE(record);
  CHECK(decode_node_record(record->value, second.id()).value() == node_ways{way});
  CHECK_FALSE(first.knows(second));
}

TEST_CASE("a peer that asks too often is refused, and others are not", "[discovery_actor]") {
  mesh_world world;
  mesh_place place{world, 1};
  auto time = std::make_shared<manual_clock>();
  auto env = system_environment();
  env.clock = time;
  test_node node{2, time};
  auto identity = std::make_shared<tls_identity>(tls_identity::make(node.seed, time, *env.random).value());
  discovery_setup setup;
  setup.mesh = world.mesh;
  auto discovery = spawn_discovery_actor(world.sys, {env, identity, place.links, setup, {}}).value();
  auto asks = [&](const peer_id& peer) {
    v1::PeerRequest request;
    request.set_peer(std::string{peer.text()});
    request.set_message(encode(request_message{{}, ping{}}));
    auto pending = world.self->request(discovery, caf::infinite, request, bytes{});
    errc code{};
    pending.receive([&](v1::PeerAnswer&, bytes&) {}, [&](caf::error& reason) { code = from_caf(reason).code(); });
    return code;
  };
  for (uint64_t i = 0; i < served_rate.burst; ++i)
    REQUIRE(asks(node.id()) == errc{});
  CHECK(asks(node.id()) == errc::capacity_exceeded);
  CHECK(asks(place.id()) == errc{});
  time->advance(1s);
  CHECK(asks(node.id()) == errc{});
  CHECK(ask<v1::Done>(world.self, discovery, caf::close_atom_v));
}

TEST_CASE("lookups have a maximum, and who waits when a node closes is told", "[discovery_actor]") {
  mesh_world world;
  auto silent = world.sys.spawn(liar, liar_says{[](const point&) {
                                  return std::optional<std::string>{};
                                }});
  mesh_place_options options;
  options.handler = silent;
  mesh_place mute{world, 1, options};
  mesh_place second{world, 2, from_seeds({mute.spec()})};
  REQUIRE(second.told->await_alive(1));
  using pending_type = decltype(world.self->request(second.discovery, caf::infinite, v1::LookUp{}));
  std::vector<pending_type> pending;
  v1::LookUp request;
  request.set_target(std::string{some_point(1).text()});
  for (size_t i = 0; i < lookups_waiting_max + 10; ++i)
    pending.push_back(world.self->request(second.discovery, caf::infinite, request));
  second.close();
  std::map<errc, size_t> outcomes;
  for (auto& each : pending)
    ++outcomes[code_of(answer_to<v1::LookedUp>(each))];
  CHECK(outcomes[errc::capacity_exceeded] == 10);
  CHECK(outcomes[errc::unavailable] == lookups_waiting_max);
  mute.close();
  caf::anon_send_exit(silent, caf::exit_reason::user_shutdown);
}

namespace {

/// Says what it was told to, and counts.
struct told_names : name_resolver {
  void resolve(const host_name& name, std::function<void(result<std::vector<ip_address>>)> done) override {
    std::unique_lock lock{mutex};
    asked.push_back(name.name);
    auto says = names.contains(name.name) ? result<std::vector<ip_address>>{names[name.name]} : fail(errc::not_found, "look up", name.name);
    lock.unlock();
    done(std::move(says));
  }
  void is(const std::string& name, std::vector<ip_address> at) {
    std::lock_guard guard{mutex};
    names[name] = std::move(at);
  }
  std::mutex mutex;
  std::map<std::string, std::vector<ip_address>> names;
  std::vector<std::string> asked;
};

peer_spec named(std::string name, const mesh_place& of, bool with_id) {
  return {with_id ? std::optional{of.id()} : std::nullopt, {host_name{std::move(name), name_family::any}, of.at().port}};
}

} // namespace

TEST_CASE("a seed is found by its name, with and without the node's id", "[discovery_actor]") {
  mesh_world world;
  mesh_place first{world, 1};
  auto names = std::make_shared<told_names>();
  // Nobody is at the first address.
  names->is("seed.example", {parse_ip4("127.0.0.77").value(), first.at().ip});
  mesh_place_options options;
  options.resolver = names;
  options.seeds = {named("seed.example", first, GENERATE(true, false))};
  mesh_place second{world, 2, options};
  CHECK(second.told->await_alive(1));
  CHECK(second.knows(first));
  CHECK(second.told->seed_failures.empty());
}

TEST_CASE("a name is looked up again each time, and that it fails is told once", "[discovery_actor]") {
  mesh_world world;
  mesh_place first{world, 1};
  auto names = std::make_shared<told_names>();
  mesh_place_options options;
  options.resolver = names;
  options.seeds = {named("late.example", first, true)};
  mesh_place second{world, 2, options};
  REQUIRE(second.told->await([&] { return !second.told->seed_failures.empty(); }));
  CHECK(second.told->seed_failures[0].seed() == to_string(options.seeds[0]));
  CHECK(static_cast<errc>(second.told->seed_failures[0].code()) == errc::not_found);
  names->is("late.example", {first.at().ip});
  CHECK(second.told->await_alive(1));
  CHECK(second.told->seed_failures.size() == 1);
  CHECK(names->asked.size() >= 2);
}

TEST_CASE("whoever answers at a name with another id than is due is not taken for it", "[discovery_actor]") {
  mesh_world world;
  mesh_place first{world, 1};
  mesh_place other{world, 3};
  auto names = std::make_shared<told_names>();
  names->is("seed.example", {first.at().ip});
  mesh_place_options options;
  options.resolver = names;
  options.seeds = {named("seed.example", first, true)};
  options.seeds[0].id = other.id();
  mesh_place second{world, 2, options};
  REQUIRE(second.told->await([&] { return !second.told->seed_failures.empty(); }));
  CHECK(static_cast<errc>(second.told->seed_failures[0].code()) == errc::peer_refused);
  CHECK_FALSE(second.knows(first));
}

TEST_CASE("a name does not lead into the house from a mesh that is not local", "[discovery_actor]") {
  mesh_world world;
  mesh_place first{world, 1};
  auto names = std::make_shared<told_names>();
  names->is("seed.example", {first.at().ip, parse_ip4("192.168.1.1").value()});
  mesh_place_options options;
  options.resolver = names;
  options.local = false;
  options.seeds = {named("seed.example", first, false)};
  mesh_place second{world, 2, options};
  REQUIRE(second.told->await([&] { return !second.told->seed_failures.empty(); }));
  CHECK(second.told->seed_failures[0].reason().find("reached from everywhere") != std::string::npos);
}

TEST_CASE("the system is asked for names, and told of one that there is not", "[discovery_actor]") {
  auto system = make_asio_resolver();
  auto asked = [&](const host_name& name) {
    std::promise<result<std::vector<ip_address>>> told;
    system->resolve(name, [&](const result<std::vector<ip_address>>& found) { told.set_value(found); });
    return told.get_future().get();
  };
  auto here = asked({"localhost", name_family::ip4});
  REQUIRE(here);
  CHECK(*here == std::vector{parse_ip4("127.0.0.1").value()});
  CHECK_FALSE(asked({"nobody.invalid", name_family::any}));
}

TEST_CASE("nobody waits for a name server when a node ends", "[discovery_actor]") {
  auto told = std::make_shared<std::atomic<int>>(0);
  auto system = make_asio_resolver();
  for (int i = 0; i < 20; ++i)
    system->resolve({"nobody.invalid", name_family::any}, [told](const auto&) { ++*told; });
  system.reset();
  auto after = told->load();
  CHECK(told.use_count() == 1);
  CHECK(told->load() == after);
}

TEST_CASE("what is asked of discovery wrongly is refused", "[discovery_actor]") {
  mesh_world world;
  mesh_place first{world, 1};
  CHECK(code_of(ask<v1::LookedUp>(world.self, first.discovery, v1::LookUp{})) == errc::invalid_argument);
  v1::LookUp odd;
  odd.set_target(std::string{some_point(1).text()});
  odd.set_kind(5);
  CHECK(code_of(ask<v1::LookedUp>(world.self, first.discovery, odd)) == errc::invalid_argument);
  CHECK(code_of(ask<v1::RecordPublished>(world.self, first.discovery, v1::PublishRecord{})) == errc::format_damaged);
  CHECK(code_of(ask<v1::Done>(world.self, first.discovery, v1::WithdrawRecord{})) == errc::invalid_argument);
  discovery_parts parts{system_environment(), nullptr, first.links, {}, {}};
  parts.setup.seeds.assign(seeds_max + 1, first.spec());
  CHECK(code_of(spawn_discovery_actor(world.sys, parts)) == errc::invalid_argument);
}

TEST_CASE("a record is withdrawn by its name, and one that nobody took is told", "[discovery_actor]") {
  mesh_world world;
  mesh_place first{world, 1};
  auto record = first.sign(record_kind::provider, 1, "here", some_point(1));
  CHECK(first.publish(record) == 0U);
  v1::WithdrawRecord request;
  *request.mutable_name() = to_proto(record.name);
  CHECK(from_proto(request.name()).value() == record.name);
  CHECK(ask<v1::Done>(world.self, first.discovery, request));
}

TEST_CASE("a peer's request goes to the part that it is for, and unknown parts are refused by a code", "[peer_router]") {
  mesh_world world;
  mesh_place first{world, 1};
  mesh_place second{world, 2, from_seeds({first.spec()})};
  REQUIRE(second.told->await_alive(1));
  auto asks = [&](const std::string& message) {
    v1::AskPeer request;
    request.set_peer(std::string{first.id().text()});
    request.set_timeout_ms(10'000);
    request.set_message(message);
    auto pending = world.self->request(second.links, caf::infinite, request, bytes{});
    result<std::string> outcome = fail(errc::internal, "wait for an answer");
    pending.receive([&](v1::PeerAnswer& answer, bytes&) { outcome = answer.message(); },
                    [&](caf::error& reason) { outcome = fail(from_caf(reason)); });
    return outcome;
  };
  auto ping_message = encode(request_message{{}, ping{}});
  CHECK(decode_answer(as_view(asks(message_to(peer_part::discovery, ping_message)).value())));
  CHECK(code_of(asks(message_to(peer_part{200}, ping_message))) == errc::format_newer);
  CHECK(code_of(asks("")) == errc::protocol_violated);
  CHECK(code_of(asks(message_to(peer_part::discovery, "\xff"))) == errc::protocol_violated);
  // A part that has ended, and one that nobody serves.
  REQUIRE(ask<v1::Done>(world.self, first.discovery, caf::close_atom_v));
  CHECK(code_of(asks(message_to(peer_part::discovery, ping_message))) == errc::unavailable);
  auto empty = spawn_peer_router(world.sys);
  v1::PeerRequest request;
  request.set_message(message_to(peer_part::discovery, ping_message));
  auto pending = world.self->request(empty, caf::infinite, request, bytes{});
  errc code{};
  pending.receive([&](v1::PeerAnswer&, bytes&) {}, [&](caf::error& reason) { code = from_caf(reason).code(); });
  CHECK(code == errc::unavailable);
  CHECK(code_of(ask<v1::Done>(world.self, empty, serve_part(peer_part{200}), caf::actor_cast<caf::actor>(empty)))
        == errc::invalid_argument);
  caf::anon_send_exit(empty, caf::exit_reason::user_shutdown);
}
