// One contract, held by the machine's file system, by the ways around what it
// may lack, and by the simulated disk.
#include "base/buffer_pool.hpp"
#include "base/system_files.hpp"
#include "datamesh/base/file_system.hpp"
#include "tests/support/seeded_random.hpp"
#include "tests/support/simulated_files.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

using namespace datamesh;

namespace {

// A file system with an empty folder to work in.
class place {
public:
  explicit place(const std::string& kind) {
    if (kind == "simulated") {
      files = std::make_shared<test::simulated_files>();
      root = "/work";
      REQUIRE(files->make_folder(root));
      return;
    }
    if (kind == "plain system")
      files = system_files();
    else if (kind == "system without extras")
      files = system_files_with({.unnamed_files = false, .direct_access = false, .rename_new = false});
    else
      files = system_files_with({.unnamed_files = false, .rename_new = false, .hard_links = false});
    std::string name = (std::filesystem::temp_directory_path() / "datamesh-test-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    root = on_disk_ = name;
  }
  place(const place&) = delete;
  place& operator=(const place&) = delete;
  ~place() {
    if (!on_disk_.empty())
      std::filesystem::remove_all(on_disk_);
  }

  [[nodiscard]] std::string path(std::string_view name) const {
    return join_path(root, name);
  }
  void put(std::string_view name, std::string_view text) const {
    auto file = files->create(path(name));
    REQUIRE(file);
    REQUIRE(write(**file, 0, text));
  }
  [[nodiscard]] std::string get(std::string_view name) const {
    auto content = read_whole(*files, path(name), 1 << 24);
    REQUIRE(content);
    return std::string{as_text(*content)};
  }
  [[nodiscard]] std::vector<std::string> names(std::string_view folder = "") const {
    auto entries = files->list(path(folder));
    REQUIRE(entries);
    std::vector<std::string> out;
    for (auto& entry : *entries)
      out.push_back(entry.name);
    return out;
  }
  [[nodiscard]] static result<void> write(writable_file& file, uint64_t offset, std::string_view text) {
    std::array<byte_view, 1> parts{as_view(text)};
    return file.write_at(offset, parts);
  }

  std::shared_ptr<file_system> files;
  std::string root;

private:
  std::string on_disk_;
};

template <class T>
errc code_of(const result<T>& answer) {
  REQUIRE_FALSE(answer);
  return answer.error().code();
}

using names_t = std::vector<std::string>;

} // namespace

#define EVERY_PLACE                                                                                                                        \
  auto kind = GENERATE(as<std::string>{}, "plain system", "system without extras", "system without links", "simulated");                   \
  INFO("file system: " << kind);                                                                                                           \
  place at {                                                                                                                               \
    kind                                                                                                                                   \
  }

TEST_CASE("what is written is read", "[files]") {
  EVERY_PLACE;
  {
    auto file = at.files->create(at.path("a"), 0640);
    REQUIRE(file);
    REQUIRE(place::write(**file, 0, "hello world"));
    std::array<byte_view, 4> parts{as_view("ab"), byte_view{}, as_view("c"), as_view("")};
    REQUIRE((*file)->write_at(6, parts));
    REQUIRE((*file)->write_at(0, {}));
    REQUIRE((*file)->sync());
  }
  CHECK(at.get("a") == "hello abcld");
  auto file = at.files->open_read(at.path("a"));
  REQUIRE(file);
  std::array<std::byte, 5> buffer{};
  CHECK((*file)->read_at(6, buffer) == 5u);
  CHECK(as_text(buffer) == "abcld");
  CHECK((*file)->read_at(8, buffer) == 3u);
  CHECK((*file)->read_at(11, buffer) == 0u);
  CHECK((*file)->read_at(1000, buffer) == 0u);
  CHECK((*file)->read_at(0, {}) == 0u);
  CHECK(code_of((*file)->read_at(~uint64_t{0}, buffer)) == errc::invalid_argument);
  auto status = (*file)->status();
  REQUIRE(status);
  CHECK(status->kind == file_kind::regular);
  CHECK(status->size == 11);
  CHECK(status->mode == 0640);
}

TEST_CASE("a write in many parts arrives whole", "[files]") {
  EVERY_PLACE;
  test::seeded_random random{7};
  std::vector<std::vector<std::byte>> owned;
  std::vector<byte_view> parts;
  std::vector<std::byte> expected;
  for (int i = 0; i < 3000; ++i) {
    owned.push_back(random.make(random.below(40)));
    expected.insert(expected.end(), owned.back().begin(), owned.back().end());
  }
  for (auto& part : owned)
    parts.emplace_back(part);
  auto file = at.files->create(at.path("a"));
  REQUIRE(file);
  REQUIRE((*file)->write_at(0, parts));
  CHECK(at.get("a") == as_text(expected));
  CHECK(code_of(place::write(**file, ~uint64_t{0} - 1, "abc")) == errc::invalid_argument);
}

TEST_CASE("creating truncates, opening for writing does not", "[files]") {
  EVERY_PLACE;
  at.put("a", "long content");
  {
    auto file = at.files->open_write(at.path("a"));
    REQUIRE(file);
    REQUIRE(place::write(**file, 0, "LONG"));
  }
  CHECK(at.get("a") == "LONG content");
  at.put("a", "x");
  CHECK(at.get("a") == "x");
  CHECK(code_of(at.files->open_write(at.path("none"))) == errc::not_found);
  CHECK(at.names() == names_t{"a"});
}

TEST_CASE("an unnamed file is seen by nobody until it is linked", "[files]") {
  EVERY_PLACE;
  auto hint = GENERATE(access_hint::normal, access_hint::direct);
  auto file = at.files->create_unnamed(at.root, 0600, hint);
  REQUIRE(file);
  REQUIRE(place::write(**file, 0, "whole"));
  REQUIRE((*file)->sync());
  CHECK(code_of(at.files->status(at.path("a"))) == errc::not_found);
  at.put("taken", "old");
  CHECK(code_of((*file)->link_as(at.path("taken"))) == errc::already_exists);
  CHECK(code_of((*file)->link_as(at.path("none/a"))) == errc::not_found);
  REQUIRE((*file)->link_as(at.path("a")));
  REQUIRE(at.files->sync_folder(at.root));
  CHECK(at.get("a") == "whole");
  CHECK(at.get("taken") == "old");
  CHECK(at.files->status(at.path("a"))->mode == 0600);
  // One name is enough.
  CHECK(code_of((*file)->link_as(at.path("b"))) == errc::invalid_argument);
  file->reset();
  CHECK(at.names() == names_t{"a", "taken"});
}

TEST_CASE("an unnamed file that is not linked leaves nothing", "[files]") {
  EVERY_PLACE;
  {
    auto file = at.files->create_unnamed(at.root);
    REQUIRE(file);
    REQUIRE(place::write(**file, 0, "gone"));
  }
  CHECK(at.names().empty());
  CHECK(code_of(at.files->create_unnamed(at.path("none"))) == errc::not_found);
  at.put("file", "");
  CHECK(code_of(at.files->create_unnamed(at.path("file"))) == errc::not_a_folder);
}

TEST_CASE("a named file can not be linked again", "[files]") {
  EVERY_PLACE;
  auto file = at.files->create(at.path("a"));
  REQUIRE(file);
  CHECK(code_of((*file)->link_as(at.path("b"))) == errc::invalid_argument);
}

TEST_CASE("direct writes take any mixture of aligned and crooked parts", "[files]") {
  EVERY_PLACE;
  auto pool = buffer_pool::make(1 << 16, 2);
  auto pages = pool->take();
  test::seeded_random random{11};
  REQUIRE(random.fill(pages.span()));
  byte_view memory{pages.span()};
  const std::vector<std::vector<byte_view>> cases{
      {memory},
      {memory.first(8192), memory.subspan(8192, 100)},
      {memory.first(5000)},
      {memory.first(5000), memory.first(8192)},
      {memory.subspan(1, 4096)},
      {memory.subspan(3, 4096), memory.first(4096), memory.first(7), memory.first(4096)},
      {memory.first(4096), byte_view{}, memory.subspan(4096, 4096), memory.first(9000)},
      {memory.first(1)},
  };
  for (uint64_t offset : {0, 4096, 100}) {
    for (size_t i = 0; i < cases.size(); ++i) {
      CAPTURE(offset, i);
      std::string expected(offset, '\0');
      for (auto part : cases[i])
        expected += as_text(part);
      auto file = at.files->create_unnamed(at.root, 0600, access_hint::direct);
      REQUIRE(file);
      REQUIRE((*file)->write_at(offset, cases[i]));
      REQUIRE((*file)->sync());
      auto name = "f" + std::to_string(offset) + "-" + std::to_string(i);
      REQUIRE((*file)->link_as(at.path(name)));
      CHECK(at.get(name) == expected);
      for (auto hint : {access_hint::direct, access_hint::sequential}) {
        auto reader = at.files->open_read(at.path(name), hint);
        REQUIRE(reader);
        auto target = pool->take();
        auto count = (*reader)->read_at(0, target.span());
        REQUIRE(count);
        CHECK(as_text(byte_view{target.span()}.first(*count)) == std::string_view{expected}.substr(0, 1 << 16));
        count = (*reader)->read_at(1, target.span().subspan(1, 50));
        REQUIRE(count);
        CHECK(as_text(byte_view{target.span()}.subspan(1, *count)) == std::string_view{expected}.substr(1, 50));
      }
    }
  }
}

TEST_CASE("resizing cuts, and what it adds reads as zeros", "[files]") {
  EVERY_PLACE;
  auto file = at.files->create(at.path("a"));
  REQUIRE(file);
  REQUIRE(place::write(**file, 0, std::string(10000, 'x')));
  REQUIRE((*file)->resize(5));
  REQUIRE((*file)->resize(9000));
  CHECK(at.get("a") == "xxxxx" + std::string(8995, '\0'));
  REQUIRE((*file)->resize(0));
  CHECK(at.get("a").empty());
  CHECK(code_of((*file)->resize(~uint64_t{0})) == errc::invalid_argument);
}

TEST_CASE("allocating reserves and leaves size and content alone", "[files]") {
  EVERY_PLACE;
  auto file = at.files->create(at.path("a"));
  REQUIRE(file);
  REQUIRE(place::write(**file, 0, "abc"));
  REQUIRE((*file)->allocate(1 << 16));
  REQUIRE((*file)->allocate(0));
  CHECK(at.get("a") == "abc");
  CHECK(at.files->status(at.path("a"))->allocated >= 1 << 16);
  CHECK(code_of((*file)->allocate(~uint64_t{0})) == errc::invalid_argument);
}

TEST_CASE("holes are told apart from data, and read as zeros", "[files]") {
  EVERY_PLACE;
  constexpr uint64_t far = 1 << 20;
  {
    auto file = at.files->create(at.path("a"));
    REQUIRE(file);
    REQUIRE(place::write(**file, far, std::string(4096, 'x')));
    REQUIRE((*file)->resize(2 * far));
    REQUIRE((*file)->sync());
  }
  auto file = at.files->open_read(at.path("a"));
  REQUIRE(file);
  auto data = (*file)->next_data(0);
  REQUIRE(data);
  CHECK(*data <= far);
  CHECK((*file)->next_data(far + 5) == far + 5);
  auto hole = (*file)->next_hole(far);
  REQUIRE(hole);
  CHECK(*hole >= far + 4096);
  CHECK(*hole <= 2 * far);
  CHECK((*file)->next_data(3 * far) == 2 * far);
  CHECK((*file)->next_hole(2 * far) == 2 * far);
  // Whoever walks over the data finds all that is not zero.
  std::string content(2 * far, '\0');
  for (auto from = *(*file)->next_data(0); from < 2 * far; from = *(*file)->next_data(from)) {
    auto to = *(*file)->next_hole(from);
    REQUIRE(to > from);
    REQUIRE((*file)->read_at(from, std::as_writable_bytes(std::span{content}).subspan(from, to - from)) == to - from);
    from = to;
  }
  CHECK((content == std::string(far, '\0') + std::string(4096, 'x') + std::string(far - 4096, '\0')));
  CHECK(at.files->status(at.path("a"))->allocated <= 2 * far);
}

TEST_CASE("mode and time are set, before 1970, too", "[files]") {
  EVERY_PLACE;
  auto file = at.files->create(at.path("a"));
  REQUIRE(file);
  for (int64_t time : {int64_t{1'700'000'000'123'456'789}, int64_t{0}, int64_t{-1}, int64_t{-1'500'000'000}}) {
    REQUIRE((*file)->set_attributes(0751, time));
    auto status = at.files->status(at.path("a"));
    REQUIRE(status);
    CHECK(status->mode == 0751);
    CHECK(status->modified_ns == time);
  }
}

TEST_CASE("the time of the last change is told, and can not be set back", "[files]") {
  EVERY_PLACE;
  auto file = at.files->create(at.path("a"));
  REQUIRE(file);
  auto before = at.files->status(at.path("a"));
  REQUIRE(before);
  CHECK(before->changed_ns != 0);
  REQUIRE((*file)->set_attributes(0600, 1));
  auto after = at.files->status(at.path("a"));
  REQUIRE(after);
  CHECK(after->modified_ns == 1);
  CHECK(after->changed_ns >= before->changed_ns);
}

TEST_CASE("a time of change that a file system makes up is not known", "[files]") {
  auto files = system_files();
  auto status = files->status("/proc/self/status");
  REQUIRE(status.has_value());
  CHECK(status->kind == file_kind::regular);
  CHECK(status->changed_ns == 0);
}

TEST_CASE("mode and time are set by name, of folders, too, and not through links", "[files]") {
  EVERY_PLACE;
  at.put("a", "A");
  REQUIRE(at.files->make_folder(at.path("d")));
  REQUIRE(at.files->make_symlink("a", at.path("l")));
  for (const auto* name : {"a", "d"}) {
    REQUIRE(at.files->set_attributes(at.path(name), 0711, -1));
    auto status = at.files->status(at.path(name));
    REQUIRE(status);
    CHECK(status->mode == 0711);
    CHECK(status->modified_ns == -1);
  }
  REQUIRE(at.files->set_attributes(at.path("l"), 0600, 5));
  CHECK(at.files->status(at.path("l"))->kind == file_kind::symlink);
  CHECK(at.files->status(at.path("l"))->modified_ns == 5);
  CHECK(code_of(at.files->set_attributes(at.path("none"), 0600, 0)) == errc::not_found);
  CHECK(at.files->status(at.path("a"))->mode == 0711);
  CHECK(at.files->status(at.path("a"))->modified_ns == -1);
}

TEST_CASE("renaming replaces, and its careful form does not", "[files]") {
  EVERY_PLACE;
  at.put("a", "A");
  at.put("b", "B");
  CHECK(code_of(at.files->rename_new(at.path("a"), at.path("b"))) == errc::already_exists);
  CHECK(at.get("a") == "A");
  CHECK(at.get("b") == "B");
  REQUIRE(at.files->rename_new(at.path("a"), at.path("c")));
  CHECK(at.names() == names_t{"b", "c"});
  REQUIRE(at.files->rename(at.path("c"), at.path("b")));
  CHECK(at.names() == names_t{"b"});
  CHECK(at.get("b") == "A");
  CHECK(code_of(at.files->rename(at.path("none"), at.path("b"))) == errc::not_found);
  CHECK(code_of(at.files->rename_new(at.path("none"), at.path("d"))) == errc::not_found);
  CHECK(code_of(at.files->rename(at.path("b"), at.path("none/b"))) == errc::not_found);
  REQUIRE(at.files->rename(at.path("b"), at.path("b")));
  CHECK(at.get("b") == "A");
}

TEST_CASE("folders are renamed with what is in them", "[files]") {
  EVERY_PLACE;
  REQUIRE(at.files->make_folder(at.path("d")));
  REQUIRE(at.files->make_folder(at.path("empty")));
  at.put("d/a", "A");
  at.put("file", "");
  CHECK(code_of(at.files->rename(at.path("d"), at.path("d/inside"))) == errc::conflict);
  CHECK(code_of(at.files->rename_new(at.path("d"), at.path("d/inside"))) == errc::conflict);
  CHECK(at.names("d") == names_t{"a"});
  CHECK(code_of(at.files->rename(at.path("file"), at.path("d"))) == errc::is_a_folder);
  CHECK(code_of(at.files->rename(at.path("d"), at.path("file"))) == errc::not_a_folder);
  CHECK(code_of(at.files->rename(at.path("empty"), at.path("d"))) == errc::folder_not_empty);
  CHECK(code_of(at.files->rename_new(at.path("d"), at.path("empty"))) == errc::already_exists);
  REQUIRE(at.files->rename(at.path("d"), at.path("empty")));
  REQUIRE(at.files->rename_new(at.path("empty"), at.path("e")));
  CHECK(at.names() == names_t{"e", "file"});
  CHECK(at.get("e/a") == "A");
}

TEST_CASE("removing takes files and links, and folders only when they are empty", "[files]") {
  EVERY_PLACE;
  REQUIRE(at.files->make_folder(at.path("d")));
  at.put("d/a", "A");
  CHECK(code_of(at.files->remove(at.path("d"))) == errc::is_a_folder);
  CHECK(code_of(at.files->remove_folder(at.path("d"))) == errc::folder_not_empty);
  CHECK(code_of(at.files->remove_folder(at.path("d/a"))) == errc::not_a_folder);
  CHECK(code_of(at.files->remove(at.path("none"))) == errc::not_found);
  CHECK(code_of(at.files->remove_folder(at.path("none"))) == errc::not_found);
  CHECK(code_of(at.files->remove(at.path("d/a/b"))) == errc::not_a_folder);
  auto reader = at.files->open_read(at.path("d/a"));
  REQUIRE(at.files->remove(at.path("d/a")));
  std::array<std::byte, 1> buffer{};
  CHECK((*reader)->read_at(0, buffer) == 1u);
  REQUIRE(at.files->remove_folder(at.path("d")));
  CHECK(at.names().empty());
}

TEST_CASE("making a folder that is there is no error unless a file is in the way", "[files]") {
  EVERY_PLACE;
  REQUIRE(at.files->make_folder(at.path("d"), 0750));
  REQUIRE(at.files->make_folder(at.path("d")));
  CHECK(at.files->status(at.path("d"))->kind == file_kind::folder);
  CHECK(at.files->status(at.path("d"))->mode == 0750);
  at.put("a", "");
  CHECK(code_of(at.files->make_folder(at.path("a"))) == errc::not_a_folder);
  CHECK(code_of(at.files->make_folder(at.path("none/d"))) == errc::not_found);
  CHECK(code_of(at.files->make_folder(at.path("a/d"))) == errc::not_a_folder);
  CHECK(code_of(at.files->sync_folder(at.path("none"))) == errc::not_found);
  CHECK(code_of(at.files->sync_folder(at.path("a"))) == errc::not_a_folder);
}

TEST_CASE("a listing is sorted by bytes and tells kinds", "[files]") {
  EVERY_PLACE;
  CHECK(at.names().empty());
  for (const auto* name : {"b", "a", "Z", "\xff", "\xc3\xa4", "a\nb", " ", "...", "-"})
    at.put(name, "");
  REQUIRE(at.files->make_folder(at.path("d")));
  REQUIRE(at.files->make_symlink("nowhere", at.path("l")));
  CHECK(at.names() == names_t{" ", "-", "...", "Z", "a", "a\nb", "b", "d", "l", "\xc3\xa4", "\xff"});
  auto entries = at.files->list(at.root);
  REQUIRE(entries);
  for (auto& entry : *entries)
    CHECK(entry.kind == (entry.name == "d" ? file_kind::folder : entry.name == "l" ? file_kind::symlink : file_kind::regular));
  CHECK(code_of(at.files->list(at.path("none"))) == errc::not_found);
  CHECK(code_of(at.files->list(at.path("a"))) == errc::not_a_folder);
}

TEST_CASE("symbolic links are told, read and never written through", "[files]") {
  EVERY_PLACE;
  at.put("a", "A");
  std::string target = GENERATE(as<std::string>{}, "a", "./a", "../");
  if (target == "../")
    target += at.root.substr(at.root.rfind('/') + 1) + "/a";
  REQUIRE(at.files->make_symlink(target, at.path("l")));
  CHECK(code_of(at.files->make_symlink("b", at.path("l"))) == errc::already_exists);
  CHECK(at.files->read_link(at.path("l")) == target);
  CHECK(code_of(at.files->read_link(at.path("none"))) == errc::not_found);
  CHECK(code_of(at.files->read_link(at.path("a"))) == errc::invalid_argument);
  CHECK(at.files->status(at.path("l"))->kind == file_kind::symlink);
  CHECK(at.get("l") == "A");
  CHECK(code_of(at.files->create(at.path("l"))) == errc::unsupported_source);
  CHECK(code_of(at.files->open_write(at.path("l"))) == errc::unsupported_source);
  CHECK(code_of(at.files->lock(at.path("l"))) == errc::unsupported_source);
  CHECK(at.get("a") == "A");
  // The file behind it has the identity that its own name shows.
  CHECK((*at.files->open_read(at.path("l")))->status()->inode == at.files->status(at.path("a"))->inode);
  CHECK((*at.files->open_read(at.path("l")))->status()->inode != at.files->status(at.path("l"))->inode);
  REQUIRE(at.files->remove(at.path("l")));
  CHECK(at.get("a") == "A");
}

TEST_CASE("links in the middle of a path are followed, and circles end", "[files]") {
  EVERY_PLACE;
  REQUIRE(at.files->make_folder(at.path("d")));
  at.put("d/a", "A");
  REQUIRE(at.files->make_symlink("d", at.path("l")));
  CHECK(at.get("l/a") == "A");
  CHECK(at.get("l/../d/./a") == "A");
  REQUIRE(at.files->make_symlink("y", at.path("x")));
  REQUIRE(at.files->make_symlink("x", at.path("y")));
  CHECK_FALSE(at.files->open_read(at.path("x")));
  CHECK_FALSE(at.files->list(at.path("x/a")));
  REQUIRE(at.files->make_symlink("gone", at.path("dangling")));
  CHECK(code_of(at.files->open_read(at.path("dangling"))) == errc::not_found);
  CHECK(at.files->read_link(at.path("dangling")) == "gone");
  auto text = std::string(900, 'x');
  REQUIRE(at.files->make_symlink(text, at.path("long")));
  CHECK(at.files->read_link(at.path("long")) == text);
}

TEST_CASE("a folder is not read or written as a file", "[files]") {
  EVERY_PLACE;
  REQUIRE(at.files->make_folder(at.path("d")));
  CHECK(code_of(at.files->open_read(at.path("d"))) == errc::is_a_folder);
  CHECK(code_of(at.files->open_write(at.path("d"))) == errc::is_a_folder);
  CHECK(code_of(at.files->create(at.path("d"))) == errc::is_a_folder);
}

TEST_CASE("names that no file can have are refused", "[files]") {
  EVERY_PLACE;
  std::string cut{"a\0b", 3};
  at.put("a", "A");
  CHECK(code_of(at.files->create(at.path(cut))) == errc::name_invalid);
  CHECK(code_of(at.files->open_read(at.path(cut))) == errc::name_invalid);
  CHECK(code_of(at.files->remove(at.path(cut))) == errc::name_invalid);
  CHECK(code_of(at.files->rename(at.path("a"), at.path(cut))) == errc::name_invalid);
  CHECK(code_of(at.files->rename(at.path(cut), at.path("a"))) == errc::name_invalid);
  CHECK(code_of(at.files->rename_new(at.path("a"), at.path(cut))) == errc::name_invalid);
  CHECK(code_of(at.files->make_folder(at.path(cut))) == errc::name_invalid);
  CHECK(code_of(at.files->make_symlink(cut, at.path("l"))) == errc::name_invalid);
  CHECK(code_of(at.files->list(at.path(cut))) == errc::name_invalid);
  CHECK(code_of(at.files->create_unnamed(at.path(cut))) == errc::name_invalid);
  CHECK(code_of(at.files->create(at.path(std::string(256, 'n')))) == errc::name_invalid);
  at.put(std::string(255, 'n'), "");
  REQUIRE(at.files->remove(at.path(std::string(255, 'n'))));
  CHECK_FALSE(at.files->create(""));
  CHECK(at.names() == names_t{"a"});
  CHECK(at.get("a") == "A");
}

TEST_CASE("a lock keeps everybody else out until it goes", "[files]") {
  EVERY_PLACE;
  auto held = at.files->lock(at.path("lock"));
  REQUIRE(held);
  CHECK(code_of(at.files->lock(at.path("lock"))) == errc::locked);
  CHECK(at.files->lock(at.path("other")));
  held->reset();
  auto again = at.files->lock(at.path("lock"));
  REQUIRE(again);
  CHECK(code_of(at.files->lock(at.path("none/lock"))) == errc::not_found);
}

TEST_CASE("an open file is locked against the others of the same file until it is closed", "[files]") {
  EVERY_PLACE;
  at.put("a", "content");
  auto first = at.files->open_write(at.path("a"));
  auto second = at.files->open_write(at.path("a"));
  REQUIRE(first);
  REQUIRE(second);
  auto locked = (*first)->lock();
  REQUIRE(locked);
  CHECK(locked->inode == at.files->status(at.path("a"))->inode);
  CHECK(locked->size == 7);
  CHECK((*first)->lock());
  CHECK(code_of((*second)->lock()) == errc::locked);
  // Whoever reads it and closes it gives nothing free.
  CHECK(at.get("a") == "content");
  CHECK(code_of((*second)->lock()) == errc::locked);
  first->reset();
  CHECK((*second)->lock());
}

TEST_CASE("a file without a name is locked, and stays so under its name", "[files]") {
  EVERY_PLACE;
  auto made = at.files->create_unnamed(at.root);
  REQUIRE(made);
  auto locked = (*made)->lock();
  REQUIRE(locked);
  REQUIRE((*made)->link_as(at.path("a")));
  CHECK(at.files->status(at.path("a"))->inode == locked->inode);
  auto other = at.files->open_write(at.path("a"));
  REQUIRE(other);
  CHECK(code_of((*other)->lock()) == errc::locked);
  made->reset();
  CHECK((*other)->lock());
}

TEST_CASE("a lock file of the system tells the number of the process that holds it", "[files]") {
  place at{"plain system"};
  at.put("lock", "a longer line of an earlier holder\n");
  auto held = at.files->lock(at.path("lock"));
  REQUIRE(held);
  CHECK(at.get("lock") == std::to_string(::getpid()) + "\n");
}

TEST_CASE("space is told for a path that is there", "[files]") {
  EVERY_PLACE;
  auto space = at.files->space(at.root);
  REQUIRE(space);
  CHECK(space->total > 0);
  CHECK(space->available <= space->total);
  CHECK(code_of(at.files->space(at.path("none"))) == errc::not_found);
}

TEST_CASE("missing folders are made down to the last", "[files]") {
  EVERY_PLACE;
  REQUIRE(make_folders(*at.files, at.path("x/y/z")));
  REQUIRE(make_folders(*at.files, at.path("x/y/z/")));
  REQUIRE(make_folders(*at.files, at.path("x//y/w")));
  CHECK(at.names("x/y") == names_t{"w", "z"});
  at.put("file", "");
  CHECK(code_of(make_folders(*at.files, at.path("file/y"))) == errc::not_a_folder);
  REQUIRE(at.files->make_symlink("x", at.path("l")));
  REQUIRE(make_folders(*at.files, at.path("l/v")));
  CHECK(at.names("x") == names_t{"v", "y"});
}

TEST_CASE("whole files are replaced, and read up to a size", "[files]") {
  EVERY_PLACE;
  REQUIRE(write_whole(*at.files, at.path("a"), as_view("first")));
  REQUIRE(write_whole(*at.files, at.path("a"), as_view("second")));
  CHECK(at.names() == names_t{"a"});
  CHECK(as_text(*read_whole(*at.files, at.path("a"), 6)) == "second");
  CHECK(code_of(read_whole(*at.files, at.path("a"), 5)) == errc::capacity_exceeded);
  CHECK(code_of(read_whole(*at.files, at.path("none"), 5)) == errc::not_found);
  REQUIRE(write_whole(*at.files, at.path("empty"), {}));
  CHECK(read_whole(*at.files, at.path("empty"), 0)->empty());
  CHECK(code_of(write_whole(*at.files, at.path("none/a"), as_view("x"))) == errc::not_found);
  auto big = std::string(100000, 'b');
  REQUIRE(write_whole(*at.files, at.path("a"), as_view(big)));
  CHECK(at.get("a") == big);
}

TEST_CASE("a FIFO, a socket and a device are refused without waiting", "[files]") {
  place at{"plain system"};
  REQUIRE(::mkfifo(at.path("fifo").c_str(), 0600) == 0);
  CHECK(at.files->status(at.path("fifo"))->kind == file_kind::fifo);
  CHECK(code_of(at.files->open_read(at.path("fifo"))) == errc::unsupported_source);
  CHECK(code_of(at.files->create(at.path("fifo"))) == errc::unsupported_source);
  CHECK(code_of(at.files->open_read("/dev/null")) == errc::unsupported_source);
  CHECK(at.files->status("/dev/null")->kind == file_kind::device);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  auto name = at.path("socket");
  REQUIRE(name.size() < sizeof(address.sun_path));
  std::copy(name.begin(), name.end(), std::begin(address.sun_path));
  int listener = ::socket(AF_UNIX, SOCK_STREAM, 0);
  REQUIRE(::bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
  CHECK(at.files->status(name)->kind == file_kind::socket);
  CHECK(code_of(at.files->open_read(name)) == errc::unsupported_source);
  ::close(listener);
}

TEST_CASE("a time that nanoseconds do not reach is the last or first that they do", "[files]") {
  place at{"plain system"};
  auto path = at.path("a");
  REQUIRE(at.files->create(path));
  for (auto [year_2400, limit] : {std::pair{int64_t{13'569'465'600}, INT64_MAX}, std::pair{int64_t{-13'569'465'600}, INT64_MIN}}) {
    const timespec times[] = {{year_2400, 0}, {year_2400, 0}};
    REQUIRE(::utimensat(AT_FDCWD, path.c_str(), times, 0) == 0);
    struct stat raw {};
    REQUIRE(::stat(path.c_str(), &raw) == 0);
    if (raw.st_mtim.tv_sec == year_2400) // Not every file system keeps such times.
      CHECK(at.files->status(path)->modified_ns == limit);
  }
}

TEST_CASE("a file whose size is a lie is read to its end", "[files]") {
  auto files = system_files();
  auto content = read_whole(*files, "/proc/self/status", 1 << 20);
  REQUIRE(content);
  CHECK(content->size() > 100);
  CHECK(code_of(read_whole(*files, "/proc/self/status", 10)) == errc::capacity_exceeded);
}

TEST_CASE("paths are joined and taken apart", "[files]") {
  CHECK(join_path("/a", "b") == "/a/b");
  CHECK(join_path("/a/", "b") == "/a/b");
  CHECK(join_path("/a/", "/b") == "/a/b");
  CHECK(join_path("/", "b") == "/b");
  CHECK(join_path("", "b") == "b");
  CHECK(join_path("", "/b") == "/b");
  CHECK(join_path("/a", "") == "/a");
  CHECK(parent_path("/a/b") == "/a");
  CHECK(parent_path("/a/b/") == "/a");
  CHECK(parent_path("/a//b") == "/a");
  CHECK(parent_path("/a") == "/");
  CHECK(parent_path("/") == "/");
  CHECK(parent_path("a") == ".");
  CHECK(parent_path("a/b") == "a");
  CHECK(parent_path("") == ".");
}

TEST_CASE("a thread that yields the disk is alone in that", "[file_system]") {
  constexpr int who_process = 1, class_idle = 3, class_shift = 13;
  auto io_class = [] {
    return ::syscall(SYS_ioprio_get, who_process, 0) >> class_shift;
  };
  auto before = io_class();
  auto files = system_files();
  result<void> yielded;
  long class_of_yielding = -1;
  std::thread{[&] {
    yielded = files->yield_disk();
    class_of_yielding = io_class();
  }}.join();
  REQUIRE(yielded);
  CHECK(class_of_yielding == class_idle);
  CHECK(io_class() == before);
  CHECK(before != class_idle);
}
