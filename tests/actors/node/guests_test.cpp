// What a node keeps for owners of other nodes: who has room, what becomes of that when the node
// or its drives come and go, and what another node is told.
#include "network/peer_address.hpp"
#include "tests/actors/network/asking_place.hpp"
#include "tests/actors/node/hooked_files.hpp"
#include "tests/actors/node/house.hpp"
#include "tests/libdatamesh/network/guest_fixture.hpp"
#include "tests/libdatamesh/storage/seed.hpp"

#include <algorithm>
#include <condition_variable>
#include <mutex>

using namespace datamesh;
using namespace datamesh::test;
using namespace std::chrono_literals;

namespace {

constexpr uint64_t plenty = 1 << 30;

const vault_id some_owner = vault_id::from(as_view("an owner of a vault somewhere.. "));
const vault_id other_owner = vault_id::from(as_view("somebody else who owns a vault.."));

/// Asks until it is so, for as long as that may take.
template <class Holds>
bool comes_to_be(Holds holds) {
  for (auto end = std::chrono::steady_clock::now() + 60s; std::chrono::steady_clock::now() < end;)
    if (holds())
      return true;
  return false;
}

/// What a node told of its guests.
class told_of_guests {
public:
  void take(const event& what) {
    if (what.kind != event_kind::node_changed || what.subject != "guests")
      return;
    std::lock_guard guard{mutex_};
    events_.push_back(what);
    changed_.notify_all();
  }
  std::optional<event> await(severity level) {
    std::unique_lock lock{mutex_};
    auto found = events_.end();
    auto came = changed_.wait_for(lock, 60s, [&] {
      found = std::ranges::find(events_, level, &event::level);
      return found != events_.end();
    });
    return came ? std::optional{*found} : std::nullopt;
  }

private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<event> events_;
};

node_options with_files(std::shared_ptr<file_system> files) {
  node_options options;
  options.environment.files = std::move(files);
  return options;
}

room_report room_of(datamesh::node& of, const vault_id& owner) {
  for (const auto& room : must(of.rooms()))
    if (room.owner == owner)
      return room;
  return {};
}

/// An owner, a node of his, and a house that is a member of the same mesh.
struct neighbours {
  explicit neighbours(size_t drives = 1) : h(drives, disk::simulated, as_member(world, told)) {}

  static node_options as_member(const mesh_world& of, std::shared_ptr<told_of_guests> to) {
    node_options options;
    options.mesh = {of.mesh.hex(), {"127.0.0.1:0"}, {}, {}, true};
    options.on_event = [to = std::move(to)](const event& what) {
      to->take(what);
    };
    return options;
  }

  [[nodiscard]] peer_id keeper() {
    return must(h.node().mesh())->self;
  }
  void meet() {
    auto at = network::parse_listen_address(must(h.node().mesh())->listens.at(0));
    REQUIRE(at);
    REQUIRE(asker.reach(*at));
  }
  /// While it is being opened a node is asked again.
  template <class Ask>
  auto insist(Ask ask) {
    auto answer = ask();
    (void) comes_to_be([&] {
      if (code_of(answer) == errc::unavailable)
        answer = ask();
      return code_of(answer) != errc::unavailable;
    });
    return answer;
  }
  [[nodiscard]] network::ticket ticket_of(const storage::shard_write& shard, uint64_t number = 1) const {
    auto later = system_environment().clock->wall() + 24h;
    return owner.sign(network::ticket{owner.owner, key_of(shard), shard.header.pack.shape.shard_length, number, later, {}}, world.mesh);
  }
  errc store(const storage::shard_write& shard) {
    return code_of(insist([&] { return asker.store(keeper(), shard, ticket_of(shard)); }));
  }
  /// Of its first block.
  errc read(const storage::shard_write& shard) {
    return code_of(insist([&] { return asker.read(keeper(), ticket_of(shard), 0, 1); }));
  }
  /// Until what was granted is told, there may be no drive for it yet.
  void allow(uint64_t bytes) {
    must(h.node().allow(owner.owner, bytes));
    if (bytes > 0)
      REQUIRE(comes_to_be([&] { return h.files().status(network::guests_folder(h.drive(1)) + "/tickets").has_value(); }));
  }
  void restart() {
    h.reopen();
    meet();
  }
  [[nodiscard]] uint64_t shards() {
    return room_of(h.node(), owner.owner).shards.value_or(UINT64_MAX);
  }

  seeded_random random{seed()};
  mesh_world world;
  std::shared_ptr<told_of_guests> told = std::make_shared<told_of_guests>();
  signatory owner{71};
  house h;
  asking_place asker{world, 2};
};

} // namespace

TEST_CASE("room that was granted is there after a restart, and goes when it is taken back", "[guests]") {
  house h{2};
  CHECK(must(h.node().rooms()).empty());
  must(h.node().allow(some_owner, 1000));
  must(h.node().allow(other_owner, 5));
  must(h.node().allow(some_owner, 2000));
  h.reopen();
  auto rooms = must(h.node().rooms());
  REQUIRE(rooms.size() == 2);
  CHECK(std::ranges::is_sorted(rooms, {}, &room_report::owner));
  CHECK(room_of(h.node(), some_owner).granted == 2000);
  CHECK(room_of(h.node(), other_owner).granted == 5);
  for (const auto& room : rooms) {
    CHECK(room.used == 0);
    CHECK(room.shards == 0);
  }
  must(h.node().allow(some_owner, 0));
  h.reopen();
  rooms = must(h.node().rooms());
  REQUIRE(rooms.size() == 1);
  CHECK(rooms[0].owner == other_owner);
}

TEST_CASE("a node in no mesh makes no place for others, and no file before somebody is granted something", "[guests]") {
  house h{1};
  must(h.node().allow(some_owner, 0));
  CHECK_FALSE(h.files().status(h.path("home/grants")));
  must(h.node().allow(some_owner, plenty));
  CHECK(h.read("home/grants") == "datamesh grants 1\nowner " + some_owner.hex() + " 1073741824\n");
  h.reopen();
  CHECK_FALSE(h.files().status(network::guests_folder(h.drive(1))));
}

TEST_CASE("nobody and what can not be written is refused, and the room before stands", "[guests]") {
  auto files = std::make_shared<hooked_files>(std::make_shared<simulated_files>());
  auto options = with_files(files);
  house h{1, disk::simulated, options};
  CHECK(code_of(h.node().allow(vault_id{}, plenty)) == errc::invalid_argument);
  must(h.node().allow(some_owner, 1000));
  auto call = GENERATE(as<std::string_view>{}, "write", "sync", "rename");
  CAPTURE(call);
  files->set([&](std::string_view made, const std::string& path) -> result<void> {
    return made == call && path.find("grants") != std::string::npos ? fail(errc::io_failed, "use the disk", path) : result<void>{};
  });
  CHECK(code_of(h.node().allow(some_owner, 2000)) == errc::io_failed);
  CHECK(code_of(h.node().allow(other_owner, 2000)) == errc::io_failed);
  files->set({});
  REQUIRE(must(h.node().rooms()).size() == 1);
  CHECK(room_of(h.node(), some_owner).granted == 1000);
}

TEST_CASE("no more is granted than was set aside for all", "[guests]") {
  house h{1};
  CHECK(must(h.node().reserved()).bytes == 0);
  must(h.node().allow(some_owner, plenty));
  CHECK(code_of(h.node().reserve(plenty - 1)) == errc::conflict);
  CHECK(must(h.node().reserved()).bytes == 0);
  must(h.node().allow(some_owner, 1000));
  must(h.node().reserve(5000));
  CHECK(must(h.node().reserved()).bytes == 5000);
  h.reopen();
  CHECK(must(h.node().reserved()).bytes == 5000);
  CHECK(code_of(h.node().allow(other_owner, 4001)) == errc::capacity_exceeded);
  must(h.node().allow(other_owner, 4000));
  // What takes the place of an earlier grant counts alone.
  CHECK(code_of(h.node().allow(some_owner, 1001)) == errc::capacity_exceeded);
  CHECK(code_of(h.node().allow(some_owner, UINT64_MAX)) == errc::capacity_exceeded);
  CHECK(room_of(h.node(), some_owner).granted == 1000);
  must(h.node().allow(some_owner, 500));
  must(h.node().allow(other_owner, 4500));
  must(h.node().reserve(6000));
  must(h.node().allow(some_owner, 1500));
  must(h.node().reserve(0));
  must(h.node().allow(some_owner, plenty));
}

TEST_CASE("no more is set aside than the drives have free, and drives on one disk count once", "[guests]") {
  house h{2};
  uint64_t free = 0;
  for (const auto& drive : h.node().drives())
    free = std::max(free, drive.disk_free);
  REQUIRE(free > 0);
  CHECK(code_of(h.node().reserve(2 * free)) == errc::no_space);
  CHECK(must(h.node().reserved()).bytes == 0);
  must(h.node().reserve(free / 2));
}

TEST_CASE("what is set aside and not used is held on the drives, and goes with a drive", "[guests]") {
  house h{2};
  auto free_of = [&] {
    return h.files().space(h.drive(1)).value().available;
  };
  auto before = free_of();
  must(h.node().reserve(plenty));
  auto report = must(h.node().reserved());
  CHECK(report.bytes == plenty);
  CHECK(report.held == plenty);
  CHECK(report.lacking == 0u);
  CHECK(free_of() < before - plenty);
  for (const auto& drive : h.node().drives())
    CHECK(drive.held > 0);
  // What is held is no less free for others than before.
  must(h.node().reserve(before / 2));
  must(h.node().reserve(plenty));
  must(h.node().remove_drive(h.drive(2)));
  CHECK_FALSE(h.files().status(network::guests_folder(h.drive(2)) + "/ballast"));
  CHECK(must(h.node().reserved()).held == plenty);
  must(h.node().reserve(0));
  CHECK(must(h.node().reserved()).lacking == 0u);
  CHECK_FALSE(h.files().status(network::guests_folder(h.drive(1)) + "/ballast"));
  CHECK(h.node().drives().at(0).held == 0);
}

TEST_CASE("what is set aside is held by a member of a mesh, and gives way to shards", "[guests]") {
  neighbours all;
  auto held_comes_to = [&](uint64_t bytes) {
    return comes_to_be([&] {
      auto report = all.h.node().reserved();
      return report && report->held == bytes && report->lacking == 0u;
    });
  };
  must(all.h.node().reserve(plenty));
  REQUIRE(held_comes_to(plenty));
  all.allow(plenty / 2);
  CHECK(all.h.node().drives().at(0).held >= plenty);
  auto pack = make_pack(all.random, large_guest);
  all.meet();
  REQUIRE(all.store(pack[0]) == errc{});
  CHECK(held_comes_to(plenty - network::charge_of(large_guest)));
  all.restart();
  CHECK(held_comes_to(plenty - network::charge_of(large_guest)));
  must(all.h.node().reserve(plenty / 2));
  CHECK(held_comes_to(plenty / 2 - network::charge_of(large_guest)));
  must(all.h.node().allow(all.owner.owner, 0));
  must(all.h.node().reserve(0));
  CHECK(comes_to_be([&] { return !all.h.files().status(network::guests_folder(all.h.drive(1)) + "/ballast"); }));
  CHECK(all.read(pack[0]) == errc{});
}

TEST_CASE("what is set aside and can not be read is told, and nothing is granted by it", "[guests]") {
  house h{1};
  must(h.node().allow(some_owner, 1000));
  for (const auto& [text, due] : {std::pair{"datamesh capacity 2\nbytes 1\n", errc::format_newer},
                                  {"datamesh capacity 1\nbytes x\n", errc::format_damaged},
                                  {"datamesh capacity 1\nbytes 1\nbytes 2\n", errc::format_damaged},
                                  {"", errc::format_damaged}}) {
    CAPTURE(text);
    h.write("home/capacity", text);
    CHECK(code_of(h.node().allow(other_owner, 1)) == due);
    CHECK(code_of(h.node().reserved()) == due);
    CHECK(room_of(h.node(), some_owner).granted == 1000);
  }
  // What is said anew takes its place; and room is taken back in any case.
  h.write("home/capacity", "nothing of the kind");
  must(h.node().allow(some_owner, 0));
  must(h.node().reserve(1000));
  must(h.node().allow(other_owner, 1));
}

TEST_CASE("a damaged list of who has room is told and left as it is, and all else goes on", "[guests]") {
  neighbours all;
  all.allow(plenty);
  auto pack = make_pack(all.random, small_guest);
  all.meet();
  REQUIRE(all.store(pack[0]) == errc{});
  all.h.close();
  auto content = all.h.read("home/grants") + "owner nobody\n";
  all.h.write("home/grants", content);
  all.h.open();
  auto told = all.told->await(severity::error);
  REQUIRE(told);
  CHECK(told->code == errc::format_damaged);
  CHECK(told->detail.find("grants") != std::string::npos);
  CHECK(code_of(all.h.node().rooms()) == errc::format_damaged);
  CHECK(code_of(all.h.node().allow(some_owner, 5)) == errc::format_damaged);
  CHECK(all.h.read("home/grants") == content);
  all.meet();
  CHECK(all.store(pack[1]) == errc::permission_denied);
  CHECK(all.read(pack[0]) == errc{});
}

TEST_CASE("a node keeps a shard for whom its operator gave room, also after a restart", "[guests]") {
  neighbours all{2};
  auto shape = GENERATE(as<storage::geometry>{}, small_guest, large_guest);
  auto pack = make_pack(all.random, shape);
  all.meet();
  CHECK(all.store(pack[0]) == errc::permission_denied);
  CHECK_FALSE(all.h.files().status(network::guests_folder(all.h.drive(1))));
  all.allow(2 * network::charge_of(shape));
  REQUIRE(all.store(pack[0]) == errc{});
  REQUIRE(all.store(pack[1]) == errc{});
  CHECK(all.store(pack[2]) == errc::no_space);
  auto room = room_of(all.h.node(), all.owner.owner);
  CHECK(room.granted == 2 * network::charge_of(shape));
  CHECK(room.used == room.granted);
  CHECK(room.shards == 2);
  // What is kept for others is not what the drives count as this node's.
  for (const auto& drive : all.h.node().drives())
    CHECK(drive.shards == 0);

  all.restart();
  CHECK(all.read(pack[0]) == errc{});
  CHECK(all.read(pack[1]) == errc{});
  CHECK(all.read(pack[2]) == errc::shard_missing);
  CHECK(all.store(pack[2]) == errc::no_space);
  must(all.h.node().allow(all.owner.owner, plenty));
  CHECK(all.store(pack[2]) == errc{});
}

TEST_CASE("what is there when room is taken back stays and is read, and nothing new comes", "[guests]") {
  neighbours all;
  auto pack = make_pack(all.random, small_guest);
  all.meet();
  all.allow(plenty);
  REQUIRE(all.store(pack[0]) == errc{});
  all.allow(0);
  CHECK(all.store(pack[1]) == errc::permission_denied);
  CHECK(all.read(pack[0]) == errc{});
  auto room = room_of(all.h.node(), all.owner.owner);
  CHECK(room.granted == 0);
  CHECK(room.shards == 1);
  all.restart();
  CHECK(all.store(pack[1]) == errc::permission_denied);
  CHECK(all.read(pack[0]) == errc{});
  CHECK(all.shards() == 1);
}

TEST_CASE("what was kept is counted by a node that is in no mesh any more", "[guests]") {
  neighbours all;
  auto pack = make_pack(all.random, small_guest);
  all.meet();
  all.allow(plenty);
  REQUIRE(all.store(pack[0]) == errc{});
  all.h.close();
  all.h.options.mesh.reset();
  all.h.open();
  auto room = room_of(all.h.node(), all.owner.owner);
  CHECK(room.granted == plenty);
  CHECK(room.used == network::charge_of(small_guest));
  CHECK(room.shards == 1);
}

TEST_CASE("a drive that is drained gets no new shard of others, and keeps those it has", "[guests]") {
  neighbours all;
  auto pack = make_pack(all.random, {3, 2, 320});
  all.meet();
  all.allow(plenty);
  REQUIRE(all.store(pack[0]) == errc{});
  must(all.h.node().drain_drive(all.h.drive(1)));
  CHECK(all.store(pack[1]) == errc::drive_full);
  CHECK(all.read(pack[0]) == errc{});
  // Another drive takes them, once it is there.
  must(all.h.node().add_drive(all.h.drive(2)));
  REQUIRE(comes_to_be([&] { return all.store(pack[1]) == errc{}; }));
  CHECK(all.read(pack[0]) == errc{});
  CHECK(all.read(pack[1]) == errc{});
  CHECK(all.shards() == 2);
  must(all.h.node().add_drive(all.h.drive(1)));
  CHECK(all.store(pack[2]) == errc{});
}

TEST_CASE("a drive with shards of others is removed with force alone, and brings them back when it comes back", "[guests]") {
  neighbours all;
  auto pack = make_pack(all.random, large_guest);
  all.meet();
  all.allow(plenty);
  REQUIRE(all.store(pack[0]) == errc{});
  REQUIRE(all.store(pack[1]) == errc{});
  auto refused = all.h.node().remove_drive(all.h.drive(1));
  REQUIRE(code_of(refused) == errc::conflict);
  CHECK(refused.error().message().find("2 shards kept for others") != std::string::npos);
  CHECK(all.read(pack[0]) == errc{});
  must(all.h.node().remove_drive(all.h.drive(1), true));
  CHECK(all.read(pack[0]) == errc::shard_missing);
  CHECK(all.shards() == 0);
  must(all.h.node().adopt_drive(all.h.drive(1)));
  REQUIRE(comes_to_be([&] { return all.read(pack[0]) == errc{}; }));
  CHECK(all.read(pack[1]) == errc{});
  CHECK(all.shards() == 2);
}

TEST_CASE("a node in no mesh does not give away a drive with shards of others, either", "[guests]") {
  neighbours all;
  auto pack = make_pack(all.random, small_guest);
  all.meet();
  all.allow(plenty);
  REQUIRE(all.store(pack[0]) == errc{});
  all.h.close();
  all.h.options.mesh.reset();
  all.h.open();
  auto refused = all.h.node().remove_drive(all.h.drive(1));
  REQUIRE(code_of(refused) == errc::conflict);
  CHECK(refused.error().message().find("1 shard kept for others") != std::string::npos);
  CHECK(all.shards() == 1);
  must(all.h.node().remove_drive(all.h.drive(1), true));
}

TEST_CASE("shards on a drive that is away are missing, and the others are served", "[guests]") {
  neighbours all{2};
  auto pack = make_pack(all.random, {10, 6, 320});
  all.meet();
  all.allow(plenty);
  for (const auto& shard : pack)
    REQUIRE(all.store(shard) == errc{});
  all.h.close();
  must(all.h.files().rename(all.h.drive(1), all.h.path("elsewhere")));
  all.h.open();
  all.meet();
  auto there = std::ranges::count_if(pack, [&](const auto& shard) { return all.read(shard) == errc{}; });
  CHECK(all.shards() == static_cast<uint64_t>(there));
  all.h.close();
  must(all.h.files().rename(all.h.path("elsewhere"), all.h.drive(1)));
  all.h.open();
  all.meet();
  for (const auto& shard : pack)
    CHECK(all.read(shard) == errc{});
  CHECK(all.shards() == pack.size());
}

TEST_CASE("what does not open on one drive is told, and what is on another is served", "[guests]") {
  neighbours all;
  auto pack = make_pack(all.random, small_guest);
  all.meet();
  all.allow(plenty);
  REQUIRE(all.store(pack[0]) == errc{});
  auto alone = GENERATE(true, false);
  if (!alone) {
    must(all.h.node().drain_drive(all.h.drive(1)));
    must(all.h.node().add_drive(all.h.drive(2)));
    REQUIRE(comes_to_be([&] { return all.store(pack[1]) == errc{}; }));
  }
  all.h.close();
  must(all.h.options.environment.stores->destroy(network::guests_folder(all.h.drive(1)) + "/tickets"));
  all.h.open();
  all.meet();
  auto told = all.told->await(severity::error);
  REQUIRE(told);
  CHECK(told->code == errc::store_corrupt);
  CHECK(told->detail.find(all.h.drive(1)) != std::string::npos);
  if (alone) {
    // Not that it is lost: nobody can tell.
    CHECK(code_of(all.asker.read(all.keeper(), all.ticket_of(pack[0]), 0, 1)) == errc::unavailable);
    CHECK_FALSE(room_of(all.h.node(), all.owner.owner).used);
  } else {
    CHECK(all.read(pack[1]) == errc{});
    CHECK(all.store(pack[2]) == errc{});
  }
}
