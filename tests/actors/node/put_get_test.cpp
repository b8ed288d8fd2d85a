// What goes in through the facade comes out of it, byte for byte.
#include "tests/actors/node/hooked_files.hpp"
#include "tests/actors/node/house.hpp"

#include <algorithm>
#include <numeric>
#include <set>

namespace datamesh::test {

namespace {

constexpr size_t mib = 1 << 20;

/// Both kinds of disk, one after the other.
disk each_disk() {
  return GENERATE(values({disk::system, disk::simulated}));
}

void write_sample_tree(house& h) {
  h.write("tree/readme.txt", "hello\n");
  h.write("tree/empty", "", 0600);
  h.write("tree/sub/one.bin", noise(1, 70'000), 0755, 1'600'000'000'123'456'789);
  h.write("tree/sub/deep/er/two.bin", noise(2, 3 * mib));
  h.write("tree/sub/same.bin", noise(1, 70'000));
  h.link("tree/sub/link", "../readme.txt");
  h.link("tree/broken", "no/such/place");
  must(h.files().make_folder(h.path("tree/void"), 0750));
}

} // namespace

TEST_CASE("a tree comes back with its names, bytes, modes and times", "[put][get]") {
  house h{3, each_disk()};
  write_sample_tree(h);
  auto stored = h.put("tree", "/kept/tree");
  CHECK(stored.files == 5);
  CHECK(stored.folders == 5);
  CHECK(stored.symlinks == 2);
  CHECK(stored.bytes == 6 + 2 * 70'000 + 3 * mib);
  CHECK(stored.chunks_known == 1);
  CHECK(stored.bytes_known == 70'000);
  CHECK(stored.shards_short == 0);
  CHECK(stored.bytes_written > stored.bytes_new_sealed);
  must(h.files().make_folder(h.path("back")));
  auto fetched = must(h.vault().get(get_request{.paths = {"/kept/tree"}, .target_folder = h.path("back")}));
  CHECK(fetched.files == 5);
  CHECK(fetched.folders == 5);
  CHECK(fetched.symlinks == 2);
  CHECK(fetched.bytes == stored.bytes);
  CHECK(fetched.failure_count == 0);
  CHECK(h.look("back/tree") == h.look("tree"));
}

TEST_CASE("a put of a folder that holds the store leaves the store out", "[put]") {
  house h{3, each_disk()};
  h.write("mine/kept", "hello");
  auto root = h.path("x");
  root.resize(root.size() - 2);
  auto stored = must(h.vault().put(put_request{.sources = {{root, "/all"}}}));
  CHECK(stored.failure_count == 0);
  CHECK(stored.files == 1);
  CHECK(h.get_text("/all/mine/kept") == "hello");
  for (const auto& name : h.list("/all"))
    CHECK(name.find("drive") == std::string::npos);
}

TEST_CASE("what was stored is there after the node is opened again", "[put]") {
  house h{3, each_disk()};
  auto text = noise(3, 2 * mib + 17);
  h.put_text("/a/stream", text);
  h.put_text("/a/empty", "");
  h.reopen();
  CHECK(h.get_text("/a/stream") == text);
  CHECK(h.get_text("/a/empty").empty());
  CHECK(h.list() == std::vector<std::string>{"/a", "/a/empty", "/a/stream"});
}

TEST_CASE("streams of any length come back whatever their steps", "[put]") {
  house h{2};
  for (size_t size : {0u, 1u, 4095u, 4096u, 262'144u, 262'145u, 5'000'003u}) {
    CAPTURE(size);
    auto text = noise(size, size);
    put_stream_request what;
    what.from = std::make_shared<text_source>(text, size % 2 == 0 ? 4096 : 100'003);
    what.target_path = "/stream";
    what.mode = 0640;
    what.modified_ns = 1234;
    auto stored = must(h.vault().put(what));
    CHECK(stored.bytes == size);
    CHECK(stored.stored_as == std::vector<std::string>{"/stream"});
    CHECK(h.get_text("/stream") == text);
    auto row = must(h.vault().info("/stream"));
    CHECK(row.size == size);
    CHECK(row.mode == 0640);
    CHECK(row.modified_ns == 1234);
  }
}

TEST_CASE("every range around the ends of chunks is exact", "[get]") {
  house h{6};
  auto text = noise(4, 5 * mib + 11);
  h.put_text("/file", text);
  auto whole = std::make_shared<text_sink>();
  must(h.vault().get("/file", whole));
  REQUIRE(whole->text == text);
  // The sink is given a chunk at a time, a long one in parts.
  REQUIRE(whole->pieces.size() > 2);
  std::vector<uint64_t> ends{0};
  for (auto piece : whole->pieces)
    ends.push_back(ends.back() + piece);
  for (size_t i = 0; i < ends.size(); ++i)
    for (uint64_t first : {ends[i] - 1, ends[i], ends[i] + 1}) {
      if (first > text.size())
        continue;
      for (uint64_t length : {uint64_t{0}, uint64_t{1}, uint64_t{2}, uint64_t{whole->pieces[0]}, uint64_t{2 * mib}}) {
        CAPTURE(first, length);
        REQUIRE(h.get_text("/file", {first, length}) == text.substr(first, length));
      }
    }
  CHECK(h.get_text("/file", {text.size() - 1, {}}) == text.substr(text.size() - 1));
  CHECK(h.get_text("/file", {text.size(), {}}).empty());
  CHECK(h.get_text("/file", {0, UINT64_MAX}) == text);
  CHECK(h.get_text("/file", {1, UINT64_MAX}) == text.substr(1));
  auto to = std::make_shared<text_sink>();
  CHECK(code_of(h.vault().get("/file", to, {text.size() + 1, {}})) == errc::range_invalid);
  CHECK(to->text.empty());
}

TEST_CASE("the same content again makes no new version", "[put]") {
  house h{3, each_disk()};
  h.write("note", "first");
  h.put("note", "/note");
  auto again = h.put("note", "/note");
  CHECK(again.bytes_written == 0);
  CHECK(must(h.vault().versions("/note")).size() == 1);
  h.write("note", "second");
  h.put("note", "/note");
  auto versions = must(h.vault().versions("/note"));
  REQUIRE(versions.size() == 2);
  CHECK(std::count_if(versions.begin(), versions.end(), [](const auto& v) { return v.current; }) == 1);
  for (const auto& version : versions)
    CHECK(h.get_text("/note", {}, version.id) == (version.current ? "second" : "first"));
  auto old = std::find_if(versions.begin(), versions.end(), [](const auto& v) { return !v.current; });
  must(h.vault().revert("/note", old->id));
  CHECK(h.get_text("/note") == "first");
  CHECK(must(h.vault().versions("/note")).size() == 3);
  CHECK(code_of(h.vault().revert("/note", version_id{})) == errc::not_found);
}

TEST_CASE("a taken name makes a version, a failure or a numbered name", "[put]") {
  house h;
  h.put_text("/a.txt", "one");
  put_stream_request what{std::make_shared<text_source>("two"), "/a.txt", if_exists::fail};
  CHECK(code_of(h.vault().put(what)) == errc::already_exists);
  CHECK(h.get_text("/a.txt") == "one");
  CHECK(h.put_text("/a.txt", "two", if_exists::rename).stored_as == std::vector<std::string>{"/a (2).txt"});
  CHECK(h.put_text("/a.txt", "three", if_exists::rename).stored_as == std::vector<std::string>{"/a (3).txt"});
  CHECK(h.put_text("/a.txt", "four", if_exists::version).stored_as == std::vector<std::string>{"/a.txt"});
  CHECK(h.get_text("/a (2).txt") == "two");
  CHECK(h.get_text("/a (3).txt") == "three");
  CHECK(h.get_text("/a.txt") == "four");
  SECTION("a file never takes the place of a folder") {
    must(h.vault().make_folder("/folder"));
    what = {std::make_shared<text_source>("x"), "/folder", if_exists::version};
    CHECK(code_of(h.vault().put(what)) == errc::is_a_folder);
    what = {std::make_shared<text_source>("x"), "/a.txt/below", if_exists::version};
    CHECK(code_of(h.vault().put(what)) == errc::not_a_folder);
  }
  SECTION("a folder whose name is taken goes beside it with all that is in it") {
    h.write("dir/one", "1");
    h.write("dir/sub/two", "2");
    h.put_text("/dir", "a file");
    put_request folder;
    folder.sources = {{h.path("dir"), "/dir"}};
    folder.conflict = if_exists::rename;
    auto stored = must(h.vault().put(folder));
    CHECK(stored.failure_count == 0);
    CHECK(h.get_text("/dir") == "a file");
    CHECK(h.get_text("/dir (2)/one") == "1");
    CHECK(h.get_text("/dir (2)/sub/two") == "2");
    CHECK(std::count(stored.stored_as.begin(), stored.stored_as.end(), "/dir (2)/sub/two") == 1);
    // A name that is taken in the folder beside it, too.
    must(h.vault().remove("/dir (2)/sub", true));
    h.put_text("/dir (2)/sub", "another file");
    CHECK(must(h.vault().put(folder)).failure_count == 0);
    CHECK(h.get_text("/dir (2)/sub") == "another file");
    CHECK(h.get_text("/dir (2)/sub (2)/two") == "2");
  }
  SECTION("names that are none are refused") {
    for (std::string bad : {"", "/", "/x/..", "/."}) {
      what = {std::make_shared<text_source>("x"), bad, if_exists::version};
      CHECK(code_of(h.vault().put(what)) == errc::name_invalid);
    }
    what = {std::make_shared<text_source>("x"), std::string("/a\0b", 4), if_exists::version};
    CHECK(code_of(h.vault().put(what)) == errc::name_invalid);
    what = {std::make_shared<text_source>("x"), "/" + std::string(256, 'n'), if_exists::version};
    CHECK(code_of(h.vault().put(what)) == errc::name_invalid);
  }
}

TEST_CASE("two puts of one name at a time both arrive", "[put]") {
  house h;
  h.write("one", noise(1, mib));
  h.write("two", noise(2, mib));
  auto both = put_request{.sources = {{h.path("one"), "/same"}, {h.path("two"), "/same"}}, .conflict = if_exists::rename};
  auto stored = must(h.vault().put(both));
  CHECK(stored.failure_count == 0);
  // Which of them was first is theirs to settle.
  REQUIRE(stored.stored_as.size() == 2);
  CHECK(std::set<std::string>(stored.stored_as.begin(), stored.stored_as.end()) == std::set<std::string>{"/same", "/same (2)"});
  auto texts = std::set<std::string>{h.get_text("/same"), h.get_text("/same (2)")};
  CHECK((texts == std::set<std::string>{h.read("one"), h.read("two")}));
}

TEST_CASE("holes stay holes", "[put]") {
  house h{3, each_disk()};
  auto file = must(h.files().create(h.path("sparse"), 0644));
  auto head = noise(5, 300'000);
  const byte_view parts[] = {as_view(head)};
  must(file->write_at(8 * mib, parts));
  must(file->resize(64 * mib));
  file.reset();
  auto stored = h.put("sparse", "/sparse");
  CHECK(stored.bytes == 64 * mib);
  CHECK(stored.hole_bytes > 60 * mib);
  CHECK(stored.bytes_new_plain < mib);
  auto to = std::make_shared<text_sink>();
  must(h.vault().get("/sparse", to));
  CHECK(to->hole_bytes == stored.hole_bytes);
  auto expected = std::string(8 * mib, '\0') + head;
  expected.resize(64 * mib);
  CHECK(to->text == expected);
  CHECK(h.get_text("/sparse", {8 * mib - 10, 20}) == expected.substr(8 * mib - 10, 20));
  CHECK(h.get_text("/sparse", {mib, 5}) == std::string(5, '\0'));
  must(h.files().make_folder(h.path("back")));
  auto fetched = must(h.vault().get(get_request{.paths = {"/sparse"}, .target_folder = h.path("back")}));
  CHECK(fetched.bytes == stored.bytes);
  CHECK(h.look("back/sparse") == h.look("sparse"));
  CHECK(must(h.files().status(h.path("back/sparse"))).allocated < 2 * mib);
}

TEST_CASE("names may hold any byte but a slash and a zero", "[put]") {
  house h;
  std::string every;
  for (int c = 1; c < 256; ++c)
    if (c != '/')
      every += static_cast<char>(c);
  std::vector<std::string> names{every.substr(0, 127), every.substr(127), "\xff\xfe", " ", "...", "-rf", "a\nb", "%2f",
                                 std::string(255, 'x')};
  for (const auto& name : names)
    h.write("odd/" + name, name);
  h.put("odd", "/odd");
  must(h.files().make_folder(h.path("back")));
  must(h.vault().get(get_request{.paths = {"/odd"}, .target_folder = h.path("back")}));
  CHECK(h.look("back/odd") == h.look("odd"));
  for (const auto& name : names)
    CHECK(h.get_text("/odd/" + name) == name);
}

TEST_CASE("excluded names are left out at every depth", "[put]") {
  house h;
  write_sample_tree(h);
  auto stored = must(h.vault().put(put_request{.sources = {{h.path("tree"), "/t"}}, .exclude = {"*.bin", "sub/deep", "void"}}));
  CHECK(stored.files == 2);
  CHECK(h.list("/t") == std::vector<std::string>{"/t/broken", "/t/empty", "/t/readme.txt", "/t/sub", "/t/sub/link"});
}

TEST_CASE("a dry run tells what a put would do, and stores nothing", "[put]") {
  house h;
  write_sample_tree(h);
  auto request = put_request{.sources = {{h.path("tree"), "/tree"}}, .dry_run = true};
  auto dry = must(h.vault().put(request));
  CHECK(h.list().empty());
  CHECK(must(h.vault().stats()).packs == 0);
  request.dry_run = false;
  auto real = must(h.vault().put(request));
  CHECK(dry.files == real.files);
  CHECK(dry.bytes == real.bytes);
  CHECK(dry.chunks == real.chunks);
  CHECK(dry.chunks_known == real.chunks_known);
  CHECK(dry.bytes_new_plain == real.bytes_new_plain);
}

TEST_CASE("a get refuses to overwrite unless it is told to", "[get]") {
  house h;
  h.write("file", "of the vault");
  h.write("tree/inner", "also of the vault");
  h.put("file", "/file");
  h.put("tree", "/tree");
  h.write("back/file", "of somebody", 0600, 5);
  auto request = get_request{.paths = {"/file"}, .target_folder = h.path("back")};
  CHECK(code_of(h.vault().get(request)) == errc::already_exists);
  CHECK(h.read("back/file") == "of somebody");
  request.target_name = "other";
  must(h.vault().get(request));
  CHECK(h.read("back/other") == "of the vault");
  request.target_name.clear();
  request.overwrite = true;
  must(h.vault().get(request));
  CHECK(h.read("back/file") == "of the vault");
  SECTION("in a folder, what differs is a failure and the rest is written") {
    h.write("tree/more", "new");
    h.put("tree", "/tree");
    h.write("back/tree/inner", "of somebody, too", 0600, 5);
    auto fetched = must(h.vault().get(get_request{.paths = {"/tree"}, .target_folder = h.path("back")}));
    CHECK(fetched.failure_count == 1);
    CHECK(fetched.failures.at(0).reason.code() == errc::already_exists);
    CHECK(h.read("back/tree/inner") == "of somebody, too");
    CHECK(h.read("back/tree/more") == "new");
  }
  SECTION("a target that is not there, or a bad name, is refused") {
    CHECK(code_of(h.vault().get(get_request{.paths = {"/file"}, .target_folder = h.path("nowhere")})) == errc::not_found);
    CHECK(code_of(h.vault().get(get_request{.paths = {"/none"}, .target_folder = h.path("back")})) == errc::not_found);
    CHECK(code_of(h.vault().get(get_request{.paths = {}, .target_folder = h.path("back")})) == errc::invalid_argument);
    CHECK(code_of(h.vault().get(get_request{.paths = {"/file"}, .target_folder = h.path("back"), .target_name = "../up"}))
          == errc::name_invalid);
    CHECK(code_of(h.vault().get("/tree", std::make_shared<text_sink>())) == errc::is_a_folder);
    CHECK(code_of(h.vault().get("/file", nullptr)) == errc::invalid_argument);
    h.link("leads away", "no/such/place");
    h.put("leads away", "/link");
    auto nothing = std::make_shared<text_sink>();
    CHECK(code_of(h.vault().get("/link", nothing)) == errc::unsupported_source);
    CHECK(nothing->pieces.empty());
  }
}

TEST_CASE("what is removed while it is stored is not told as stored", "[put]") {
  // Removes something when so much is read that the rest can only be stored.
  class removing_source : public text_source {
  public:
    removing_source(vault& from, std::string path) : text_source(noise(9, 40 * mib)), from_(from), path_(std::move(path)) {}
    result<size_t> read(byte_span out) override {
      auto count = text_source::read(out);
      read_ += count ? *count : 0;
      if (read_ > 30 * mib && !std::exchange(done_, true))
        if (auto removed = from_.remove(path_, true); !removed)
          return fail(removed.error());
      return count;
    }

  private:
    vault& from_;
    std::string path_;
    size_t read_ = 0;
    bool done_ = false;
  };
  house h;
  h.put_text("/folder/there", "one");
  h.put_text("/file", "two");
  for (const auto& [target, removed] : {std::pair{"/folder/new", "/folder"}, {"/file", "/file"}, {"/new/folder/x", "/file2"}}) {
    CAPTURE(target);
    if (std::string_view{removed} == "/file2")
      h.put_text("/file2", "three");
    put_stream_request what{std::make_shared<removing_source>(h.vault(), removed), target};
    auto stored = h.vault().put(what);
    auto listed = h.list();
    CHECK(stored.has_value() == (std::find(listed.begin(), listed.end(), target) != listed.end()));
    // That something else goes is nothing to it.
    CHECK(code_of(stored) == (std::string_view{removed} == "/file2" ? errc{} : errc::conflict));
  }
}

TEST_CASE("a get of two things under one name is refused, and folders are merged", "[get]") {
  house h;
  h.put_text("/a/x", "one");
  h.put_text("/b/x", "two");
  h.put_text("/c/a/y", "three");
  must(h.files().make_folder(h.path("out")));
  get_request what{{"/a/x", "/b/x"}, h.path("out")};
  what.overwrite = true;
  CHECK(code_of(h.vault().get(what)) == errc::conflict);
  CHECK(h.files_below(h.path("out")).empty());
  what.paths = {"/a", "/c/a"};
  must(h.vault().get(what));
  CHECK(h.read("out/a/x") == "one");
  CHECK(h.read("out/a/y") == "three");
}

TEST_CASE("a link on the way of a get is never followed", "[get]") {
  house h;
  h.write("tree/sub/file", "content");
  h.put("tree", "/tree");
  must(make_folders(h.files(), h.path("outside")));
  h.link("back/tree/sub", h.path("outside"));
  auto fetched = h.vault().get(get_request{.paths = {"/tree"}, .target_folder = h.path("back"), .overwrite = true});
  CHECK((!fetched || fetched->failure_count > 0));
  CHECK(must(h.files().list(h.path("outside"))).empty());
}

TEST_CASE("an interrupted get goes on where it was", "[get]") {
  house h{3, each_disk()};
  auto text = noise(6, 20 * mib);
  h.write("long", text);
  h.put("long", "/long");
  must(make_folders(h.files(), h.path("back")));
  // A get that can not write.
  auto hooks = std::make_shared<hooked_files>(std::shared_ptr<file_system>{&h.files(), [](file_system*) {
                                                                           }});
  hooks->set([](std::string_view call, const std::string&) -> result<void> {
    return call == "write" ? fail(errc::io_failed, "write") : result<void>{};
  });
  auto failed = h.vault().get(get_request{.paths = {"/long"}, .target_folder = h.path("back"), .files = hooks});
  CHECK((!failed || failed->failure_count == 1));
  auto left = must(h.files().list(h.path("back")));
  REQUIRE(left.size() == 1);
  REQUIRE(left.front().name.starts_with(".long."));
  REQUIRE(left.front().name.ends_with(".datamesh-part"));
  // What an earlier get left behind, with a wrong byte in its second half.
  auto part = text.substr(0, 12 * mib);
  part[9 * mib] ^= 1;
  h.write("back/" + left.front().name, part);
  auto fetched = must(h.vault().get(get_request{.paths = {"/long"}, .target_folder = h.path("back")}));
  CHECK(fetched.bytes_resumed > 4 * mib);
  CHECK(fetched.bytes_resumed <= 9 * mib);
  CHECK(h.look("back").size() == 2);
  CHECK(h.look("back/long") == h.look("long"));
}

TEST_CASE("several long files come back by one get", "[get]") {
  house h{3, each_disk()};
  for (uint64_t i = 0; i < 3; ++i)
    h.write("tree/long" + std::to_string(i), noise(20 + i, 17 * mib));
  h.write("tree/short", "between them");
  h.put("tree", "/tree");
  must(h.files().make_folder(h.path("back")));
  // A deadline, so that one that waits for ever is a failure.
  auto fetched =
      must(h.vault().get(get_request{.paths = {"/tree"}, .target_folder = h.path("back")}, {.timeout = std::chrono::minutes{2}}));
  CHECK(fetched.files == 4);
  CHECK(fetched.bytes_resumed == 0);
  CHECK(h.look("back/tree") == h.look("tree"));
}

TEST_CASE("small memory is enough for both ways", "[memory]") {
  node_options options;
  options.memory_bytes = 48 << 20;
  house h{6, disk::system, options};
  auto text = noise(7, 40 * mib);
  h.put_text("/big", text);
  CHECK(h.get_text("/big") == text);
  options.memory_bytes = 39 << 20;
  options.home = h.path("other");
  CHECK(code_of(node::create(options)) == errc::invalid_argument);
}

} // namespace datamesh::test
