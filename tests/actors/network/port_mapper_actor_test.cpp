#include "network/port_mapper_actor.hpp"

#include "tests/actors/network/mesh_of_actors.hpp"
#include "tests/libdatamesh/network/memory_router.hpp"

#include <catch2/catch.hpp>

using namespace datamesh;
using namespace datamesh::network;
using namespace datamesh::test;

namespace {

using state = memory_router::state;

/// What the actor told, for the thread of the test.
class told_port {
public:
  void tell(const port_facts& now) {
    std::lock_guard guard{mutex_};
    now_ = now;
    ++count_;
    changed_.notify_all();
  }
  /// What it told when that came to be so; what it waits for takes no minute.
  std::optional<port_facts> await(const std::function<bool(const port_facts&)>& holds) {
    std::unique_lock lock{mutex_};
    auto came = changed_.wait_for(lock, std::chrono::minutes{1}, [&] { return count_ > 0 && holds(now_); });
    return came ? std::optional{now_} : std::nullopt;
  }
  size_t count() {
    std::lock_guard guard{mutex_};
    return count_;
  }

private:
  std::mutex mutex_;
  std::condition_variable changed_;
  port_facts now_;
  size_t count_ = 0;
};

struct behind_router {
  explicit behind_router(const std::function<void(state&)>& is = [](state&) {}) {
    router->with(is);
    mapper = spawn_port_mapper_actor(
        world.sys, {system_environment(), {7000, 7000, std::nullopt}, ip_rules{}, router, [told = told](const port_facts& now) {
                      told->tell(now);
                    }});
  }
  ~behind_router() {
    router->cancel();
    caf::anon_send_exit(mapper, caf::exit_reason::user_shutdown);
    world.self->wait_for(mapper);
  }

  mesh_world world;
  std::shared_ptr<memory_router> router = std::make_shared<memory_router>();
  std::shared_ptr<told_port> told = std::make_shared<told_port>();
  port_mapper_actor mapper;
};

bool is_mapped(const port_facts& now) {
  return now.outside.has_value();
}

size_t ports_of(memory_router& router) {
  return router.with([](state& of) { return of.ports.size(); });
}

} // namespace

TEST_CASE("a router is asked for a port at once, and has it back when the node closes", "[port_mapper_actor]") {
  auto by_nat_pmp = GENERATE(true, false);
  behind_router node{[&](state& of) {
    of.by_nat_pmp = by_nat_pmp;
  }};
  auto now = node.told->await(is_mapped);
  REQUIRE(now);
  CHECK(now->outside->text() == "9.9.9.9:7000");
  CHECK(now->report.address == "9.9.9.9:7000");
  CHECK(now->report.gateway == "192.168.1.1");
  CHECK(now->report.protocol == (by_nat_pmp ? "NAT-PMP" : "UPnP"));
  CHECK(now->report.until_ns.value_or(0) > system_environment().clock->wall().time_since_epoch().count());
  CHECK_FALSE(now->report.failure);
  CHECK(ports_of(*node.router) == 1);
  CHECK(ask<v1::Done>(node.world.self, node.mapper, caf::close_atom_v));
  CHECK(ports_of(*node.router) == 0);
}

TEST_CASE("a router that gives no port is told of with its reason, and has nothing to take back", "[port_mapper_actor]") {
  behind_router node{[](state& of) {
    of.by_upnp = false;
    of.nat_pmp_code = 2;
  }};
  auto now = node.told->await([](const port_facts& what) { return what.report.failure.has_value(); });
  REQUIRE(now);
  CHECK_FALSE(now->outside);
  CHECK(now->report.address.empty());
  CHECK(now->report.gateway == "192.168.1.1");
  CHECK(now->report.failure->message().find("it does not allow it") != std::string::npos);
  auto asked = node.router->with([](state& of) { return of.said.size(); });
  CHECK(ask<v1::Done>(node.world.self, node.mapper, caf::close_atom_v));
  CHECK(node.router->with([](state& of) { return of.said.size(); }) == asked);
}

TEST_CASE("a port that a router gives for a second is not told any longer, and is asked for again", "[port_mapper_actor]") {
  behind_router node{[](state& of) {
    of.lifetime_max = 1;
  }};
  REQUIRE(node.told->await(is_mapped));
  REQUIRE(node.told->await([](const port_facts& now) { return !is_mapped(now); }));
  // The router forgot it as well.
  node.router->with([](state& of) {
    of.ports.clear();
    of.lifetime_max = 3600;
  });
  REQUIRE(node.told->await(is_mapped));
  CHECK(ports_of(*node.router) == 1);
}

TEST_CASE("who closes does not wait for a router that is silent, and is told nothing more", "[port_mapper_actor]") {
  behind_router node{[](state& of) {
    of.hangs = true;
  }};
  REQUIRE(node.router->await([](const state& of) { return !of.said.empty(); }));
  node.router->cancel();
  CHECK(ask<v1::Done>(node.world.self, node.mapper, caf::close_atom_v));
  CHECK(node.told->count() == 0);
}
