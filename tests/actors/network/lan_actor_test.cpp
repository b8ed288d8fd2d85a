#include "network/lan_actor.hpp"

#include "tests/actors/network/mesh_of_actors.hpp"

#include <catch2/catch.hpp>

#include <atomic>
#include <condition_variable>
#include <future>

using namespace datamesh;
using namespace datamesh::network;
using namespace datamesh::test;
using namespace std::chrono_literals;

namespace {

/// One interface that some share: who sends is heard by all, himself too.
class shared_lan {
public:
  using ear = std::function<void(const ip_address&, byte_view)>;

  uint64_t join(ear one) {
    std::lock_guard guard{mutex_};
    ears_.emplace(++last_, std::move(one));
    return last_;
  }
  void leave(uint64_t number) {
    std::lock_guard guard{mutex_};
    ears_.erase(number);
  }
  void say(byte_view datagram) {
    std::lock_guard guard{mutex_};
    ++said_;
    for (const auto& [number, one] : ears_)
      one(parse_ip4("127.0.0.1").value(), datagram);
    changed_.notify_all();
  }
  /// Until so many were sent since now.
  bool await(size_t more) {
    std::unique_lock lock{mutex_};
    return changed_.wait_for(lock, 60s, [this, due = said_ + more] { return said_ >= due; });
  }

private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<uint64_t, ear> ears_;
  uint64_t last_ = 0;
  size_t said_ = 0;
};

class memory_wire final : public lan_wire {
public:
  explicit memory_wire(std::shared_ptr<shared_lan> lan) : lan_(std::move(lan)) {}
  ~memory_wire() override {
    memory_wire::stop();
  }
  result<void> start(std::function<void(const ip_address&, byte_view)> heard) override {
    number_ = lan_->join(std::move(heard));
    return {};
  }
  void stop() override {
    if (auto number = std::exchange(number_, 0); number != 0)
      lan_->leave(number);
  }
  result<std::vector<lan_interface>> look() override {
    if (is_down)
      return fail(errc::unavailable, "listen on the local network");
    return std::vector{lan_interface{1, "lo", true, {parse_ip4("127.0.0.1").value()}}};
  }
  void send(const lan_interface&, byte_view datagram) override {
    lan_->say(datagram);
  }

  std::atomic<bool> is_down = false;

private:
  std::shared_ptr<shared_lan> lan_;
  uint64_t number_ = 0;
};

struct nobody final : peer_gate {
  [[nodiscard]] link_refusal refuses(const peer_id&) const override {
    return link_refusal::no_member;
  }
};

/// The part of a node that is tested, over one that has the rest.
struct speaking_place {
  speaking_place(mesh_world& world, uint64_t number, const std::shared_ptr<shared_lan>& lan, std::shared_ptr<const peer_gate> gate = {},
                 network_id mesh = {}, bool down = false)
      : place(world, number), world_(world) {
    auto wire = std::make_shared<memory_wire>(lan);
    wire->is_down = down;
    lan_parts parts{system_environment(),
                    place.identity(),
                    mesh.is_zero() ? world.mesh : mesh,
                    ip_rules::local(),
                    {place.at()},
                    {},
                    place.discovery,
                    std::move(gate),
                    wire,
                    [told = failures](const std::optional<error>& why) {
                      told->set_value(why);
                    }};
    speaker = spawn_lan_actor(world.sys, parts);
  }
  ~speaking_place() {
    caf::anon_send_exit(speaker, caf::exit_reason::user_shutdown);
    world_.self->wait_for(speaker);
  }
  [[nodiscard]] v1::NeighbourList heard() {
    return ask<v1::NeighbourList>(world_.self, speaker, v1::ListNeighbours{}).value();
  }

  mesh_place place;
  std::shared_ptr<std::promise<std::optional<error>>> failures = std::make_shared<std::promise<std::optional<error>>>();
  lan_actor speaker;

private:
  mesh_world& world_;
};

} // namespace

TEST_CASE("nodes without a seed find each other on the local network", "[lan_actor]") {
  mesh_world world;
  auto lan = std::make_shared<shared_lan>();
  speaking_place first{world, 1, lan};
  speaking_place second{world, 2, lan};
  speaking_place third{world, 3, lan};
  for (auto* each : {&first, &second, &third})
    CHECK(each->place.told->await_alive(2));
  auto list = first.heard();
  REQUIRE(list.row_size() == 2);
  CHECK(list.interface_size() == 1);
  for (const auto& row : list.row())
    CHECK((row.peer() == second.place.id().text() || row.peer() == third.place.id().text()));
}

TEST_CASE("a node of another mesh is heard as a stranger and not dialed", "[lan_actor]") {
  mesh_world world;
  auto lan = std::make_shared<shared_lan>();
  speaking_place first{world, 1, lan};
  speaking_place other{world, 2, lan, {}, network_id::from(as_view("a mesh of somebody else entirely"))};
  REQUIRE(lan->await(6));
  auto list = first.heard();
  REQUIRE(list.row_size() == 1);
  CHECK(list.row(0).peer().empty());
  CHECK_FALSE(first.place.knows(other.place));
}

TEST_CASE("who may not come in is heard and not dialed", "[lan_actor]") {
  mesh_world world;
  auto lan = std::make_shared<shared_lan>();
  auto gate = std::make_shared<nobody>();
  speaking_place first{world, 1, lan, gate};
  speaking_place second{world, 2, lan, gate};
  REQUIRE(lan->await(6));
  CHECK(first.heard().row_size() == 1);
  // What discovery was told before this was asked it would have begun to dial.
  CHECK(first.place.list().value().node_size() == 0);
  CHECK_FALSE(first.place.knows(second.place));
}

TEST_CASE("that no interface can is told", "[lan_actor]") {
  mesh_world world;
  speaking_place deaf{world, 1, std::make_shared<shared_lan>(), {}, {}, true};
  auto why = deaf.failures->get_future().get();
  REQUIRE(why);
  CHECK(why->code() == errc::unavailable);
}
