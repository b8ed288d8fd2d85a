// Nodes of one process that keep shards for each other, over sockets of the loopback address.
#include "network/shard_service_actor.hpp"

#include "tests/actors/network/asking_place.hpp"
#include "tests/libdatamesh/network/guest_fixture.hpp"
#include "tests/libdatamesh/storage/seed.hpp"

#include <catch2/catch.hpp>

using namespace datamesh;
using namespace datamesh::network;
using namespace datamesh::test;
using namespace std::chrono_literals;

namespace {

constexpr uint64_t plenty = 1 << 30;

mesh_place_options served_by(peer_handler_actor handler) {
  mesh_place_options options;
  options.handler = std::move(handler);
  return options;
}

/// A node that keeps shards for others, on a disk in memory.
class keeping_place {
public:
  keeping_place(mesh_world& world, uint64_t number, guest_house& house, grants room, intake_limits intake = {})
      : world_(world), node_(number), router_(spawn_peer_router(world.sys)) {
    REQUIRE(house.open());
    identity_ = std::make_shared<tls_identity>(tls_identity::make(node_.seed, system_environment().clock, node_.chance).value());
    service = spawn_shard_service(world.sys, {house.env, identity_, house.guests, world.mesh, std::move(room), intake, 2});
    (void) ask<v1::Done>(world.self, router_, serve_part(peer_part::shards), caf::actor_cast<caf::actor>(service));
    place.emplace(world, number, served_by(router_));
  }
  ~keeping_place() {
    (void) ask<v1::Done>(world_.self, service, caf::close_atom_v);
    world_.self->wait_for(service);
    place.reset();
    caf::anon_send_exit(router_, caf::exit_reason::user_shutdown);
  }
  keeping_place(const keeping_place&) = delete;
  keeping_place& operator=(const keeping_place&) = delete;

  [[nodiscard]] const peer_id& id() const {
    return place->id();
  }

  std::optional<mesh_place> place;
  shard_service_actor service;

private:
  mesh_world& world_;
  test_node node_;
  peer_router_actor router_;
  std::shared_ptr<const tls_identity> identity_;
};

/// An owner at one node and what another keeps for him.
struct service_test {
  explicit service_test(uint64_t room = plenty, intake_limits intake = {})
      : keeper(world, 1, house, grants{{owner.owner, room}}, intake), asker(world, 2) {
    asker.reach(*keeper.place);
  }

  seeded_random random{seed()};
  mesh_world world;
  guest_house house;
  // Other keys than those of the nodes.
  signatory owner{71};
  signatory stranger{72};
  keeping_place keeper;
  asking_place asker;

  template <class Word>
  [[nodiscard]] Word sign(const signatory& by, Word what) const {
    return by.sign(std::move(what), world.mesh);
  }
  [[nodiscard]] ticket ticket_of(const signatory& by, const storage::shard_write& shard, uint64_t number = 1) const {
    return sign(by, ticket{by.owner, key_of(shard), shard.header.pack.shape.shard_length, number, house.later(), {}});
  }
  [[nodiscard]] deletion deletion_of(const signatory& by, const pack_id& pack, uint64_t number) const {
    return sign(by, deletion{by.owner, pack, number, house.now(), {}});
  }
  [[nodiscard]] permit permit_for(const signatory& by, const peer_id& asking) const {
    return sign(by, permit{by.owner, keeper.id(), asking, house.now() + 1h, {}});
  }
  result<receipt> store(const storage::shard_write& shard, uint64_t number = 1) {
    return asker.store(keeper.id(), shard, ticket_of(owner, shard, number));
  }
  [[nodiscard]] guest_usage used() const {
    return house.guests->usage(owner.owner);
  }
};

bool same(byte_view a, byte_view b) {
  return std::ranges::equal(a, b);
}

} // namespace

TEST_CASE("a shard is stored on another node, read in part, proved, listed and deleted", "[shard_service]") {
  service_test test;
  auto shape = GENERATE(as<storage::geometry>{}, small_guest, large_guest, storage::geometry{1, 1, 40 * storage::block_size});
  auto pack = make_pack(test.random, shape);
  auto by = test.ticket_of(test.owner, pack[1]);
  auto receipt = test.asker.store(test.keeper.id(), pack[1], by);
  INFO((receipt ? std::string{} : receipt.error().message()));
  REQUIRE(receipt);
  CHECK(receipt->by == by.name());
  CHECK(peer_of(receipt->holder).value() == test.keeper.id());
  CHECK(receipt->stored == std::chrono::floor<std::chrono::seconds>(test.house.now()));

  auto blocks = shape.block_count();
  auto at_once = std::min(blocks, blocks_at_once);
  CHECK(same(test.asker.read(test.keeper.id(), by, 0, at_once).value(), pack[1].body.slice(0, size_t{at_once} * storage::block_size)));
  auto last = test.asker.read(test.keeper.id(), by, blocks - 1, 1);
  REQUIRE(last);
  CHECK(same(*last, pack[1].body.slice(size_t{blocks - 1} * storage::block_size)));
  CHECK(same(test.asker.challenge(test.keeper.id(), by, blocks - 1).value(), *last));
  CHECK(code_of(test.asker.read(test.keeper.id(), by, blocks, 1)) == errc::range_invalid);
  CHECK(code_of(test.asker.challenge(test.keeper.id(), by, blocks)) == errc::range_invalid);

  auto allowed = test.permit_for(test.owner, test.asker.place.id());
  auto listed = test.asker.list(test.keeper.id(), allowed, "", 10);
  REQUIRE(listed);
  REQUIRE(listed->ticket_size() == 1);
  CHECK(listed->ticket(0) == as_text(by.raw));

  auto gone = test.deletion_of(test.owner, by.shard.pack, 1);
  auto removed = test.asker.remove(test.keeper.id(), gone);
  REQUIRE(removed);
  CHECK(removed->by == gone.name());
  CHECK(removed->shards == 1);
  CHECK(code_of(test.asker.read(test.keeper.id(), by, 0, 1)) == errc::shard_missing);
  CHECK(code_of(test.asker.challenge(test.keeper.id(), by, 0)) == errc::shard_missing);
  CHECK(test.asker.list(test.keeper.id(), allowed, "", 10)->ticket_size() == 0);
  // Sent again it does no harm, and the ticket is good for nothing any more.
  CHECK(test.asker.remove(test.keeper.id(), gone)->shards == 0);
  CHECK(code_of(test.asker.store(test.keeper.id(), pack[1], by)) == errc::conflict);
  // An owner may store it again, and the old deletion does not touch that.
  REQUIRE(test.store(pack[1], 2));
  CHECK(test.asker.remove(test.keeper.id(), gone)->shards == 0);
  CHECK(test.asker.read(test.keeper.id(), test.ticket_of(test.owner, pack[1], 2), 0, 1));
}

TEST_CASE("a third node reads by the ticket, and moves the shard to a fourth without the owner", "[shard_service]") {
  service_test test;
  guest_house second_house;
  keeping_place second{test.world, 3, second_house, {{test.owner.owner, plenty}}};
  asking_place sibling{test.world, 4};
  auto pack = make_pack(test.random, large_guest);
  auto by = test.ticket_of(test.owner, pack[0]);
  REQUIRE(test.store(pack[0]));
  sibling.reach(*test.keeper.place);
  sibling.reach(*second.place);
  auto blocks = sibling.read(test.keeper.id(), by, 0, large_guest.block_count());
  REQUIRE(blocks);
  CHECK(sibling.store(second.id(), {pack[0].header, *blocks}, by));
  CHECK(same(test.house.guests->read_blocks(by, 0, 4).value(), second_house.guests->read_blocks(by, 0, 4).value()));
}

TEST_CASE("the same shard again is not sent, and has a receipt again", "[shard_service]") {
  service_test test;
  auto pack = make_pack(test.random, large_guest);
  auto by = test.ticket_of(test.owner, pack[0]);
  auto first = test.store(pack[0]);
  REQUIRE(first);
  test.house.time->advance(1h);
  // A body that would not pass is not looked at.
  auto other = pack[0];
  other.body = pack[1].body;
  auto again = test.asker.store(test.keeper.id(), other, by);
  REQUIRE(again);
  CHECK(again->stored == first->stored);
  CHECK(test.used().shards == 1);
}

TEST_CASE("who was granted nothing, or no more, stores nothing", "[shard_service]") {
  service_test test{charge_of(small_guest) + charge_of(large_guest)};
  auto small = make_pack(test.random, small_guest);
  auto large = make_pack(test.random, large_guest);
  auto alien = test.ticket_of(test.stranger, small[0]);
  CHECK(code_of(test.asker.store(test.keeper.id(), small[0], alien)) == errc::permission_denied);
  CHECK(code_of(test.asker.remove(test.keeper.id(), test.deletion_of(test.stranger, small[0].header.pack.id, 1)))
        == errc::permission_denied);
  REQUIRE(test.store(large[0]));
  REQUIRE(test.store(small[0]));
  CHECK(code_of(test.store(small[1])) == errc::no_space);
  CHECK(code_of(test.store(large[1])) == errc::no_space);
  CHECK(test.used().bytes == charge_of(small_guest) + charge_of(large_guest));
  // What is deleted gives its room back, but for what has to be remembered.
  REQUIRE(test.asker.remove(test.keeper.id(), test.deletion_of(test.owner, large[0].header.pack.id, 1)));
  CHECK(test.store(small[1]));
  v1::SetGrants fewer;
  REQUIRE(ask<v1::Done>(test.world.self, test.keeper.service, fewer));
  CHECK(code_of(test.store(small[2])) == errc::permission_denied);
  // What is there stays, and can be read and deleted.
  CHECK(test.asker.read(test.keeper.id(), test.ticket_of(test.owner, small[0]), 0, 1));
  CHECK(test.asker.remove(test.keeper.id(), test.deletion_of(test.owner, small[0].header.pack.id, 1))->shards == 2);
}

TEST_CASE("a node that is paused or drained takes nothing new, and renews, reads and deletes what it has", "[shard_service]") {
  service_test test;
  auto pack = make_pack(test.random, small_guest);
  REQUIRE(test.store(pack[0]));
  v1::SetGrants grant;
  grant.add_grant()->set_owner(text_of(test.owner.owner.view()));
  grant.mutable_grant(0)->set_room(plenty);
  grant.set_hosting(static_cast<uint32_t>(hosting::draining) + 1);
  CHECK(code_of(ask<v1::Done>(test.world.self, test.keeper.service, grant)) == errc::invalid_argument);
  auto allowed = test.permit_for(test.owner, test.asker.place.id());
  CHECK(test.asker.room(test.keeper.id(), allowed)->granted() == plenty);
  grant.set_hosting(static_cast<uint32_t>(GENERATE(hosting::paused, hosting::draining)));
  ask<v1::Done>(test.world.self, test.keeper.service, grant).value();
  CHECK(code_of(test.store(pack[1])) == errc::no_space);
  CHECK(test.asker.room(test.keeper.id(), allowed)->granted() == charge_of(small_guest));
  CHECK(test.store(pack[0], 2));
  CHECK(test.asker.read(test.keeper.id(), test.ticket_of(test.owner, pack[0]), 0, 1));
  CHECK(test.asker.remove(test.keeper.id(), test.deletion_of(test.owner, pack[0].header.pack.id, 2))->shards == 1);
  grant.set_hosting(static_cast<uint32_t>(hosting::open));
  ask<v1::Done>(test.world.self, test.keeper.service, grant).value();
  CHECK(test.store(pack[1], 3));
}

TEST_CASE("room is held for what is on its way, and given back when it is not sent", "[shard_service]") {
  intake_limits intake;
  service_test test{charge_of(large_guest), intake};
  auto pack = make_pack(test.random, large_guest);
  auto begin = [&](uint64_t upload, size_t index) {
    return code_of(test.asker.say(test.keeper.id(), begin_upload{upload, test.ticket_of(test.owner, pack[index]).raw,
                                                                 encode_shard_header(pack[index].header, false)}));
  };
  CHECK(begin(1, 0) == errc{});
  CHECK(begin(2, 1) == errc::no_space);
  CHECK(begin(1, 0) == errc{});
  CHECK(code_of(test.asker.say(test.keeper.id(), end_upload{1})) == errc::range_invalid);
  CHECK(test.used() == guest_usage{});
  test.house.time->advance(2min);
  ask<v1::Done>(test.world.self, test.keeper.service, v1::SetGrants{}).value();
  v1::SetGrants grant;
  grant.add_grant()->set_owner(text_of(test.owner.owner.view()));
  grant.mutable_grant(0)->set_room(charge_of(large_guest));
  ask<v1::Done>(test.world.self, test.keeper.service, grant).value();
  caf::anon_send(caf::actor_cast<caf::actor>(test.keeper.service), v1::ShardWake{});
  CHECK(code_of(test.asker.say(test.keeper.id(), upload_blocks{1, 0}, pack[0].body.slice(0, storage::block_size))) == errc::not_found);
  CHECK(test.store(pack[1]));
}

TEST_CASE("tickets that are expired, forged, for another shard or size are refused", "[shard_service]") {
  service_test test;
  auto pack = make_pack(test.random, small_guest);
  auto begin = [&](const bytes& ticket, size_t index) {
    return code_of(test.asker.say(test.keeper.id(), begin_upload{1, ticket, encode_shard_header(pack[index].header, false)}));
  };
  auto good = test.ticket_of(test.owner, pack[0]);
  auto expired = good;
  expired.expiry = test.house.now();
  CHECK(begin(test.sign(test.owner, expired).raw, 0) == errc::invalid_argument);
  CHECK(begin(test.sign(test.stranger, good).raw, 0) == errc::authentication_failed);
  CHECK(begin(test.owner.sign(good, guest_mesh).raw, 0) == errc::authentication_failed);
  CHECK(begin(good.raw, 1) == errc::invalid_argument);
  auto larger = good;
  larger.size = 640;
  CHECK(begin(test.sign(test.owner, larger).raw, 0) == errc::invalid_argument);
  std::vector<std::byte> raw{good.raw.view().begin(), good.raw.view().end()};
  raw[72] ^= std::byte{1};
  CHECK(begin(bytes::take(std::move(raw)), 0) == errc::authentication_failed);
  auto header = encode_shard_header(pack[0].header, false);
  std::vector<std::byte> damaged{header.view().begin(), header.view().end()};
  damaged[60] ^= std::byte{1};
  CHECK(code_of(test.asker.say(test.keeper.id(), begin_upload{1, good.raw, bytes::take(std::move(damaged))})) == errc::format_damaged);
  CHECK(begin(good.raw, 0) == errc{});
  // Nor is anything read, proved or deleted by what its owner did not sign.
  REQUIRE(test.store(pack[0]));
  auto forged = test.sign(test.stranger, good).raw;
  CHECK(code_of(test.asker.say(test.keeper.id(), find_header{forged})) == errc::authentication_failed);
  CHECK(code_of(test.asker.say(test.keeper.id(), find_blocks{forged, 0, 1})) == errc::authentication_failed);
  CHECK(code_of(test.asker.say(test.keeper.id(), prove_block{forged, 0})) == errc::authentication_failed);
  auto theirs = test.ticket_of(test.stranger, pack[0]);
  CHECK(code_of(test.asker.read(test.keeper.id(), theirs, 0, 1)) == errc::shard_missing);
  auto gone = test.deletion_of(test.owner, good.shard.pack, 1);
  CHECK(code_of(test.asker.say(test.keeper.id(), delete_pack{test.sign(test.stranger, gone).raw})) == errc::authentication_failed);
  CHECK(test.used().shards == 1);
}

TEST_CASE("bytes that are not the shard's are refused, and an upload that is cut short leaves nothing", "[shard_service]") {
  service_test test;
  auto pack = make_pack(test.random, large_guest);
  auto wrong = pack[0];
  wrong.body = pack[1].body;
  auto by = test.ticket_of(test.owner, pack[0]);
  auto upload = upload_number(by);
  CHECK(code_of(test.asker.store(test.keeper.id(), wrong, by)) == errc::shard_damaged);
  CHECK(code_of(test.asker.say(test.keeper.id(), end_upload{upload})) == errc::range_invalid);
  CHECK(code_of(test.asker.say(test.keeper.id(), end_upload{77})) == errc::not_found);
  auto too_much = bytes::take(std::vector<std::byte>(blocks_bytes_max + 1));
  CHECK(code_of(test.asker.say(test.keeper.id(), upload_blocks{upload, 0}, too_much)) == errc::range_invalid);
  CHECK(code_of(test.asker.say(test.keeper.id(), end_upload{upload}, pack[0].body.slice(0, 1))) == errc::protocol_violated);
  CHECK(test.used() == guest_usage{});
  CHECK(code_of(test.asker.read(test.keeper.id(), test.ticket_of(test.owner, pack[0]), 0, 1)) == errc::shard_missing);
  for (const auto& listed : test.house.disk->list_all())
    CHECK(listed.path.find(pack[0].header.pack.id.hex()) == std::string::npos);
}

TEST_CASE("which shards there are is told to the owner, and to whom he permits it, a page at a time", "[shard_service]") {
  service_test test;
  auto pack = make_pack(test.random, {3, 2, 320});
  for (const auto& shard : pack)
    REQUIRE(test.store(shard));
  auto allowed = test.permit_for(test.owner, test.asker.place.id());
  std::string after;
  std::vector<uint8_t> found;
  for (auto more = true; more;) {
    auto part = test.asker.list(test.keeper.id(), allowed, after, 2);
    REQUIRE(part);
    REQUIRE(part->ticket_size() > 0);
    for (const auto& one : part->ticket())
      found.push_back(open_ticket(test.world.mesh, as_view(one))->shard.index);
    after = part->ticket(part->ticket_size() - 1);
    more = part->more();
  }
  CHECK(found == std::vector<uint8_t>{0, 1, 2, 3, 4});
  auto code = [&](permit what, const signatory& by) {
    return code_of(test.asker.list(test.keeper.id(), test.sign(by, std::move(what)), "", 10));
  };
  CHECK(code(allowed, test.stranger) == errc::authentication_failed);
  auto other = allowed;
  other.asker = test.keeper.id();
  CHECK(code(other, test.owner) == errc::permission_denied);
  other = allowed;
  other.holder = test.asker.place.id();
  CHECK(code(other, test.owner) == errc::permission_denied);
  other = allowed;
  other.expiry = test.house.now();
  CHECK(code(other, test.owner) == errc::invalid_argument);
  other.expiry = test.house.now() + 26h;
  CHECK(code(other, test.owner) == errc::invalid_argument);
  CHECK(test.asker.list(test.keeper.id(), test.permit_for(test.stranger, test.asker.place.id()), "", 10)->ticket_size() == 0);
}

TEST_CASE("which shards there are is told to the nodes of the owner's roster, and to nobody else", "[shard_service]") {
  service_test test;
  std::vector<pack_id> packs;
  for (int i = 0; i < 2; ++i) {
    auto pack = make_pack(test.random, small_guest);
    REQUIRE(test.store(pack[1]));
    packs.push_back(pack[1].header.pack.id);
  }
  std::ranges::sort(packs);
  auto of = [&](const signatory& by, uint64_t number, const peer_id& node) {
    return test.sign(by, roster{by.owner, number, test.house.now(), 24h, {node}, {}});
  };
  auto listed = [&](const std::optional<pack_id>& behind = {}) {
    return test.asker.list(test.keeper.id(), test.owner.owner, behind);
  };
  auto compared = [&](const digest& thought) {
    return test.asker.compare(test.keeper.id(), test.owner.owner, thought);
  };
  CHECK(code_of(listed()) == errc::permission_denied);
  CHECK(code_of(compared({})) == errc::permission_denied);
  REQUIRE(test.asker.give(test.keeper.id(), of(test.owner, 2, test.asker.place.id())));
  CHECK_FALSE(compared({})->same(0));
  CHECK(compared(digest_of(test.house.guests->list(test.owner.owner, {}, 10).value()))->same(0));
  REQUIRE(listed());
  CHECK(listed()->ticket_size() == 2);
  CHECK(listed(packs[0])->ticket_size() == 1);
  CHECK(listed(packs[1])->ticket_size() == 0);
  CHECK(code_of(test.asker.give(test.keeper.id(), of(test.owner, 1, test.keeper.id()))) == errc::conflict);
  REQUIRE(test.asker.give(test.keeper.id(), of(test.owner, 3, test.keeper.id())));
  CHECK(code_of(listed()) == errc::permission_denied);
  CHECK(code_of(compared({})) == errc::permission_denied);
  // Who has no room and nothing here gives no roster, and nobody does so in the name of another.
  CHECK(code_of(test.asker.give(test.keeper.id(), of(test.stranger, 1, test.asker.place.id()))) == errc::permission_denied);
  auto forged = of(test.stranger, 9, test.asker.place.id());
  forged.owner = test.owner.owner;
  CHECK(code_of(test.asker.give(test.keeper.id(), test.sign(test.stranger, forged))) == errc::authentication_failed);
}

TEST_CASE("an owner is told how much room he has, and nobody is told that of another", "[shard_service]") {
  service_test test{charge_of(large_guest)};
  auto allowed = test.permit_for(test.owner, test.asker.place.id());
  auto before = test.asker.room(test.keeper.id(), allowed);
  REQUIRE(before);
  CHECK(before->granted() == charge_of(large_guest));
  CHECK(before->used() == 0);
  REQUIRE(test.store(make_pack(test.random, small_guest)[0]));
  CHECK(test.asker.room(test.keeper.id(), allowed)->used() == charge_of(small_guest));
  CHECK(code_of(test.asker.room(test.keeper.id(), test.sign(test.stranger, std::move(allowed)))) == errc::authentication_failed);
  auto other = test.permit_for(test.owner, test.keeper.id());
  CHECK(code_of(test.asker.room(test.keeper.id(), other)) == errc::permission_denied);
  CHECK(test.asker.room(test.keeper.id(), test.permit_for(test.stranger, test.asker.place.id()))->granted() == 0);
}

TEST_CASE("a ticket is renewed without the shard, where that is there", "[shard_service]") {
  service_test test;
  auto shard = make_pack(test.random, large_guest)[0];
  auto without = shard;
  without.body = {};
  CHECK(code_of(test.asker.store(test.keeper.id(), without, test.ticket_of(test.owner, shard))) == errc::shard_missing);
  CHECK(test.used().shards == 0);
  REQUIRE(test.store(shard));
  auto later = test.ticket_of(test.owner, shard);
  later.number += 1;
  later.expiry += 24h;
  later = test.sign(test.owner, std::move(later));
  auto renewed = test.asker.store(test.keeper.id(), without, later);
  REQUIRE(renewed);
  CHECK(renewed->expiry == later.expiry);
  auto listed = test.asker.list(test.keeper.id(), test.permit_for(test.owner, test.asker.place.id()), "", 10);
  REQUIRE(listed);
  CHECK(listed->ticket_size() == 1);
  CHECK(listed->ticket(0) == text_of(later.raw));
}

TEST_CASE("a peer that asks too often is refused", "[shard_service]") {
  service_test test;
  v1::PeerRequest request;
  request.set_peer(text_of(test.asker.place.id().view()));
  request.set_timeout_ms(patience_ms);
  request.set_message(encode(shard_request{end_upload{1}}));
  auto asks = [&] {
    return code_of(ask_both<v1::PeerAnswer>(test.world.self, test.keeper.service, request, bytes{}));
  };
  for (uint64_t i = 0; i < shards_served.burst; ++i)
    REQUIRE(asks() == errc::not_found);
  CHECK(asks() == errc::capacity_exceeded);
  test.house.time->advance(1s);
  CHECK(asks() == errc::not_found);
}

TEST_CASE("a node that lies about what it keeps is not believed", "[shard_service]") {
  auto lie = GENERATE(0, 1, 2, 3, 4, 5);
  CAPTURE(lie);
  seeded_random random{seed()};
  mesh_world world;
  signatory owner{71};
  auto pack = make_pack(random, large_guest);
  auto later = system_environment().clock->wall() + 24h;
  auto by = owner.sign(ticket{owner.owner, key_of(pack[0]), large_guest.shard_length, 1, later, {}}, world.mesh);
  auto gone = owner.sign(deletion{owner.owner, by.shard.pack, 1, later, {}}, world.mesh);
  test_node node{1};
  auto sign_as = [](const crypto::key256& by_seed) -> word_signer {
    return [&by_seed](byte_view message) {
      return crypto::ed25519_sign(by_seed, message);
    };
  };
  auto key = crypto::ed25519_public(node.seed).value();
  // The shard beside the one that is asked for, and words about other things or by others.
  auto receipt = sign(world.mesh, receipt_for(by, lie == 1 ? owner.key : key, later), sign_as(lie == 1 ? owner.seed : node.seed)).value();
  if (lie == 2)
    receipt = sign(world.mesh, receipt_for(owner.ticket_for(pack[1], 1, later), key, later), sign_as(node.seed)).value();
  auto removed = sign(world.mesh, removal{key, owner.owner, pack_id{}, gone.name(), later, 0, {}}, sign_as(node.seed)).value();
  auto behavior = [=](peer_handler_actor::pointer) -> peer_handler_actor::behavior_type {
    return {
        [=](const v1::PeerRequest& request, const bytes&) -> caf::result<v1::PeerAnswer, bytes> {
          auto what = decode_shard_request(as_view(request.message()).subspan(1)).value();
          shard_answer said = blocks_taken{};
          bytes body;
          if (std::holds_alternative<begin_upload>(what)) {
            if (lie == 3)
              said = blocks_found{};
            else
              said = upload_begun{receipt.raw};
          } else if (std::holds_alternative<find_header>(what)) {
            said = header_found{encode_shard_header(pack[lie == 4 ? 1 : 0].header, false)};
          } else if (auto blocks = std::get_if<find_blocks>(&what)) {
            said = blocks_found{};
            body = lie == 5 ? bytes{} : pack[1].body.slice(size_t{blocks->first} * storage::block_size, storage::block_size);
          } else if (auto one = std::get_if<prove_block>(&what)) {
            said = prove(pack[lie == 4 ? 1 : 0].header, one->block);
            body = pack[1].body.slice(size_t{one->block} * storage::block_size, storage::block_size);
          } else if (std::holds_alternative<delete_pack>(what)) {
            said = pack_deleted{removed.raw};
          } else {
            said = shards_listed{{by.raw, by.raw}, true};
          }
          v1::PeerAnswer answer;
          answer.set_message(encode(said));
          return {std::move(answer), std::move(body)};
        },
    };
  };
  peer_handler_actor liar = world.sys.spawn(behavior);
  {
    mesh_place bad{world, 1, served_by(liar)};
    asking_place asker{world, 2};
    asker.reach(bad);
    // What is no answer to a question may be one of another version.
    if (lie >= 1 && lie <= 3)
      CHECK(code_of(asker.store(bad.id(), pack[0], by)) == (lie == 3 ? errc::protocol_violated : errc::peer_lies));
    CHECK(code_of(asker.read(bad.id(), by, 1, 1)) == errc::peer_lies);
    CHECK(code_of(asker.challenge(bad.id(), by, 2)) == errc::peer_lies);
    CHECK(code_of(asker.remove(bad.id(), gone)) == errc::peer_lies);
    permit allowed{owner.owner, bad.id(), asker.place.id(), later, {}};
    CHECK(code_of(asker.list(bad.id(), owner.sign(allowed, world.mesh), "", 10)) == errc::peer_lies);
  }
  caf::anon_send_exit(liar, caf::exit_reason::user_shutdown);
}

TEST_CASE("who has a receipt finds the shard after a power loss, and nothing else is there", "[shard_service]") {
  auto shape = GENERATE(as<storage::geometry>{}, small_guest, large_guest);
  auto number = seed();
  CAPTURE(number);
  guest_house before{1, number};
  auto image = before.disk->snapshot();
  seeded_random random{number};
  auto pack = make_pack(random, shape);
  signatory owner{1};
  mesh_world world;
  asking_place asker{world, 2};
  uint64_t kept = 0;
  uint64_t lost = 0;
  for (uint64_t n = 1;; ++n) {
    CAPTURE(n);
    guest_house house{image, before.options, number};
    auto by = owner.sign(ticket{owner.owner, key_of(pack[0]), shape.shard_length, 1, house.later(), {}}, world.mesh);
    auto powered = false;
    result<receipt> got = fail(errc::internal);
    {
      keeping_place keeper{world, 100 + n, house, {{owner.owner, plenty}}};
      asker.reach(*keeper.place);
      house.disk->crash_after(n);
      got = asker.store(keeper.id(), pack[0], by);
      powered = house.disk->powered();
    }
    house.guests.reset();
    house.disk->crash(number + n);
    auto opened = house.open();
    INFO((opened ? std::string{} : opened.error().message()));
    REQUIRE(opened);
    auto whole = house.guests->read_blocks(by, 0, shape.block_count());
    REQUIRE((whole || !got));
    if (whole)
      REQUIRE(same(*whole, pack[0].body));
    else
      REQUIRE(house.guests->usage(owner.owner) == guest_usage{});
    kept += whole ? 1 : 0;
    lost += whole ? 0 : 1;
    if (powered)
      break;
  }
  CHECK(kept > 0);
  CHECK(lost > 1);
}
