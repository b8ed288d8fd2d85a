// A vault on other nodes comes back on a new machine from its recovery phrase and the mesh.
#include "network/peer_drive.hpp"
#include "tests/actors/node/comes_to_be.hpp"
#include "tests/actors/node/house.hpp"

using namespace datamesh;
using namespace datamesh::test;
using namespace std::chrono_literals;

namespace {

constexpr size_t mib = 1 << 20;
using state = recovery_report::state;

node_options as_member(std::vector<std::string> seeds) {
  node_options options;
  options.mesh = {"a mesh for tests of recovery", {"127.0.0.1:0"}, {}, std::move(seeds), true};
  return options;
}

/// A house whose vault has no drive but four other nodes, which give it room.
struct village {
  explicit village(size_t others = 4) {
    auto at = seed();
    for (size_t i = 0; i < others; ++i) {
      peers.push_back(std::make_unique<house>(1, disk::simulated, as_member({at})));
      auto& peer = *peers.back();
      must(peer.node().allow(own->vault().id(), 1 << 30));
      must(own->node().add_drive(name_of(i)));
    }
    id = own->vault().id();
  }
  [[nodiscard]] std::string seed() const {
    return must(own->node().mesh())->listens.at(0);
  }
  [[nodiscard]] std::string name_of(size_t number) const {
    return network::peer_folder(must(peers[number]->node().mesh())->self);
  }
  [[nodiscard]] recovery_report kept() const {
    return must(own->vault().status()).recovery;
  }
  /// The record that names so many nodes is with all others.
  [[nodiscard]] bool is_kept(uint64_t nodes) const {
    auto now = kept();
    return now.now == state::kept && now.nodes == nodes && now.copies == peers.size();
  }
  std::string new_phrase() {
    return must(own->vault().add_recovery_phrase());
  }
  /// Another machine, which asks a peer's node for the mesh.
  std::unique_ptr<datamesh::node> new_machine(const std::string& mesh_name = "a mesh for tests of recovery") {
    auto elsewhere = peers[0]->options;
    elsewhere.home = peers[0]->path("new home " + std::to_string(++machines));
    elsewhere.mesh = as_member({must(peers[1]->node().mesh())->listens.at(0)}).mesh;
    elsewhere.mesh->network = mesh_name;
    return must(datamesh::node::create(elsewhere));
  }

  std::unique_ptr<house> own = std::make_unique<house>(0, disk::simulated, as_member({}));
  std::vector<std::unique_ptr<house>> peers;
  vault_id id;
  int machines = 0;
};

} // namespace

TEST_CASE("with the phrase alone a new machine has every byte of a lost one", "[recover]") {
  village v;
  auto phrase = v.new_phrase();
  must(v.own->vault().change_password(credential::password("correct horse")));
  auto text = noise(1, 3 * mib);
  v.own->put_text("/x", text);
  must(v.own->vault().flush());
  REQUIRE(comes_to_be([&] { return v.is_kept(4); }));
  v.own.reset();
  auto node = v.new_machine();
  auto with = credential::recovery_phrase(phrase);
  auto done = must(node->recover_vault("back", with));
  CHECK(done.id == v.id);
  CHECK(done.rebuilt.files == 1);
  CHECK(done.nodes.size() == 4);
  CHECK(done.nodes_away.empty());
  CHECK(done.made_ns > 0);
  auto back = must(node->open_vault("back", with));
  CHECK(must(get_text(back, "/x")) == text);
  // The nodes are asked for their room when the vault is open.
  REQUIRE(comes_to_be([&] { return put_text(back, "/more", "more").has_value(); }));
  CHECK(must(get_text(back, "/more")) == "more");
  SECTION("which keeps the record from then on") {
    REQUIRE(comes_to_be([&] { return must(back.status()).recovery.now == state::kept; }));
    auto third = v.new_machine();
    CHECK(must(third->recover_vault("main", with)).id == v.id);
  }
  SECTION("and does not bring it back twice") {
    CHECK(code_of(node->recover_vault("back", with)) == errc::vault_exists);
    CHECK(code_of(node->recover_vault("again", with)) == errc::vault_exists);
  }
  SECTION("where the password opens it, too") {
    CHECK(node->open_vault("back", credential::password("correct horse")).has_value());
  }
}

TEST_CASE("a vault comes back while a node is away, which is told", "[recover]") {
  village v;
  auto phrase = v.new_phrase();
  auto text = noise(2, 3 * mib);
  v.own->put_text("/x", text);
  must(v.own->vault().flush());
  REQUIRE(comes_to_be([&] { return v.is_kept(4); }));
  auto away = v.name_of(3);
  v.peers[3]->close();
  v.own.reset();
  auto node = v.new_machine();
  auto with = credential::recovery_phrase(phrase);
  auto done = must(node->recover_vault("back", with));
  CHECK(done.nodes.size() == 3);
  CHECK(done.nodes_away == std::vector{away});
  auto back = must(node->open_vault("back", with));
  CHECK(must(get_text(back, "/x")) == text);
  v.peers[3]->open();
  must(node->add_drive(away));
  CHECK(must(back.verify({.deep = true})).shards_missing == 0);
}

TEST_CASE("without the right phrase, or a mesh that has its record, nothing comes back and nothing is changed", "[recover]") {
  village v{3};
  auto phrase = v.new_phrase();
  REQUIRE(comes_to_be([&] { return v.is_kept(3); }));
  auto with = credential::recovery_phrase(phrase);
  auto node = v.new_machine();
  house other{1};
  auto strange = must(other.vault().add_recovery_phrase());
  CHECK(code_of(node->recover_vault("back", credential::recovery_phrase(strange))) == errc::not_found);
  CHECK(code_of(node->recover_vault("back", credential::recovery_phrase("not a phrase"))) == errc::phrase_invalid);
  CHECK(code_of(node->recover_vault("back", credential::password("a password"))) == errc::invalid_argument);
  CHECK(code_of(node->recover_vault("no/name", with)) == errc::name_invalid);
  CHECK(code_of(other.node().recover_vault("back", with)) == errc::unavailable);
  CHECK(must(node->vaults()).empty());
  CHECK(node->drives().empty());
}

TEST_CASE("the record of a phrase that was removed is withdrawn, and that of another one is not", "[recover]") {
  village v{3};
  auto phrase = v.new_phrase();
  auto text = noise(3, mib);
  v.own->put_text("/x", text);
  must(v.own->vault().flush());
  REQUIRE(comes_to_be([&] { return v.is_kept(3); }));
  std::string last = v.new_phrase();
  for (const auto& lock : must(v.own->vault().key_locks()))
    if (lock.kind == "recovery-phrase" && lock.number != must(v.own->vault().key_locks()).back().number)
      must(v.own->vault().remove_key_lock(lock.number));
  REQUIRE(comes_to_be([&] { return v.is_kept(3); }));
  auto node = v.new_machine();
  CHECK(code_of(node->recover_vault("back", credential::recovery_phrase(phrase))) == errc::not_found);
  v.own.reset();
  CHECK(must(node->recover_vault("back", credential::recovery_phrase(last))).rebuilt.files == 1);
}

TEST_CASE("a vault that was destroyed does not come back by its phrase", "[recover]") {
  village v{3};
  auto phrase = v.new_phrase();
  REQUIRE(comes_to_be([&] { return v.is_kept(3); }));
  v.own->close();
  auto node = must(datamesh::node::open(v.own->options));
  {
    auto once = must(node->open_vault("main", credential::this_device()));
    REQUIRE(comes_to_be([&] { return must(once.status()).recovery.now == state::kept; }));
  }
  must(node->destroy_vault("main", credential::this_device()));
  auto with = credential::recovery_phrase(phrase);
  CHECK(comes_to_be([&] { return code_of(v.new_machine()->recover_vault("back", with)) == errc::not_found; }));
}

TEST_CASE("the record follows the nodes that are drives, and their keys", "[recover]") {
  village v{3};
  CHECK(comes_to_be([&] { return v.is_kept(3); })); // By the phrase of its making.
  auto until = v.kept().until_ns;
  REQUIRE(until);
  must(v.own->node().remove_drive(v.name_of(0)));
  CHECK(comes_to_be([&] { return v.is_kept(2); }));
  auto phrase = v.new_phrase();
  must(v.own->vault().rotate_epoch());
  v.own->put_text("/later", "under the new key");
  must(v.own->vault().flush());
  REQUIRE(comes_to_be([&] { return v.is_kept(2); }));
  v.own.reset();
  auto node = v.new_machine();
  auto with = credential::recovery_phrase(phrase);
  must(node->recover_vault("back", with));
  auto back = must(node->open_vault("back", with));
  CHECK(must(get_text(back, "/later")) == "under the new key");
}

TEST_CASE("nothing is told to the mesh of a vault that has no data on other nodes", "[recover]") {
  house alone{1};
  CHECK(must(alone.vault().status()).recovery.now == state::not_needed);
  house member{1, disk::simulated, as_member({})};
  auto phrase = must(member.vault().add_recovery_phrase());
  house peer{1, disk::simulated, as_member({must(member.node().mesh())->listens.at(0)})};
  REQUIRE(comes_to_be([&] { return must(peer.node().mesh())->joined(); }));
  CHECK(must(member.vault().status()).recovery.now == state::not_needed);
  CHECK(code_of(peer.node().recover_vault("back", credential::recovery_phrase(phrase))) == errc::not_found);
}
