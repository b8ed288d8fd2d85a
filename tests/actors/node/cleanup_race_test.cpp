// What is brought back while a cleanup is about to forget it.
#include "tests/actors/node/hooked_files.hpp"
#include "tests/actors/node/house.hpp"
#include "tests/support/simulated_files.hpp"

#include <future>

namespace datamesh::test {

namespace {

constexpr size_t mib = 1 << 20;

/// A house in which something is done as soon as the catalog is written next: when a cleanup
/// has planned, and the first of what it forgets is not forgotten yet.
struct watched_house {
  std::shared_ptr<hooked_files> hooks = std::make_shared<hooked_files>(std::make_shared<simulated_files>());
  // Before the house: it outlives whatever the house does while it closes.
  std::future<errc> outcome;
  house h{3, disk::simulated, with(hooks)};

  static node_options with(std::shared_ptr<hooked_files> files) {
    node_options options;
    options.environment.files = std::move(files);
    return options;
  }

  /// *change* waits for its turn, or answers at once.
  void at_next_write(std::function<errc()> change) {
    hooks->set([this, change = std::move(change), folder = h.path("home/vaults/main/catalog"),
                done = false](std::string_view call, const std::string& path) mutable -> result<void> {
      if (call != "write" || !path.starts_with(folder) || std::exchange(done, true))
        return {};
      outcome = std::async(std::launch::async, change);
      // One that is refused needs nothing of the catalog's writer, which waits here.
      (void) outcome.wait_for(std::chrono::seconds{2});
      return {};
    });
  }
};

} // namespace

TEST_CASE("what a cleanup is about to forget is brought back from the trash whole or not at all", "[cleanup]") {
  watched_house watched;
  auto& h = watched.h;
  auto text = noise(1, mib);
  h.put_text("/file", text);
  h.put_text("/other", noise(2, mib));
  must(h.vault().remove("/file"));
  auto node = must(h.vault().trash()).at(0).first.node;
  watched.at_next_write([&] { return code_of(h.vault().restore_from_trash(node, "/back")); });
  auto cleaned = must(h.vault().cleanup({.trash_age = std::chrono::seconds{0}}));
  REQUIRE(watched.outcome.valid());
  CHECK(cleaned.nodes_forgotten == 1);
  CHECK(watched.outcome.get() == errc::not_found);
  CHECK(h.list() == std::vector<std::string>{"/other"});
  // What a cleanup left may be brought back after it.
  h.put_text("/file", text);
  must(h.vault().remove("/file"));
  must(h.vault().cleanup({}));
  must(h.vault().restore_from_trash(must(h.vault().trash()).at(0).first.node, "/back"));
  CHECK(h.get_text("/back") == text);
}

TEST_CASE("a version that a cleanup is about to forget is brought back whole or not at all", "[cleanup]") {
  watched_house watched;
  auto& h = watched.h;
  for (uint64_t i = 1; i <= 4; ++i)
    h.put_text("/file", noise(i, mib));
  auto oldest = must(h.vault().versions("/file")).back().id;
  watched.at_next_write([&] { return code_of(h.vault().revert("/file", oldest)); });
  auto cleaned = must(h.vault().cleanup({.keep_versions = 1}));
  REQUIRE(watched.outcome.valid());
  CHECK(cleaned.versions_forgotten > 0);
  CHECK(watched.outcome.get() == errc::not_found);
  CHECK(h.get_text("/file") == noise(4, mib));
  CHECK(must(h.vault().verify({.deep = true})).files_lost.empty());
}

} // namespace datamesh::test
