#include "storage/tree_reader.hpp"

#include "tests/libdatamesh/storage/seed.hpp"
#include "tests/support/seeded_random.hpp"
#include "tests/support/simulated_files.hpp"

#include <catch2/catch.hpp>

#include <cstdlib>
#include <filesystem>
#include <map>
#include <set>

#include <sys/stat.h>

using namespace datamesh;
using namespace datamesh::storage;

namespace {

constexpr chunk_limits limits{1024, 4096, 16384};
constexpr uint64_t page = 4096;

/// All that was said of one item.
struct read_item {
  std::optional<source_begin> begin;
  std::vector<std::byte> content; ///< With zeros for holes.
  std::vector<uint32_t> lengths;  ///< Of chunks.
  std::vector<uint64_t> holes;
  std::optional<source_end> end;
  std::optional<source_failure> failure;
};

struct read_room {
  test::seeded_random random{test::seed()};
  std::shared_ptr<test::simulated_files> disk = std::make_shared<test::simulated_files>();
  chunker cutter{*crypto::key256::random(random), limits};
  size_t batches = 0;

  read_room() {
    REQUIRE(disk->make_folder("/in"));
  }
  void write(const std::string& path, byte_view data, uint64_t offset = 0) {
    auto file = disk->status(path) ? disk->open_write(path) : disk->create(path);
    REQUIRE(file);
    const byte_view parts[] = {data};
    REQUIRE((*file)->write_at(offset, parts));
  }
  void resize(const std::string& path, uint64_t size) {
    auto file = disk->status(path) ? disk->open_write(path) : disk->create(path);
    REQUIRE(file);
    REQUIRE((*file)->resize(size));
  }
  tree_reader reader(std::vector<source_root> roots, std::vector<std::string> exclude = {}, size_t buffer = 40'000) const {
    return {disk, buffer_pool::make(buffer, 2), cutter, std::move(roots), std::move(exclude)};
  }
  std::map<std::string, read_item> drain(tree_reader& from, std::map<uint64_t, read_item> items = {}) {
    for (auto pieces = from.next(); !pieces.empty(); pieces = from.next()) {
      ++batches;
      take(pieces, items);
    }
    std::map<std::string, read_item> by_name;
    for (auto& [number, item] : items)
      by_name[item.begin ? item.begin->path : item.failure->path] = std::move(item);
    return by_name;
  }
  static void take(std::vector<source_piece>& pieces, std::map<uint64_t, read_item>& items) {
    for (auto& piece : pieces) {
      auto& item = items[piece.item];
      if (auto* begin = std::get_if<source_begin>(&piece.what)) {
        item.begin = *begin;
      } else if (auto* chunk = std::get_if<source_chunk>(&piece.what)) {
        item.content.insert(item.content.end(), chunk->data.view().begin(), chunk->data.view().end());
        item.lengths.push_back(static_cast<uint32_t>(chunk->data.size()));
      } else if (auto* hole = std::get_if<source_hole>(&piece.what)) {
        item.content.resize(item.content.size() + hole->length);
        item.holes.push_back(hole->length);
      } else if (auto* end = std::get_if<source_end>(&piece.what)) {
        item.end = *end;
      } else {
        item.failure = std::get<source_failure>(piece.what);
      }
    }
  }
  std::map<std::string, read_item> read(std::vector<source_root> roots, std::vector<std::string> exclude = {}, size_t buffer = 40'000) {
    auto from = reader(std::move(roots), std::move(exclude), buffer);
    return drain(from);
  }
};

source_root root(std::string from, std::string to) {
  return {std::move(from), std::move(to), nullptr, 0, 0};
}

/// Gives a few bytes at a time, and fails in the end if it is told to.
class dripping_source : public source {
public:
  dripping_source(std::vector<std::byte> data, uint64_t seed, bool fails) : data_(std::move(data)), random_(seed), fails_(fails) {}
  result<size_t> read(byte_span out) override {
    if (done_ == data_.size() && fails_)
      return fail(errc::io_failed, "read pipe");
    auto count = std::min({out.size(), data_.size() - done_, size_t{1} + random_.below(3000)});
    std::copy_n(data_.begin() + static_cast<ptrdiff_t>(done_), count, out.begin());
    done_ += count;
    return count;
  }

private:
  std::vector<std::byte> data_;
  test::seeded_random random_;
  bool fails_;
  size_t done_ = 0;
};

/// Lets somebody else act between a look at a name and the next call.
class contested_files : public test::simulated_files {
public:
  std::string watched;
  std::function<void()> act;
  result<file_status> status(const std::string& path) override {
    auto answer = test::simulated_files::status(path);
    if (path == watched && act)
      std::exchange(act, nullptr)();
    return answer;
  }
};

class scratch_folder {
public:
  scratch_folder() {
    auto pattern = (std::filesystem::temp_directory_path() / "datamesh-read-XXXXXX").string();
    REQUIRE(::mkdtemp(pattern.data()) != nullptr);
    path = pattern;
  }
  scratch_folder(const scratch_folder&) = delete;
  ~scratch_folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
  std::string path;
};

} // namespace

TEST_CASE("the chunks of a large file do not depend on where buffers end", "[tree_reader]") {
  read_room room;
  CAPTURE(test::seed());
  auto data = room.random.make(300'000 + room.random.below(50'000));
  room.write("/in/large", data);
  auto whole = room.cutter.cut(data, true);
  for (size_t buffer : {2u * 16384u, 40'000u, 65'536u, 200'000u, 1'000'000u}) {
    CAPTURE(buffer);
    auto items = room.read({root("/in/large", "large")}, {}, buffer);
    REQUIRE(items.size() == 1);
    const auto& item = items["large"];
    CHECK(item.content == data);
    CHECK(item.lengths == whole);
    REQUIRE(item.end);
    CHECK(item.end->size == data.size());
    CHECK(!item.end->changed);
  }
}

TEST_CASE("a stream has the same chunks, however few bytes it gives at a time", "[tree_reader]") {
  read_room room;
  CAPTURE(test::seed());
  auto data = room.random.make(150'000);
  source_root from{"", "pipe", std::make_shared<dripping_source>(data, test::seed() + 1, false), 0640, 77};
  auto items = room.read({from});
  const auto& item = items["pipe"];
  CHECK(item.content == data);
  CHECK(item.lengths == room.cutter.cut(data, true));
  REQUIRE(item.begin);
  CHECK(item.begin->mode == 0640);
  CHECK(item.begin->modified_ns == 77);
  REQUIRE(item.end);
  CHECK(item.end->size == data.size());
}

TEST_CASE("a stream that fails is a failure of that item only", "[tree_reader]") {
  read_room room;
  room.write("/in/b", room.random.make(10));
  source_root broken{"", "pipe", std::make_shared<dripping_source>(room.random.make(50'000), 1, true), 0644, 0};
  source_root empty{"", "empty", std::make_shared<dripping_source>(std::vector<std::byte>{}, 1, false), 0644, 0};
  auto items = room.read({broken, empty, root("/in/b", "b")});
  REQUIRE(items["pipe"].failure);
  CHECK(items["pipe"].failure->reason.code() == errc::io_failed);
  CHECK(!items["pipe"].end);
  REQUIRE(items["empty"].end);
  CHECK(items["empty"].end->size == 0);
  CHECK(items["b"].content.size() == 10);
}

TEST_CASE("many small files share a buffer", "[tree_reader]") {
  read_room room;
  std::map<std::string, std::vector<std::byte>> files;
  for (int i = 0; i < 60; ++i) {
    auto name = "f" + std::to_string(i);
    files[name] = room.random.make(room.random.below(limits.size_min + 1));
    room.write("/in/" + name, files[name]);
    room.resize("/in/" + name, files[name].size());
  }
  auto items = room.read({root("/in", "t")});
  CHECK(room.batches <= 3);
  REQUIRE(items.size() == 61);
  for (const auto& [name, data] : files) {
    CAPTURE(name);
    const auto& item = items["t/" + name];
    CHECK(item.content == data);
    CHECK(item.lengths.size() == (data.empty() ? 0 : 1));
    REQUIRE(item.end);
    CHECK(!item.end->changed);
  }
}

TEST_CASE("holes of 64 KiB and more stay holes, shorter ones are zeros, wherever they are", "[tree_reader]") {
  read_room room;
  auto size = GENERATE(as<uint64_t>{}, page, hole_size_min - page, hole_size_min, hole_size_min + page, 2 * hole_size_min + page);
  auto before = GENERATE(as<uint64_t>{}, 0, page, 3 * page, 30 * page);
  auto behind = GENERATE(as<uint64_t>{}, 0, page, 30 * page, uint64_t{5000});
  CAPTURE(size, before, behind, test::seed());
  auto total = before + size + behind;
  std::vector<std::byte> expected(total);
  room.resize("/in/sparse", total);
  if (before > 0) {
    auto data = room.random.make(before);
    room.write("/in/sparse", data);
    std::copy(data.begin(), data.end(), expected.begin());
  }
  if (behind > 0) {
    auto data = room.random.make(behind);
    room.write("/in/sparse", data, before + size);
    std::copy(data.begin(), data.end(), expected.end() - static_cast<ptrdiff_t>(behind));
  }
  auto items = room.read({root("/in/sparse", "sparse")});
  const auto& item = items["sparse"];
  CHECK(item.content == expected);
  REQUIRE(item.end);
  CHECK(item.end->size == total);
  CHECK(!item.end->changed);
  if (size >= hole_size_min)
    CHECK(item.holes == std::vector<uint64_t>{size});
  else
    CHECK(item.holes.empty());
}

TEST_CASE("a file that is one hole has no chunk", "[tree_reader]") {
  read_room room;
  for (uint64_t size : {hole_size_min, hole_size_min + 1, uint64_t{10} << 30}) {
    room.resize("/in/hole", size);
    auto from = room.reader({root("/in/hole", "hole")});
    auto pieces = from.next();
    REQUIRE(pieces.size() == 3);
    CHECK(std::get<source_hole>(pieces[1].what).length == size);
    CHECK(std::get<source_end>(pieces[2].what).size == size);
    CHECK(from.next().empty());
  }
}

TEST_CASE("several holes and short gaps between data come back in their places", "[tree_reader]") {
  read_room room;
  CAPTURE(test::seed());
  for (int round = 0; round < 20; ++round) {
    auto path = "/in/" + std::to_string(round);
    std::vector<std::byte> expected;
    for (int part = 0; part < 8; ++part) {
      auto at = expected.size();
      auto length = page * (1 + room.random.below(24));
      expected.resize(at + length);
      room.resize(path, at + length);
      if (room.random.below(2) == 0) {
        auto data = room.random.make(length);
        room.write(path, data, at);
        std::copy(data.begin(), data.end(), expected.begin() + static_cast<ptrdiff_t>(at));
      }
    }
    auto items = room.read({root(path, "x")});
    CHECK(items["x"].content == expected);
    CHECK(std::all_of(items["x"].holes.begin(), items["x"].holes.end(), [](uint64_t hole) { return hole >= hole_size_min; }));
  }
}

TEST_CASE("a file that grows while it is read is told as changed and ends where it did", "[tree_reader]") {
  read_room room;
  auto data = room.random.make(200'000);
  room.write("/in/log", data);
  auto from = room.reader({root("/in/log", "log")});
  std::map<uint64_t, read_item> items;
  auto first = from.next();
  read_room::take(first, items);
  room.write("/in/log", room.random.make(500'000), data.size());
  auto all = room.drain(from, std::move(items));
  CHECK(all["log"].content == data);
  REQUIRE(all["log"].end);
  CHECK(all["log"].end->changed);
  CHECK(all["log"].end->size == data.size());
}

TEST_CASE("a file that shrinks while it is read is told as changed", "[tree_reader]") {
  read_room room;
  auto sparse = GENERATE(false, true);
  auto data = room.random.make(200'000);
  room.write("/in/log", data);
  if (sparse)
    room.resize("/in/log", 4'000'000);
  auto from = room.reader({root("/in/log", "log")});
  std::map<uint64_t, read_item> items;
  auto first = from.next();
  read_room::take(first, items);
  room.resize("/in/log", 10'000);
  auto all = room.drain(from, std::move(items));
  const auto& item = all["log"];
  REQUIRE(item.end);
  CHECK(item.end->changed);
  CHECK(item.end->size == item.content.size());
  CHECK(item.content.size() < data.size());
  CHECK(std::equal(item.content.begin(), item.content.end(), data.begin()));
}

TEST_CASE("a name that becomes a link while it is read is not followed", "[tree_reader]") {
  read_room room;
  auto disk = std::make_shared<contested_files>();
  room.disk = disk;
  REQUIRE(disk->make_folder("/in"));
  room.write("/in/a", room.random.make(10));
  room.write("/secret", room.random.make(20));
  disk->watched = "/in/a";
  disk->act = [&] {
    REQUIRE(disk->remove("/in/a"));
    REQUIRE(disk->make_symlink("/secret", "/in/a"));
  };
  auto items = room.read({root("/in/a", "a")});
  REQUIRE(items.count("/in/a") == 1);
  CHECK(items["/in/a"].failure->reason.code() == errc::unsupported_source);
}

TEST_CASE("a file that is replaced while it is read is read as the new one", "[tree_reader]") {
  read_room room;
  auto disk = std::make_shared<contested_files>();
  room.disk = disk;
  REQUIRE(disk->make_folder("/in"));
  room.write("/in/a", room.random.make(10));
  auto next = room.random.make(20);
  room.write("/in/new", next);
  disk->watched = "/in/a";
  disk->act = [&] {
    REQUIRE(disk->rename("/in/new", "/in/a"));
  };
  auto items = room.read({root("/in/a", "a")});
  CHECK(items["a"].content == next);
}

TEST_CASE("links are stored as links, and what is missing is told beside the rest", "[tree_reader]") {
  read_room room;
  REQUIRE(room.disk->make_symlink("/nowhere", "/in/dangling"));
  room.write("/in/z", room.random.make(5));
  auto items = room.read({root("/in", "t"), root("/gone", "gone")});
  REQUIRE(items["t/dangling"].begin);
  CHECK(items["t/dangling"].begin->kind == node_kind::symlink);
  CHECK(items["t/dangling"].begin->symlink_target == "/nowhere");
  CHECK(items["t/z"].content.size() == 5);
  REQUIRE(items["/gone"].failure);
  CHECK(items["/gone"].failure->reason.code() == errc::not_found);
}

TEST_CASE("excludes match names and paths below the root, and leave out what lies below", "[tree_reader]") {
  read_room room;
  for (const auto* folder : {"/in/src", "/in/src/build", "/in/build"})
    REQUIRE(room.disk->make_folder(folder));
  for (const auto* file : {"/in/a.o", "/in/src/b.o", "/in/src/b.c", "/in/src/build/x", "/in/build/y"})
    room.write(file, room.random.make(3));
  auto names = [&](std::vector<std::string> exclude) {
    std::set<std::string> result;
    for (auto& [name, item] : room.read({root("/in", "t")}, std::move(exclude)))
      result.insert(name);
    return result;
  };
  CHECK(names({"*.o", "build"}) == std::set<std::string>{"t", "t/src", "t/src/b.c"});
  CHECK(names({"src/build"}) == std::set<std::string>{"t", "t/a.o", "t/src", "t/src/b.o", "t/src/b.c", "t/build", "t/build/y"});
  CHECK(names({"*"}) == std::set<std::string>{"t"});
  CHECK(room.read({root("/in/a.o", "kept")}, {"*.o"}).count("kept") == 1);
}

TEST_CASE("names may hold any byte but slash and NUL", "[tree_reader]") {
  read_room room;
  std::string odd = "\xff\x01\n *?[";
  room.write("/in/" + odd, room.random.make(7));
  CHECK(room.read({root("/in", "t")})["t/" + odd].content.size() == 7);
}

TEST_CASE("a file that says it is empty and is not is read to its end", "[tree_reader]") {
  read_room room;
  tree_reader from{system_files(), buffer_pool::make(40'000, 2), room.cutter, {root("/proc/version", "v")}, {}};
  auto item = room.drain(from)["v"];
  REQUIRE(item.end);
  CHECK_FALSE(item.end->changed);
  CHECK(item.end->size == item.content.size());
  CHECK(as_text(item.content).starts_with("Linux"));
}

TEST_CASE("folders of the store itself are left out, with all that is in them", "[tree_reader]") {
  read_room room;
  REQUIRE(room.disk->make_folder("/in/store"));
  REQUIRE(room.disk->make_folder("/in/store/shards"));
  room.write("/in/store/shards/a", room.random.make(7));
  room.write("/in/mine", room.random.make(7));
  auto own = room.disk->status("/in/store");
  REQUIRE(own);
  tree_reader from{room.disk, buffer_pool::make(40'000, 2), room.cutter, {root("/in", "t")}, {}, {{own->device, own->inode}}};
  std::vector<std::string> left_out;
  std::vector<std::string> begun;
  for (auto pieces = from.next(); !pieces.empty(); pieces = from.next())
    for (const auto& piece : pieces) {
      if (auto* folder = std::get_if<source_left_out>(&piece.what))
        left_out.push_back(folder->path);
      else if (auto* begin = std::get_if<source_begin>(&piece.what))
        begun.push_back(begin->path);
    }
  CHECK(left_out == std::vector<std::string>{"/in/store"});
  CHECK(begun == std::vector<std::string>{"t", "t/mine"});
}

TEST_CASE("FIFOs on a real folder are refused without waiting for them", "[tree_reader]") {
  scratch_folder folder;
  REQUIRE(::mkfifo((folder.path + "/fifo").c_str(), 0600) == 0);
  read_room room;
  tree_reader from{system_files(), buffer_pool::make(40'000, 2), room.cutter, {root(folder.path, "t")}, {}};
  auto items = room.drain(from);
  REQUIRE(items[folder.path + "/fifo"].failure);
  CHECK(items[folder.path + "/fifo"].failure->reason.code() == errc::unsupported_source);
}
