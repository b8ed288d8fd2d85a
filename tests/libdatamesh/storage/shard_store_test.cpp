#include "storage/shard_store.hpp"

#include "base/simple_store.hpp"
#include "storage/drive_marker.hpp"
#include "storage/shard_index.hpp"
#include "tests/libdatamesh/base/rocksdb_on_files.hpp"
#include "tests/libdatamesh/storage/pack_maker.hpp"
#include "tests/libdatamesh/storage/seed.hpp"
#include "tests/support/manual_clock.hpp"
#include "tests/support/simulated_files.hpp"

#include <catch2/catch.hpp>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <thread>

using namespace datamesh;
using namespace datamesh::storage;
using test::key_of;
using test::keys_of;
using test::make_pack;

namespace {

constexpr geometry in_files{4, 2, 3 * block_size + 4096};
constexpr geometry in_index{2, 1, 5056};
constexpr int64_t second_ns = 1'000'000'000;

/// A folder on the machine's disk, gone at the end.
class scratch_folder {
public:
  scratch_folder() {
    auto pattern = (std::filesystem::temp_directory_path() / "datamesh-drive-XXXXXX").string();
    REQUIRE(::mkdtemp(pattern.data()) != nullptr);
    path_ = pattern;
  }
  scratch_folder(const scratch_folder&) = delete;
  ~scratch_folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  [[nodiscard]] const std::string& path() const {
    return path_;
  }

private:
  std::string path_;
};

/// A drive on a simulated disk.
struct drive_room {
  uint64_t seed = test::seed();
  test::seeded_random random{seed};
  std::shared_ptr<test::manual_clock> clock = std::make_shared<test::manual_clock>();
  std::shared_ptr<test::simulated_files> disk = std::make_shared<test::simulated_files>(clock);
  environment env;
  std::string folder = "/mnt/drive";

  drive_room() {
    REQUIRE(disk->make_folder("/mnt"));
    REQUIRE(disk->sync_folder("/"));
    env.clock = clock;
    env.random = std::make_shared<test::seeded_random>(seed + 1);
    use(disk);
  }
  void use(std::shared_ptr<test::simulated_files> other) {
    disk = std::move(other);
    env.files = disk;
    env.stores = simple_stores(disk, env.random);
  }
  std::unique_ptr<shard_store> open(uint64_t reserve_bytes = 0) {
    shard_store_options options;
    options.folder = folder;
    options.reserve_bytes = reserve_bytes;
    options.reserve_ratio = 0;
    auto opened = shard_store::open(env, options);
    if (!opened)
      FAIL(opened.error().message());
    return std::move(*opened);
  }
  std::unique_ptr<shard_store> format_and_open() {
    auto formatted = shard_store::format(env, folder);
    if (!formatted)
      FAIL(formatted.error().message());
    return open();
  }
  errc open_error() {
    shard_store_options options;
    options.folder = folder;
    auto opened = shard_store::open(env, options);
    REQUIRE(!opened);
    return opened.error().code();
  }
  void write_file(const std::string& path, std::string_view text) {
    REQUIRE(write_whole(*env.files, path, as_view(text)));
  }
  void flip(const shard_key& key, uint64_t offset) {
    REQUIRE(disk->flip_bit(shard_path(folder, key), 8 * offset + 4));
  }
  void set_age(const std::string& path, int64_t age_ns) {
    REQUIRE(disk->set_attributes(path, 0600, clock->wall().time_since_epoch().count() - age_ns));
  }
  [[nodiscard]] bool exists(const std::string& path) const {
    return disk->status(path).has_value();
  }
  /// Every name below the drive's folder.
  [[nodiscard]] std::vector<std::string> names() const {
    return names_below(folder);
  }
  [[nodiscard]] size_t file_count() const {
    return names_below(shards_path(folder)).size() - shard_folder_count;
  }

private:
  [[nodiscard]] std::vector<std::string> names_below(const std::string& path) const {
    std::vector<std::string> found;
    auto entries = disk->list(path).value();
    for (const auto& entry : entries) {
      found.push_back(join_path(path, entry.name));
      if (entry.kind == file_kind::folder)
        std::ranges::move(names_below(join_path(path, entry.name)), std::back_inserter(found));
    }
    return found;
  }
};

template <class T>
errc code_of(const result<T>& outcome) {
  REQUIRE(!outcome);
  INFO(outcome.error().message());
  return outcome.error().code();
}

void check_whole(const shard_store& drive, const shard_write& write) {
  auto key = key_of(write);
  auto length = write.header.pack.shape.shard_length;
  auto header = drive.read_header(key);
  REQUIRE(header);
  CHECK(header->pack.id == key.pack);
  CHECK(header->pack.shard_roots == write.header.pack.shard_roots);
  CHECK(header->block_hashes == write.header.block_hashes);
  std::vector<std::byte> body(length);
  REQUIRE(drive.read_checked(*header, 0, body));
  CHECK(std::equal(body.begin(), body.end(), write.body.data()));
  CHECK(drive.check_quick(key));
  CHECK(drive.check_deep(key));
}

} // namespace

TEST_CASE("format makes a drive of a folder, once", "[shard_store]") {
  drive_room room;
  CHECK(code_of(shard_store::identify(*room.env.files, room.folder)) == errc::drive_missing);
  auto id = shard_store::format(room.env, room.folder);
  REQUIRE(id);
  CHECK(!id->is_zero());
  CHECK(*shard_store::identify(*room.env.files, room.folder) == *id);
  CHECK(code_of(shard_store::format(room.env, room.folder)) == errc::already_exists);
  auto drive = room.open();
  CHECK(drive->id() == *id);
  CHECK(drive->folder() == room.folder);
  CHECK(drive->state() == drive_state::ok);
  CHECK(drive->usage()->shard_count == 0);
}

TEST_CASE("a folder that is no drive is told from one of a later version", "[shard_store]") {
  drive_room room;
  REQUIRE(room.disk->make_folder(room.folder));
  CHECK(code_of(shard_store::identify(*room.env.files, room.folder)) == errc::drive_alien);
  CHECK(room.open_error() == errc::drive_alien);
  std::string id(32, 'a');
  struct {
    std::string text;
    errc code;
  } markers[] = {
      {"", errc::drive_alien},
      {"datamesh", errc::drive_alien},
      {"datamesh drive ", errc::drive_alien},
      {"datamesh drive 1", errc::drive_alien},
      {"datamesh drive 0\nid " + id + "\n", errc::drive_alien},
      {"datamesh drive -1\nid " + id + "\n", errc::drive_alien},
      {"datamesh drive 1\nid " + id, errc::drive_alien},
      {"datamesh drive 1\nid " + id.substr(1) + "\n", errc::drive_alien},
      {"datamesh drive 1\nid " + id.substr(1) + "g\n", errc::drive_alien},
      {"datamesh drive 1\nid " + std::string(32, '0') + "\n", errc::drive_alien},
      {"datamesh drive 1\nid " + id + "\nmore\n", errc::drive_alien},
      {std::string(5000, 'x'), errc::drive_alien},
      {"datamesh drive 2\nid " + id + "\n", errc::format_newer},
      {"datamesh drive 99999999999999999999\n", errc::format_newer},
  };
  for (const auto& [text, code] : markers) {
    CAPTURE(text);
    room.write_file(marker_path(room.folder), text);
    auto before = room.names();
    CHECK(code_of(shard_store::identify(*room.env.files, room.folder)) == code);
    CHECK(room.open_error() == code);
    CHECK(code_of(shard_store::format(room.env, room.folder)) == code);
    // A refusal writes nothing.
    CHECK(room.names() == before);
  }
}

TEST_CASE("a folder with shards but no marker is not formatted over", "[shard_store]") {
  drive_room room;
  auto drive = room.format_and_open();
  auto shape = GENERATE(in_files, in_index);
  auto pack = make_pack(room.random, shape);
  REQUIRE(drive->store(pack));
  drive.reset();
  REQUIRE(room.env.files->remove(marker_path(room.folder)));
  CHECK(code_of(shard_store::format(room.env, room.folder)) == errc::already_exists);
}

TEST_CASE("what an interrupted format left is formatted over", "[shard_store]") {
  drive_room room;
  auto first = shard_store::format(room.env, room.folder);
  REQUIRE(room.env.files->remove(marker_path(room.folder)));
  auto again = shard_store::format(room.env, room.folder);
  REQUIRE(again);
  CHECK(*again != *first);
  CHECK(room.open()->id() == *again);
}

TEST_CASE("a drive is open once at a time", "[shard_store]") {
  drive_room room;
  auto drive = room.format_and_open();
  CHECK(room.open_error() == errc::locked);
  drive.reset();
  CHECK(room.open() != nullptr);
}

TEST_CASE("an index that is gone or of another drive is told", "[shard_store]") {
  drive_room room;
  room.format_and_open();
  SECTION("gone") {
    REQUIRE(room.env.stores->destroy(index_path(room.folder)));
    CHECK(room.open_error() == errc::store_corrupt);
  }
  SECTION("of another drive") {
    room.write_file(marker_path(room.folder), "datamesh drive 1\nid 0123456789abcdef0123456789abcdef\n");
    CHECK(room.open_error() == errc::drive_alien);
  }
  SECTION("of a later version") {
    ordered_store_options options;
    options.folder = index_path(room.folder);
    {
      auto index = room.env.stores->open(options);
      write_batch newer;
      newer.put("m", std::string_view{"\2\0 whatever that version says", 28});
      REQUIRE((*index)->write(newer, durability::synced));
    }
    CHECK(room.open_error() == errc::format_newer);
  }
}

TEST_CASE("shards come back from files and from the index", "[shard_store]") {
  drive_room room;
  CAPTURE(room.seed);
  std::optional<scratch_folder> scratch;
  if (GENERATE(false, true)) {
    scratch.emplace();
    room.folder = scratch->path() + "/drive";
    room.env.files = system_files();
    room.env.stores = rocksdb_stores();
  }
  auto drive = room.format_and_open();
  auto large = make_pack(room.random, in_files);
  auto small = make_pack(room.random, in_index);
  auto border = make_pack(room.random, {1, 1, inline_shard_max});
  auto odd = make_pack(room.random, {1, 0, inline_shard_max + 1});
  std::vector<shard_write> all;
  for (const auto& pack : {large, small, border, odd})
    all.insert(all.end(), pack.begin(), pack.end());
  REQUIRE(drive->store(all));
  for (int round = 0; round < 2; ++round) {
    CAPTURE(round);
    uint64_t stored_bytes = 0;
    for (const auto& write : all) {
      check_whole(*drive, write);
      auto record = drive->find(key_of(write));
      REQUIRE(record);
      REQUIRE(*record);
      CHECK((*record)->shape == write.header.pack.shape);
      CHECK((*record)->in_index == (write.header.pack.shape.shard_length < inline_shard_max));
      CHECK((*record)->stored_ns == room.clock->wall().time_since_epoch().count());
      stored_bytes += stored_length(write.header.pack.shape);
    }
    auto usage = drive->usage();
    REQUIRE(usage);
    CHECK(usage->shard_count == all.size());
    CHECK(usage->shard_bytes == stored_bytes);
    CHECK(usage->disk.total > usage->disk.available);
    REQUIRE(drive->flush());
    drive.reset();
    drive = room.open();
  }
}

TEST_CASE("parts of a shard are read within its bounds", "[shard_store]") {
  drive_room room;
  auto drive = room.format_and_open();
  auto shape = GENERATE(in_files, in_index);
  auto pack = make_pack(room.random, shape);
  REQUIRE(drive->store(pack));
  const auto& write = pack[1];
  auto key = key_of(write);
  auto length = shape.shard_length;
  std::vector<std::byte> out(1000);
  for (uint32_t offset : {0u, 1u, 777u, length - 1000}) {
    REQUIRE(drive->read(key, offset, out));
    CHECK(std::equal(out.begin(), out.end(), write.body.data() + offset));
  }
  CHECK(drive->read(key, length, {}));
  CHECK(code_of(drive->read(key, length - 999, out)) == errc::range_invalid);
  CHECK(code_of(drive->read(key, 0xffff'ffff, out)) == errc::range_invalid);
  auto last_block = shape.block_count() - 1;
  std::vector<std::byte> tail(length - last_block * block_size);
  REQUIRE(drive->read_checked(write.header, last_block, tail));
  CHECK(std::equal(tail.begin(), tail.end(), write.body.data() + last_block * block_size));
  CHECK(code_of(drive->read_checked(write.header, 0, out)) == errc::range_invalid);
  CHECK(code_of(drive->read_checked(write.header, 0xffff'ffff, out)) == errc::range_invalid);
}

TEST_CASE("a shard that is not there is missing", "[shard_store]") {
  drive_room room;
  auto drive = room.format_and_open();
  auto shape = GENERATE(in_files, in_index);
  auto pack = make_pack(room.random, shape);
  REQUIRE(drive->store(std::span{pack}.first(1)));
  auto key = key_of(pack[1]);
  std::vector<std::byte> out(shape.shard_length);
  CHECK(code_of(drive->read_header(key)) == errc::shard_missing);
  CHECK(code_of(drive->read(key, 0, out)) == errc::shard_missing);
  CHECK(code_of(drive->read_checked(pack[1].header, 0, out)) == errc::shard_missing);
  CHECK(code_of(drive->check_quick(key)) == errc::shard_missing);
  CHECK(code_of(drive->check_deep(key)) == errc::shard_missing);
  CHECK(!drive->find(key)->has_value());
  CHECK(drive->remove(std::array{key}));
}

TEST_CASE("a shard whose header and body do not belong together is refused", "[shard_store]") {
  drive_room room;
  auto drive = room.format_and_open();
  auto pack = make_pack(room.random, in_files);
  auto broken = pack;
  switch (GENERATE(0, 1, 2, 3, 4)) {
  case 0:
    broken[1].body = broken[1].body.slice(1);
    break;
  case 1:
    broken[1].header.block_hashes.pop_back();
    break;
  case 2:
    broken[1].header.pack.shard_roots.pop_back();
    break;
  case 3:
    broken[1].header.index = 6;
    break;
  case 4:
    broken[1].header.pack.shape.k = 0;
    break;
  }
  CHECK(code_of(drive->store(broken)) == errc::invalid_argument);
  CHECK(drive->usage()->shard_count == 0);
  CHECK(room.file_count() == 0);
}

TEST_CASE("a shard stored twice is stored once", "[shard_store]") {
  drive_room room;
  auto drive = room.format_and_open();
  auto shape = GENERATE(in_files, in_index);
  auto pack = make_pack(room.random, shape);
  auto doubled = pack;
  doubled.insert(doubled.end(), pack.begin(), pack.end());
  REQUIRE(drive->store(doubled));
  auto usage = drive->usage();
  CHECK(usage->shard_count == pack.size());
  auto path = shard_path(room.folder, key_of(pack[0]));
  auto inode = [&] {
    return room.env.files->status(path).map([](const auto& status) { return status.inode; }).value_or(0);
  };
  auto before = inode();
  room.clock->advance(std::chrono::seconds{5});
  REQUIRE(drive->store(pack));
  CHECK(drive->usage()->shard_count == usage->shard_count);
  CHECK(drive->usage()->shard_bytes == usage->shard_bytes);
  CHECK(inode() == before);
  for (const auto& write : pack)
    check_whole(*drive, write);
}

TEST_CASE("damage is found, told and replaced", "[shard_store]") {
  drive_room room;
  auto drive = room.format_and_open();
  auto pack = make_pack(room.random, in_files);
  REQUIRE(drive->store(pack));
  const auto& write = pack[2];
  auto key = key_of(write);
  auto path = shard_path(room.folder, key);
  auto header_length = shard_header_length(in_files, true);
  std::vector<std::byte> block(block_size);

  SECTION("a bit of the body") {
    room.flip(key, header_length + block_size + 5);
    CHECK(drive->check_quick(key));
    CHECK(code_of(drive->check_deep(key)) == errc::shard_damaged);
    CHECK(code_of(drive->read_checked(write.header, 1, block)) == errc::shard_damaged);
    CHECK(drive->read_checked(write.header, 0, block));
    CHECK(drive->read_checked(write.header, 2, block));
  }
  SECTION("the last bit of the body") {
    room.flip(key, header_length + in_files.shard_length - 1);
    CHECK(code_of(drive->check_deep(key)) == errc::shard_damaged);
  }
  SECTION("a bit of the header") {
    room.flip(key, GENERATE(0, 8, 12, 16, 20, 30, 60, 250));
    CHECK(!drive->read_header(key));
    CHECK(!drive->check_quick(key));
    CHECK(!drive->check_deep(key));
  }
  SECTION("a bit of the padding") {
    room.flip(key, header_length - 1);
    CHECK(code_of(drive->check_quick(key)) == errc::shard_damaged);
  }
  SECTION("the tail is cut off") {
    REQUIRE((*room.env.files->open_write(path))->resize(header_length + in_files.shard_length - 1));
    CHECK(code_of(drive->check_quick(key)) == errc::shard_damaged);
    CHECK(code_of(drive->read(key, in_files.shard_length - 10, std::span{block}.first(10))) == errc::shard_damaged);
  }
  SECTION("the file is empty") {
    REQUIRE((*room.env.files->open_write(path))->resize(0));
    CHECK(code_of(drive->check_quick(key)) == errc::shard_damaged);
  }
  SECTION("the file is another shard") {
    auto other = read_whole(*room.disk, shard_path(room.folder, key_of(pack[3])), 1 << 20);
    REQUIRE(other);
    room.write_file(path, as_text(*other));
    CHECK(code_of(drive->check_quick(key)) == errc::shard_damaged);
  }
  SECTION("the file is gone") {
    REQUIRE(room.env.files->remove(path));
    CHECK(code_of(drive->check_quick(key)) == errc::shard_missing);
    CHECK(code_of(drive->read_header(key)) == errc::shard_missing);
  }
  auto usage = drive->usage();
  // What does not match its own hashes replaces nothing.
  auto wrong = write;
  wrong.body = bytes::take(room.random.make(in_files.shard_length));
  CHECK(code_of(drive->store(std::array{wrong})) == errc::invalid_argument);
  REQUIRE(drive->store(pack));
  for (const auto& whole : pack)
    check_whole(*drive, whole);
  CHECK(drive->usage()->shard_count == usage->shard_count);
  CHECK(drive->usage()->shard_bytes == usage->shard_bytes);
  CHECK(room.file_count() == pack.size());
  drive.reset();
  check_whole(*room.open(), write);
}

TEST_CASE("damage inside the index is found and replaced", "[shard_store]") {
  drive_room room;
  auto drive = room.format_and_open();
  auto pack = make_pack(room.random, in_index);
  REQUIRE(drive->store(pack));
  auto key = key_of(pack[0]);
  auto record = **drive->find(key);
  std::string content{as_text(encode_shard_header(pack[0].header, false))};
  content += as_text(pack[0].body);
  content[content.size() - 9] ^= 1;
  if (GENERATE(false, true))
    content.resize(100);
  drive.reset();
  {
    auto index = shard_index::open(room.env.stores, index_path(room.folder));
    shard_index::batch batch;
    batch.put(record, true, content);
    REQUIRE((*index)->write(std::move(batch), durability::synced));
  }
  drive = room.open();
  CHECK(code_of(drive->check_deep(key)) == errc::shard_damaged);
  REQUIRE(drive->store(pack));
  check_whole(*drive, pack[0]);
  CHECK(drive->usage()->shard_count == pack.size());
}

TEST_CASE("a drive serves the node that took it over last, and no other", "[shard_store]") {
  drive_room room;
  room.format_and_open().reset();
  auto first = random_id<device_id>(room.random).value();
  auto second = random_id<device_id>(room.random).value();
  auto open = [&](const device_id& node, uint64_t term, bool take_over) {
    shard_store_options options;
    options.folder = room.folder;
    options.owner = {node, term};
    options.take_over = take_over;
    return shard_store::open(room.env, options);
  };
  CHECK(open(first, 0, false).value()->term() == 0);
  CHECK(code_of(open(second, 0, false)) == errc::drive_alien);
  SECTION("it is not taken over before that is said") {
    open(second, 0, true).value().reset();
    CHECK(open(first, 0, false));
  }
  SECTION("from then on the other is refused, until it takes it back") {
    {
      auto taken = open(second, 0, true).value();
      CHECK(taken->term() == 1);
      REQUIRE(taken->claim());
    }
    CHECK(open(second, 1, false).value()->term() == 1);
    CHECK(code_of(open(first, 0, false)) == errc::drive_alien);
    auto back = open(first, 0, true).value();
    CHECK(back->term() == 2);
    REQUIRE(back->claim());
    back.reset();
    CHECK(code_of(open(second, 1, false)) == errc::drive_alien);
    CHECK(open(first, 2, false));
  }
  SECTION("who could not write it down has it all the same, and writes it when that is possible") {
    CHECK(open(second, 1, false).value()->term() == 1);
    CHECK(code_of(open(first, 0, false)) == errc::drive_alien);
  }
  SECTION("who takes over what is its own changes nothing") {
    auto own = open(first, 0, true).value();
    CHECK(own->term() == 0);
    REQUIRE(own->claim());
  }
}

TEST_CASE("a drive counts what was ever stored and removed for a vault", "[shard_store]") {
  drive_room room;
  auto drive = room.format_and_open();
  auto mine = random_id<vault_id>(room.random).value();
  auto others = random_id<vault_id>(room.random).value();
  CHECK(drive->shards_changed(mine) == 0);
  auto first = make_pack(room.random, in_files);
  auto second = make_pack(room.random, in_index);
  auto moved = make_pack(room.random, in_index);
  for (auto& write : first)
    write.vault = mine;
  for (auto& write : second)
    write.vault = write.header.index < 2 ? others : mine;
  REQUIRE(drive->store(first));
  REQUIRE(drive->store(second));
  REQUIRE(drive->store(moved));
  REQUIRE(drive->remove(keys_of(first), mine));
  REQUIRE(drive->remove(keys_of(first), mine));
  REQUIRE(drive->remove(keys_of(moved)));
  for (int round = 0; round < 2; ++round) {
    CHECK(drive->shards_changed(mine) == 2 * first.size() + second.size() - 2);
    CHECK(drive->shards_changed(others) == 2);
    drive.reset();
    drive = room.open();
  }
}

TEST_CASE("removed shards are gone and the others stay", "[shard_store]") {
  drive_room room;
  auto drive = room.format_and_open();
  auto large = make_pack(room.random, in_files);
  auto small = make_pack(room.random, in_index);
  REQUIRE(drive->store(large));
  REQUIRE(drive->store(small));
  std::vector<shard_key> keys{key_of(large[0]), key_of(small[1]), key_of(large[0]), key_of(large[5])};
  REQUIRE(drive->remove(keys));
  REQUIRE(drive->remove(keys));
  for (int round = 0; round < 2; ++round) {
    for (const auto& key : keys)
      CHECK(code_of(drive->check_quick(key)) == errc::shard_missing);
    CHECK(room.file_count() == 4);
    CHECK(drive->usage()->shard_count == 6);
    check_whole(*drive, large[1]);
    check_whole(*drive, small[0]);
    drive.reset();
    drive = room.open();
  }
  REQUIRE(drive->store(large));
  check_whole(*drive, large[0]);
  REQUIRE(drive->remove(keys_of(large)));
  REQUIRE(drive->remove(keys_of(small)));
  CHECK(drive->usage()->shard_count == 0);
  CHECK(drive->usage()->shard_bytes == 0);
}

TEST_CASE("a drive whose folders of shards were deleted stores shards again", "[shard_store]") {
  drive_room room;
  auto drive = room.format_and_open();
  auto pack = make_pack(room.random, in_files);
  REQUIRE(drive->store(pack));
  for (const auto& write : pack)
    REQUIRE(room.disk->remove(shard_path(room.folder, key_of(write))));
  for (unsigned number = 0; number < shard_folder_count; ++number)
    REQUIRE(room.disk->remove_folder(shard_folder(room.folder, number)));
  SECTION("all of them") {
    REQUIRE(room.disk->remove_folder(shards_path(room.folder)));
  }
  SECTION("all in them") {}
  CHECK(code_of(drive->check_quick(key_of(pack[0]))) == errc::shard_missing);
  REQUIRE(drive->store(pack));
  drive.reset();
  room.disk->crash(room.seed);
  drive = room.open();
  for (const auto& write : pack)
    check_whole(*drive, write);
}

TEST_CASE("a store that would touch the reserve is refused and writes nothing", "[shard_store]") {
  drive_room room;
  auto drive = room.format_and_open();
  auto kept = make_pack(room.random, in_files);
  REQUIRE(drive->store(kept));
  drive.reset();
  drive = room.open(1ull << 62);
  auto before = room.names();
  auto shape = GENERATE(in_files, in_index);
  auto pack = make_pack(room.random, shape);
  CHECK(code_of(drive->store(pack)) == errc::drive_full);
  CHECK(room.names() == before);
  CHECK(drive->state() == drive_state::ok);
  CHECK(drive->usage()->reserve == 1ull << 62);
  // What is there already takes no room, and deleting always works.
  CHECK(drive->store(kept));
  CHECK(drive->remove(keys_of(kept)));
}

TEST_CASE("a drive that is pulled out while shards are removed did not fail", "[shard_store]") {
  drive_room room;
  auto drive = room.format_and_open();
  auto pack = make_pack(room.random, in_files);
  REQUIRE(drive->store(pack));
  CHECK(drive->is_in_place());
  REQUIRE(room.disk->rename(room.folder, "/mnt/away"));
  REQUIRE(room.disk->make_folder(room.folder));
  CHECK_FALSE(drive->is_in_place());
  CHECK_FALSE(drive->remove(keys_of(pack)));
  CHECK(drive->state() == drive_state::ok);
  CHECK(room.disk->list(room.folder)->empty());
  drive.reset();
  REQUIRE(room.disk->remove_folder(room.folder));
  REQUIRE(room.disk->rename("/mnt/away", room.folder));
  drive = room.open();
  CHECK(drive->state() == drive_state::ok);
  CHECK(drive->remove(keys_of(pack)));
}

TEST_CASE("upkeep may use half of the reserve, and nothing that is new comes along", "[shard_store]") {
  drive_room room;
  (void) room.format_and_open();
  constexpr uint64_t reserve = 64 << 20;
  auto drive = room.open(reserve);
  auto pack = make_pack(room.random, in_files);
  auto other = make_pack(room.random, in_files);
  for (auto& shard : pack)
    shard.what = room_for::upkeep;
  room.disk->set_capacity(room.disk->used() + reserve);
  CHECK(drive->usage()->room(room_for::data) == 0);
  CHECK(code_of(drive->store(other)) == errc::drive_full);
  auto mixed = pack;
  mixed.insert(mixed.end(), other.begin(), other.end());
  CHECK(code_of(drive->store(mixed)) == errc::drive_full);
  CHECK(room.file_count() == 0);
  CHECK(drive->store(pack));
  room.disk->set_capacity(room.disk->used() + reserve / 2);
  for (auto& shard : other)
    shard.what = room_for::upkeep;
  CHECK(drive->usage()->room(room_for::upkeep) == 0);
  CHECK(code_of(drive->store(other)) == errc::drive_full);
}

TEST_CASE("a drive keeps its state", "[shard_store]") {
  drive_room room;
  auto drive = room.format_and_open();
  auto pack = make_pack(room.random, in_files);
  REQUIRE(drive->store(pack));
  for (auto state : {drive_state::draining, drive_state::failed, drive_state::ok}) {
    REQUIRE(drive->set_state(state));
    CHECK(drive->state() == state);
    drive.reset();
    drive = room.open();
    CHECK(drive->state() == state);
    check_whole(*drive, pack[0]);
    auto more = make_pack(room.random, in_index);
    if (state == drive_state::failed) {
      CHECK(code_of(drive->store(more)) == errc::drive_failed);
      CHECK(code_of(drive->remove(keys_of(pack))) == errc::drive_failed);
      CHECK(code_of(drive->sweep(0)) == errc::drive_failed);
    } else {
      CHECK(drive->store(more));
    }
  }
}

TEST_CASE("the sweep takes old files without a row and nothing else", "[shard_store]") {
  drive_room room;
  auto drive = room.format_and_open();
  auto pack = make_pack(room.random, in_files);
  REQUIRE(drive->store(pack));
  auto lost = make_pack(room.random, in_files);
  auto beside = [&](const std::string& name) {
    return join_path(parent_path(shard_path(room.folder, key_of(pack[0]))), name);
  };
  auto old_orphan = shard_path(room.folder, key_of(lost[0]));
  auto young_orphan = shard_path(room.folder, key_of(lost[1]));
  auto replacement = replacement_path(room.folder, key_of(pack[0]));
  auto stand_in = beside(".datamesh-abcdef.tmp");
  auto foreign = beside("notes.txt");
  auto almost = beside(pack[0].header.pack.id.hex() + ".00");
  for (const auto& path : {old_orphan, young_orphan, replacement, stand_in, foreign, almost})
    room.write_file(path, "left over");
  for (const auto& path : {old_orphan, replacement, stand_in, foreign, almost, shard_path(room.folder, key_of(pack[1]))})
    room.set_age(path, 100 * second_ns);
  room.set_age(young_orphan, 5 * second_ns);

  auto swept = drive->sweep(60 * second_ns);
  REQUIRE(swept);
  CHECK(*swept == 3);
  for (const auto& path : {old_orphan, replacement, stand_in})
    CHECK(!room.exists(path));
  for (const auto& path : {young_orphan, foreign, almost})
    CHECK(room.exists(path));
  CHECK(*drive->sweep(60 * second_ns) == 0);
  for (const auto& write : pack)
    check_whole(*drive, write);
  CHECK(*drive->sweep(second_ns) == 1);
}

TEST_CASE("a file without a row gives way to the shard", "[shard_store]") {
  drive_room room;
  auto drive = room.format_and_open();
  auto pack = make_pack(room.random, in_files);
  room.write_file(shard_path(room.folder, key_of(pack[0])), "torn");
  room.write_file(replacement_path(room.folder, key_of(pack[0])), "torn, too");
  REQUIRE(drive->store(pack));
  for (const auto& write : pack)
    check_whole(*drive, write);
  CHECK(room.file_count() == pack.size());
}

TEST_CASE("rows are listed in order and in pages", "[shard_store]") {
  drive_room room;
  auto drive = room.format_and_open();
  std::vector<shard_key> expected;
  for (int i = 0; i < 20; ++i) {
    auto pack = make_pack(room.random, in_index);
    REQUIRE(drive->store(pack));
    auto keys = keys_of(pack);
    expected.insert(expected.end(), keys.begin(), keys.end());
  }
  std::sort(expected.begin(), expected.end());
  std::vector<shard_key> listed;
  for (std::optional<shard_key> after;;) {
    auto page = drive->list(after, 7);
    REQUIRE(page);
    if (page->empty())
      break;
    for (const auto& record : *page)
      listed.push_back(record.key);
    after = listed.back();
  }
  CHECK(listed == expected);
  CHECK(drive->list(std::nullopt, 0)->empty());
}

TEST_CASE("one call takes more files than may be open at once", "[shard_store]") {
  drive_room room;
  auto drive = room.format_and_open();
  auto pack = make_pack(room.random, {60, 68, inline_shard_max});
  REQUIRE(drive->store(pack));
  CHECK(room.file_count() == pack.size());
  for (const auto& write : pack)
    CHECK(drive->check_deep(key_of(write)));
}

TEST_CASE("shards are read while others are stored and removed", "[shard_store]") {
  drive_room room;
  auto drive = room.format_and_open();
  auto large = make_pack(room.random, in_files);
  auto small = make_pack(room.random, in_index);
  REQUIRE(drive->store(large));
  REQUIRE(drive->store(small));
  std::atomic<bool> done = false;
  std::atomic<int> failures = 0;
  std::vector<std::thread> readers;
  for (int i = 0; i < 2; ++i)
    readers.emplace_back([&, i] {
      std::vector<std::byte> body(in_files.shard_length);
      while (!done) {
        const auto& write = i == 0 ? large[1] : small[1];
        auto part = std::span{body}.first(write.header.pack.shape.shard_length);
        failures += drive->read_checked(write.header, 0, part) ? 0 : 1;
        failures += drive->check_quick(key_of(write)) ? 0 : 1;
        failures += drive->list(std::nullopt, 10) ? 0 : 1;
        failures += drive->usage() ? 0 : 1;
        failures += drive->state() == drive_state::ok ? 0 : 1;
      }
    });
  int refused = 0;
  for (int round = 0; round < 20; ++round) {
    auto pack = make_pack(room.random, round % 2 == 0 ? in_files : in_index);
    refused += drive->store(pack) ? 0 : 1;
    refused += drive->remove(keys_of(pack)) ? 0 : 1;
  }
  done = true;
  for (auto& reader : readers)
    reader.join();
  CHECK(refused == 0);
  CHECK(failures == 0);
}

TEST_CASE("a disk that runs full in the middle of a store loses nothing", "[shard_store]") {
  drive_room room;
  auto kept = make_pack(room.random, in_files);
  REQUIRE(room.format_and_open()->store(kept));
  auto mixed = make_pack(room.random, in_index);
  for (const auto& write : make_pack(room.random, in_files))
    mixed.push_back(write);
  auto image = room.disk->snapshot();
  int full = 0;
  int failed = 0;
  for (uint64_t n = 1;; ++n) {
    CAPTURE(n);
    room.use(std::make_shared<test::simulated_files>(image, room.clock));
    auto drive = room.open();
    auto calls = room.disk->calls();
    room.disk->fail_call(n, errc::no_space);
    auto stored = drive->store(mixed);
    if (stored) {
      // The last failure hit nothing, or something that a store can do without.
      if (room.disk->calls() - calls < n)
        break;
      for (const auto& write : mixed)
        REQUIRE(drive->check_deep(key_of(write)));
      continue;
    }
    for (const auto& write : kept)
      REQUIRE(drive->check_deep(key_of(write)));
    REQUIRE(drive->usage()->shard_count == kept.size());
    for (const auto& write : mixed)
      REQUIRE(code_of(drive->check_quick(key_of(write))) == errc::shard_missing);
    if (stored.error().code() == errc::drive_failed) {
      ++failed;
      continue;
    }
    ++full;
    REQUIRE(code_of(stored) == errc::drive_full);
    REQUIRE(drive->state() == drive_state::ok);
    REQUIRE(room.file_count() == kept.size());
    // Once there is room again, so is the drive.
    REQUIRE(drive->store(mixed));
    drive.reset();
    room.disk->crash(n);
    drive = room.open();
    for (const auto& write : mixed)
      REQUIRE(drive->check_deep(key_of(write)));
  }
  CHECK(full >= 20);
  // Each of the six files, their folder and the index is synced.
  CHECK(failed >= 8);
}

TEST_CASE("a full disk is refused before anything is written", "[shard_store]") {
  drive_room room;
  auto drive = room.format_and_open();
  auto pack = make_pack(room.random, in_files);
  room.disk->set_capacity(room.disk->used() + 4 * in_files.shard_length);
  auto calls = room.disk->calls();
  CHECK(code_of(drive->store(pack)) == errc::drive_full);
  CHECK(room.disk->calls() == calls);
  CHECK(drive->state() == drive_state::ok);
  CHECK(drive->store(std::span{pack}.first(2)));
}

TEST_CASE("a failed sync fails the drive for good and reads go on", "[shard_store]") {
  drive_room room;
  auto kept = make_pack(room.random, in_files);
  REQUIRE(room.format_and_open()->store(kept));
  auto image = room.disk->snapshot();
  auto pack = make_pack(room.random, in_files);
  auto syncs = [&] {
    return room.disk->calls(test::disk_call::sync) + room.disk->calls(test::disk_call::sync_folder);
  };
  int failed = 0;
  for (uint64_t n = 1;; ++n) {
    CAPTURE(n);
    room.use(std::make_shared<test::simulated_files>(image, room.clock));
    auto drive = room.open();
    auto calls = room.disk->calls();
    room.disk->fail_call(n, errc::io_failed);
    auto stored = drive->store(pack);
    if (room.disk->calls() - calls < n)
      break;
    if (stored || stored.error().code() != errc::drive_failed)
      continue;
    ++failed;
    for (int round = 0; round < 2; ++round) {
      CAPTURE(round);
      REQUIRE(drive->state() == drive_state::failed);
      auto before = syncs();
      REQUIRE(code_of(drive->store(pack)) == errc::drive_failed);
      REQUIRE(code_of(drive->remove(keys_of(kept))) == errc::drive_failed);
      REQUIRE(syncs() == before);
      for (const auto& write : kept)
        REQUIRE(drive->check_deep(key_of(write)));
      REQUIRE(code_of(drive->set_state(drive_state::ok)) == errc::drive_failed);
      drive.reset();
      drive = room.open();
    }
  }
  CHECK(failed >= 8);
}

TEST_CASE("a file system that turned read-only is told and does not fail the drive", "[shard_store]") {
  drive_room room;
  auto drive = room.format_and_open();
  auto pack = make_pack(room.random, in_files);
  room.disk->fail_call(1, errc::read_only);
  CHECK(code_of(drive->store(pack)) == errc::read_only);
  CHECK(drive->state() == drive_state::ok);
  CHECK(drive->store(pack));
}

TEST_CASE("a drive on a read-only file system is read", "[shard_store]") {
  drive_room room;
  auto drive = room.format_and_open();
  auto pack = make_pack(room.random, in_files);
  REQUIRE(drive->store(pack));
  drive.reset();
  // The lock file would have to be created.
  REQUIRE(room.disk->remove(lock_path(room.folder)));
  room.disk->end_drive(1, room.folder, test::drive_end::read_only);
  drive = room.open();
  check_whole(*drive, pack[0]);
  CHECK(code_of(drive->store(pack)) == errc::read_only);
  CHECK(code_of(drive->remove(keys_of(pack))) == errc::read_only);
  CHECK(code_of(drive->set_state(drive_state::failed)) == errc::read_only);
  CHECK(code_of(drive->sweep(0)) == errc::read_only);
  room.disk->plug_in(room.folder);
  CHECK(drive->set_state(drive_state::draining));
  CHECK(drive->store(pack));
  // Now it is this one's alone.
  CHECK(room.open_error() == errc::locked);
}

TEST_CASE("a drive that takes no writes is read from its start on, and stores again once it takes them", "[shard_store]") {
  auto how = GENERATE(test::drive_end::read_only, test::drive_end::full);
  CAPTURE(test::to_string(how));
  drive_room room;
  room.env.stores = test::rocksdb_stores_over(room.disk, room.env.random);
  auto big = make_pack(room.random, in_files);
  auto small = make_pack(room.random, in_index);
  auto later = make_pack(room.random, in_files);
  {
    auto drive = room.format_and_open();
    REQUIRE(drive->store(big));
    REQUIRE(drive->store(small));
  }
  // Linux refuses to open a lock file for writing there; the simulated disk, to make it.
  if (how == test::drive_end::read_only)
    REQUIRE(room.disk->remove(lock_path(room.folder)));
  room.disk->end_drive(1, room.folder, how);
  (void) room.disk->make_folder(join_path(room.folder, "ended"));
  auto refusal = how == test::drive_end::full ? errc::drive_full : errc::read_only;
  auto drive = room.open();
  for (int round = 0; round < 2; ++round) {
    for (const auto& write : big)
      check_whole(*drive, write);
    for (const auto& write : small)
      check_whole(*drive, write);
    CHECK(drive->list(std::nullopt, 100)->size() == big.size() + small.size());
    CHECK(code_of(drive->store(later)) == refusal);
    CHECK(code_of(drive->remove(keys_of(small))) == refusal);
    CHECK(drive->state() == drive_state::ok);
    CHECK(drive->usage()->read_only == (how == test::drive_end::read_only));
    CHECK(drive->usage()->room(room_for::data) == 0);
  }
  room.disk->plug_in(room.folder);
  CHECK(!drive->usage()->read_only);
  CHECK(drive->usage()->room(room_for::data) > 0);
  REQUIRE(drive->store(later));
  REQUIRE(drive->remove(keys_of(small)));
  drive.reset();
  room.disk->crash(1);
  drive = room.open();
  for (const auto& write : big)
    check_whole(*drive, write);
  for (const auto& write : later)
    check_whole(*drive, write);
  CHECK(code_of(drive->check_quick(key_of(small[0]))) == errc::shard_missing);
}

TEST_CASE("a drive that is pulled out serves again when it is back", "[shard_store]") {
  drive_room room;
  auto drive = room.format_and_open();
  auto pack = make_pack(room.random, in_files);
  REQUIRE(drive->store(std::span{pack}.first(3)));
  room.disk->unplug(room.folder);
  CHECK(!drive->store(pack));
  CHECK(!drive->check_quick(key_of(pack[0])));
  CHECK(!drive->usage());
  drive.reset();
  CHECK(room.open_error() == errc::io_failed);
  room.disk->plug_in(room.folder);
  drive = room.open();
  for (int i = 0; i < 3; ++i)
    check_whole(*drive, pack[i]);
  CHECK(drive->store(pack));
}

TEST_CASE("no shard is missing where the drive is not", "[shard_store]") {
  drive_room room;
  auto drive = room.format_and_open();
  auto pack = make_pack(room.random, in_files);
  REQUIRE(drive->store(pack));
  REQUIRE(room.disk->remove(shard_path(room.folder, key_of(pack[0]))));
  CHECK(code_of(drive->check_quick(key_of(pack[0]))) == errc::shard_missing);
  auto away = room.folder + "-away";
  REQUIRE(room.disk->rename(room.folder, away));
  CHECK(code_of(drive->check_quick(key_of(pack[1]))) == errc::drive_missing);
  // An empty mount point, and another drive that is mounted there.
  REQUIRE(make_folders(*room.disk, room.folder));
  CHECK(code_of(drive->check_quick(key_of(pack[1]))) == errc::drive_missing);
  REQUIRE(write_marker(*room.disk, room.folder, drive_id::from(as_view("another drive   "))));
  CHECK(code_of(drive->check_quick(key_of(pack[1]))) == errc::drive_missing);
  CHECK(code_of(drive->check_quick(key_of(pack[0]))) == errc::drive_missing);
}

TEST_CASE("a sector that does not read is damage to its shard", "[shard_store]") {
  drive_room room;
  auto drive = room.format_and_open();
  auto pack = make_pack(room.random, in_files);
  REQUIRE(drive->store(pack));
  for (uint64_t n = 1; n <= 2; ++n) {
    room.disk->fail_read(n, errc::io_failed);
    CHECK(code_of(drive->check_deep(key_of(pack[0]))) == errc::shard_damaged);
    CHECK(drive->check_deep(key_of(pack[0])));
  }
  room.disk->fail_read(1, errc::io_failed);
  CHECK(drive->store(pack));
  CHECK(drive->check_deep(key_of(pack[0])));
}

TEST_CASE("one call shares the syncs of folders and of the index", "[shard_store]") {
  drive_room room;
  auto drive = room.format_and_open();
  auto pack = make_pack(room.random, {10, 2, inline_shard_max});
  auto syncs = room.disk->calls(test::disk_call::sync);
  auto folder_syncs = room.disk->calls(test::disk_call::sync_folder);
  auto links = room.disk->calls(test::disk_call::link);
  REQUIRE(drive->store(pack));
  CHECK(room.disk->calls(test::disk_call::link) - links == 12);
  CHECK(room.disk->calls(test::disk_call::sync) - syncs == 12 + 1);
  CHECK(room.disk->calls(test::disk_call::sync_folder) - folder_syncs == 1);
}
