// What a put takes for unchanged and does not read, and what it reads all the same.
#include "tests/actors/node/hooked_files.hpp"
#include "tests/actors/node/house.hpp"
#include "tests/support/manual_clock.hpp"

#include <set>

namespace datamesh::test {

namespace {

using namespace std::chrono_literals;

struct watched_house {
  std::shared_ptr<manual_clock> time = std::make_shared<manual_clock>();
  std::shared_ptr<simulated_files> disk = std::make_shared<simulated_files>(time);
  std::shared_ptr<hooked_files> seen = std::make_shared<hooked_files>(disk);
  house h{3, disk::simulated, with(time, disk)};
  std::multiset<std::string> opened;

  watched_house() {
    watch({});
  }
  static node_options with(std::shared_ptr<manual_clock> time, std::shared_ptr<simulated_files> disk) {
    node_options options;
    options.environment.clock = std::move(time);
    options.environment.files = std::move(disk);
    return options;
  }
  /// Notes what is opened; *meanwhile* is called first.
  void watch(std::function<void(const std::string& name)> meanwhile) {
    seen->set([this, meanwhile](std::string_view call, const std::string& path) -> result<void> {
      if (call != "open_read")
        return {};
      auto name = path.substr(path.rfind('/') + 1);
      if (meanwhile)
        meanwhile(name);
      opened.insert(name);
      return {};
    });
  }
  put_summary put(put_request with = {}) {
    opened.clear();
    with.sources = {{h.path("tree"), "/tree"}};
    with.files = seen;
    return must(h.vault().put(with));
  }
  void settle() {
    time->advance(1h);
  }
  void write_tree() {
    h.write("tree/a", "aaaa");
    h.write("tree/b", noise(1, 300'000));
    h.write("tree/sub/c", "cc");
    h.write("tree/sub/empty", "");
  }
};

using names = std::multiset<std::string>;

} // namespace

TEST_CASE("a tree that did not change is not read again", "[unchanged]") {
  watched_house at;
  at.write_tree();
  at.settle();
  CHECK(at.put().files_unread == 0);
  CHECK(at.opened == names{"a", "b", "c", "empty"});
  auto again = at.put();
  CHECK(at.opened == names{"empty"});
  CHECK(again.files == 4);
  CHECK(again.files_unread == 3);
  CHECK(again.bytes == 300'006);
  CHECK(again.bytes_unread == 300'006);
  CHECK(again.bytes_written == 0);
  CHECK(again.failure_count == 0);
  at.h.reopen();
  CHECK(at.put().files_unread == 3);
  CHECK(must(at.h.vault().versions("/tree/a")).size() == 1);
  CHECK(at.h.get_text("/tree/b") == noise(1, 300'000));
}

TEST_CASE("a file that changed under its old size and time is read", "[unchanged]") {
  watched_house at;
  at.write_tree();
  at.settle();
  at.put();
  at.h.write("tree/a", "AAAA");
  at.settle();
  CHECK(at.put().files_unread == 2);
  CHECK(at.opened == names{"a", "empty"});
  CHECK(at.h.get_text("/tree/a") == "AAAA");
  CHECK(must(at.h.vault().versions("/tree/a")).size() == 2);
  CHECK(at.put().files_unread == 3);
}

TEST_CASE("a file that could change within the same tick is read again", "[unchanged]") {
  watched_house at;
  at.h.write("tree/a", "aaaa");
  at.put();
  at.h.write("tree/a", "AAAA");
  CHECK(at.put().files_unread == 0);
  CHECK(at.h.get_text("/tree/a") == "AAAA");
  at.settle();
  CHECK(at.put().files_unread == 0);
  CHECK(at.put().files_unread == 1);
}

TEST_CASE("another mode makes a new version of a file whose content is the same", "[unchanged]") {
  watched_house at;
  at.write_tree();
  at.settle();
  at.put();
  must(at.disk->set_attributes(at.h.path("tree/a"), 0700, 1'700'000'000'000'000'000));
  at.settle();
  CHECK(at.put().files_unread == 2);
  CHECK(must(at.h.vault().info("/tree/a")).mode == 0700);
}

TEST_CASE("every file is read when contents are to be compared", "[unchanged]") {
  watched_house at;
  at.write_tree();
  at.settle();
  at.put();
  CHECK(at.put({.compare_contents = true}).files_unread == 0);
  CHECK(at.opened.size() == 4);
  CHECK(at.put().files_unread == 3);
}

TEST_CASE("what is not in its place any more is stored again", "[unchanged]") {
  watched_house at;
  at.write_tree();
  at.settle();
  at.put();
  must(at.h.vault().remove("/tree/a"));
  must(at.h.vault().move("/tree/sub", "/else"));
  CHECK(at.put().files_unread == 1);
  CHECK(at.opened == names{"a", "c", "empty"});
  CHECK(at.h.get_text("/tree/a") == "aaaa");
  CHECK(at.h.get_text("/tree/sub/c") == "cc");
}

TEST_CASE("an older version that came back is compared with the file", "[unchanged]") {
  watched_house at;
  at.write_tree();
  at.settle();
  at.put();
  auto first = must(at.h.vault().versions("/tree/a")).front().id;
  at.h.write("tree/a", "AAAA");
  at.settle();
  at.put();
  must(at.h.vault().revert("/tree/a", first));
  CHECK(at.put().files_unread == 2);
  CHECK(at.h.get_text("/tree/a") == "AAAA");
}

TEST_CASE("what goes while a put is at it is read after all", "[unchanged]") {
  watched_house at;
  at.write_tree();
  at.settle();
  at.put();
  at.h.write("tree/b", "b");
  at.settle();
  // The reader has passed `a` when it opens `b`; the put hears of both together.
  at.watch([&](const std::string& name) {
    if (name == "b")
      must(at.h.vault().remove("/tree/a"));
  });
  CHECK(at.put().files_unread == 1);
  CHECK(at.opened == names{"a", "b", "empty"});
  CHECK(at.h.get_text("/tree/a") == "aaaa");
  CHECK(at.h.get_text("/tree/b") == "b");
}

TEST_CASE("a taken name is refused or numbered for an unchanged file, too", "[unchanged]") {
  watched_house at;
  at.write_tree();
  at.settle();
  at.put();
  CHECK(at.put({.conflict = if_exists::fail}).failure_count == 4);
  CHECK(at.put({.conflict = if_exists::rename}).files_unread == 0);
  CHECK(at.h.get_text("/tree/a (2)") == "aaaa");
}

TEST_CASE("a dry run reads no more than the put will, and nothing is remembered of it", "[unchanged]") {
  watched_house at;
  at.write_tree();
  at.settle();
  CHECK(at.put({.dry_run = true}).files_unread == 0);
  CHECK(at.put().files_unread == 0);
  CHECK(at.put({.dry_run = true}).files_unread == 3);
  CHECK(at.put().files_unread == 3);
}

TEST_CASE("a file whose data is gone is read and stored again", "[unchanged]") {
  watched_house at;
  at.write_tree();
  at.settle();
  at.put();
  for (size_t drive = 1; drive <= 3; ++drive)
    for (const auto& shard : at.h.files_below(join_path(at.h.drive(drive), "shards")))
      must(at.disk->remove(shard));
  CHECK(must(at.h.vault().verify({.repair = true})).packs_lost > 0);
  at.h.reopen();
  auto stored = at.put();
  CHECK(stored.files_unread == 0);
  CHECK(stored.bytes_new_plain == 300'006);
  CHECK(at.h.get_text("/tree/b") == noise(1, 300'000));
}

TEST_CASE("what lies on drives that are away is stored anew, and known again when they are back", "[unchanged]") {
  watched_house at;
  at.write_tree();
  at.settle();
  at.put();
  at.h.close();
  for (size_t drive = 1; drive <= 2; ++drive)
    must(at.disk->rename(at.h.drive(drive), at.h.path("away" + std::to_string(drive))));
  at.h.open();
  must(at.h.vault().verify({}));
  at.settle();
  auto stored = at.put({.policy = "1+0"});
  CHECK(stored.files_unread == 0);
  CHECK(stored.bytes_new_plain == 300'006);
  CHECK(at.h.get_text("/tree/b") == noise(1, 300'000));
  at.h.close();
  for (size_t drive = 1; drive <= 2; ++drive)
    must(at.disk->rename(at.h.path("away" + std::to_string(drive)), at.h.drive(drive)));
  at.h.open();
  CHECK(at.put().files_unread == 3);
  CHECK(at.put({.compare_contents = true}).bytes_written == 0);
}

TEST_CASE("a cleanup passes over packs that can not be read, and frees the rest", "[unchanged]") {
  watched_house at;
  at.h.write("tree/lost", noise(2, 300'000));
  at.settle();
  at.put();
  for (size_t drive = 1; drive <= 3; ++drive)
    for (const auto& shard : at.h.files_below(join_path(at.h.drive(drive), "shards")))
      must(at.disk->remove(shard));
  at.h.put_text("/kept", noise(3, 100'000));
  at.h.put_text("/gone", noise(4, 400'000));
  must(at.h.vault().remove("/gone"));
  auto freed = must(at.h.vault().cleanup({.trash_age = std::chrono::seconds{0}}));
  CHECK(freed.bytes_freed > 400'000);
  CHECK(at.h.get_text("/kept") == noise(3, 100'000));
  CHECK(must(at.h.vault().verify({.repair = true})).packs_lost > 0);
  CHECK(at.put().bytes_new_plain == 300'000);
  must(at.h.vault().cleanup({}));
  CHECK(at.h.get_text("/tree/lost") == noise(2, 300'000));
}

} // namespace datamesh::test
