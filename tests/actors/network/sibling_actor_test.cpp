// A node that compares what it keeps for an owner with what another node of his roster says that it does. The other one is a guest
// store behind an actor that counts what it is asked.
#include "network/sibling_actor.hpp"

#include "network/guest_ranges.hpp"
#include "tests/actors/network/mesh_of_actors.hpp"
#include "tests/libdatamesh/network/guest_fixture.hpp"
#include "tests/libdatamesh/storage/seed.hpp"

#include <catch2/catch.hpp>

#include <atomic>

using namespace datamesh;
using namespace datamesh::network;
using namespace datamesh::test;
using namespace std::chrono_literals;

namespace {

/// In as many ranges that some are left alone: 32.
constexpr size_t shards = 2100;
constexpr storage::geometry mirrored{1, 1, 320};

/// What is drawn of it is always the same.
class drawn : public random_source {
public:
  explicit drawn(std::byte value) : value_(value) {}
  result<void> fill(byte_span out) override {
    std::ranges::fill(out, value_.load());
    return {};
  }
  void set(std::byte value) {
    value_ = value;
  }

private:
  std::atomic<std::byte> value_;
};

/// What the other node is asked, and how it answers. From any thread.
struct other_node {
  std::shared_ptr<guest_store> guests;
  std::atomic<size_t> compared = 0;
  std::atomic<size_t> listed = 0;
  std::atomic<size_t> proved = 0;
  std::atomic<size_t> stored = 0;
  std::atomic<errc> compares{}; ///< What it says to that question, where it is an error.
  std::atomic<errc> lists{};
  std::atomic<bool> says_same = false;
};

caf::error refusal_of(errc code) {
  return to_caf(error{code, "answer in a test"});
}

caf::result<v1::ComparedAtPeer> compare(other_node& other, const v1::CompareAtPeer& request) {
  ++other.compared;
  if (auto code = other.compares.load(); code != errc{})
    return refusal_of(code);
  auto count = static_cast<size_t>(request.digest_size());
  auto kept = digest_ranges(*other.guests, vault_id::from(as_view(request.owner())), {request.bits(), request.first()}, count, SIZE_MAX);
  v1::ComparedAtPeer answer;
  for (size_t i = 0; i < count; ++i)
    answer.add_same(other.says_same || kept.value()[i] == digest::from(as_view(request.digest(static_cast<int>(i)))));
  return answer;
}

caf::result<v1::ListedAtPeer> list(other_node& other, const v1::ListAtPeer& request) {
  ++other.listed;
  if (auto code = other.lists.load(); code != errc{})
    return refusal_of(code);
  std::optional<shard_key> after;
  if (!request.behind_pack().empty())
    after = shard_key{pack_id::from(as_view(request.behind_pack())), UINT8_MAX};
  if (!request.after().empty())
    after = read_ticket(as_view(request.after())).value().shard;
  v1::ListedAtPeer answer;
  auto kept = other.guests->list(vault_id::from(as_view(request.owner())), after, request.limit()).value();
  for (const auto& by : kept)
    answer.add_ticket(std::string{as_text(by.raw)});
  answer.set_more(kept.size() == request.limit());
  return answer;
}

remote_shards_actor::behavior_type answering(const std::shared_ptr<other_node>& other) {
  return {
      [=](const v1::StoreAtPeer&, const bytes&) {
        ++other->stored;
        return v1::StoredAtPeer{};
      },
      [](const v1::ReadAtPeer&) -> caf::result<v1::ReadFromPeer, bytes> { return refusal_of(errc::shard_missing); },
      [=](const v1::ProveAtPeer&) -> caf::result<v1::Done, bytes> {
        ++other->proved;
        return {v1::Done{}, bytes{}};
      },
      [](const v1::DeleteAtPeer&) -> caf::result<v1::DeletedAtPeer> { return refusal_of(errc::not_found); },
      [=](const v1::ListAtPeer& request) { return list(*other, request); },
      [](const v1::RoomAtPeer&) -> caf::result<v1::RoomOfPeer> { return refusal_of(errc::not_found); },
      [](const v1::GiveRoster&) -> caf::result<v1::Done> { return refusal_of(errc::not_found); },
      [=](const v1::CompareAtPeer& request) { return compare(*other, request); },
  };
}

struct sibling_test {
  sibling_test() {
    for (auto* house : {&here, &there}) {
      house->options.reserve_bytes = 0;
      REQUIRE(house->open());
    }
    other->guests = there.guests;
    auto self = peer_of(crypto::ed25519_public(node.seed).value()).value();
    sibling = peer_id::from(as_view(std::string(peer_id::size, '\x77')));
    linked->note(sibling, 1);
    std::vector<peer_id> nodes{self, sibling};
    std::ranges::sort(nodes);
    REQUIRE(here.guests->keep(owner.sign(roster{owner.owner, 1, here.now(), 48h, nodes, {}})));
    for (size_t i = 0; i < shards; ++i)
      keep_pack();
    remote = world.sys.spawn(answering, other);
    auto identity = std::make_shared<tls_identity>(tls_identity::make(node.seed, here.env.clock, node.chance).value());
    keeper = spawn_guest_keeper(world.sys, {here.env.clock, here.guests, identity, guest_mesh});
    start();
  }
  ~sibling_test() {
    end();
    caf::anon_send_exit(keeper, caf::exit_reason::user_shutdown);
    caf::anon_send_exit(remote, caf::exit_reason::user_shutdown);
    world.self->wait_for(keeper, remote);
  }
  sibling_test(const sibling_test&) = delete;
  sibling_test& operator=(const sibling_test&) = delete;

  void start() {
    auto env = here.env;
    env.random = chance;
    auto tell = [this](severity, const std::string&, std::optional<errc>) {
      ++told;
    };
    board = std::make_shared<sibling_board>();
    actor = spawn_siblings(world.sys, {env, here.guests, keeper, access, board, tell, nullptr, {}, folder});
  }
  void end() const {
    board->stop();
    caf::anon_send_exit(actor, caf::exit_reason::user_shutdown);
    world.self->wait_for(actor);
    access->close(); // Or the next one begins with a round of its own.
  }
  void start_again() {
    end();
    start();
  }
  [[nodiscard]] std::string remembered() const {
    return folder + "/" + owner.owner.hex();
  }
  /// Shard 0 of it here, and shard 1 there.
  std::vector<storage::shard_write> keep_pack() {
    auto pack = make_pack(random, mirrored);
    keep(here, pack[0]);
    keep(there, pack[1]);
    return pack;
  }
  void keep(guest_house& at, const storage::shard_write& shard) const {
    REQUIRE(at.guests->store(guest_of(shard, by(shard)), UINT64_MAX));
  }
  [[nodiscard]] ticket by(const storage::shard_write& shard) const {
    return owner.ticket_for(shard, 1, here.later());
  }
  /// One round. The actor looks by itself now and then, too: should that come first, there is no other one.
  void go_on() {
    forget();
    here.time->advance(1h);
    access->open({guest_mesh, peer_of(crypto::ed25519_public(node.seed).value()).value(), remote, {}, {}, linked});
    world.self->request(actor, caf::infinite, v1::ShardWake{}).receive([] {}, [](const caf::error& why) { FAIL(caf::to_string(why)); });
  }
  void forget() const {
    other->compared = other->listed = other->proved = other->stored = 0;
  }
  [[nodiscard]] bool was_compared() const {
    auto when = board->last_compared(owner.owner);
    return when && *when == here.now();
  }

  seeded_random random{seed()};
  mesh_world world;
  guest_house here;
  guest_house there;
  signatory owner{71};
  test_node node{1};
  std::string folder = "/home/siblings";
  peer_id sibling;
  std::shared_ptr<other_node> other = std::make_shared<other_node>();
  std::shared_ptr<drawn> chance = std::make_shared<drawn>(std::byte{0xff}); // None of the ranges.
  std::shared_ptr<linked_peers> linked = std::make_shared<linked_peers>();
  std::shared_ptr<peer_access> access = std::make_shared<peer_access>();
  std::shared_ptr<sibling_board> board;
  std::atomic<size_t> told = 0;
  remote_shards_actor remote;
  guest_keeper_actor keeper;
  sibling_actor actor;
};

} // namespace

TEST_CASE("what was compared is listed again only where it changed, on either side", "[siblings]") {
  sibling_test test;
  test.go_on();
  CHECK(test.was_compared());
  CHECK(test.other->compared == 0);
  CHECK(test.other->listed >= 32);
  CHECK(test.other->proved == 32);
  test.go_on();
  CHECK(test.was_compared());
  CHECK(test.other->compared == 2);
  CHECK(test.other->listed == 0);
  auto fresh = make_pack(test.random, mirrored);
  for (auto index : {0, 1}) {
    test.keep(index == 0 ? test.here : test.there, fresh[static_cast<size_t>(index)]);
    test.go_on();
    CHECK(test.other->listed == 1);
    test.go_on();
    CHECK(test.other->listed == 0);
  }
}

TEST_CASE("a shard that another node lost is missed in the next round, and until it is there", "[siblings]") {
  sibling_test test;
  auto lost = test.keep_pack()[1];
  auto its_ticket = test.by(lost);
  test.go_on();
  test.go_on();
  REQUIRE(test.other->listed == 0);
  REQUIRE(test.there.guests->let_go(its_ticket));
  for (auto round : {1, 2}) {
    INFO(round);
    test.go_on();
    CHECK(test.other->listed == 1);
    CHECK(test.other->stored == 1);
  }
  REQUIRE(test.there.guests->store(guest_of(lost, its_ticket), UINT64_MAX));
  test.go_on();
  CHECK(test.other->listed == 1);
  CHECK(test.other->stored == 0);
  test.go_on();
  CHECK(test.other->listed == 0);
}

TEST_CASE("who says that all is as it was has to show some of it all the same", "[siblings]") {
  sibling_test test;
  test.go_on();
  test.other->says_same = true;
  test.chance->set(std::byte{0}); // Each of the ranges.
  test.go_on();
  CHECK(test.other->listed >= 32);
  CHECK(test.other->proved == 32);
}

TEST_CASE("a node that does not know the question, or the owner, is asked for its lists", "[siblings]") {
  sibling_test test;
  auto code = GENERATE(as<errc>{}, errc::protocol_violated, errc::permission_denied);
  test.go_on();
  test.other->compares = code;
  for (auto round : {1, 2}) {
    INFO(round);
    test.go_on();
    CHECK(test.other->listed >= 32);
    CHECK(test.was_compared());
  }
}

TEST_CASE("a node that does not answer is asked once in a round, and is awaited", "[siblings]") {
  sibling_test test;
  auto before = GENERATE(true, false);
  if (before)
    test.go_on();
  test.other->compares = errc::timed_out;
  test.other->lists = errc::timed_out;
  test.go_on();
  CHECK(test.other->compared + test.other->listed == 1);
  CHECK_FALSE(test.was_compared());
  CHECK(test.other->stored == 0);
  test.other->compares = errc{};
  test.other->lists = errc{};
  test.go_on();
  CHECK(test.was_compared());
  CHECK((test.other->listed == 0) == before);
}

TEST_CASE("what was compared before the program was started again is listed only where it changed meanwhile", "[siblings]") {
  sibling_test test;
  auto lost = test.by(test.keep_pack()[1]);
  test.go_on();
  test.start_again();
  test.go_on();
  CHECK(test.was_compared());
  CHECK(test.other->compared == 2);
  CHECK(test.other->listed == 0);
  test.end();
  REQUIRE(test.there.guests->let_go(lost));
  test.start();
  test.go_on();
  CHECK(test.other->listed == 1);
  CHECK(test.other->stored == 1);
}

TEST_CASE("ranges of which what is remembered is damaged, or of another roster, are listed", "[siblings]") {
  sibling_test test;
  test.go_on();
  test.end();
  if (GENERATE(true, false)) {
    auto saved = read_whole(*test.here.env.files, test.remembered(), UINT64_MAX).value();
    std::vector<std::byte> damaged{saved.view().begin(), saved.view().end()};
    damaged[damaged.size() / 2] ^= std::byte{1};
    REQUIRE(write_whole(*test.here.env.files, test.remembered(), damaged));
  } else {
    auto next = test.here.guests->roster_of(test.owner.owner).value();
    ++next.number;
    REQUIRE(test.here.guests->keep(test.owner.sign(std::move(next))));
  }
  test.start();
  for (auto round : {1, 2}) {
    INFO(round);
    test.go_on();
    CHECK(test.was_compared());
    CHECK((test.other->listed >= 32) == (round == 1));
  }
}

TEST_CASE("nothing is remembered of an owner of whom nothing is here any more", "[siblings]") {
  sibling_test test;
  test.go_on();
  auto& files = *test.here.env.files;
  auto of_another = test.folder + "/" + signatory{72}.owner.hex();
  REQUIRE(write_whole(files, of_another, as_view("of another owner")));
  test.start_again();
  test.go_on();
  CHECK(files.status(test.remembered()));
  CHECK_FALSE(files.status(of_another));
}

TEST_CASE("ranges are compared all the same where nothing can be written down", "[siblings]") {
  sibling_test test;
  test.folder = "/dev/null/siblings";
  test.start_again();
  test.go_on();
  test.go_on();
  CHECK(test.was_compared());
  CHECK(test.other->listed == 0);
}
