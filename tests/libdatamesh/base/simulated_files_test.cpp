// The simulated disk loses what a disk may lose, and nothing else.
#include "base/system_files.hpp"
#include "tests/support/manual_clock.hpp"
#include "tests/support/seeded_random.hpp"
#include "tests/support/simulated_files.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <set>
#include <thread>

using namespace datamesh;
using test::disk_call;
using test::drive_end;
using test::simulated_files;

namespace {

constexpr uint64_t crashes = 1000;

uint64_t seed() {
  const char* text = std::getenv("DATAMESH_SEED");
  return text != nullptr ? std::strtoull(text, nullptr, 0) : 20260101;
}

result<void> write(writable_file& file, uint64_t offset, std::string_view text) {
  std::array<byte_view, 1> parts{as_view(text)};
  return file.write_at(offset, parts);
}

std::unique_ptr<writable_file> make(file_system& disk, const std::string& path, std::string_view text) {
  auto file = disk.create(path);
  REQUIRE(file);
  REQUIRE(write(**file, 0, text));
  return std::move(*file);
}

// Content and name are durable.
void make_durable(file_system& disk, const std::string& path, std::string_view text) {
  REQUIRE(make(disk, path, text)->sync());
  REQUIRE(disk.sync_folder(parent_path(path)));
}

std::string get(file_system& disk, const std::string& path) {
  auto content = read_whole(disk, path, 1 << 20);
  return content ? std::string{as_text(*content)} : "error " + content.error().message();
}

bool is_there(file_system& disk, const std::string& path) {
  return disk.status(path).has_value();
}

template <class T>
errc code_of(const result<T>& answer) {
  REQUIRE_FALSE(answer);
  return answer.error().code();
}

// All paths with what is in them.
std::map<std::string, std::string> tree(simulated_files& disk) {
  std::map<std::string, std::string> all;
  for (const auto& [path, status] : disk.list_all())
    all[path] = status.kind == file_kind::regular   ? "file " + get(disk, path)
                : status.kind == file_kind::symlink ? "link " + *disk.read_link(path)
                                                    : "folder";
  return all;
}

// Every outcome of a power loss after *prepare*, as *observe* sees it.
template <class Prepare, class Observe>
std::set<std::string> outcomes(Prepare prepare, Observe observe) {
  std::set<std::string> seen;
  for (uint64_t i = 0; i < crashes; ++i) {
    simulated_files fresh;
    prepare(fresh);
    fresh.crash(seed() + i);
    seen.insert(observe(fresh));
  }
  return seen;
}

using texts = std::set<std::string>;

} // namespace

// -- content ---------------------------------------------------------------------

TEST_CASE("synced content and names survive every power loss", "[simulated]") {
  auto seen = outcomes([](auto& disk) { make_durable(disk, "/a", "durable"); }, [](auto& disk) { return get(disk, "/a"); });
  CHECK(seen == texts{"durable"});
}

TEST_CASE("unsynced content is lost, kept or torn at 512 bytes", "[simulated]") {
  constexpr size_t sectors = 8;
  auto seen = outcomes(
      [](auto& disk) {
        make_durable(disk, "/a", std::string(sectors * 512, 'o'));
        auto file = disk.open_write("/a");
        REQUIRE(file);
        REQUIRE(write(**file, 0, std::string(sectors * 512, 'n')));
      },
      [](auto& disk) {
        auto content = get(disk, "/a");
        REQUIRE(content.size() == sectors * 512);
        std::string brief;
        for (size_t i = 0; i < sectors; ++i) {
          auto sector = content.substr(i * 512, 512);
          REQUIRE((sector == std::string(512, 'o') || sector == std::string(512, 'n')));
          brief += sector[0];
        }
        return brief;
      });
  CHECK(seen.count("oooooooo") == 1);
  CHECK(seen.count("nnnnnnnn") == 1);
  CHECK(seen.size() > 10);
}

TEST_CASE("of several unsynced writes any may survive", "[simulated]") {
  auto seen = outcomes(
      [](auto& disk) {
        make_durable(disk, "/a", std::string(4 * 4096, '-'));
        auto file = disk.open_write("/a");
        for (int i = 0; i < 3; ++i)
          REQUIRE(write(**file, static_cast<uint64_t>(i) * 4096, "x"));
        REQUIRE(write(**file, 0, "y"));
      },
      [](auto& disk) {
        auto content = get(disk, "/a");
        return std::string{content[0], content[4096], content[8192]};
      });
  for (const auto* each : {"---", "yxx", "x--", "-x-", "--x", "y--", "xx-", "-xx"}) {
    CAPTURE(each);
    CHECK(seen.count(each) == 1);
  }
}

TEST_CASE("what was synced in between is not lost with what came later", "[simulated]") {
  auto seen = outcomes(
      [](auto& disk) {
        auto file = make(disk, "/a", "1");
        REQUIRE(disk.sync_folder("/"));
        REQUIRE(write(*file, 1, "2"));
        REQUIRE(file->sync());
        REQUIRE(write(*file, 2, "3"));
      },
      [](auto& disk) { return get(disk, "/a"); });
  // Size and bytes are two things: the file may have grown and the byte be absent.
  CHECK(seen == texts{"12", "123", std::string{"12\0", 3}});
}

TEST_CASE("an unsynced cut or growth is lost or kept", "[simulated]") {
  auto seen = outcomes(
      [](auto& disk) {
        make_durable(disk, "/a", "abcdef");
        auto file = disk.open_write("/a");
        REQUIRE((*file)->resize(2));
        REQUIRE((*file)->resize(4));
      },
      [](auto& disk) { return get(disk, "/a"); });
  CHECK(seen == texts{"abcdef", "ab", std::string{"ab\0\0", 4}});
}

TEST_CASE("truncating by creating loses the old content before the new is there", "[simulated]") {
  auto seen = outcomes(
      [](auto& disk) {
        make_durable(disk, "/a", "old");
        (void) make(disk, "/a", "new");
      },
      [](auto& disk) { return get(disk, "/a"); });
  CHECK(seen.count("") == 1);
  CHECK(seen.count("old") == 1);
  CHECK(seen.count("new") == 1);
}

// -- names ------------------------------------------------------------------------

TEST_CASE("an unsynced link is lost or kept, and its synced content never torn", "[simulated]") {
  auto seen = outcomes(
      [](auto& disk) {
        auto file = disk.create_unnamed("/");
        REQUIRE(write(**file, 0, std::string(5000, 'x')));
        REQUIRE((*file)->sync());
        REQUIRE((*file)->link_as("/a"));
      },
      [](auto& disk) { return is_there(disk, "/a") ? get(disk, "/a") : "lost"; });
  CHECK(seen == texts{"lost", std::string(5000, 'x')});
}

TEST_CASE("a synced name of unsynced content shows whatever reached the disk", "[simulated]") {
  auto seen = outcomes(
      [](auto& disk) {
        (void) make(disk, "/a", std::string(1024, 'x'));
        REQUIRE(disk.sync_folder("/"));
      },
      [](auto& disk) { return get(disk, "/a"); });
  CHECK(seen.count("") == 1);
  CHECK(seen.count(std::string(1024, 'x')) == 1);
  CHECK(seen.count(std::string(512, 'x') + std::string(512, '\0')) == 1);
}

TEST_CASE("an unnamed file is gone after a power loss", "[simulated]") {
  simulated_files disk;
  auto file = disk.create_unnamed("/");
  REQUIRE(write(**file, 0, std::string(5000, 'x')));
  REQUIRE((*file)->sync());
  CHECK(disk.used() == 8192);
  disk.crash(seed());
  CHECK(disk.used() == 0);
  CHECK(disk.list_all().empty());
}

TEST_CASE("a rename that is not synced leaves the old or the new", "[simulated]") {
  auto seen = outcomes(
      [](auto& disk) {
        make_durable(disk, "/a", "old");
        make_durable(disk, "/b", "new");
        REQUIRE(disk.rename("/b", "/a"));
      },
      [](auto& disk) { return get(disk, "/a") + (is_there(disk, "/b") ? " and b" : ""); });
  CHECK(seen == texts{"old and b", "new"});
}

TEST_CASE("a rename between folders is in one of them, and durable after both are synced", "[simulated]") {
  auto where = [](auto& disk) {
    return std::string{is_there(disk, "/d/a") ? "d" : ""} + (is_there(disk, "/e/a") ? "e" : "");
  };
  auto prepare = [](auto& disk) {
    REQUIRE(disk.make_folder("/d"));
    REQUIRE(disk.make_folder("/e"));
    REQUIRE(disk.sync_folder("/"));
    make_durable(disk, "/d/a", "x");
    REQUIRE(disk.rename("/d/a", "/e/a"));
  };
  CHECK(outcomes(prepare, where) == texts{"d", "e"});
  auto half = [&](auto& disk) {
    prepare(disk);
    REQUIRE(disk.sync_folder("/e"));
  };
  CHECK(outcomes(half, where) == texts{"d", "e"});
  auto whole = [&](auto& disk) {
    half(disk);
    REQUIRE(disk.sync_folder("/d"));
  };
  CHECK(outcomes(whole, where) == texts{"e"});
}

TEST_CASE("a removed file may come back until its folder is synced", "[simulated]") {
  auto prepare = [](auto& disk) {
    make_durable(disk, "/a", "x");
    REQUIRE(disk.remove("/a"));
  };
  auto there = [](auto& disk) {
    return std::string{is_there(disk, "/a") ? "back" : "gone"};
  };
  CHECK(outcomes(prepare, there) == texts{"back", "gone"});
  CHECK(outcomes(
            [&](auto& disk) {
              prepare(disk);
              REQUIRE(disk.sync_folder("/"));
            },
            there)
        == texts{"gone"});
}

TEST_CASE("a file is lost with a folder whose own name was not synced", "[simulated]") {
  auto seen = outcomes(
      [](auto& disk) {
        REQUIRE(disk.make_folder("/d"));
        make_durable(disk, "/d/a", "x");
      },
      [](auto& disk) {
        return std::string{is_there(disk, "/d/a") ? "a" : is_there(disk, "/d") ? "d" : "nothing"};
      });
  CHECK(seen == texts{"a", "nothing"});
  simulated_files disk;
  REQUIRE(make_folders(disk, "/x/y/z"));
  make_durable(disk, "/x/y/z/a", "x");
  disk.crash(seed());
  CHECK(get(disk, "/x/y/z/a") == "x");
}

TEST_CASE("a later change of a name never survives without the earlier", "[simulated]") {
  auto seen = outcomes(
      [](auto& disk) {
        make_durable(disk, "/1", "x");
        for (const auto* step : {"/2", "/3", "/4"})
          REQUIRE(disk.rename(std::string{"/"} + static_cast<char>(step[1] - 1), step));
      },
      [](auto& disk) {
        auto all = disk.list_all();
        REQUIRE(all.size() == 1);
        return all[0].path;
      });
  CHECK(seen == texts{"/1", "/2", "/3", "/4"});
}

TEST_CASE("what was moved out of a folder is not lost when the folder is removed", "[simulated]") {
  auto seen = outcomes(
      [](auto& disk) {
        REQUIRE(disk.make_folder("/d"));
        REQUIRE(disk.sync_folder("/"));
        make_durable(disk, "/d/a", "x");
        REQUIRE(disk.rename("/d/a", "/a"));
        REQUIRE(disk.remove_folder("/d"));
      },
      [](auto& disk) {
        return std::string{is_there(disk, "/a") ? "a " : ""} + (is_there(disk, "/d/a") ? "da " : "") + (is_there(disk, "/d") ? "d" : "");
      });
  CHECK(seen == texts{"da d", "a d", "a "});
}

TEST_CASE("folders that changed places are never each below the other", "[simulated]") {
  auto seen = outcomes(
      [](auto& disk) {
        REQUIRE(make_folders(disk, "/a/b"));
        make_durable(disk, "/a/b/x", "x");
        REQUIRE(disk.rename("/a/b", "/b"));
        REQUIRE(disk.rename("/a", "/b/a"));
      },
      [](auto& disk) {
        for (const auto* path : {"/a/b/x", "/b/x"})
          if (is_there(disk, path))
            return std::string{path} + (is_there(disk, "/b/a") ? " moved" : "");
        return std::string{"lost"};
      });
  CHECK(seen == texts{"/a/b/x", "/b/x", "/b/x moved"});
}

// -- the power ---------------------------------------------------------------------

TEST_CASE("open files and locks die with the power", "[simulated]") {
  simulated_files disk;
  make_durable(disk, "/a", "x");
  auto reader = disk.open_read("/a");
  auto writer = disk.open_write("/a");
  auto lock = disk.lock("/lock");
  REQUIRE(reader);
  REQUIRE(writer);
  REQUIRE(lock);
  disk.crash(seed());
  std::array<std::byte, 1> buffer{};
  CHECK(code_of((*reader)->read_at(0, buffer)) == errc::io_failed);
  CHECK(code_of(write(**writer, 0, "y")) == errc::io_failed);
  CHECK(code_of((*writer)->sync()) == errc::io_failed);
  CHECK(code_of((*reader)->status()) == errc::io_failed);
  auto again = disk.lock("/lock");
  CHECK(again);
  lock->reset();
  CHECK(code_of(disk.lock("/lock")) == errc::locked);
  reader->reset();
  writer->reset();
  CHECK(get(disk, "/a") == "x");
}

TEST_CASE("from the chosen call on nothing works until the power is back", "[simulated]") {
  simulated_files disk;
  make_durable(disk, "/a", "x");
  auto reader = disk.open_read("/a");
  disk.crash_after(2);
  REQUIRE(disk.make_folder("/d"));
  CHECK(disk.powered());
  auto cut = disk.make_folder("/e");
  CHECK(code_of(cut) == errc::io_failed);
  CHECK(cut.error().message().find("power is off") != std::string::npos);
  CHECK_FALSE(disk.powered());
  std::array<std::byte, 1> buffer{};
  CHECK(code_of(disk.make_folder("/f")) == errc::io_failed);
  CHECK(code_of(disk.open_read("/a")) == errc::io_failed);
  CHECK(code_of((*reader)->read_at(0, buffer)) == errc::io_failed);
  CHECK(code_of(disk.list("/")) == errc::io_failed);
  CHECK(code_of(disk.lock("/l")) == errc::io_failed);
  disk.crash(seed());
  CHECK(disk.powered());
  CHECK(get(disk, "/a") == "x");
  CHECK_FALSE(is_there(disk, "/f"));
  REQUIRE(disk.make_folder("/f"));
}

TEST_CASE("the call that the power cuts short may survive", "[simulated]") {
  auto seen = outcomes(
      [](auto& disk) {
        disk.crash_after(1);
        CHECK_FALSE(disk.make_folder("/d"));
      },
      [](auto& disk) { return std::string{is_there(disk, "/d") ? "made" : "not"}; });
  CHECK(seen == texts{"made", "not"});
}

namespace {

// What is found at /a when *save* is cut off at every call, for several seeds.
template <class Save>
texts cut_everywhere(Save save) {
  simulated_files prepared;
  make_durable(prepared, "/a", std::string(2000, 'o'));
  auto start = prepared.snapshot();
  texts seen;
  for (uint64_t n = 1, done = 0; done == 0; ++n) {
    for (uint64_t i = 0; i < 40; ++i) {
      simulated_files disk{start};
      disk.crash_after(n);
      auto saved = save(disk);
      done = disk.powered() ? 1 : 0;
      CHECK(saved.has_value() == (done == 1));
      disk.crash(seed() + 1000 * n + i);
      auto content = get(disk, "/a");
      seen.insert(content == std::string(2000, 'o') ? "old" : content == std::string(2000, 'n') ? "new" : "torn");
      if (done == 1)
        seen.insert(content == std::string(2000, 'n') ? "kept" : "lost");
    }
    REQUIRE(n < 100);
  }
  return seen;
}

} // namespace

TEST_CASE("a file written whole is old or new wherever the power goes, and kept once acknowledged", "[simulated]") {
  auto content = std::string(2000, 'n');
  CHECK(cut_everywhere([&](auto& disk) { return write_whole(disk, "/a", as_view(content)); }) == texts{"old", "new", "kept"});
}

TEST_CASE("a save that forgets a sync is found out", "[simulated]") {
  auto content = std::string(2000, 'n');
  auto save = [&](file_system& disk, bool sync_file, bool sync_name) {
    auto file = disk.create("/b");
    auto done = file ? write(**file, 0, content) : fail(file.error());
    if (done && sync_file)
      done = (*file)->sync();
    if (done)
      done = disk.rename("/b", "/a");
    if (done && sync_name)
      done = disk.sync_folder("/");
    return done;
  };
  CHECK(cut_everywhere([&](auto& disk) { return save(disk, true, true); }) == texts{"old", "new", "kept"});
  CHECK(cut_everywhere([&](auto& disk) { return save(disk, false, true); }).count("torn") == 1);
  CHECK(cut_everywhere([&](auto& disk) { return save(disk, true, false); }) == texts{"old", "new", "kept", "lost"});
  CHECK(cut_everywhere([&](auto& disk) -> result<void> {
          auto file = disk.create("/a");
          if (!file)
            return fail(file.error());
          return write(**file, 0, content).and_then([&] { return (*file)->sync(); });
        }).count("torn")
        == 1);
}

TEST_CASE("one seed gives one outcome, and another seed another", "[simulated]") {
  auto run = [](uint64_t chosen) {
    simulated_files disk;
    test::seeded_random random{7};
    for (int i = 0; i < 40; ++i) {
      auto path = "/" + std::to_string(random.below(15));
      auto file = disk.create(path);
      (void) write(**file, random.below(3000), std::string(random.below(9000), static_cast<char>('a' + i % 26)));
      if (random.below(4) == 0)
        (void) (*file)->sync();
      if (random.below(6) == 0)
        (void) disk.sync_folder("/");
      (void) disk.rename(path, "/" + std::to_string(random.below(15)));
    }
    disk.crash(chosen);
    return tree(disk);
  };
  std::set<std::map<std::string, std::string>> all;
  for (uint64_t i = 0; i < 20; ++i) {
    auto first = run(i);
    CHECK(first == run(i));
    all.insert(first);
  }
  CHECK(all.size() > 10);
}

TEST_CASE("a snapshot is what is durable, and copies of it are apart", "[simulated]") {
  simulated_files disk;
  make_durable(disk, "/a", std::string(5000, 'x'));
  auto file = disk.open_write("/a");
  REQUIRE(write(**file, 4000, "unsynced"));
  REQUIRE(disk.make_folder("/lost"));
  simulated_files first{disk.snapshot()};
  CHECK(get(first, "/a") == std::string(5000, 'x'));
  CHECK_FALSE(is_there(first, "/lost"));
  CHECK(first.used() == 8192);
  auto other = first.open_write("/a");
  REQUIRE(write(**other, 0, "first"));
  CHECK(get(first, "/a").substr(0, 6) == "firstx");
  CHECK(get(disk, "/a").substr(0, 6) == "xxxxxx");
  REQUIRE(write(**file, 0, "disk"));
  CHECK(get(first, "/a").substr(0, 6) == "firstx");
  disk.sync_all();
  simulated_files second{disk.snapshot()};
  CHECK(tree(second) == tree(disk));
  disk.crash(seed());
  CHECK(tree(second) == tree(disk));
}

// -- failing calls -------------------------------------------------------------------

TEST_CASE("the chosen call fails once, and the next works", "[simulated]") {
  simulated_files disk;
  disk.fail_call(2, errc::no_space);
  REQUIRE(disk.make_folder("/a"));
  CHECK(code_of(disk.make_folder("/b")) == errc::no_space);
  CHECK_FALSE(is_there(disk, "/b"));
  REQUIRE(disk.make_folder("/b"));
}

TEST_CASE("a write that fails has written its first half", "[simulated]") {
  simulated_files disk;
  auto file = make(disk, "/a", "........");
  disk.fail_call(1, errc::io_failed);
  CHECK(code_of(write(*file, 0, "xxxxxx")) == errc::io_failed);
  CHECK(get(disk, "/a") == "xxx.....");
}

TEST_CASE("what a failed sync lost, no later sync brings back", "[simulated]") {
  auto seen = outcomes(
      [](auto& disk) {
        make_durable(disk, "/a", std::string(4096, 'o'));
        auto file = disk.open_write("/a");
        for (uint64_t i = 0; i < 4; ++i)
          REQUIRE(write(**file, i * 1024, std::string(1024, 'n')));
        disk.fail_call(1, errc::io_failed);
        CHECK(code_of((*file)->sync()) == errc::sync_failed);
        CHECK((*file)->sync());
        CHECK(get(disk, "/a") == std::string(4096, 'n'));
      },
      [](auto& disk) { return get(disk, "/a"); });
  CHECK(seen.size() == 1);
  CHECK(seen.count(std::string(4096, 'n')) == 0);
}

TEST_CASE("names whose sync failed are there or not, for good", "[simulated]") {
  simulated_files disk;
  for (int i = 0; i < 20; ++i)
    REQUIRE(disk.make_folder("/" + std::to_string(i)));
  disk.fail_call(1, errc::io_failed);
  CHECK(code_of(disk.sync_folder("/")) == errc::sync_failed);
  REQUIRE(disk.sync_folder("/"));
  CHECK(disk.list("/")->size() == 20);
  disk.crash(seed());
  auto left = disk.list("/")->size();
  CHECK(left > 0);
  CHECK(left < 20);
}

TEST_CASE("whichever call of a whole write fails, the old content stands", "[simulated]") {
  simulated_files prepared;
  make_durable(prepared, "/a", "old");
  auto start = prepared.snapshot();
  for (auto code : {errc::io_failed, errc::no_space, errc::read_only}) {
    uint64_t n = 1;
    for (bool whole = false; !whole; ++n) {
      REQUIRE(n < 100);
      CAPTURE(n);
      simulated_files disk{start};
      auto before = disk.calls();
      disk.fail_call(n, code);
      auto saved = write_whole(disk, "/a", as_view("new"));
      whole = disk.calls() - before < n;
      CHECK(saved.has_value() == whole);
      if (!saved)
        CHECK((saved.error().code() == code || saved.error().code() == errc::sync_failed));
      auto content = get(disk, "/a");
      CHECK((content == "old" || content == "new"));
      CHECK_FALSE(is_there(disk, "/a.new"));
    }
    CHECK(n == 7);
  }
}

TEST_CASE("the chosen read fails once", "[simulated]") {
  simulated_files disk;
  make_durable(disk, "/a", "abc");
  auto file = disk.open_read("/a");
  std::array<std::byte, 3> buffer{};
  disk.fail_read(2, errc::io_failed);
  CHECK((*file)->read_at(0, buffer) == 3u);
  CHECK(code_of((*file)->read_at(0, buffer)) == errc::io_failed);
  CHECK((*file)->read_at(0, buffer) == 3u);
}

TEST_CASE("a drive that is pulled out fails until it is back, and alone", "[simulated]") {
  simulated_files disk;
  for (const auto* drive : {"/d1", "/d10"})
    REQUIRE(make_folders(disk, drive));
  make_durable(disk, "/d1/a", "x");
  auto reader = disk.open_read("/d1/a");
  auto writer = disk.open_write("/d1/a");
  auto unnamed = disk.create_unnamed("/d10");
  disk.unplug("/d1");
  std::array<std::byte, 1> buffer{};
  CHECK(code_of((*reader)->read_at(0, buffer)) == errc::io_failed);
  CHECK(code_of(write(**writer, 0, "y")) == errc::io_failed);
  CHECK(code_of(disk.list("/d1")) == errc::io_failed);
  CHECK(code_of(disk.create("/d1/b")) == errc::io_failed);
  CHECK(code_of(disk.rename("/d1/a", "/d10/a")) == errc::io_failed);
  CHECK(code_of((*unnamed)->link_as("/d1/b")) == errc::io_failed);
  (void) make(disk, "/d10/b", "y");
  disk.plug_in("/d1");
  CHECK((*reader)->read_at(0, buffer) == 1u);
  CHECK(get(disk, "/d1/a") == "x");
}

TEST_CASE("a drive ends at the change that was named, and others go on", "[simulated]") {
  simulated_files disk;
  for (const auto* drive : {"/d1", "/d2"})
    REQUIRE(make_folders(disk, drive));
  make_durable(disk, "/d1/a", "x");
  SECTION("read-only") {
    disk.end_drive(3, "/d1", drive_end::read_only);
    auto file = disk.create("/d1/b");
    REQUIRE(write(**file, 0, "b"));
    CHECK(code_of((*file)->sync()) == errc::read_only);
    CHECK(code_of(write(**file, 0, "c")) == errc::read_only);
    CHECK(code_of(disk.create("/d1/c")) == errc::read_only);
    CHECK(code_of(disk.remove("/d1/a")) == errc::read_only);
    CHECK(code_of(disk.sync_folder("/d1")) == errc::read_only);
    CHECK(get(disk, "/d1/b") == "b");
  }
  SECTION("full") {
    disk.end_drive(2, "/d1", drive_end::full);
    auto file = disk.create("/d1/b");
    CHECK(disk.space("/d1")->available == 0);
    CHECK(disk.space("/d2")->available > 0);
    CHECK(code_of(write(**file, 0, "b")) == errc::no_space);
    CHECK(code_of((*file)->allocate(1)) == errc::no_space);
    // Room that is there serves on, and names are free.
    REQUIRE(write(**disk.open_write("/d1/a"), 0, "y"));
    REQUIRE(disk.remove("/d1/a"));
  }
  SECTION("unplugged") {
    disk.end_drive(2, "/d1", drive_end::unplugged);
    REQUIRE(disk.create("/d1/b"));
    CHECK(code_of(disk.create("/d1/c")) == errc::io_failed);
    CHECK(code_of(disk.list("/d1")) == errc::io_failed);
  }
  (void) make(disk, "/d2/b", "y");
  disk.plug_in("/d1");
  REQUIRE(disk.create("/d1/d"));
}

// -- space and damage --------------------------------------------------------------------

TEST_CASE("a full disk refuses what does not fit, and room that is freed serves again", "[simulated]") {
  simulated_files disk;
  disk.set_capacity(4 * 4096);
  auto file = make(disk, "/a", std::string(3 * 4096, 'x'));
  CHECK(disk.space("/")->available == 4096);
  CHECK(code_of(write(*file, 3 * 4096, std::string(5000, 'y'))) == errc::no_space);
  CHECK(disk.space("/")->available == 0);
  CHECK(code_of(disk.create("/b").and_then([](auto opened) { return write(*opened, 0, "z"); })) == errc::no_space);
  // What has its pages is written over without more.
  REQUIRE(write(*file, 0, std::string(4096, 'z')));
  REQUIRE(file->resize(4096));
  CHECK(disk.space("/")->available == 3 * 4096);
  // An open file keeps its room after its name is gone.
  REQUIRE(disk.remove("/a"));
  CHECK(disk.used() == 4096);
  file.reset();
  CHECK(disk.used() == 0);
}

TEST_CASE("room that is set aside can not be taken by others", "[simulated]") {
  simulated_files disk;
  disk.set_capacity(4 * 4096);
  auto a = disk.create("/a");
  REQUIRE((*a)->allocate(3 * 4096));
  CHECK(disk.used() == 3 * 4096);
  auto b = make(disk, "/b", "b");
  CHECK(code_of(write(*b, 4096, "b")) == errc::no_space);
  REQUIRE(write(**a, 0, std::string(3 * 4096, 'a')));
  CHECK(disk.used() == 4 * 4096);
  CHECK(code_of((*a)->allocate(4 * 4096)) == errc::no_space);
  REQUIRE((*a)->resize(0));
  CHECK(disk.used() == 4096);
}

TEST_CASE("a flipped bit is one bit, on the medium", "[simulated]") {
  simulated_files disk;
  make_durable(disk, "/a", std::string(600, '\0'));
  REQUIRE(disk.flip_bit("/a", 8 * 550 + 3));
  CHECK(get(disk, "/a")[550] == 8);
  disk.crash(seed());
  auto content = get(disk, "/a");
  CHECK(content[550] == 8);
  content[550] = 0;
  CHECK(content == std::string(600, '\0'));
  REQUIRE(disk.flip_bit("/a", 8 * 550 + 3));
  CHECK(get(disk, "/a") == std::string(600, '\0'));
  CHECK(code_of(disk.flip_bit("/a", 8 * 600)) == errc::range_invalid);
  CHECK(code_of(disk.flip_bit("/none", 0)) == errc::not_found);
  REQUIRE(disk.corrupt("/a", 598, as_view("xy")));
  CHECK(get(disk, "/a").substr(597) == std::string{"\0xy", 3});
  CHECK(code_of(disk.corrupt("/a", 599, as_view("xy"))) == errc::range_invalid);
}

TEST_CASE("calls are counted by kind, refused ones, too", "[simulated]") {
  simulated_files disk;
  make_durable(disk, "/a", "x");
  CHECK_FALSE(disk.remove("/none"));
  (void) get(disk, "/a");
  (void) disk.list("/");
  CHECK(disk.calls(disk_call::create) == 1);
  CHECK(disk.calls(disk_call::write) == 1);
  CHECK(disk.calls(disk_call::sync) == 1);
  CHECK(disk.calls(disk_call::sync_folder) == 1);
  CHECK(disk.calls(disk_call::remove) == 1);
  CHECK(disk.calls() == 5);
  std::set<std::string_view> names;
  for (size_t i = 0; i < test::disk_call_kinds; ++i)
    CHECK(names.insert(test::to_string(static_cast<disk_call>(i))).second);
}

TEST_CASE("times come from the clock that is handed in", "[simulated]") {
  auto time = std::make_shared<test::manual_clock>();
  simulated_files disk{time};
  time->advance(std::chrono::seconds{7});
  (void) make(disk, "/a", "x");
  CHECK(disk.status("/a")->modified_ns == time->wall().time_since_epoch().count());
}

// -- against the real thing -----------------------------------------------------------------

TEST_CASE("random calls have the same outcome as on the machine's file system", "[simulated]") {
  INFO("DATAMESH_SEED=" << seed());
  test::seeded_random random{seed()};
  std::string folder = (std::filesystem::temp_directory_path() / "datamesh-test-XXXXXX").string();
  REQUIRE(::mkdtemp(folder.data()) != nullptr);
  auto real = system_files();
  simulated_files disk;
  auto path = [&] {
    static constexpr std::array<const char*, 4> names{"a", "b", "c", "d"};
    std::string made;
    for (auto depth = 1 + random.below(3); depth > 0; --depth)
      made += std::string{"/"} + names[random.below(names.size())];
    return made;
  };
  auto text = [](const auto& answer) {
    return answer ? std::string{"ok"} : std::string{facts_of(answer.error().code()).name};
  };
  auto run = [&](file_system& files, const std::string& root, uint64_t kind, const std::string& from,
                 const std::string& to) -> std::string {
    switch (kind) {
    case 0:
    case 1:
      return text(files.create(root + from).and_then([&](auto file) { return write(*file, 1, to); }));
    case 2:
      return text(files.make_folder(root + from));
    case 3:
      return text(files.rename(root + from, root + to));
    case 4:
      return text(files.rename_new(root + from, root + to));
    case 5:
      return text(files.remove(root + from));
    case 6:
      return text(files.remove_folder(root + from));
    case 7:
      return text(files.make_symlink("." + to, root + from));
    case 8: {
      auto status = files.status(root + from);
      return status && status->kind == file_kind::regular ? "size " + std::to_string(status->size) : text(status);
    }
    case 9: {
      auto content = read_whole(files, root + from, 1000);
      return content ? std::string{as_text(*content)} : text(content);
    }
    case 10:
      return text(files.create_unnamed(root + from).and_then([&](auto file) { return file->link_as(root + to); }));
    default: {
      auto entries = files.list(root + from);
      std::string all = text(entries);
      if (entries)
        for (auto& entry : *entries)
          all += " " + entry.name + std::to_string(static_cast<int>(entry.kind));
      return all;
    }
    }
  };
  std::map<uint64_t, std::set<std::string>> seen;
  for (int i = 0; i < 6000; ++i) {
    auto kind = random.below(12);
    auto from = path();
    auto to = path();
    CAPTURE(i, kind, from, to);
    auto expected = run(*real, folder, kind, from, to);
    REQUIRE(run(disk, "", kind, from, to) == expected);
    seen[kind].insert(expected);
    // Whatever is there, a clean shutdown keeps it.
    if (i % 500 == 499) {
      auto before = tree(disk);
      disk.sync_all();
      disk.crash(seed());
      REQUIRE(tree(disk) == before);
    }
  }
  for (const auto& [kind, answers] : seen)
    CHECK(answers.size() > 1);
  std::filesystem::remove_all(folder);
}

TEST_CASE("power losses amid random calls keep what was durable and one tree", "[simulated]") {
  INFO("DATAMESH_SEED=" << seed());
  test::seeded_random random{seed()};
  simulated_files disk;
  REQUIRE(make_folders(disk, "/safe"));
  std::map<std::string, std::string> promised;
  auto path = [&] {
    std::string made;
    for (auto depth = 1 + random.below(3); depth > 0; --depth)
      made += std::string{"/"} + static_cast<char>('a' + random.below(4));
    return made;
  };
  for (int i = 0; i < 4000; ++i) {
    CAPTURE(i);
    switch (random.below(8)) {
    case 0:
      (void) disk.make_folder(path());
      break;
    case 1:
      (void) disk.rename(path(), path());
      break;
    case 2:
      (void) disk.remove_folder(path());
      break;
    case 3:
      (void) disk.create(path()).map([&](auto file) { (void) write(*file, random.below(2000), "noise"); });
      break;
    case 4:
      (void) disk.sync_folder(parent_path(path()));
      break;
    case 5:
      if (random.below(10) == 0)
        disk.fail_call(1 + random.below(3), errc::io_failed);
      break;
    case 6: {
      auto name = "/safe/" + std::to_string(random.below(10));
      auto content = std::string(random.below(3000), static_cast<char>('a' + i % 26));
      // What failed may be the old or the new.
      if (write_whole(disk, name, as_view(content)))
        promised[name] = content;
      else
        promised.erase(name);
      break;
    }
    default:
      if (random.below(10) == 0) {
        disk.crash(random.below(1 << 30));
        for (const auto& [name, content] : promised)
          REQUIRE(get(disk, name) == content);
        std::set<uint64_t> folders;
        for (const auto& each : disk.list_all())
          if (each.status.kind == file_kind::folder)
            REQUIRE(folders.insert(each.status.inode).second);
      }
    }
  }
  CHECK(promised.size() > 5);
}

TEST_CASE("threads work on one disk at once", "[simulated]") {
  simulated_files disk;
  std::vector<std::thread> threads;
  std::atomic<int> failed = 0;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      auto folder = "/" + std::to_string(t);
      failed += make_folders(disk, folder) ? 0 : 1;
      for (int i = 0; i < 100; ++i) {
        auto path = join_path(folder, std::to_string(i));
        failed += write_whole(disk, path, as_view(path)) ? 0 : 1;
        failed += get(disk, path) == path ? 0 : 1;
      }
    });
  for (auto& thread : threads)
    thread.join();
  CHECK(failed == 0);
  disk.crash(seed());
  CHECK(disk.list_all().size() == 404);
}
