// Who may open what: locks of a vault, epochs, several vaults and several nodes.
#include "tests/actors/node/hooked_files.hpp"
#include "tests/actors/node/house.hpp"

#include <algorithm>
#include <filesystem>

namespace datamesh::test {

TEST_CASE("a password opens its vault, and no other one does", "[keys]") {
  house h{1};
  auto created = must(h.node().create_vault({.name = "sealed", .password = credential::password("correct horse")}));
  CHECK(code_of(h.node().open_vault("sealed", credential::password("battery staple"))) == errc::wrong_password);
  CHECK(code_of(h.node().open_vault("sealed", credential::password(""))) == errc::wrong_password);
  CHECK(code_of(h.node().open_vault("sealed", credential::this_device())) == errc::wrong_password);
  {
    auto v = must(h.node().open_vault("sealed", credential::password("correct horse")));
    CHECK(v.id() == created.id);
    must(v.change_password(credential::password("new horse")));
    CHECK(code_of(v.change_password(credential::this_device())) == errc::invalid_argument);
    auto locks = must(v.key_locks());
    CHECK(std::count_if(locks.begin(), locks.end(), [](const auto& lock) { return lock.kind == "password"; }) == 1);
  }
  CHECK(code_of(h.node().open_vault("sealed", credential::password("correct horse"))) == errc::wrong_password);
  h.reopen();
  must(h.node().open_vault("sealed", credential::password("new horse")));
}

TEST_CASE("a recovery phrase opens a vault, with typing errors told apart", "[keys]") {
  house h{1};
  auto created = must(h.node().create_vault({.name = "other", .trust_this_device = true}));
  {
    auto v = must(h.node().open_vault("other", credential::recovery_phrase(created.recovery_phrase)));
    auto second = must(v.add_recovery_phrase());
    CHECK(second != created.recovery_phrase);
    must(h.node().open_vault("other", credential::recovery_phrase(second)));
  }
  CHECK(code_of(h.node().open_vault("other", credential::recovery_phrase("no words of ours"))) == errc::phrase_invalid);
  auto strange = must(h.node().create_vault({.name = "third", .trust_this_device = true}));
  CHECK(code_of(h.node().open_vault("other", credential::recovery_phrase(strange.recovery_phrase))) == errc::wrong_password);
}

TEST_CASE("locks come and go, but the last one stays", "[keys]") {
  house h{1};
  auto locks = must(h.vault().key_locks());
  REQUIRE(locks.size() == 2);
  for (const auto& lock : locks)
    if (lock.kind == "device")
      must(h.vault().remove_key_lock(lock.number));
  CHECK(code_of(h.node().open_vault("main", credential::this_device())) == errc::wrong_password);
  CHECK(code_of(h.vault().remove_key_lock(999)) == errc::not_found);
  auto last = must(h.vault().key_locks());
  REQUIRE(last.size() == 1);
  CHECK(!h.vault().remove_key_lock(last[0].number));
  must(h.vault().trust_this_device());
  h.reopen();
}

TEST_CASE("after a rotation old data is readable and new data is sealed anew", "[keys]") {
  house h{3};
  auto old_text = noise(1, 300'000);
  h.put_text("/old", old_text);
  CHECK(must(h.vault().rotate_epoch()) == 2);
  auto new_text = noise(2, 300'000);
  h.put_text("/new", new_text);
  // Where the chunks end hangs on the vault's key: one or two of them.
  auto again = h.put_text("/again", old_text);
  CHECK(again.chunks > 0);
  CHECK(again.chunks_known == again.chunks);
  CHECK(must(h.vault().rotate_epoch()) == 3);
  h.reopen();
  CHECK(h.get_text("/old") == old_text);
  CHECK(h.get_text("/new") == new_text);
  // The catalog can be made again from packs of all epochs.
  h.put_text("/newest", "x");
  h.close();
  auto node = must(datamesh::node::open(h.options));
  must(node->rebuild_catalog("main", credential::this_device()));
  node.reset();
  h.open();
  CHECK(h.list() == std::vector<std::string>{"/again", "/new", "/newest", "/old"});
  CHECK(h.get_text("/new") == new_text);
}

TEST_CASE("a home that was put back from earlier days takes in what was stored since", "[keys]") {
  namespace fs = std::filesystem;
  house h{4, disk::system};
  h.put_text("/one", noise(1, 300'000));
  h.close();
  auto copy = h.path("copy of the home");
  fs::copy(h.options.home, copy, fs::copy_options::recursive);
  h.open();
  h.put_text("/two", noise(2, 300'000));
  h.close();
  fs::remove_all(h.options.home);
  fs::rename(copy, h.options.home);
  h.open();
  CHECK(h.list() == std::vector<std::string>{"/one", "/two"});
  h.put_text("/three", noise(3, 300'000));
  h.reopen();
  CHECK(h.list() == std::vector<std::string>{"/one", "/three", "/two"});
  h.close();
  auto node = must(datamesh::node::open(h.options));
  must(node->rebuild_catalog("main", credential::this_device()));
  auto rebuilt = must(node->open_vault("main", credential::this_device()));
  for (uint64_t i = 1; i <= 3; ++i)
    CHECK(must(get_text(rebuilt, i == 1 ? "/one" : i == 2 ? "/two" : "/three")) == noise(i, 300'000));
}

TEST_CASE("a vault comes back from its drives and a copy of its key file alone", "[keys]") {
  house h{4};
  auto phrase = must(h.vault().add_recovery_phrase());
  auto with = credential::recovery_phrase(phrase);
  auto text = noise(3, 300'000);
  h.put_text("/kept", text);
  auto key = must(h.vault().key_file());
  CHECK(code_of(h.node().restore_vault("again", key, with)) == errc::vault_exists);
  h.close();
  auto fresh = h.options;
  fresh.home = h.path("another home");
  auto node = must(datamesh::node::create(fresh));
  for (size_t drive = 1; drive <= 4; ++drive)
    must(node->adopt_drive(h.drive(drive)));
  CHECK(code_of(node->restore_vault("back", key, credential::password("wrong"))) == errc::wrong_password);
  CHECK(code_of(node->restore_vault("back", key.slice(0, key.size() / 2), with)) == errc::key_file_damaged);
  CHECK(code_of(node->restore_vault("../back", key, with)) == errc::name_invalid);
  CHECK(must(node->vaults()).empty());
  auto made = must(node->restore_vault("back", key, with));
  CHECK(made.files == 1);
  CHECK(made.packs_unreadable == 0);
  CHECK(code_of(node->restore_vault("back", key, with)) == errc::vault_exists);
  CHECK(code_of(node->restore_vault("twice", key, with)) == errc::vault_exists);
  {
    // Who served the drives before leaves them alone.
    node.reset();
    auto old = must(datamesh::node::open(h.options));
    for (const auto& drive : old->drives()) {
      CHECK(drive.state == "missing");
      REQUIRE(drive.reason);
      CHECK(drive.reason->code() == errc::drive_alien);
    }
    must(old->adopt_drive(h.drive(1)));
    old.reset();
    node = must(datamesh::node::open(fresh));
    CHECK(node->drives().front().state == "missing");
    must(node->adopt_drive(h.drive(1)));
  }
  auto back = must(node->open_vault("back", with));
  CHECK(must(get_text(back, "/kept")) == text);
  must(put_text(back, "/more", "more"));
  CHECK(must(get_text(back, "/more")) == "more");
  must(back.trust_this_device());
}

TEST_CASE("a vault that came back with too few of its drives does not say that nothing is stored", "[keys]") {
  house h{4};
  auto phrase = must(h.vault().add_recovery_phrase());
  auto with = credential::recovery_phrase(phrase);
  h.put_text("/kept", noise(4, 300'000));
  auto key = must(h.vault().key_file());
  h.close();
  auto fresh = h.options;
  fresh.home = h.path("another home");
  auto node = must(datamesh::node::create(fresh));
  must(node->adopt_drive(h.drive(1)));
  CHECK(must(node->restore_vault("back", key, with)).packs_incomplete > 0);
  {
    auto back = must(node->open_vault("back", with));
    auto told = must(back.status());
    CHECK(told.overall == status_report::answer::unknown);
    CHECK(told.sentence.find("Nothing is stored") == std::string::npos);
    for (size_t drive = 2; drive <= 4; ++drive)
      must(node->adopt_drive(h.drive(drive)));
    CHECK(must(back.status()).overall == status_report::answer::safe);
    CHECK(must(get_text(back, "/kept")) == noise(4, 300'000));
  }
  // A vault that never had anything has nothing to look for.
  must(node->create_vault({.name = "new", .trust_this_device = true}));
  CHECK(must(must(node->open_vault("new", credential::this_device())).status()).sentence == "Nothing is stored yet.");
}

TEST_CASE("a password that could not be saved is none", "[keys]") {
  auto hooks = std::make_shared<hooked_files>(std::make_shared<simulated_files>());
  node_options with;
  with.environment.files = hooks;
  house h{3, disk::simulated, with};
  must(h.vault().change_password(credential::password("first")));
  hooks->set([](std::string_view call, const std::string& path) -> result<void> {
    if (path.find("/vaults/main/key") != std::string::npos && call == "write")
      return fail(errc::no_space, "write", path);
    return {};
  });
  auto before = must(h.vault().key_locks()).size();
  CHECK(code_of(h.vault().change_password(credential::password("second"))) == errc::no_space);
  CHECK(code_of(h.vault().add_recovery_phrase()) == errc::no_space);
  CHECK(code_of(h.vault().rotate_epoch()) == errc::no_space);
  CHECK(must(h.vault().key_locks()).size() == before);
  hooks->set({});
  must(h.vault().add_recovery_phrase());
  CHECK(must(h.vault().key_locks()).size() == before + 1);
  h.close();
  auto node = must(datamesh::node::open(h.options));
  CHECK(code_of(node->open_vault("main", credential::password("second"))) == errc::wrong_password);
  (void) must(node->open_vault("main", credential::password("first")));
}

TEST_CASE("a rebuild with the key file of another vault leaves the catalog alone", "[keys]") {
  house h{3};
  h.put_text("/mine", "mine");
  must(h.node().create_vault({.name = "second", .trust_this_device = true}));
  // What only the catalog knows: no pack has it yet.
  must(h.vault().make_folder("/known to the catalog alone"));
  h.close();
  auto key_of = [&](const std::string& vault) {
    return join_path(h.options.home, "vaults/" + vault + "/key");
  };
  auto mine = must(read_whole(h.files(), key_of("main"), 4 << 20));
  must(write_whole(h.files(), key_of("main"), must(read_whole(h.files(), key_of("second"), 4 << 20)).view()));
  {
    auto node = must(datamesh::node::open(h.options));
    CHECK(code_of(node->rebuild_catalog("main", credential::this_device())) == errc::authentication_failed);
    CHECK(code_of(node->open_vault("main", credential::this_device())) == errc::authentication_failed);
  }
  must(write_whole(h.files(), key_of("main"), mine.view()));
  h.open();
  CHECK(h.list() == std::vector<std::string>{"/known to the catalog alone", "/mine"});
}

TEST_CASE("two vaults of one node do not see each other", "[keys]") {
  house h{3};
  must(h.node().create_vault({.name = "second", .trust_this_device = true}));
  auto second = must(h.node().open_vault("second", credential::this_device()));
  auto text = noise(1, 500'000);
  h.put_text("/mine", text);
  put_stream_request what{std::make_shared<text_source>(text), "/yours"};
  // Dedup never crosses a space.
  CHECK(must(second.put(what)).chunks_known == 0);
  CHECK(must(second.list({})).entries.at(0).path == "/yours");
  CHECK(h.list() == std::vector<std::string>{"/mine"});
  CHECK(code_of(second.get("/mine", std::make_shared<text_sink>())) == errc::not_found);
  // Neither the catalog of one nor its making from packs takes in what is the other's.
  { auto gone = std::move(second); }
  must(h.node().rebuild_catalog("second", credential::this_device()));
  second = must(h.node().open_vault("second", credential::this_device()));
  CHECK(must(second.list({})).entries.size() == 1);
  CHECK(must(second.stats()).packs == 1);
  CHECK(must(h.node().vaults()).size() == 2);
  CHECK(code_of(h.node().destroy_vault("second")) == errc::locked);
  { auto gone = std::move(second); }
  must(h.node().destroy_vault("second"));
  CHECK(code_of(h.node().open_vault("second", credential::this_device())) == errc::no_vault);
  CHECK(code_of(h.node().destroy_vault("second")) == errc::no_vault);
  CHECK(h.get_text("/mine") == text);
}

TEST_CASE("handles of one vault share it, and it opens again at once when they are gone", "[keys]") {
  house h{3};
  auto twin = must(h.node().open_vault("main", credential::this_device()));
  h.put_text("/file", "x");
  CHECK(must(twin.list({})).entries.size() == 1);
  { auto gone = std::move(twin); }
  CHECK(h.list().size() == 1);
  { auto gone = std::move(h.vault()); }
  for (int round = 0; round < 20; ++round) {
    auto v = must(h.node().open_vault("main", credential::this_device()));
    put_stream_request what{std::make_shared<text_source>(std::to_string(round)), "/file"};
    must(v.put(what));
    auto to = std::make_shared<text_sink>();
    must(v.get("/file", to));
    CHECK(to->text == std::to_string(round));
  }
}

TEST_CASE("names and options of vaults are checked", "[keys]") {
  house h{1};
  for (const auto& bad : std::vector<std::string>{"", ".", "..", ".hidden", "a/b", "a b", std::string(65, 'x'), "\xff"})
    CHECK(code_of(h.node().create_vault({.name = bad, .trust_this_device = true})) == errc::name_invalid);
  CHECK(code_of(h.node().create_vault({.name = "main", .trust_this_device = true})) == errc::vault_exists);
  CHECK(code_of(h.node().create_vault({.name = "open"})) == errc::invalid_argument);
  CHECK(code_of(h.node().open_vault("none", credential::this_device())) == errc::no_vault);
  CHECK(code_of(h.node().open_vault("../main", credential::this_device())) == errc::name_invalid);
}

TEST_CASE("a damaged key file is told from a wrong password", "[keys]") {
  house h{1};
  h.close();
  auto key = join_path(h.options.home, "vaults/main/key");
  auto whole = must(read_whole(h.files(), key, 1 << 20));
  auto node = must(datamesh::node::open(h.options));
  must(write_whole(h.files(), key, whole.view().first(whole.size() / 2)));
  CHECK(code_of(node->open_vault("main", credential::this_device())) == errc::key_file_damaged);
  auto facts = must(node->vaults());
  REQUIRE(facts.size() == 1);
  CHECK(!facts[0].id);
  must(write_whole(h.files(), key, as_view("something else")));
  auto alien = code_of(node->open_vault("main", credential::this_device()));
  CHECK((alien == errc::format_alien || alien == errc::key_file_damaged));
  must(write_whole(h.files(), key, whole));
  must(node->open_vault("main", credential::this_device()));
}

TEST_CASE("a second opener of a node is told that it is locked", "[node]") {
  house h{1};
  CHECK(code_of(node::open(h.options)) == errc::locked);
  CHECK(code_of(node::create(h.options)) == errc::vault_exists);
  auto elsewhere = h.options;
  elsewhere.home = h.path("nowhere");
  CHECK(code_of(node::open(elsewhere)) == errc::no_vault);
  elsewhere.home = "";
  CHECK(code_of(node::open(elsewhere)) == errc::invalid_argument);
  h.put_text("/still", "here");
  CHECK(h.get_text("/still") == "here");
}

TEST_CASE("two nodes in one process are two nodes", "[node]") {
  house a{3, disk::system};
  house b{2, disk::simulated};
  a.put_text("/a", "of a");
  b.put_text("/b", "of b");
  CHECK(a.list() == std::vector<std::string>{"/a"});
  CHECK(b.list() == std::vector<std::string>{"/b"});
  CHECK(a.vault().id() != b.vault().id());
  a.close();
  CHECK(b.get_text("/b") == "of b");
  a.open();
  CHECK(a.get_text("/a") == "of a");
}

} // namespace datamesh::test
