// Vaults that trust the device are looked after without being asked, and the schedule
// outlives the process.
#include "health/scrubber.hpp"
#include "tests/actors/node/house.hpp"
#include "tests/support/manual_clock.hpp"

namespace datamesh::test {

namespace {

constexpr auto day = std::chrono::hours{24};

struct care {
  std::shared_ptr<manual_clock> clock = std::make_shared<manual_clock>();
  house h;

  care() : h(3, disk::simulated, with_clock(clock)) {}

  static node_options with_clock(std::shared_ptr<manual_clock> clock) {
    node_options options;
    options.environment.clock = std::move(clock);
    return options;
  }
  /// Removes one drive's shards that are files. How many there were.
  size_t lose_shards(size_t drive) {
    auto paths = h.files_below(join_path(h.drive(drive), "shards"));
    for (const auto& path : paths)
      must(h.files().remove(path));
    return paths.size();
  }
};

} // namespace

TEST_CASE("the first round is due at once, the next when its time has come", "[scrubber]") {
  care c;
  c.h.put_text("/file", noise(1, 1 << 20));
  health::scrubber scrubber{c.h.node(), c.h.options.environment};
  CHECK(scrubber.tick() > 0);
  auto status = must(c.h.vault().status());
  auto now = c.clock->wall().time_since_epoch().count();
  CHECK(status.last_quick_verify_ns == now);
  CHECK(scrubber.tick() == 0);
  c.clock->advance(day - std::chrono::nanoseconds{1});
  CHECK(scrubber.tick() == 0);
  c.clock->advance(std::chrono::nanoseconds{1});
  CHECK(scrubber.tick() == 1);
  CHECK(must(c.h.vault().status()).last_quick_verify_ns == c.clock->wall().time_since_epoch().count());
}

TEST_CASE("what is missing is mended without being asked", "[scrubber]") {
  care c;
  c.h.put_text("/file", noise(2, 3 << 20));
  REQUIRE(c.lose_shards(1) > 0);
  REQUIRE(must(c.h.vault().verify({})).shards_missing > 0);
  health::scrubber scrubber{c.h.node(), c.h.options.environment};
  c.clock->advance(day);
  CHECK(scrubber.tick() > 0);
  CHECK(must(c.h.vault().verify({})).shards_missing == 0);
}

TEST_CASE("a flipped bit is found within the round, and mended", "[scrubber]") {
  care c;
  c.h.put_text("/file", noise(3, 3 << 20));
  auto& disk = dynamic_cast<simulated_files&>(c.h.files());
  auto shards = c.h.files_below(join_path(c.h.drive(1), "shards"));
  REQUIRE(!shards.empty());
  must(disk.flip_bit(shards[0], 8 * 100'000));
  REQUIRE(must(c.h.vault().verify({.deep = true})).shards_damaged == 1);
  health::scrubber scrubber{c.h.node(), c.h.options.environment};
  for (int i = 0; i < 30; ++i) {
    c.clock->advance(day);
    scrubber.tick();
  }
  CHECK(must(c.h.vault().verify({.deep = true})).shards_damaged == 0);
}

TEST_CASE("every block is looked at within thirty days, in parts, over restarts", "[scrubber]") {
  care c;
  for (uint64_t i = 0; i < 40; ++i)
    c.h.put_text("/file" + std::to_string(i), noise(100 + i, 3000));
  auto packs = must(c.h.vault().stats()).packs;
  REQUIRE(packs >= 30);
  auto read_all = [&] {
    return must(c.h.vault().status()).last_deep_verify_ns.has_value();
  };
  int days = 0;
  size_t parts = 0;
  while (!read_all()) {
    REQUIRE(days++ < 30);
    c.h.reopen();
    health::scrubber scrubber{c.h.node(), c.h.options.environment};
    parts += scrubber.tick();
    c.clock->advance(day);
  }
  // Not all at once: on most days a quick look and a part.
  CHECK(days > 20);
  CHECK(parts > 40);
}

TEST_CASE("a vault that does not trust the device is left alone", "[scrubber]") {
  care c;
  for (const auto& lock : must(c.h.vault().key_locks()))
    if (lock.kind == "device") {
      must(c.h.vault().change_password(credential::password("ours")));
      must(c.h.vault().remove_key_lock(lock.number));
    }
  c.h.put_text("/file", "kept");
  health::scrubber scrubber{c.h.node(), c.h.options.environment};
  CHECK(scrubber.tick() == 0);
  CHECK_FALSE(must(c.h.vault().status()).last_quick_verify_ns);
}

TEST_CASE("a vault that somebody wants alone is let go until they are done", "[scrubber]") {
  care c;
  c.h.put_text("/file", "kept");
  must(c.h.node().create_vault({.name = "second", .trust_this_device = true}));
  health::scrubber scrubber{c.h.node(), c.h.options.environment};
  CHECK(scrubber.tick() > 0);
  CHECK(code_of(c.h.node().destroy_vault("second")) == errc::locked);
  {
    auto lease = scrubber.release("second");
    c.clock->advance(day);
    CHECK(scrubber.tick() > 0);
    must(c.h.node().destroy_vault("second"));
  }
  must(c.h.node().create_vault({.name = "second", .trust_this_device = true}));
  CHECK(scrubber.tick() > 0);
  scrubber.stop();
  must(c.h.node().destroy_vault("second"));
}

TEST_CASE("a state that is damaged begins the round anew", "[scrubber]") {
  care c;
  c.h.put_text("/file", "kept");
  auto state = join_path(c.h.node().home(), "vaults/main/scrub");
  health::scrubber scrubber{c.h.node(), c.h.options.environment};
  CHECK(scrubber.tick() == 2);
  CHECK(scrubber.tick() == 0);
  must(write_whole(c.h.files(), state, as_view("not a state")));
  CHECK(scrubber.tick() == 1);
  CHECK(scrubber.tick() == 0);
}

} // namespace datamesh::test
