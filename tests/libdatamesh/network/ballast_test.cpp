#include "network/ballast.hpp"

#include "tests/libdatamesh/network/guest_fixture.hpp"

#include <catch2/catch.hpp>

using namespace datamesh;
using namespace datamesh::network;
using namespace datamesh::test;

namespace {

constexpr uint64_t mebi = 1ull << 20;
constexpr uint64_t reserve = 64 * mebi;
constexpr uint64_t shard = 4 * mebi;

/// Takes the call and allocates nothing, as files of some file systems do.
class forgetful_file : public writable_file {
public:
  explicit forgetful_file(std::unique_ptr<writable_file> inner) : inner_(std::move(inner)) {}
  result<void> write_at(uint64_t offset, std::span<const byte_view> parts) override {
    return inner_->write_at(offset, parts);
  }
  result<void> allocate(uint64_t) override {
    return {};
  }
  result<void> resize(uint64_t size) override {
    return inner_->resize(size);
  }
  result<void> sync() override {
    return inner_->sync();
  }
  result<void> set_attributes(uint32_t mode, int64_t modified_ns) override {
    return inner_->set_attributes(mode, modified_ns);
  }
  result<void> link_as(const std::string& path) override {
    return inner_->link_as(path);
  }
  result<file_status> lock() override {
    return inner_->lock();
  }

private:
  std::unique_ptr<writable_file> inner_;
};

/// Such a ballast, and files of others that are as they should be.
struct forgetful_files : simulated_files {
  result<std::unique_ptr<writable_file>> create(const std::string& path, uint32_t mode) override {
    auto made = simulated_files::create(path, mode);
    if (made && path.ends_with("/ballast"))
      return std::make_unique<forgetful_file>(std::move(*made));
    return made;
  }
};

/// Of what is free, so much is for root alone.
struct files_with_debt : simulated_files {
  result<disk_space> space(const std::string& path) override {
    auto found = simulated_files::space(path);
    if (found)
      found->available -= std::min(found->available, debt);
    return found;
  }
  uint64_t debt = 0;
};

/// Drives on one disk of 1 GiB, that keep 64 MiB of it for themselves.
struct ballast_test {
  explicit ballast_test(size_t drives = 1, std::shared_ptr<simulated_files> on = std::make_shared<simulated_files>())
      : disk(std::move(on)), count(drives) {
    disk->set_capacity(1024 * mebi);
    for (size_t i = 0; i < drives; ++i)
      REQUIRE(disk->make_folder(folder(i)));
    disk->sync_all();
    open();
  }

  static std::string folder(size_t drive) {
    return "/drive" + std::to_string(drive);
  }
  static std::string file(size_t drive = 0) {
    return folder(drive) + "/ballast";
  }
  void open() {
    environment env;
    env.files = disk;
    env.clock = std::make_shared<manual_clock>();
    held = std::make_unique<ballast>(env, ballast_options{capacity, reserve, 0, [this](const std::string& to) {
                                                            return to != closed;
                                                          }});
    for (size_t i = 0; i < count; ++i)
      held->add(folder(i));
  }
  void set_aside(uint64_t bytes) {
    capacity = bytes;
    held->set_capacity(bytes);
    REQUIRE(held->settle(used));
  }
  [[nodiscard]] uint64_t available() const {
    return disk->space("/").value().available;
  }
  /// A file of somebody else, which nothing is left beside but *rest*.
  void fill(uint64_t rest = 0) {
    auto name = "/filler" + std::to_string(++fillers);
    auto more = disk->create(name).value();
    auto free = available();
    REQUIRE(free >= rest);
    REQUIRE(more->allocate(free - rest));
  }
  /// As whoever stores a shard does.
  errc store(uint64_t size = shard) {
    auto way = held->make_way(0, size, used);
    if (!way)
      return way.error().code();
    auto kept = disk->create("/drive0/shard" + std::to_string(used)).value();
    if (auto written = kept->allocate(size); !written)
      return written.error().code();
    used += size;
    return {};
  }

  std::shared_ptr<simulated_files> disk;
  size_t count;
  uint64_t capacity = 0;
  uint64_t used = 0;
  size_t fillers = 0;
  std::string closed;
  std::unique_ptr<ballast> held;
};

} // namespace

TEST_CASE("what is set aside is not free for anybody else, until it is taken back", "[ballast]") {
  ballast_test test;
  CHECK_FALSE(test.disk->status(test.file()));
  test.set_aside(256 * mebi);
  CHECK(test.held->held_for(0) == 256 * mebi);
  CHECK(test.held->lacking(0) == 0);
  CHECK(test.available() <= 768 * mebi);
  CHECK(test.available() + test.held->held() == 1024 * mebi);
  CHECK(test.held->held_in(test.folder(0)) == test.held->held());
  CHECK(test.held->held_in("/elsewhere") == 0);
  test.set_aside(128 * mebi);
  CHECK(test.held->held_for(0) == 128 * mebi);
  CHECK(test.available() >= 1024 * mebi - 256 * mebi);
  test.set_aside(0);
  CHECK(test.held->held() == 0);
  CHECK(test.available() == 1024 * mebi);
  CHECK_FALSE(test.disk->status(test.file()));
}

TEST_CASE("all that was promised is stored on a disk that somebody else filled, and nothing beyond", "[ballast]") {
  ballast_test test;
  test.set_aside(256 * mebi);
  auto settled = GENERATE(true, false);
  test.fill();
  while (test.used < test.capacity) {
    CAPTURE(test.used);
    REQUIRE(test.store() == errc{});
    if (settled)
      REQUIRE(test.held->settle(test.used));
  }
  CHECK(test.store() == errc::drive_full);
  CHECK(test.held->settle(test.used));
  CHECK(test.held->held() == 0);
}

TEST_CASE("where root took what is kept for root, that is made up for, and then shards are stored", "[ballast]") {
  auto disk = std::make_shared<files_with_debt>();
  ballast_test test{1, disk};
  test.set_aside(256 * mebi);
  test.fill();
  disk->debt = 100 * mebi;
  while (test.store() == errc{})
    REQUIRE(test.used < test.capacity);
  CHECK(test.used > 150 * mebi);
  CHECK(test.used < 190 * mebi);
}

TEST_CASE("on a disk with room shards take that, and what is held follows in steps", "[ballast]") {
  ballast_test test;
  test.set_aside(256 * mebi);
  auto before = test.held->held();
  while (test.used < ballast_step - 2 * shard) {
    REQUIRE(test.store() == errc{});
    REQUIRE(test.held->settle(test.used));
    CHECK(test.held->held() == before);
  }
  while (test.held->held() == before) {
    REQUIRE(test.used < 2 * ballast_step);
    REQUIRE(test.store() == errc{});
    REQUIRE(test.held->settle(test.used));
  }
  CHECK(test.held->held_for(test.used) == test.capacity - test.used);
}

TEST_CASE("what is held leaves a drive its reserve, and the rest is told and taken when there is room", "[ballast]") {
  ballast_test test;
  test.fill(reserve + 100 * mebi);
  test.set_aside(256 * mebi);
  CHECK(test.held->held() == 100 * mebi);
  CHECK(test.held->lacking(0) == 156 * mebi);
  CHECK(test.available() == reserve);
  REQUIRE(test.disk->remove("/filler1"));
  REQUIRE(test.held->settle(0));
  CHECK(test.held->lacking(0) == 0);
}

TEST_CASE("a shard that was not promised leaves a drive its reserve", "[ballast]") {
  ballast_test test;
  test.fill(reserve + shard);
  CHECK(test.store(shard + 1) == errc::drive_full);
  CHECK(test.store() == errc{});
  CHECK(test.available() == reserve);
  test.set_aside(shard);
  CHECK(test.store(1) == errc::drive_full);
}

TEST_CASE("the last of what was promised takes half of the reserve where nothing is held, and no more", "[ballast]") {
  auto disk = std::make_shared<forgetful_files>();
  ballast_test test{1, disk};
  test.fill(reserve);
  test.set_aside(256 * mebi);
  while (test.store() == errc{})
    REQUIRE(test.used < reserve);
  CHECK(test.used > 0);
  CHECK(test.available() >= reserve / 2);
  CHECK(test.available() < reserve / 2 + 2 * shard);
}

TEST_CASE("on a full disk there is room for rows, of what is held beyond the promise", "[ballast]") {
  ballast_test test;
  test.set_aside(256 * mebi);
  test.fill();
  REQUIRE(test.held->settle(0));
  CHECK(test.available() >= rows_room);
  CHECK(test.held->lacking(0) == 0);
  // Who goes on filling gets no more than that.
  for (int i = 0; i < 4; ++i) {
    test.fill();
    REQUIRE(test.held->settle(0));
  }
  CHECK(test.held->lacking(0) == 0);
  CHECK(test.available() < rows_room);
  // Whoever deletes something writes first.
  test.held->make_way_for_rows(0);
  CHECK(test.available() >= rows_room);
  CHECK(test.held->lacking(0) > 0);
}

TEST_CASE("where a file system allocates nothing, nothing is held, and what lacks is told", "[ballast]") {
  ballast_test test{1, std::make_shared<forgetful_files>()};
  test.set_aside(256 * mebi);
  CHECK(test.held->held() == 0);
  CHECK(test.held->lacking(0) == 256 * mebi);
  CHECK_FALSE(test.disk->status(test.file()));
  auto calls = test.disk->calls();
  CHECK(test.held->settle(0));
  CHECK(test.disk->calls() == calls);
  CHECK(test.store() == errc{});
}

TEST_CASE("what a drive holds to which nothing goes is held by the others", "[ballast]") {
  ballast_test test{2};
  test.set_aside(256 * mebi);
  CHECK(test.held->lacking(0) == 0);
  CHECK(test.held->held_in(test.folder(0)) > 0);
  CHECK(test.held->held_in(test.folder(1)) > 0);
  test.closed = test.folder(0);
  REQUIRE(test.held->settle(0));
  CHECK(test.held->held_in(test.folder(0)) == 0);
  CHECK(test.held->lacking(0) == 0);
  test.closed = test.folder(1);
  REQUIRE(test.held->settle(0));
  CHECK(test.held->held_in(test.folder(1)) == 0);
  CHECK(test.held->lacking(0) == 0);
}

TEST_CASE("drives on one disk hold together what that has, and no more", "[ballast]") {
  ballast_test test{3};
  test.set_aside(2000 * mebi);
  CHECK(test.available() >= reserve);
  CHECK(test.available() < reserve + mebi);
  CHECK(test.held->lacking(0) == 2000 * mebi - test.held->held());
}

TEST_CASE("what an earlier process held is found, and what was lost with the power is taken again", "[ballast]") {
  ballast_test test;
  test.set_aside(256 * mebi);
  auto before = test.held->held();
  test.open();
  CHECK(test.held->held() == before);
  test.capacity = 0;
  test.open();
  REQUIRE(test.held->settle(0));
  CHECK(test.available() == 1024 * mebi);
  test.set_aside(256 * mebi);
  test.disk->crash(GENERATE(1, 2, 3, 4));
  test.open();
  REQUIRE(test.held->settle(0));
  CHECK(test.held->lacking(0) == 0);
  CHECK(test.available() + test.held->held() == 1024 * mebi);
}

TEST_CASE("a call that fails leaves what is held as it is told, and the next look mends it", "[ballast]") {
  auto code = GENERATE(as<errc>{}, errc::no_space, errc::io_failed, errc::read_only);
  ballast_test test;
  // To make the file, to make it longer, to allocate.
  auto n = GENERATE(as<uint64_t>{}, 1, 2, 3);
  CAPTURE(int(code), n);
  test.disk->fail_call(n, code);
  test.set_aside(256 * mebi);
  CHECK(test.held->held() == 0);
  CHECK(test.available() == 1024 * mebi);
  REQUIRE(test.held->settle(0));
  CHECK(test.held->lacking(0) == 0);
  test.fill(reserve);
  auto before = test.held->held();
  test.disk->fail_call(1, code);
  CHECK(refusal(test.held->make_way(0, shard, 0)) == errc{}); // Of the reserve, this once.
  CHECK(test.held->held() == before);
  CHECK(refusal(test.held->make_way(0, shard, 0)) == errc{});
  CHECK(test.held->held() == before - shard);
}

TEST_CASE("a drive that is gone holds nothing, and one that is read-only lets nothing go", "[ballast]") {
  ballast_test test{2};
  test.set_aside(256 * mebi);
  auto other = test.held->held_in(test.folder(1));
  test.disk->end_drive(1, test.folder(1), drive_end::read_only);
  test.set_aside(0);
  CHECK(test.held->held_in(test.folder(0)) == 0);
  CHECK(test.held->held_in(test.folder(1)) == other);
  test.disk->plug_in(test.folder(1));
  REQUIRE(test.held->settle(0));
  CHECK(test.held->held() == 0);
  test.disk->unplug(test.folder(1));
  test.set_aside(256 * mebi);
  CHECK(test.held->held_in(test.folder(0)) > 256 * mebi);
  CHECK(test.held->held_in(test.folder(1)) == 0);
}
