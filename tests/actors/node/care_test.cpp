// Cleanup gives space back and loses nothing; a catalog that is gone is made again.
#include "tests/actors/node/house.hpp"
#include "tests/support/manual_clock.hpp"

namespace datamesh::test {

namespace {

constexpr size_t mib = 1 << 20;

uint64_t bytes_on_drives(house& h) {
  uint64_t sum = 0;
  for (const auto& drive : h.node().drives())
    sum += drive.shard_bytes;
  return sum;
}

bool same(const cleanup_summary& a, const cleanup_summary& b) {
  return a.nodes_forgotten == b.nodes_forgotten && a.versions_forgotten == b.versions_forgotten && a.packs_deleted == b.packs_deleted
         && a.packs_copied == b.packs_copied && a.bytes_copied == b.bytes_copied;
}

cleanup_request at_once(bool dry_run = false) {
  return {.dry_run = dry_run, .trash_age = std::chrono::seconds{0}};
}

/// A vault with living files, old versions and a full trash.
void use(house& h) {
  for (uint64_t i = 0; i < 6; ++i)
    h.put_text("/file" + std::to_string(i), noise(i, 2 * mib));
  for (uint64_t old : {50u, 100u})
    for (uint64_t i = 0; i < 3; ++i)
      h.put_text("/file" + std::to_string(i), noise(old + i, 2 * mib));
  for (uint64_t i = 0; i < 20; ++i)
    h.put_text("/small" + std::to_string(i), noise(200 + i, 3000));
  must(h.vault().remove("/file4"));
  must(h.vault().remove("/file5"));
  for (uint64_t i = 0; i < 10; ++i)
    must(h.vault().remove("/small" + std::to_string(2 * i)));
}

void check_content(house& h) {
  for (uint64_t i = 0; i < 3; ++i)
    CHECK(h.get_text("/file" + std::to_string(i)) == noise(100 + i, 2 * mib));
  CHECK(h.get_text("/file3") == noise(3, 2 * mib));
  for (uint64_t i = 0; i < 10; ++i)
    CHECK(h.get_text("/small" + std::to_string(2 * i + 1)) == noise(200 + 2 * i + 1, 3000));
}

} // namespace

TEST_CASE("a deep look counts as a quick one; a look in parts only when it was quick", "[care]") {
  auto time = std::make_shared<manual_clock>();
  node_options options;
  options.environment.clock = time;
  house h{3, disk::simulated, options};
  for (uint64_t i = 0; i < 3; ++i)
    h.put_text("/file" + std::to_string(i), noise(i, 1000));
  auto now = [&] {
    return time->wall().time_since_epoch().count();
  };
  must(h.vault().verify({.deep = true}));
  auto first = now();
  CHECK(must(h.vault().status()).last_quick_verify_ns == first);
  CHECK(must(h.vault().status()).last_deep_verify_ns == first);
  time->advance(std::chrono::hours{1});
  auto part = must(h.vault().verify({.deep = true, .packs_max = 1}));
  REQUIRE(part.next_after);
  CHECK(must(h.vault().status()).last_deep_verify_ns == first);
  must(h.vault().verify({.deep = true, .after = part.next_after}));
  CHECK(must(h.vault().status()).last_quick_verify_ns == first);
  CHECK(must(h.vault().status()).last_deep_verify_ns == now());
  must(h.vault().verify({.paths = {"/file0"}}));
  CHECK(must(h.vault().status()).last_quick_verify_ns == first);
}

TEST_CASE("cleanup gives back what nobody can reach, as its dry run said", "[cleanup]") {
  house h{3};
  use(h);
  auto names = h.list();
  auto before = bytes_on_drives(h);
  // Young trash and all versions are kept unless it is said otherwise.
  auto young = must(h.vault().cleanup({.dry_run = true}));
  CHECK(young.nodes_forgotten == 0);
  CHECK(young.versions_forgotten == 0);
  CHECK(must(h.vault().trash()).size() == 12);
  auto request = at_once(true);
  request.keep_versions = 1;
  auto dry = must(h.vault().cleanup(request));
  CHECK(must(h.vault().trash()).size() == 12);
  CHECK(dry.nodes_forgotten == 12);
  CHECK(dry.versions_forgotten == 12 + 6);
  request.dry_run = false;
  auto real = must(h.vault().cleanup(request));
  CHECK(same(dry, real));
  CHECK(real.packs_deleted >= 5);
  CHECK(real.bytes_freed > 0);
  CHECK(bytes_on_drives(h) < before - 5 * 2 * mib);
  CHECK(h.list() == names);
  CHECK(must(h.vault().trash()).empty());
  CHECK(must(h.vault().versions("/file0")).size() == 1);
  check_content(h);
  CHECK(must(h.vault().verify({.deep = true})).shards_missing == 0);
  SECTION("again, it finds nothing to forget") {
    auto again = must(h.vault().cleanup(request));
    CHECK(again.nodes_forgotten == 0);
    CHECK(again.versions_forgotten == 0);
    check_content(h);
  }
  SECTION("a catalog made from what is left has what was left") {
    h.close();
    auto node = must(datamesh::node::open(h.options));
    must(node->rebuild_catalog("main", credential::this_device()));
    node.reset();
    h.open();
    CHECK(h.list() == names);
    check_content(h);
    CHECK(must(h.vault().trash()).empty());
  }
}

TEST_CASE("trash runs out after its age on the node's own clock", "[cleanup]") {
  auto time = std::make_shared<manual_clock>();
  node_options options;
  options.environment.clock = time;
  house h{3, disk::system, options};
  h.put_text("/file", noise(1, mib));
  must(h.vault().remove("/file"));
  time->advance(std::chrono::hours{24 * 29});
  CHECK(must(h.vault().cleanup({})).nodes_forgotten == 0);
  time->advance(std::chrono::hours{24 * 2});
  auto freed = must(h.vault().cleanup({}));
  CHECK(freed.nodes_forgotten == 1);
  CHECK(freed.packs_deleted >= 1);
}

TEST_CASE("cleanup merges short packs without touching what is in them", "[cleanup]") {
  house h{3};
  for (uint64_t i = 0; i < 30; ++i)
    h.put_text("/note" + std::to_string(i), noise(i, 2000));
  auto before = must(h.vault().stats());
  auto dry = must(h.vault().cleanup(at_once(true)));
  auto real = must(h.vault().cleanup(at_once()));
  CHECK(same(dry, real));
  auto after = must(h.vault().stats());
  if (real.packs_copied > 0)
    CHECK(after.packs < before.packs);
  for (uint64_t i = 0; i < 30; ++i)
    CHECK(h.get_text("/note" + std::to_string(i)) == noise(i, 2000));
  CHECK(must(h.vault().verify({.deep = true})).shards_missing == 0);
}

TEST_CASE("a catalog is made again from packs and key alone", "[rebuild]") {
  auto where = GENERATE(values({disk::system, disk::simulated}));
  house h{4, where};
  for (uint64_t i = 0; i < 5; ++i)
    h.put_text("/d/file" + std::to_string(i), noise(i, 400'000));
  h.put_text("/d/file0", "a second version");
  must(h.vault().move("/d/file1", "/e/moved"));
  must(h.vault().remove("/d/file2"));
  must(h.vault().set_tag("/d/file3", "colour", "green"));
  must(h.vault().copy("/d", "/copy"));
  must(h.vault().flush());
  auto names = h.list();
  auto stats = must(h.vault().stats());
  auto trash = must(h.vault().trash());
  h.close();
  auto node = must(datamesh::node::open(h.options));
  SECTION("when it is there") {}
  SECTION("when it is gone") {
    h.remove_tree(join_path(h.options.home, "vaults/main/catalog"));
    CHECK(code_of(node->open_vault("main", credential::this_device())) == errc::catalog_missing);
  }
  SECTION("when a drive is missing") {
    node.reset();
    must(h.files().rename(h.drive(2), h.path("away")));
    node = must(datamesh::node::open(h.options));
  }
  SECTION("when the key is wrong, nothing is thrown away") {
    CHECK(code_of(node->rebuild_catalog("main", credential::password("wrong"))) == errc::wrong_password);
    CHECK(must(must(node->open_vault("main", credential::this_device())).list({})).entries.size() == 3);
  }
  auto made = must(node->rebuild_catalog("main", credential::this_device()));
  CHECK(made.packs_unreadable == 0);
  CHECK(made.packs == stats.packs);
  node.reset();
  h.open();
  CHECK(h.list() == names);
  auto again = must(h.vault().stats());
  CHECK(again.files == stats.files);
  CHECK(again.versions == stats.versions);
  CHECK(again.logical_bytes == stats.logical_bytes);
  CHECK(must(h.vault().trash()).size() == trash.size());
  CHECK(h.get_text("/d/file0") == "a second version");
  CHECK(must(h.vault().versions("/d/file0")).size() == 2);
  CHECK(h.get_text("/e/moved") == noise(1, 400'000));
  CHECK(h.get_text("/copy/file4") == noise(4, 400'000));
  using tags = std::vector<std::pair<std::string, std::string>>;
  CHECK(must(h.vault().info("/d/file3")).tags == tags{{"colour", "green"}});
  // What comes next joins on to what was found.
  h.put_text("/after", "x");
  h.reopen();
  CHECK(h.get_text("/after") == "x");
}

TEST_CASE("a removal outlives the catalog once a put or a flush has carried it to the drives", "[rebuild]") {
  house h{3};
  h.put_text("/file", "x");
  must(h.vault().remove("/file"));
  auto found = std::vector<std::string>{};
  SECTION("with a flush") {
    must(h.vault().flush());
  }
  SECTION("with the next put") {
    h.put_text("/other", "y");
    found = {"/other"};
  }
  SECTION("before that it is there again, as docs/library.md says") {
    found = {"/file"};
  }
  h.close();
  h.remove_tree(join_path(h.options.home, "vaults/main/catalog"));
  auto node = must(datamesh::node::open(h.options));
  must(node->rebuild_catalog("main", credential::this_device()));
  node.reset();
  h.open();
  CHECK(h.list() == found);
}

TEST_CASE("a rebuild is refused while the vault is open", "[rebuild]") {
  house h{1};
  h.put_text("/file", "x");
  CHECK(code_of(h.node().rebuild_catalog("main", credential::this_device())) == errc::locked);
  CHECK(h.get_text("/file") == "x");
}

TEST_CASE("stats and status follow what is stored", "[status]") {
  house h{6};
  auto empty = must(h.vault().status());
  CHECK(empty.overall == status_report::answer::safe);
  CHECK(empty.packs == 0);
  CHECK(!empty.last_quick_verify_ns);
  h.put_text("/a", noise(1, mib));
  h.put_text("/b", noise(1, mib));
  auto stats = must(h.vault().stats());
  CHECK(stats.files == 2);
  CHECK(stats.logical_bytes == 2 * mib);
  CHECK(stats.chunk_plain_bytes == mib);
  CHECK(stats.packs == 2);
  CHECK(stats.shard_bytes >= stats.pack_bytes);
  must(h.vault().verify({}));
  auto status = must(h.vault().status());
  CHECK(status.last_quick_verify_ns);
  CHECK(!status.last_deep_verify_ns);
  CHECK(status.margin_min == 2);
  CHECK(status.sentence.find("2 packs") != std::string::npos);
}

} // namespace datamesh::test
