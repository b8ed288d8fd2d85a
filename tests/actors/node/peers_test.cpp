// A vault on room that other nodes give it: these are drives as others are, for put, get, verify,
// repair and cleanup.
#include "network/guest_store.hpp"
#include "network/peer_drive.hpp"
#include "tests/actors/node/comes_to_be.hpp"
#include "tests/actors/node/house.hpp"

using namespace datamesh;
using namespace datamesh::test;
using namespace std::chrono_literals;

namespace {

constexpr size_t mib = 1 << 20;
constexpr uint64_t plenty = 1 << 30;
using answer = status_report::answer;

node_options as_member(std::vector<std::string> seeds) {
  node_options options;
  options.mesh = {"a mesh for tests of peers as drives", {"127.0.0.1:0"}, {}, std::move(seeds), true};
  return options;
}

/// Runs as the machine's does, some days ahead of it.
class early_clock : public datamesh::clock {
public:
  [[nodiscard]] monotonic_time monotonic() const override {
    return machine_->monotonic();
  }
  [[nodiscard]] wall_time wall() const override {
    return machine_->wall() + std::chrono::hours{24} * days.load() + std::chrono::hours{1} * hours.load();
  }
  std::atomic<int> days = 0;
  std::atomic<int> hours = 0;

private:
  std::shared_ptr<datamesh::clock> machine_ = system_environment().clock;
};

/// A house with one drive and a vault, and others of the same mesh that give it room.
struct street {
  explicit street(size_t others = 3) {
    auto at = must(own.node().mesh())->listens.at(0);
    for (size_t i = 0; i < others; ++i)
      peers.push_back(std::make_unique<house>(1, disk::simulated, at_this_time(as_member({at}))));
  }
  node_options at_this_time(node_options options) const {
    options.environment.clock = time;
    return options;
  }
  [[nodiscard]] static std::string name_of(house& peer) {
    return network::peer_folder(must(peer.node().mesh())->self);
  }
  void lend(size_t number) {
    auto& peer = *peers[number];
    must(peer.node().allow(own.vault().id(), plenty));
    must(own.node().add_drive(name_of(peer)));
  }
  void lend_all() {
    for (size_t i = 0; i < peers.size(); ++i)
      lend(i);
  }
  /// What that node says that it keeps for the vault.
  [[nodiscard]] room_report kept_at(size_t number) {
    for (const auto& room : must(peers[number]->node().rooms()))
      if (room.owner == owner)
        return room;
    return {};
  }
  [[nodiscard]] std::string state_of(size_t number) {
    auto name = network::peer_folder(ids.empty() ? must(peers[number]->node().mesh())->self : ids[number]);
    for (const auto& drive : own.node().drives())
      if (drive.folder == name)
        return drive.state;
    return "none";
  }
  void keep_ids() {
    for (auto& peer : peers)
      ids.push_back(must(peer->node().mesh())->self);
  }

  std::shared_ptr<early_clock> time = std::make_shared<early_clock>();
  house own{1, disk::simulated, at_this_time(as_member({}))};
  vault_id owner = own.vault().id();
  std::vector<std::unique_ptr<house>> peers;
  std::vector<peer_id> ids;
};

} // namespace

TEST_CASE("a vault lies on other nodes that give it room, and is read while as many are away as parity allows", "[peers]") {
  street s;
  s.lend_all();
  s.keep_ids();
  auto text = noise(1, 3 * mib);
  s.own.put_text("/x", text);
  CHECK(must(s.own.vault().status()).policy == "2+2");
  for (size_t i = 0; i < 3; ++i)
    CHECK(s.kept_at(i).shards.value_or(0) > 0);
  CHECK(s.own.get_text("/x") == text);
  CHECK(must(s.own.vault().verify({.deep = true})).shards_missing == 0);
  s.peers[0]->close();
  s.peers[1]->close();
  REQUIRE(comes_to_be([&] { return s.state_of(0) == "missing" && s.state_of(1) == "missing"; }));
  CHECK(s.own.get_text("/x") == text);
  CHECK(must(s.own.vault().status()).overall == answer::degraded);
}

TEST_CASE("what other nodes keep is found again after a restart of either side", "[peers]") {
  street s;
  s.lend_all();
  s.keep_ids();
  auto text = noise(2, mib);
  s.own.put_text("/x", text);
  SECTION("of the owner") {
    s.own.reopen();
  }
  REQUIRE(comes_to_be([&] { return s.state_of(0) == "ok" && s.state_of(1) == "ok" && s.state_of(2) == "ok"; }));
  CHECK(must(s.own.vault().status()).overall == answer::safe);
  CHECK(s.own.get_text("/x") == text);
  CHECK(must(s.own.vault().verify({.deep = true})).shards_missing == 0);
}

TEST_CASE("a node has one shard of each pack while there are nodes enough, however many drives it has", "[peers][topology]") {
  street s;
  for (size_t drive = 2; drive <= 4; ++drive)
    must(s.own.node().add_drive(s.own.drive(drive)));
  s.lend_all();
  for (uint64_t i = 0; i < 5; ++i) {
    put_stream_request what;
    what.from = std::make_shared<text_source>(noise(i, mib));
    what.target_path = "/" + std::to_string(i);
    what.policy = "2+2";
    must(s.own.vault().put(what));
  }
  auto where = must(s.own.vault().distribution());
  size_t nodes = 0;
  for (const auto& share : where.shares) {
    if (share.of != domain_share::level::node)
      continue;
    CAPTURE(share.name);
    CHECK(share.shards == where.packs);
    nodes += 1;
  }
  CHECK(nodes == 4);
  CHECK(where.margins.at(static_cast<size_t>(domain_share::level::node)) == 2);
}

TEST_CASE("a cleanup deletes on other nodes what nothing needs any more", "[peers]") {
  street s;
  s.lend_all();
  s.own.put_text("/x", noise(3, 3 * mib));
  must(s.own.vault().flush());
  CHECK(s.kept_at(0).used.value_or(0) > mib);
  must(s.own.vault().remove("/x"));
  must(s.own.vault().cleanup({.trash_age = 0s}));
  for (size_t i = 0; i < s.peers.size(); ++i)
    CHECK(s.kept_at(i).used.value_or(plenty) < mib);
  for (const auto& drive : s.own.node().drives())
    CHECK(drive.shard_bytes < mib);
}

TEST_CASE("a destroyed vault goes from the other nodes that answer, and from those alone", "[peers][removal]") {
  street s;
  s.lend_all();
  s.keep_ids();
  auto text = noise(4, mib);
  s.own.put_text("/mine", text);
  must(s.own.node().create_vault({.name = "second", .trust_this_device = true}));
  {
    auto second = must(s.own.node().open_vault("second", credential::this_device()));
    for (auto& peer : s.peers)
      must(peer->node().allow(second.id(), plenty));
    s.owner = second.id();
    CHECK(must(put_text(second, "/yours", noise(5, 3 * mib))).shards_short == 0);
    for (size_t i = 0; i < s.peers.size(); ++i)
      REQUIRE(s.kept_at(i).shards.value_or(0) > 0);
  }
  s.peers[2]->close();
  REQUIRE(comes_to_be([&] { return s.state_of(2) == "missing"; }));
  auto gone = must(s.own.node().destroy_vault("second", credential::this_device()));
  auto silent = network::peer_folder(s.ids[2]);
  CHECK(gone.drives_left == std::vector{silent});
  CHECK(gone.shards_removed >= 3 * gone.packs);
  for (size_t i : {0, 1})
    CHECK(s.kept_at(i).shards == 0u);
  s.peers[2]->open();
  REQUIRE(comes_to_be([&] { return s.state_of(2) == "ok"; }));
  CHECK(s.kept_at(2).shards.value_or(0) > 0);
  // Nobody can sign for it any more, and nothing is tried.
  CHECK(code_of(s.own.node().destroy_vault("second", credential::this_device())) == errc::no_vault);
  CHECK(s.own.files_below(s.own.path("home/removed")).empty());
  s.owner = s.own.vault().id();
  CHECK(s.own.get_text("/mine") == text);
  CHECK(must(s.own.vault().verify({.deep = true})).shards_missing == 0);
}

TEST_CASE("what another node lost is rebuilt there", "[peers]") {
  street s;
  s.lend_all();
  auto text = noise(4, 3 * mib);
  s.own.put_text("/x", text);
  auto& peer = *s.peers[0];
  for (const auto& file : peer.files_below(network::guests_folder(peer.drive(1)) + "/shards"))
    must(peer.files().remove(file));
  auto found = must(s.own.vault().verify({.deep = true, .repair = true}));
  CHECK(found.shards_missing + found.shards_damaged > 0);
  CHECK(found.shards_repaired == found.shards_missing + found.shards_damaged);
  CHECK(must(s.own.vault().verify({.deep = true})).shards_repaired == 0);
  CHECK(must(s.own.vault().status()).overall == answer::safe);
  CHECK(s.own.get_text("/x") == text);
}

TEST_CASE("what is verified every few weeks lies on other nodes for longer than what is not", "[peers]") {
  street s;
  s.lend_all();
  s.keep_ids();
  auto text = noise(6, 3 * mib);
  s.own.put_text("/x", text);
  auto months_later = [&](int days) {
    for (auto& peer : s.peers)
      peer->close();
    REQUIRE(comes_to_be([&] { return s.state_of(0) == "missing" && s.state_of(1) == "missing" && s.state_of(2) == "missing"; }));
    s.time->days = days;
    for (auto& peer : s.peers)
      peer->reopen();
    REQUIRE(comes_to_be([&] { return s.state_of(0) == "ok" && s.state_of(1) == "ok" && s.state_of(2) == "ok"; }));
  };
  SECTION("verified") {
    s.time->days = 31;
    CHECK(must(s.own.vault().verify({})).shards_missing == 0);
    months_later(71);
    CHECK(must(s.own.vault().verify({})).shards_missing == 0);
    CHECK(s.own.get_text("/x") == text);
  }
  SECTION("forgotten") {
    months_later(71);
    REQUIRE(comes_to_be([&] { return s.kept_at(0).shards == 0 && s.kept_at(1).shards == 0 && s.kept_at(2).shards == 0; }));
    CHECK(must(s.own.vault().verify({})).shards_missing == 3);
  }
}

TEST_CASE("a vault whose home and drive are lost comes back from other nodes and a copy of its key file", "[peers]") {
  street s;
  s.lend_all();
  s.keep_ids();
  auto with = credential::recovery_phrase(must(s.own.vault().add_recovery_phrase()));
  auto text = noise(5, 3 * mib);
  s.own.put_text("/x", text);
  must(s.own.vault().flush());
  auto key = must(s.own.vault().key_file());
  s.own.close();
  auto elsewhere = s.own.options;
  elsewhere.home = s.own.path("another home");
  elsewhere.mesh = as_member({must(s.peers[0]->node().mesh())->listens.at(0)}).mesh;
  auto node = must(datamesh::node::create(elsewhere));
  auto add_all = [&] {
    for (const auto& id : s.ids)
      must(node->add_drive(network::peer_folder(id)));
  };
  auto restore = [&] {
    return must(node->restore_vault("back", key, with));
  };
  SECTION("when they are named first") {
    add_all();
    CHECK(restore().files == 1);
  }
  SECTION("when they are named later") {
    CHECK(restore().files == 0);
    auto back = must(node->open_vault("back", with));
    add_all();
    CHECK(must(back.stats()).files == 1);
  }
  auto back = must(node->open_vault("back", with));
  CHECK(must(get_text(back, "/x")) == text);
  must(put_text(back, "/more", "more"));
  CHECK(must(get_text(back, "/more")) == "more");
}

TEST_CASE("what a node kept that is gone for days, the others make again without the owner and his key", "[peers]") {
  // Eight places for six shards: there is always one without any of a pack.
  street s{7};
  s.lend_all();
  s.keep_ids();
  auto text = noise(7, 20 * mib);
  s.own.put_text("/x", text);
  auto shards_at = [&](size_t i) {
    return s.kept_at(i).shards.value_or(0);
  };
  // Of few packs a node may have nothing: the one with most is to go.
  size_t gone = 0;
  for (size_t i = 1; i < s.peers.size(); ++i)
    if (shards_at(i) > shards_at(gone))
      gone = i;
  REQUIRE(shards_at(gone) > 0);
  auto kept_by_others = [&] {
    uint64_t shards = 0;
    for (size_t i = 0; i < s.peers.size(); ++i)
      shards += i == gone ? 0 : shards_at(i);
    return shards;
  };
  auto all_others = [&](auto holds) {
    for (size_t i = 0; i < s.peers.size(); ++i)
      if (i != gone && !holds(i))
        return false;
    return true;
  };
  // What there is they know from when they last compared.
  auto compare_at = [&](int hours) {
    s.time->hours = hours;
    auto then = s.time->wall().time_since_epoch().count();
    REQUIRE(comes_to_be([&] { return all_others([&](size_t i) { return s.kept_at(i).compared_ns.value_or(0) >= then; }); }));
  };
  compare_at(2);
  s.own.close();
  compare_at(4);
  auto all = kept_by_others() + shards_at(gone);
  s.peers[gone]->close();
  s.time->hours = 30;
  CHECK(comes_to_be([&] { return kept_by_others() == all; }));
  // The owner finds what is new, and reads it without the node that is gone.
  s.own.reopen();
  REQUIRE(comes_to_be([&] { return all_others([&](size_t i) { return s.state_of(i) == "ok"; }); }));
  auto seen = must(s.own.vault().verify({.deep = true}));
  CHECK(seen.shards_missing == 0);
  CHECK(seen.shards_damaged == 0);
  CHECK(s.own.get_text("/x") == text);
}

TEST_CASE("a node is no drive of its own, nor where it gives no room, nor twice, nor for who is in no mesh", "[peers]") {
  street s{1};
  CHECK(code_of(s.own.node().add_drive(s.name_of(s.own))) == errc::invalid_argument);
  CHECK(code_of(s.own.node().add_drive("node:12")) == errc::invalid_argument);
  CHECK(code_of(s.own.node().add_drive(s.name_of(*s.peers[0]))) == errc::permission_denied);
  s.lend(0);
  CHECK(code_of(s.own.node().add_drive(s.name_of(*s.peers[0]))) == errc::already_exists);
  house alone{1};
  CHECK(code_of(alone.node().add_drive(s.name_of(s.own))) == errc::invalid_argument);
}

TEST_CASE("a node that is drained hands all over to others, without the owner", "[peers][hosting]") {
  // Six other nodes for six shards: there is always one without any of a pack.
  street s{7};
  s.lend_all();
  s.keep_ids();
  auto text = noise(8, 40 * mib);
  s.own.put_text("/x", text);
  must(s.own.vault().flush());
  auto kept = [&] {
    uint64_t shards = 0;
    for (size_t i = 0; i < s.peers.size(); ++i)
      shards += s.kept_at(i).shards.value_or(0);
    return shards;
  };
  auto before = kept();
  size_t who = 0; // Has most.
  for (size_t i = 1; i < s.peers.size(); ++i)
    who = s.kept_at(i).shards > s.kept_at(who).shards ? i : who;
  auto& leaving = *s.peers[who];
  auto here = s.kept_at(who).shards.value_or(0);
  REQUIRE(here > 0);
  auto with_owner = GENERATE(true, false);
  must(leaving.node().set_hosting(hosting::draining));
  // From then on it knows whom the owner named last.
  REQUIRE(comes_to_be([&] { return s.kept_at(who).shards < here; }));
  if (!with_owner)
    s.own.close();
  REQUIRE(comes_to_be([&] { return s.kept_at(who).shards == 0; }));
  CHECK(kept() == before);
  // It stays so, and takes nothing, after a restart, too.
  leaving.close();
  leaving.reopen();
  CHECK(must(leaving.node().hosts()) == hosting::draining);
  if (!with_owner)
    s.own.reopen();
  for (size_t i = 0; i < s.peers.size(); ++i)
    REQUIRE(comes_to_be([&] { return s.state_of(i) == "ok"; }));
  auto checked = must(s.own.vault().verify({.deep = true}));
  CHECK(checked.shards_missing == 0);
  CHECK(checked.shards_damaged == 0);
  CHECK(s.own.get_text("/x") == text);
  CHECK(must(s.own.vault().status()).overall == answer::safe);
  s.own.put_text("/y", text.substr(mib));
  CHECK(s.kept_at(who).shards == 0);
  must(leaving.node().set_hosting(hosting::open));
  CHECK(must(leaving.node().hosts()) == hosting::open);
}

TEST_CASE("a node keeps what nobody else can take, and says how much", "[peers][hosting]") {
  street s;
  s.lend_all();
  s.keep_ids();
  auto text = noise(9, 2 * mib);
  s.own.put_text("/x", text);
  must(s.own.vault().flush());
  auto kept = s.kept_at(0).shards.value_or(0);
  REQUIRE(kept > 0);
  must(s.peers[0]->node().set_hosting(hosting::draining));
  // All others have a shard of each pack.
  REQUIRE(comes_to_be([&] { return s.kept_at(0).stuck == kept; }));
  CHECK(s.kept_at(0).shards == kept);
  CHECK(must(s.own.vault().verify({.deep = true})).shards_missing == 0);
  CHECK(s.own.get_text("/x") == text);
  must(s.peers[0]->node().set_hosting(hosting::paused));
  CHECK_FALSE(s.kept_at(0).stuck);
}

TEST_CASE("a node that is drained hands nothing to nodes that the owner's rule leaves out", "[peers][hosting][rule]") {
  // Six drives within the rule for six shards: the two others have nothing of any pack.
  street s{7};
  s.lend_all();
  s.keep_ids();
  for (const auto& drive : s.own.node().drives())
    must(s.own.node().label_drive(drive.id.hex(), {.region = "eu"}));
  for (size_t i : {5, 6})
    must(s.own.node().label_drive(s.name_of(*s.peers[i]), {.region = "us"}));
  must(s.own.node().set_rule({.never = {{label_kind::region, "us"}}}));
  auto text = noise(10, 6 * mib);
  s.own.put_text("/x", text);
  must(s.own.vault().flush());
  CHECK(must(s.own.vault().status()).policy == "4+2");
  auto kept = s.kept_at(0).shards.value_or(0);
  REQUIRE(kept > 0);
  CHECK(s.kept_at(5).shards.value_or(0) + s.kept_at(6).shards.value_or(0) == 0);
  must(s.peers[0]->node().set_hosting(hosting::draining));
  REQUIRE(comes_to_be([&] { return s.kept_at(0).stuck == kept; }));
  CHECK(s.kept_at(0).shards == kept);
  CHECK(s.kept_at(5).shards.value_or(0) + s.kept_at(6).shards.value_or(0) == 0);
  // Nor where the rule allows no node at all: nobody goes on by what he was told before.
  must(s.own.node().set_rule({.only = {{label_kind::region, "nowhere"}}}));
  CHECK(code_of(put_text(s.own.vault(), "/y", text.substr(mib))) == errc::rule_leaves_too_few);
  must(s.own.node().set_rule({}));
  REQUIRE(comes_to_be([&] { return s.kept_at(0).shards == 0; }));
  CHECK(s.kept_at(5).shards.value_or(0) + s.kept_at(6).shards.value_or(0) == kept);
  CHECK(must(s.own.vault().verify({.deep = true})).shards_missing == 0);
  CHECK(s.own.get_text("/x") == text);
}

TEST_CASE("what lies on nodes that a new rule leaves out is moved to others, and goes there", "[peers][rule]") {
  street s{5};
  s.lend_all();
  s.keep_ids();
  auto text = noise(11, 6 * mib);
  s.own.put_text("/x", text);
  must(s.own.vault().flush());
  // Six drives have one shard each of a pack: two more take what is to go.
  must(s.own.node().add_drive(s.own.drive(2)));
  must(s.own.node().add_drive(s.own.drive(3)));
  for (size_t i : {0, 1})
    must(s.own.node().label_drive(s.name_of(*s.peers[i]), {.operated_by = "bob"}));
  must(s.own.node().set_rule({.never = {{label_kind::operated_by, "bob"}}}));
  auto outside = must(s.own.vault().status()).shards_outside;
  REQUIRE(outside > 0);
  auto moved = must(s.own.vault().rebalance());
  CHECK(moved.shards_left == 0);
  CHECK(moved.shards_moved >= outside);
  CHECK(must(s.own.vault().status()).shards_outside == 0);
  REQUIRE(comes_to_be([&] { return s.kept_at(0).shards.value_or(0) + s.kept_at(1).shards.value_or(0) == 0; }));
  CHECK(must(s.own.vault().verify({.deep = true})).shards_missing == 0);
  CHECK(s.own.get_text("/x") == text);
}

TEST_CASE("a node that is paused serves and deletes what it has, and takes nothing new", "[peers][hosting]") {
  street s;
  s.lend_all();
  s.keep_ids();
  auto text = noise(10, 2 * mib);
  s.own.put_text("/x", text);
  must(s.own.vault().flush());
  for (auto& peer : s.peers)
    must(peer->node().set_hosting(hosting::paused));
  auto kept = s.kept_at(0).shards.value_or(0);
  CHECK_FALSE(put_text(s.own.vault(), "/y", noise(11, 3 * mib)));
  CHECK(s.kept_at(0).shards == kept);
  CHECK(s.own.get_text("/x") == text);
  must(s.peers[0]->node().set_hosting(hosting::open));
  must(s.peers[1]->node().set_hosting(hosting::open));
  must(s.peers[2]->node().set_hosting(hosting::open));
  REQUIRE(comes_to_be([&] { return put_text(s.own.vault(), "/y", noise(11, 3 * mib)).has_value(); }));
  CHECK(s.own.get_text("/y") == noise(11, 3 * mib));
}
