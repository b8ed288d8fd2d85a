// What a node is made to prove, over sockets of the loopback address, and what is made of its answers.
#include "network/peer_drive.hpp"

#include "network/audit_book.hpp"
#include "storage/shard_index.hpp"
#include "tests/actors/network/asking_place.hpp"
#include "tests/libdatamesh/network/guest_fixture.hpp"
#include "tests/libdatamesh/storage/seed.hpp"

#include <catch2/catch.hpp>

using namespace datamesh;
using namespace datamesh::network;
using namespace datamesh::test;

namespace {

enum class manner : uint8_t { honest, lies, silent, has_lost };

/// How a node answers, question by question; the last manner stays.
struct answers {
  manner next() {
    std::lock_guard guard{mutex};
    auto now = how.front();
    if (how.size() > 1)
      how.pop_front();
    return now;
  }
  void set(std::deque<manner> manners) {
    std::lock_guard guard{mutex};
    how = std::move(manners);
  }
  std::mutex mutex;
  std::deque<manner> how{manner::honest};
  std::vector<uint32_t> blocks; ///< That were asked for.
};

/// A node that takes one shard, and shows it in its own manner.
struct keeper {
  keeper(mesh_world& world, const storage::shard_write& shard, const storage::shard_write& other) : node(1) {
    auto key = crypto::ed25519_public(node.seed).value();
    auto serve = [=, this, mesh = world.mesh](const shard_request& what) -> caf::result<v1::PeerAnswer, bytes> {
      shard_answer said = blocks_taken{};
      bytes body;
      if (auto begun = std::get_if<begin_upload>(&what)) {
        auto by = open_ticket(mesh, begun->ticket).value();
        receipt given = receipt_for(by, key, by.expiry);
        auto sign_it = [this](byte_view message) {
          return crypto::ed25519_sign(node.seed, message);
        };
        said = upload_begun{sign(mesh, given, sign_it).value().raw};
      } else if (std::holds_alternative<find_header>(what)) {
        said = header_found{storage::encode_shard_header(shard.header, false)};
      } else if (auto one = std::get_if<prove_block>(&what)) {
        {
          std::lock_guard guard{told->mutex};
          told->blocks.push_back(one->block);
        }
        auto how = told->next();
        if (how == manner::silent)
          return to_caf(error{errc::timed_out, "prove a block"});
        if (how == manner::has_lost)
          return to_caf(error{errc::shard_damaged, "prove a block"});
        said = prove(shard.header, one->block);
        body = (how == manner::lies ? other : shard).body.slice(size_t{one->block} * storage::block_size, storage::block_size);
      }
      v1::PeerAnswer answer;
      answer.set_message(encode(said));
      return {std::move(answer), std::move(body)};
    };
    auto behavior = [serve](peer_handler_actor::pointer) -> peer_handler_actor::behavior_type {
      return {[serve](const v1::PeerRequest& request, const bytes&) {
        return serve(decode_shard_request(as_view(request.message()).subspan(1)).value());
      }};
    };
    handler = world.sys.spawn(behavior);
    mesh_place_options options;
    options.handler = handler;
    place.emplace(world, 1, options);
  }
  ~keeper() {
    place.reset();
    caf::anon_send_exit(handler, caf::exit_reason::user_shutdown);
  }
  keeper(const keeper&) = delete;
  keeper& operator=(const keeper&) = delete;

  test_node node;
  std::shared_ptr<answers> told = std::make_shared<answers>();
  peer_handler_actor handler;
  std::optional<mesh_place> place;
};

/// An owner whose drive is such a node.
struct audit_test {
  audit_test() {
    asker.reach(*there.place);
    auto linked = std::make_shared<linked_peers>();
    linked->note(there.place->id(), 1);
    access->open({world.mesh, asker.place.id(), remote, asker.place.links, asker.place.discovery, linked});
    access->add_owner(signs.owner, signs.signer());
    open();
    REQUIRE(drive->store(std::vector{write}));
  }
  ~audit_test() {
    drive.reset();
    access->close();
    caf::anon_send_exit(remote, caf::exit_reason::user_shutdown);
  }
  void open() {
    drive.reset();
    drive = open_peer_drive(world.sys, house.env, {"/home/peer", there.place->id(), access}).value();
  }
  [[nodiscard]] audit_report report() const {
    return drive->audits().value();
  }
  [[nodiscard]] errc look() const {
    return code_of(drive->check_quick(key));
  }

  seeded_random random{seed()};
  mesh_world world;
  signatory signs{71};
  std::vector<storage::shard_write> pack = make_pack(random, large_guest);
  storage::shard_write write = [this] {
    auto one = pack[0];
    one.vault = signs.owner;
    return one;
  }();
  storage::shard_key key = key_of(write);
  keeper there{world, pack[0], pack[1]};
  asking_place asker{world, 2};
  remote_shards_actor remote = spawn_remote_shards(world.sys, asker.place.links, world.mesh);
  guest_house house;
  std::shared_ptr<peer_access> access = std::make_shared<peer_access>();
  std::unique_ptr<storage::shard_place> drive;
};

} // namespace

TEST_CASE("a node proves a block of what it keeps with each day's quick look", "[audits]") {
  audit_test test;
  for (int i = 0; i < 4; ++i) {
    CHECK(test.look() == errc{});
    test.house.time->advance(audits_again);
  }
  CHECK(test.report().passed == 4);
  CHECK(test.report().score == 1);
  CHECK(test.there.told->blocks.size() == 4);
}

TEST_CASE("a node that sends another block twice is relied upon no more, nor after a restart", "[audits]") {
  audit_test test;
  test.there.told->set({manner::lies});
  CHECK(test.look() == errc::shard_damaged);
  CHECK(test.report().wrong == 2);
  CHECK(test.report().lies);
  REQUIRE(test.there.told->blocks.size() == 2);
  CHECK(test.there.told->blocks[0] == test.there.told->blocks[1]);
  CHECK(test.drive->state() == storage::drive_state::failed);
  CHECK(code_of(test.drive->set_state(storage::drive_state::ok)) == errc::peer_lies);
  test.open();
  CHECK(test.drive->state() == storage::drive_state::failed);
  test.there.told->set({manner::honest});
  CHECK(test.look() == errc{});
  CHECK(test.drive->state() == storage::drive_state::failed);
}

TEST_CASE("a node that sends another block once is asked again, and heard", "[audits]") {
  audit_test test;
  test.there.told->set({manner::lies, manner::honest});
  CHECK(test.look() == errc{});
  CHECK(test.report().wrong == 1);
  CHECK(test.report().passed == 1);
  CHECK(test.drive->state() == storage::drive_state::ok);
  CHECK(test.drive->trust() < 1);
}

TEST_CASE("a node that has lost a shard says so, and is trusted with less", "[audits]") {
  audit_test test;
  test.there.told->set({manner::has_lost});
  CHECK(test.look() == errc::shard_damaged);
  CHECK(test.report().lost == 1);
  CHECK(test.drive->trust() < 1);
  CHECK(test.drive->state() == storage::drive_state::ok);
}

TEST_CASE("a node that does not answer is asked for the same block, until that counts as lost", "[audits]") {
  audit_test test;
  test.there.told->set({manner::silent});
  CHECK(test.look() == errc::drive_missing);
  test.open();
  CHECK(test.look() == errc::drive_missing);
  CHECK(test.report().score == 1);
  CHECK(test.look() == errc::shard_missing);
  CHECK(test.report().lost == 1);
  auto& blocks = test.there.told->blocks;
  REQUIRE(blocks.size() == 3);
  CHECK(blocks[0] == blocks[1]);
  CHECK(blocks[1] == blocks[2]);
}

TEST_CASE("a node that has a link and leaves everything unanswered counts as away for a while", "[audits]") {
  audit_test test;
  test.there.told->set({manner::silent});
  for (int i = 0; i < 5; ++i) {
    // The third time it counts as lost, and then nothing is owed.
    test.house.time->advance(audits_again);
    CHECK(test.drive->is_in_place());
    (void) test.look();
  }
  CHECK_FALSE(test.drive->is_in_place());
  test.house.time->advance(std::chrono::minutes{11});
  CHECK(test.drive->is_in_place());
}

TEST_CASE("looks that follow one another have a node prove nothing twice, but for what it owes", "[audits]") {
  audit_test test;
  const auto& blocks = test.there.told->blocks;
  for (int i = 0; i < 8; ++i)
    REQUIRE(test.look() == errc{});
  CHECK(blocks.size() == 1);
  test.house.time->advance(audits_again);
  test.there.told->set({manner::silent, manner::honest});
  CHECK(test.look() == errc::drive_missing);
  CHECK(test.look() == errc{});
  REQUIRE(blocks.size() == 3);
  CHECK(blocks[1] == blocks[2]);
  CHECK(test.look() == errc{});
  CHECK(blocks.size() == 3);
}

TEST_CASE("of many shards so many are proved in a day, each as likely as another", "[audits]") {
  guest_house house;
  audit_book book{house.env, "/home/peer.audits"};
  constexpr uint64_t shards = 1000;
  auto due = [&] {
    uint64_t count = 0;
    for (uint64_t i = 0; i < shards; ++i)
      count += book.is_due({}, shards).value() ? 1 : 0;
    return count;
  };
  auto first = due();
  CHECK(first > audits_at_once / 4);
  CHECK(first < audits_at_once);
  for (int look = 0; look < 20; ++look)
    first += due();
  CHECK(first <= audits_at_once);
  house.time->advance(audits_again);
  CHECK(due() > audits_at_once / 4);
}
