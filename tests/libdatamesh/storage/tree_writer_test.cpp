#include "storage/tree_writer.hpp"

#include "storage/sealed_chunk.hpp"
#include "tests/libdatamesh/storage/seed.hpp"
#include "tests/support/seeded_random.hpp"
#include "tests/support/simulated_files.hpp"

#include <catch2/catch.hpp>

#include <cstdlib>
#include <filesystem>

using namespace datamesh;
using namespace datamesh::storage;

namespace {

using answer = restore_writer::answer;

class scratch_folder {
public:
  scratch_folder() {
    auto pattern = (std::filesystem::temp_directory_path() / "datamesh-write-XXXXXX").string();
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

target_file file_of(std::string path, uint64_t size, uint32_t mode = 0644) {
  return {std::move(path), node_kind::file, size, mode, 1'700'000'000'000'000'000, {}};
}

target_file folder_of(std::string path) {
  return {std::move(path), node_kind::folder, 0, 0750, 1'600'000'000'000'000'000, {}};
}

struct write_room {
  test::seeded_random random{test::seed()};
  crypto::key256 id_key = *crypto::key256::random(random);
  std::shared_ptr<file_system> files = std::make_shared<test::simulated_files>();
  std::string folder = "/out";
  std::unique_ptr<restore_writer> writer;

  write_room() {
    REQUIRE(files->make_folder(folder));
    open();
  }
  explicit write_room(const scratch_folder& real) : files(system_files()), folder(real.path + "/out") {
    REQUIRE(files->make_folder(folder));
    open();
  }
  void open(bool overwrite = false) {
    writer = write_tree(files, folder, overwrite, id_key);
  }
  void restore(const target_file& what, byte_view data) {
    auto begun = writer->begin(what);
    REQUIRE(begun);
    REQUIRE(*begun == answer::write);
    REQUIRE(writer->write(data));
    REQUIRE(writer->end());
  }
  std::vector<std::byte> content(const std::string& name) {
    auto whole = read_whole(*files, join_path(folder, name), 1 << 26);
    REQUIRE(whole);
    return {whole->view().begin(), whole->view().end()};
  }
  [[nodiscard]] bool exists(const std::string& name) const {
    return files->status(join_path(folder, name)).has_value();
  }
  extent chunk_of(byte_view data) const {
    return {chunk_id_of(id_key, data), data.size()};
  }
  /// The one partial file in the folder.
  std::string partial() {
    std::string found;
    auto listed = files->list(folder);
    REQUIRE(listed);
    for (const auto& entry : *listed)
      if (entry.name.ends_with(".datamesh-part")) {
        CHECK(found.empty());
        found = entry.name;
      }
    REQUIRE_FALSE(found.empty());
    return found;
  }
  errc begin_error(const target_file& what) {
    auto begun = writer->begin(what);
    return begun ? errc{} : begun.error().code();
  }
};

} // namespace

TEST_CASE("a file appears under its name when it is whole, with its mode and time", "[tree_writer]") {
  write_room room;
  auto data = room.random.make(3000);
  auto what = file_of("a/b/c", data.size(), 0640);
  REQUIRE(room.writer->begin(what));
  REQUIRE(room.writer->write(byte_view{data}.first(1000)));
  CHECK(!room.exists("a/b/c"));
  REQUIRE(room.writer->write(byte_view{data}.subspan(1000)));
  REQUIRE(room.writer->end());
  CHECK(room.content("a/b/c") == data);
  auto status = room.files->status("/out/a/b/c");
  CHECK(status->mode == 0640);
  CHECK(status->modified_ns == what.modified_ns);
}

TEST_CASE("set-user-id and the like are not restored", "[tree_writer]") {
  scratch_folder real;
  write_room room{real};
  room.restore(file_of("tool", 4, 07755), as_view("code"));
  CHECK(room.files->status(room.folder + "/tool")->mode == 0755);
  auto what = folder_of("shared");
  what.mode = 03777;
  REQUIRE(room.writer->begin(what));
  REQUIRE(room.writer->finish().empty());
  CHECK(room.files->status(room.folder + "/shared")->mode == 0777);
}

TEST_CASE("an abandoned small file leaves nothing", "[tree_writer]") {
  write_room room;
  REQUIRE(room.writer->begin(file_of("a", 10)));
  REQUIRE(room.writer->write(as_view("12345")));
  room.writer->abandon();
  CHECK(room.files->list("/out")->empty());
}

TEST_CASE("what is there stays unless it may be overwritten, and then it is replaced at once", "[tree_writer]") {
  write_room room;
  room.restore(file_of("a", 3), as_view("old"));
  auto newer = file_of("a", 5);
  CHECK(room.begin_error(newer) == errc::already_exists);
  room.open(true);
  REQUIRE(room.writer->begin(newer));
  REQUIRE(room.writer->write(as_view("newer")));
  CHECK(room.content("a").size() == 3);
  REQUIRE(room.writer->end());
  CHECK(room.content("a").size() == 5);
  CHECK(room.files->list("/out")->size() == 1);
}

TEST_CASE("a file of the same size, time and content is kept", "[tree_writer]") {
  auto overwrite = GENERATE(false, true);
  write_room room;
  room.restore(file_of("a", 3), as_view("old"));
  auto before = room.files->status("/out/a");
  room.open(overwrite);
  REQUIRE(room.writer->begin(file_of("a", 3, 0755)));
  REQUIRE(room.writer->write(as_view("ol")));
  REQUIRE(room.writer->write(as_view("d")));
  CHECK(room.writer->comparing());
  REQUIRE(room.writer->end());
  auto after = room.files->status("/out/a");
  CHECK(after->inode == before->inode);
  CHECK(after->mode == (overwrite ? 0755 : 0644));
  CHECK(after->modified_ns == before->modified_ns);
}

TEST_CASE("a file of the same size and time, but of another content, is replaced or refused", "[tree_writer]") {
  write_room room;
  room.restore(file_of("a", 6), as_view("abcdef"));
  SECTION("refused") {
    REQUIRE(room.writer->begin(file_of("a", 6)));
    REQUIRE(room.writer->write(as_view("abc")));
    auto written = room.writer->write(as_view("dEf"));
    REQUIRE(!written);
    CHECK(written.error().code() == errc::already_exists);
    room.writer->abandon();
    CHECK(as_text(room.content("a")) == "abcdef");
  }
  SECTION("replaced, the part that was the same included") {
    room.open(true);
    REQUIRE(room.writer->begin(file_of("a", 6)));
    REQUIRE(room.writer->write(as_view("abc")));
    REQUIRE(room.writer->write(as_view("dEf")));
    CHECK(!room.writer->comparing());
    CHECK(as_text(room.content("a")) == "abcdef");
    REQUIRE(room.writer->end());
    CHECK(as_text(room.content("a")) == "abcdEf");
  }
  SECTION("refused where it was written to after it had been compared") {
    room.open(true);
    REQUIRE(room.writer->begin(file_of("a", 6)));
    REQUIRE(room.writer->write(as_view("abc")));
    const byte_view other[] = {as_view("X")};
    REQUIRE((*room.files->open_write("/out/a"))->write_at(1, other));
    auto written = room.writer->write(as_view("dEf"));
    REQUIRE(!written);
    CHECK(written.error().code() == errc::already_exists);
    room.writer->abandon();
    CHECK(as_text(room.content("a")) == "aXcdef");
  }
  SECTION("where a hole comes") {
    room.open(true);
    REQUIRE(room.writer->begin(file_of("a", 6)));
    REQUIRE(room.writer->write(as_view("abc")));
    REQUIRE(room.writer->hole(3));
    REQUIRE(room.writer->end());
    CHECK(as_text(room.content("a")) == std::string_view{"abc\0\0\0", 6});
  }
}

TEST_CASE("a long file that is there is compared chunk by chunk", "[tree_writer]") {
  write_room room;
  auto first = room.random.make(9 << 20);
  auto second = room.random.make(8 << 20);
  auto what = file_of("long", first.size() + second.size());
  auto other = second;
  other[other.size() - 1] ^= std::byte{1};
  auto damaged = GENERATE(false, true);
  REQUIRE(room.writer->begin(what));
  REQUIRE(room.writer->write(first));
  REQUIRE(room.writer->write(damaged ? other : second));
  REQUIRE(room.writer->end());
  room.open(true);
  REQUIRE(room.writer->begin(what));
  auto resumed = room.writer->resume({room.chunk_of(first), room.chunk_of(second)});
  REQUIRE(resumed);
  CHECK(*resumed == (damaged ? 0 : 2));
  CHECK(room.writer->comparing() == !damaged);
  if (damaged) {
    REQUIRE(room.writer->write(first));
    REQUIRE(room.writer->write(second));
  }
  REQUIRE(room.writer->end());
  auto whole = first;
  whole.insert(whole.end(), second.begin(), second.end());
  CHECK(room.content("long") == whole);
  CHECK(room.files->list("/out")->size() == 1);
}

TEST_CASE("a folder in the way of a file, or a file in the way of a folder, is refused", "[tree_writer]") {
  write_room room;
  room.open(true);
  REQUIRE(room.files->make_folder("/out/d"));
  CHECK(room.begin_error(file_of("d", 1)) == errc::already_exists);
  room.restore(file_of("f", 1), as_view("x"));
  CHECK(room.begin_error(folder_of("f")) == errc::already_exists);
  CHECK(room.begin_error(file_of("f/below", 1)) == errc::not_a_folder);
}

TEST_CASE("a symbolic link in the way is refused, and nothing is written outside of the target", "[tree_writer]") {
  scratch_folder real;
  write_room room{real};
  auto outside = real.path + "/outside";
  REQUIRE(room.files->make_folder(outside));
  REQUIRE(room.files->make_symlink(outside, room.folder + "/d"));
  REQUIRE(room.files->make_symlink(outside + "/target", room.folder + "/link"));
  auto overwrite = GENERATE(false, true);
  room.open(overwrite);
  CHECK(room.begin_error(file_of("d/a", 1)) == errc::not_a_folder);
  CHECK(room.begin_error(folder_of("d")) == errc::already_exists);
  if (overwrite)
    room.restore(file_of("link", 1), as_view("x"));
  else
    CHECK(room.begin_error(file_of("link", 1)) == errc::already_exists);
  CHECK(room.files->list(outside)->empty());
}

TEST_CASE("a folder that becomes a link while files are restored is not followed", "[tree_writer]") {
  scratch_folder real;
  write_room room{real};
  auto outside = real.path + "/outside";
  REQUIRE(room.files->make_folder(outside));
  REQUIRE(room.writer->begin(folder_of("d")));
  room.restore(file_of("d/a", 1), as_view("x"));
  REQUIRE(room.writer->begin({"d/link", node_kind::symlink, 0, 0, 0, "/etc"}));
  REQUIRE(room.writer->begin(file_of("d/b", 1)));
  REQUIRE(room.files->rename(room.folder + "/d", room.folder + "/moved"));
  REQUIRE(room.files->make_symlink(outside, room.folder + "/d"));
  REQUIRE(room.writer->write(as_view("y")));
  CHECK(!room.writer->end());
  CHECK(room.begin_error(file_of("d/c", 1)) == errc::not_a_folder);
  CHECK(room.writer->finish().size() == 2);
  CHECK(room.files->list(outside)->empty());
}

TEST_CASE("links and attributes of folders come last", "[tree_writer]") {
  write_room room;
  REQUIRE(room.writer->begin(folder_of("d")));
  REQUIRE(room.writer->begin({"d/link", node_kind::symlink, 0, 0, 0, "../elsewhere"}));
  CHECK(!room.exists("d/link"));
  room.restore(file_of("d/a", 1), as_view("x"));
  REQUIRE(room.writer->finish().empty());
  CHECK(*room.files->read_link("/out/d/link") == "../elsewhere");
  auto status = room.files->status("/out/d");
  CHECK(status->mode == 0750);
  CHECK(status->modified_ns == folder_of("d").modified_ns);
}

TEST_CASE("a long file is resumed behind the chunks that are good", "[tree_writer]") {
  write_room room;
  auto first = room.random.make(5000);
  auto second = room.random.make(6000);
  auto third = room.random.make(7000);
  auto what = file_of("long", resumable_size_min);
  REQUIRE(room.writer->begin(what));
  REQUIRE(room.writer->write(first));
  REQUIRE(room.writer->write(second));
  room.writer->abandon();
  CHECK(!room.exists("long"));
  std::vector<extent> extents{room.chunk_of(first), room.chunk_of(second), room.chunk_of(third)};
  auto damaged = GENERATE(false, true);
  if (damaged) {
    auto file = room.files->open_write(join_path("/out", room.partial()));
    REQUIRE(file);
    const byte_view parts[] = {as_view("?")};
    REQUIRE((*file)->write_at(5100, parts));
  }
  room.open();
  REQUIRE(room.writer->begin(what));
  auto resumed = room.writer->resume(extents);
  REQUIRE(resumed);
  CHECK(*resumed == (damaged ? 1 : 2));
  if (damaged)
    REQUIRE(room.writer->write(second));
  REQUIRE(room.writer->write(third));
  REQUIRE(room.writer->end());
  auto expected = first;
  expected.insert(expected.end(), second.begin(), second.end());
  expected.insert(expected.end(), third.begin(), third.end());
  CHECK(room.content("long") == expected);
  CHECK(room.files->list("/out")->size() == 1);
}

TEST_CASE("a restored file whose name is that of a partial one is left alone", "[tree_writer]") {
  write_room room;
  auto what = file_of("long", resumable_size_min);
  REQUIRE(room.writer->begin(what));
  room.writer->abandon();
  auto name = room.partial();
  REQUIRE(room.files->remove(join_path("/out", name)));
  room.open();
  auto named = file_of(name, 4);
  auto first = room.random.make(5000);
  auto second = room.random.make(6000);
  room.restore(named, as_view("mine"));
  REQUIRE(room.writer->begin(what));
  REQUIRE(room.writer->write(first));
  room.writer->abandon();
  CHECK(as_text(room.content(name)) == "mine");
  // The next run finds both again.
  room.open();
  REQUIRE(room.writer->begin(named));
  REQUIRE(room.writer->begin(what));
  auto resumed = room.writer->resume({room.chunk_of(first), room.chunk_of(second)});
  REQUIRE(resumed);
  CHECK(*resumed == 1);
  REQUIRE(room.writer->write(second));
  REQUIRE(room.writer->end());
  CHECK(room.content("long").size() == 11'000);
  CHECK(as_text(room.content(name)) == "mine");
  CHECK(room.files->list("/out")->size() == 2);
}

TEST_CASE("of two gets of a long file into one folder the second is refused", "[tree_writer]") {
  auto on_disk = GENERATE(false, true);
  auto overwrite = GENERATE(false, true);
  scratch_folder real;
  auto room = on_disk ? write_room{real} : write_room{};
  room.open(overwrite);
  auto what = file_of("long", resumable_size_min);
  auto first = room.random.make(5000);
  auto second = room.random.make(6000);
  REQUIRE(room.writer->begin(what));
  REQUIRE(room.writer->write(first));
  auto other = write_tree(room.files, room.folder, overwrite, room.id_key);
  auto refused = other->begin(what);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code() == errc::locked);
  other->abandon();
  REQUIRE(room.writer->write(second));
  REQUIRE(room.writer->end());
  auto whole = first;
  whole.insert(whole.end(), second.begin(), second.end());
  CHECK(room.content("long") == whole);
  CHECK(room.files->list(room.folder)->size() == 1);
}

TEST_CASE("what a get that ended left free can be taken by another", "[tree_writer]") {
  scratch_folder real;
  write_room room{real};
  auto what = file_of("long", resumable_size_min);
  auto first = room.random.make(5000);
  REQUIRE(room.writer->begin(what));
  REQUIRE(room.writer->write(first));
  CHECK(write_tree(room.files, room.folder, false, room.id_key)->begin(what).error().code() == errc::locked);
  room.writer->abandon();
  auto other = write_tree(room.files, room.folder, false, room.id_key);
  REQUIRE(other->begin(what));
  CHECK(*other->resume({room.chunk_of(first)}) == 1);
}

TEST_CASE("two versions of a long file, and two vaults, share no partial file", "[tree_writer]") {
  write_room room;
  auto what = file_of("long", resumable_size_min);
  auto newer = what;
  newer.modified_ns += 1;
  auto other_key = *crypto::key256::random(room.random);
  auto of_vault = write_tree(room.files, room.folder, true, other_key);
  auto of_version = write_tree(room.files, room.folder, true, room.id_key);
  auto mine = room.random.make(5000);
  auto theirs = room.random.make(5000);
  auto third = room.random.make(5000);
  REQUIRE(room.writer->begin(what));
  REQUIRE(room.writer->write(mine));
  REQUIRE(of_vault->begin(what));
  REQUIRE(of_vault->write(theirs));
  REQUIRE(of_version->begin(newer));
  REQUIRE(of_version->write(third));
  REQUIRE(room.writer->end());
  CHECK(room.content("long") == mine);
  REQUIRE(of_vault->end());
  CHECK(room.content("long") == theirs);
  REQUIRE(of_version->end());
  CHECK(room.content("long") == third);
  CHECK(room.files->list("/out")->size() == 1);
}

TEST_CASE("a partial file that somebody moved is not taken for whole", "[tree_writer]") {
  write_room room;
  room.restore(file_of("long", 5), as_view("older"));
  room.open(true);
  REQUIRE(room.writer->begin(file_of("long", resumable_size_min)));
  REQUIRE(room.writer->write(as_view("new")));
  auto name = join_path("/out", room.partial());
  REQUIRE(room.files->rename(name, "/out/moved"));
  REQUIRE(write_whole(*room.files, name, as_view("foreign")));
  auto ended = room.writer->end();
  REQUIRE_FALSE(ended);
  CHECK(ended.error().code() == errc::conflict);
  CHECK(as_text(room.content("long")) == "older");
}

TEST_CASE("a user's file that is named like a partial one is left alone", "[tree_writer]") {
  write_room room;
  for (const auto* name : {".long.datamesh-part", ".small.datamesh-part"})
    REQUIRE(write_whole(*room.files, join_path("/out", name), as_view("mine")));
  room.restore(file_of("long", resumable_size_min), as_view("long"));
  room.restore(file_of("small", 3), as_view("old"));
  room.open(true);
  room.restore(file_of("small", 5), as_view("newer"));
  CHECK(as_text(room.content(".long.datamesh-part")) == "mine");
  CHECK(as_text(room.content(".small.datamesh-part")) == "mine");
  CHECK(as_text(room.content("small")) == "newer");
}

TEST_CASE("a link in place of a partial file is not followed", "[tree_writer]") {
  scratch_folder real;
  write_room room{real};
  auto what = file_of("long", resumable_size_min);
  REQUIRE(room.writer->begin(what));
  room.writer->abandon();
  auto name = join_path(room.folder, room.partial());
  REQUIRE(room.files->remove(name));
  auto outside = real.path + "/outside";
  REQUIRE(write_whole(*room.files, outside, as_view("mine")));
  REQUIRE(room.files->make_symlink(outside, name));
  CHECK(room.begin_error(what) == errc::unsupported_source);
  CHECK(read_whole(*room.files, outside, 100)->view().size() == 4);
}

TEST_CASE("what a killed get left beside a small file goes, and what one writes now does not", "[tree_writer]") {
  write_room room;
  auto what = file_of("a", 5);
  room.restore(file_of("a", 3), as_view("old"));
  room.open(true);
  REQUIRE(room.writer->begin(what));
  REQUIRE(room.writer->write(as_view("newer")));
  // Behind the attributes and the link it is neither moved nor removed.
  auto disk = std::static_pointer_cast<test::simulated_files>(room.files);
  disk->fail_call(3, errc::io_failed);
  disk->end_drive(4, "/out", test::drive_end::read_only);
  CHECK_FALSE(room.writer->end());
  disk->plug_in("/out");
  auto name = room.partial();
  room.open(true);
  SECTION("killed") {
    room.restore(what, as_view("newer"));
    CHECK(as_text(room.content("a")) == "newer");
    CHECK(room.files->list("/out")->size() == 1);
  }
  SECTION("at work") {
    auto held = room.files->open_write(join_path("/out", name));
    REQUIRE(held);
    REQUIRE((*held)->lock());
    REQUIRE(room.writer->begin(what));
    REQUIRE(room.writer->write(as_view("newer")));
    auto ended = room.writer->end();
    REQUIRE_FALSE(ended);
    CHECK(ended.error().code() == errc::locked);
    CHECK(as_text(room.content("a")) == "old");
    CHECK(room.exists(name));
  }
}

TEST_CASE("a link comes over what is there at once, or not at all", "[tree_writer]") {
  write_room room;
  target_file link{"l", node_kind::symlink, 0, 0777, 1'500'000'000'000'000'000, "../elsewhere"};
  room.restore(file_of("l", 4), as_view("mine"));
  room.open(true);
  auto disk = std::static_pointer_cast<test::simulated_files>(room.files);
  REQUIRE(room.writer->begin(link));
  SECTION("where it can be made") {
    REQUIRE(room.writer->finish().empty());
    CHECK(*room.files->read_link("/out/l") == "../elsewhere");
    CHECK(room.files->status("/out/l")->modified_ns == link.modified_ns);
  }
  SECTION("where it can not be made, or not be moved") {
    // Its place is taken, it is made beside, gets its time, and is moved.
    disk->fail_call(GENERATE(2, 3, 4), errc::no_space);
    auto failures = room.writer->finish();
    REQUIRE(failures.size() == 1);
    CHECK(failures.front().reason.code() == errc::no_space);
    CHECK(as_text(room.content("l")) == "mine");
  }
  SECTION("where a killed get left it beside") {
    disk->end_drive(4, "/out", test::drive_end::read_only);
    REQUIRE(room.writer->finish().size() == 1);
    disk->plug_in("/out");
    CHECK(room.files->list("/out")->size() == 2);
    room.open(true);
    REQUIRE(room.writer->begin(link));
    REQUIRE(room.writer->finish().empty());
    CHECK(*room.files->read_link("/out/l") == "../elsewhere");
  }
  CHECK(room.files->list("/out")->size() == 1);
}

TEST_CASE("the time of a link comes back", "[tree_writer]") {
  scratch_folder real;
  write_room room{real};
  REQUIRE(room.writer->begin({"l", node_kind::symlink, 0, 0777, 1'500'000'000'123'456'789, "nowhere"}));
  REQUIRE(room.writer->finish().empty());
  CHECK(room.files->status(room.folder + "/l")->modified_ns == 1'500'000'000'123'456'789);
}

TEST_CASE("nothing of an earlier partial file shines through a hole", "[tree_writer]") {
  write_room room;
  auto what = file_of("long", resumable_size_min);
  auto old = room.random.make(200'000);
  REQUIRE(room.writer->begin(what));
  REQUIRE(room.writer->write(old));
  room.writer->abandon();
  room.open();
  REQUIRE(room.writer->begin(what));
  auto kept = byte_view{old}.first(10'000);
  auto asks = GENERATE(false, true);
  auto tail = room.random.make(10);
  if (asks) {
    auto resumed = room.writer->resume({room.chunk_of(kept), {std::nullopt, 100'000}, room.chunk_of(tail)});
    REQUIRE(resumed);
    CHECK(*resumed == 1);
  } else {
    REQUIRE(room.writer->write(kept));
  }
  REQUIRE(room.writer->hole(100'000));
  REQUIRE(room.writer->write(tail));
  REQUIRE(room.writer->end());
  std::vector<std::byte> expected(kept.begin(), kept.end());
  expected.resize(110'000);
  expected.insert(expected.end(), tail.begin(), tail.end());
  CHECK(room.content("long") == expected);
}

TEST_CASE("holes of a partial file are resumed, too", "[tree_writer]") {
  write_room room;
  auto what = file_of("long", resumable_size_min);
  auto data = room.random.make(4096);
  REQUIRE(room.writer->begin(what));
  REQUIRE(room.writer->hole(1 << 20));
  REQUIRE(room.writer->write(data));
  room.writer->abandon();
  room.open();
  REQUIRE(room.writer->begin(what));
  auto resumed = room.writer->resume({{std::nullopt, 1 << 20}, room.chunk_of(data), {std::nullopt, 1 << 20}});
  REQUIRE(resumed);
  CHECK(*resumed == 2);
}

TEST_CASE("a sparse file comes back sparse, also when it ends in a hole", "[tree_writer]") {
  scratch_folder real;
  write_room room{real};
  REQUIRE(room.writer->begin(file_of("sparse", 9 << 20)));
  REQUIRE(room.writer->hole(4 << 20));
  REQUIRE(room.writer->write(as_view("data")));
  REQUIRE(room.writer->hole((5 << 20) - 4));
  REQUIRE(room.writer->end());
  auto status = room.files->status(room.folder + "/sparse");
  REQUIRE(status);
  CHECK(status->size == 9 << 20);
  CHECK(status->allocated < 1 << 20);
  CHECK(room.content("sparse")[4 << 20] == std::byte{'d'});
}

TEST_CASE("the longest name can be restored long, and overwritten", "[tree_writer]") {
  scratch_folder real;
  write_room room{real};
  std::string name(name_size_max, 'n');
  room.restore(file_of(name, resumable_size_min), as_view("first"));
  CHECK(room.content(name).size() == 5);
  room.open(true);
  room.restore(file_of(name, 6), as_view("second"));
  CHECK(room.content(name).size() == 6);
  CHECK(room.files->list(room.folder)->size() == 1);
}

TEST_CASE("names of any byte come back", "[tree_writer]") {
  scratch_folder real;
  write_room room{real};
  std::string odd = "\xff\x01\n *?[";
  room.restore(file_of(odd + "/" + odd, 1), as_view("x"));
  CHECK(room.content(odd + "/" + odd).size() == 1);
}
