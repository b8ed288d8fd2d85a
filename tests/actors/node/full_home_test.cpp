// A node whose home lies on a disk that is full or read-only is read, and written again
// when the disk takes writes.
#include "tests/actors/node/hooked_files.hpp"
#include "tests/actors/node/house.hpp"
#include "tests/libdatamesh/base/rocksdb_on_files.hpp"
#include "tests/support/seeded_random.hpp"
#include "tests/support/simulated_files.hpp"

namespace datamesh::test {

namespace {

struct home_disk {
  std::shared_ptr<simulated_files> disk = std::make_shared<simulated_files>();
  std::shared_ptr<hooked_files> hooks = std::make_shared<hooked_files>(disk);

  [[nodiscard]] node_options options(bool rocksdb) const {
    node_options with;
    with.environment.files = hooks;
    if (rocksdb)
      with.environment.stores = rocksdb_stores_over(disk, std::make_shared<seeded_random>(1));
    return with;
  }
  void end(const std::string& home, drive_end how) const {
    disk->end_drive(1, home, how);
    (void) disk->make_folder(join_path(home, "ended"));
  }
};

errc refusal_of(drive_end how) {
  return how == drive_end::full ? errc::no_space : errc::read_only;
}

void check_read(house& h) {
  CHECK(h.get_text("/a") == noise(1, 5000));
  CHECK(h.list() == std::vector<std::string>{"/a"});
  CHECK(must(h.vault().status()).packs == 1);
  CHECK(must(h.vault().stats()).files == 1);
  CHECK(must(h.vault().verify({.deep = true})).packs == 1);
}

/// Opened again while it is open, as each command does through the daemon.
void check_written(house& h) {
  (void) must(h.node().open_vault("main", credential::this_device()));
  // What was refused may have come to the drives, as after a crash; nothing is there twice.
  CHECK(code_of(put_text(h.vault(), "/b", noise(2, 5000))) == errc{});
  must(h.vault().make_folder("/c"));
  h.reopen();
  CHECK(h.get_text("/a") == noise(1, 5000));
  CHECK(h.get_text("/b") == noise(2, 5000));
  CHECK(h.list() == std::vector<std::string>{"/a", "/b", "/c"});
}

} // namespace

TEST_CASE("an opened vault whose home runs full is read, and written when there is room again", "[home]") {
  auto rocksdb = GENERATE(false, true);
  auto how = GENERATE(drive_end::full, drive_end::read_only);
  CAPTURE(rocksdb, to_string(how));
  home_disk room;
  house h{3, disk::simulated, room.options(rocksdb)};
  h.put_text("/a", noise(1, 5000));
  room.end(h.options.home, how);
  // The log of the store may have some room left.
  auto refused = code_of(h.vault().set_tag("/a", "key", std::string(1000, 'x')));
  for (int round = 0; round < 1000 && refused == errc{}; ++round)
    refused = code_of(h.vault().set_tag("/a", "key", std::string(1000, 'x')));
  CHECK(refused == refusal_of(how));
  CHECK(code_of(put_text(h.vault(), "/b", noise(2, 5000))) == refusal_of(how));
  CHECK(code_of(h.vault().make_folder("/c")) == refusal_of(how));
  check_read(h);
  room.disk->plug_in(h.options.home);
  check_written(h);
}

TEST_CASE("a vault whose home is full or read-only opens, and is written when it can be", "[home]") {
  auto rocksdb = GENERATE(false, true);
  auto how = GENERATE(drive_end::full, drive_end::read_only);
  auto crashed = GENERATE(false, true);
  CAPTURE(rocksdb, to_string(how), crashed);
  home_disk room;
  house h{3, disk::simulated, room.options(rocksdb)};
  h.put_text("/a", noise(1, 5000));
  // The process ends with the power: what the node still did would mix with what survived.
  if (crashed)
    room.disk->crash_after(1);
  h.close();
  if (crashed)
    room.disk->crash(1);
  room.end(h.options.home, how);
  h.open();
  check_read(h);
  CHECK(code_of(put_text(h.vault(), "/b", noise(2, 5000))) == refusal_of(how));
  CHECK(code_of(h.vault().make_folder("/c")) == refusal_of(how));
  CHECK(code_of(h.vault().rotate_epoch()) == refusal_of(how));
  check_read(h);
  room.disk->plug_in(h.options.home);
  check_written(h);
}

TEST_CASE("a home that could not be locked is not written, though it become writable", "[home]") {
  home_disk room;
  house h{3, disk::simulated, room.options(false)};
  h.put_text("/a", noise(1, 5000));
  h.close();
  room.end(h.options.home, drive_end::read_only);
  auto lock = join_path(h.options.home, "lock");
  room.hooks->set([lock](std::string_view call, const std::string& path) -> result<void> {
    if (call == "lock" && path == lock)
      return fail(errc::read_only, "lock", path);
    return {};
  });
  h.open();
  check_read(h);
  room.disk->plug_in(h.options.home);
  room.hooks->set({});
  auto rotated = h.vault().rotate_epoch();
  REQUIRE_FALSE(rotated);
  CHECK(rotated.error().code() == errc::read_only);
  CHECK(rotated.error().message().find(h.options.home) != std::string::npos);
  h.reopen();
  CHECK(code_of(h.vault().rotate_epoch()) == errc{});
  check_written(h);
}

} // namespace datamesh::test
