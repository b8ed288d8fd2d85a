#include "datamesh/base/ordered_store.hpp"

#include "base/file_cipher.hpp"
#include "base/simple_store.hpp"
#include "base/system_parts.hpp"
#include "datamesh/base/file_system.hpp"
#include "tests/libdatamesh/base/rocksdb_on_files.hpp"
#include "tests/support/seeded_random.hpp"
#include "tests/support/simulated_files.hpp"

#include <catch2/catch.hpp>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace fs = std::filesystem;
using namespace datamesh;
using test::seeded_random;

namespace {

using rows = std::vector<std::pair<std::string, std::string>>;

uint64_t seed_of_run() {
  auto text = std::getenv("DATAMESH_SEED");
  return text != nullptr ? std::strtoull(text, nullptr, 10) : 20260101;
}

class scratch_folder {
public:
  scratch_folder() {
    // Thousands of syncs cost nothing in memory, and no power is lost here.
    auto memory = access("/dev/shm", W_OK) == 0;
    auto text = ((memory ? fs::path{"/dev/shm"} : fs::temp_directory_path()) / "datamesh-stores-XXXXXX").string();
    REQUIRE(mkdtemp(text.data()) != nullptr);
    path_ = text;
  }
  scratch_folder(const scratch_folder&) = delete;
  scratch_folder& operator=(const scratch_folder&) = delete;
  ~scratch_folder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  [[nodiscard]] const fs::path& path() const noexcept {
    return path_;
  }

private:
  fs::path path_;
};

bytes key_of(std::string_view text) {
  std::string key{text};
  key.resize(file_cipher::key_size, '.');
  return bytes::copy_of(key);
}

/// One kind of store in a folder of its own.
struct bench {
  explicit bench(std::string_view which) : name(which) {
    stores = which.starts_with("rocksdb") ? rocksdb_stores() : simple_stores(system_files(), system_random());
    options.folder = (scratch.path() / "store").string();
    if (which.ends_with("encrypted"))
      options.encryption_key = key_of("right");
  }

  [[nodiscard]] result<std::unique_ptr<ordered_store>> try_open() const {
    return stores->open(options);
  }

  [[nodiscard]] std::unique_ptr<ordered_store> open() const {
    auto opened = try_open();
    INFO((opened ? std::string{} : opened.error().message()));
    REQUIRE(opened.has_value());
    return std::move(*opened);
  }

  [[nodiscard]] errc refusal() const {
    auto opened = try_open();
    REQUIRE_FALSE(opened.has_value());
    UNSCOPED_INFO(opened.error().message());
    return opened.error().code();
  }

  [[nodiscard]] std::vector<fs::path> files(std::string_view part = {}) const {
    std::vector<fs::path> found;
    for (const auto& entry : fs::directory_iterator{options.folder})
      if (entry.path().filename().string().find(part) != std::string::npos)
        found.push_back(entry.path());
    std::sort(found.begin(), found.end());
    return found;
  }

  [[nodiscard]] bool is_rocksdb() const {
    return name.starts_with("rocksdb");
  }

  std::string name;
  scratch_folder scratch;
  std::shared_ptr<ordered_store_opener> stores;
  ordered_store_options options;
};

std::string any_kind() {
  return GENERATE(as<std::string>{}, "simple", "simple encrypted", "rocksdb", "rocksdb encrypted");
}

rows scan(const ordered_view& view, std::string_view first = {}, std::string_view last = {}, size_t limit = SIZE_MAX) {
  rows found;
  auto ok = view.scan(first, last, [&](std::string_view key, std::string_view value) {
    found.emplace_back(key, value);
    return found.size() < limit;
  });
  REQUIRE(ok.has_value());
  return found;
}

std::optional<std::string> get(const ordered_view& view, std::string_view key) {
  auto found = view.get(key);
  REQUIRE(found.has_value());
  return *found;
}

void put(ordered_store& store, std::string_view key, std::string_view value, durability level = durability::synced) {
  write_batch batch;
  batch.put(key, value);
  auto ok = store.write(batch, level);
  INFO((ok ? std::string{} : ok.error().message()));
  REQUIRE(ok.has_value());
}

std::string content_of(const fs::path& path) {
  std::ifstream file{path, std::ios::binary};
  return {std::istreambuf_iterator<char>{file}, {}};
}

void set_content(const fs::path& path, std::string_view content) {
  std::ofstream file{path, std::ios::binary | std::ios::trunc};
  file.write(content.data(), static_cast<std::streamsize>(content.size()));
  REQUIRE(file.good());
}

void flip(const fs::path& path, size_t offset) {
  auto content = content_of(path);
  REQUIRE(offset < content.size());
  content[offset] = static_cast<char>(content[offset] ^ 0x10);
  set_content(path, content);
}

std::string numbered(std::string_view stem, int number) {
  auto text = std::to_string(number);
  return std::string{stem} + std::string(6 - text.size(), '0') + text;
}

} // namespace

// -- the contract, for every kind ---------------------------------------------------

TEST_CASE("the end of a prefix is the first key behind all that begin with it", "[store]") {
  using namespace std::string_literals;
  CHECK(prefix_end("a") == "b");
  CHECK(prefix_end("az") == "a{");
  CHECK(prefix_end("a\xff"s) == "b");
  CHECK(prefix_end("a\xff\xff"s) == "b");
  CHECK(prefix_end("\x7f"s) == "\x80"s);
  CHECK(prefix_end("\0"s) == "\x01"s);
  CHECK(prefix_end("\xfe\xff"s) == "\xff"s);
  CHECK(prefix_end("\xff\xff"s).empty());
  CHECK(prefix_end("").empty());
}

TEST_CASE("a store gives back what was put, in bytewise order and within bounds", "[store]") {
  using namespace std::string_literals;
  bench kind{any_kind()};
  CAPTURE(kind.name);
  auto store = kind.open();
  CHECK(scan(*store).empty());
  CHECK_FALSE(get(*store, "a"));
  write_batch batch;
  const rows all = {{""s, "empty key"}, {"\0"s, "nul"},    {"\0\0"s, ""},  {"a"s, "1"},
                    {"a\0"s, "2"},      {"b"s, "\0\xff"s}, {"\x80"s, "3"}, {"\xff\xff"s, "4"}};
  for (auto row = all.rbegin(); row != all.rend(); ++row)
    batch.put(row->first, row->second);
  REQUIRE(store->write(batch, durability::relaxed).has_value());
  CHECK(scan(*store) == all);
  for (const auto& [key, value] : all)
    CHECK(get(*store, key) == value);
  CHECK(scan(*store, "a", "b") == rows{all[3], all[4]});
  CHECK(scan(*store, "a"s, "a"s).empty());
  CHECK(scan(*store, "b", "a").empty());
  CHECK(scan(*store, "a\0"s, "a\0\0"s) == rows{all[4]});
  CHECK(scan(*store, "c") == rows{all[6], all[7]});
  CHECK(scan(*store, "a", prefix_end("a")) == rows{all[3], all[4]});
  CHECK(scan(*store, "\xff"s, prefix_end("\xff"s)) == rows{all[7]});
  CHECK(scan(*store, {}, {}, 3) == rows(all.begin(), all.begin() + 3));
}

TEST_CASE("a later change of a key in one batch wins", "[store]") {
  bench kind{any_kind()};
  CAPTURE(kind.name);
  auto store = kind.open();
  put(*store, "old", "there");
  write_batch batch;
  batch.put("a", "1");
  batch.put("a", "2");
  batch.put("b", "1");
  batch.erase("b");
  batch.erase("old");
  batch.put("old", "again");
  batch.erase("never was");
  REQUIRE(store->write(batch, durability::synced).has_value());
  CHECK(scan(*store) == rows{{"a", "2"}, {"old", "again"}});
  REQUIRE(store->write({}, durability::relaxed).has_value());
  REQUIRE(store->write({}, durability::synced).has_value());
  CHECK(scan(*store) == rows{{"a", "2"}, {"old", "again"}});
}

TEST_CASE("a snapshot stays as it is while writes go on, also inside a scan", "[store]") {
  bench kind{any_kind()};
  CAPTURE(kind.name);
  auto store = kind.open();
  put(*store, "a", "1");
  put(*store, "b", "1");
  auto before = store->snapshot();
  put(*store, "a", "2");
  put(*store, "c", "2");
  auto between = store->snapshot();
  REQUIRE(store->flush().has_value());
  write_batch batch;
  batch.erase("a");
  REQUIRE(store->write(batch, durability::synced).has_value());
  CHECK(scan(*before) == rows{{"a", "1"}, {"b", "1"}});
  CHECK(scan(*between) == rows{{"a", "2"}, {"b", "1"}, {"c", "2"}});
  CHECK(get(*before, "a") == "1");
  CHECK_FALSE(get(*before, "c"));
  CHECK(scan(*store) == rows{{"b", "1"}, {"c", "2"}});
  rows seen;
  auto ok = store->scan({}, {}, [&](std::string_view key, std::string_view value) {
    seen.emplace_back(key, value);
    put(*store, "z" + std::string{key}, "new");
    return true;
  });
  CHECK(ok.has_value());
  CHECK(seen == rows{{"b", "1"}, {"c", "2"}});
  CHECK(scan(*store).size() == 4);
}

TEST_CASE("a snapshot can be read after its store was let go", "[store]") {
  bench kind{any_kind()};
  CAPTURE(kind.name);
  auto store = kind.open();
  put(*store, "a", "1");
  auto view = store->snapshot();
  store.reset();
  CHECK(scan(*view) == rows{{"a", "1"}});
  view.reset();
  CHECK(scan(*kind.open()) == rows{{"a", "1"}});
}

TEST_CASE("a store opens again with all its rows, flushed or not", "[store]") {
  bench kind{any_kind()};
  auto flushed = GENERATE(false, true);
  CAPTURE(kind.name, flushed);
  rows expected;
  for (int round = 0; round < 4; ++round) {
    auto store = kind.open();
    CHECK(scan(*store) == expected);
    REQUIRE(store->check().has_value());
    for (int i = 0; i < 20; ++i) {
      expected.emplace_back(numbered("row", round * 20 + i), std::string(100, static_cast<char>('a' + round)));
      put(*store, expected.back().first, expected.back().second, i % 3 == 0 ? durability::synced : durability::relaxed);
    }
    if (flushed)
      REQUIRE(store->flush().has_value());
    CHECK(store->disk_bytes() > 2000 * static_cast<unsigned>(round));
  }
  CHECK(scan(*kind.open()) == expected);
}

TEST_CASE("a store that is only read gathers no files", "[store]") {
  bench kind{any_kind()};
  CAPTURE(kind.name);
  put(*kind.open(), "a", "1");
  (void) kind.open();
  (void) kind.open();
  auto few = kind.files().size();
  for (int i = 0; i < 6; ++i)
    CHECK(get(*kind.open(), "a") == "1");
  CHECK(kind.files().size() <= few);
}

TEST_CASE("a store that outgrows its memory keeps every row and every older view", "[store]") {
  bench kind{any_kind()};
  CAPTURE(kind.name);
  kind.options.memory_bytes = 256 << 10;
  seeded_random random{7};
  std::map<std::string, std::string> model;
  {
    auto store = kind.open();
    std::unique_ptr<ordered_view> half;
    rows at_half;
    for (int i = 0; i < 1500; ++i) {
      auto noise = random.make(1 << 10);
      auto key = numbered("k", static_cast<int>(random.below(700)));
      model[key] = std::string{as_text(noise)};
      put(*store, key, model[key], i % 50 == 0 ? durability::synced : durability::relaxed);
      if (i == 750) {
        half = store->snapshot();
        at_half.assign(model.begin(), model.end());
      }
    }
    CHECK(scan(*half) == at_half);
    CHECK(scan(*store) == rows(model.begin(), model.end()));
    CHECK(store->check().has_value());
  }
  CHECK(scan(*kind.open()) == rows(model.begin(), model.end()));
}

TEST_CASE("a store that is not there is created only when asked", "[store]") {
  bench kind{any_kind()};
  CAPTURE(kind.name);
  kind.options.create_if_missing = false;
  CHECK(kind.refusal() == errc::not_found);
  CHECK_FALSE(fs::exists(kind.options.folder));
  fs::create_directory(kind.options.folder);
  CHECK(kind.refusal() == errc::not_found);
  CHECK(kind.files().empty());
  kind.options.create_if_missing = true;
  put(*kind.open(), "a", "1");
  kind.options.create_if_missing = false;
  CHECK(scan(*kind.open()) == rows{{"a", "1"}});
  kind.options.create_if_missing = true;
  kind.options.folder += "/none/of/these";
  CHECK(kind.refusal() == errc::not_found);
}

TEST_CASE("an open store can not be opened again nor destroyed", "[store]") {
  bench kind{any_kind()};
  CAPTURE(kind.name);
  auto store = kind.open();
  put(*store, "a", "1");
  CHECK(kind.refusal() == errc::locked);
  auto gone = kind.stores->destroy(kind.options.folder);
  REQUIRE_FALSE(gone.has_value());
  CHECK(gone.error().code() == errc::locked);
  CHECK(scan(*store) == rows{{"a", "1"}});
  store.reset();
  CHECK(scan(*kind.open()) == rows{{"a", "1"}});
}

TEST_CASE("a store that another process holds is refused", "[store]") {
  bench kind{"rocksdb"};
  put(*kind.open(), "a", "1");
  auto lock_path = kind.options.folder + "/LOCK";
  int ready[2], done[2];
  REQUIRE(pipe(ready) == 0);
  REQUIRE(pipe(done) == 0);
  auto child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    auto file = ::open(lock_path.c_str(), O_RDWR);
    struct flock whole {};
    whole.l_type = F_WRLCK;
    char answer = fcntl(file, F_SETLK, &whole) == 0 ? 'y' : 'n';
    auto wrote = ::write(ready[1], &answer, 1);
    wrote += ::read(done[0], &answer, 1);
    _exit(static_cast<int>(wrote - 2));
  }
  char answer = 0;
  REQUIRE(::read(ready[0], &answer, 1) == 1);
  CHECK(answer == 'y');
  CHECK(kind.refusal() == errc::locked);
  REQUIRE(::write(done[1], &answer, 1) == 1);
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  for (auto descriptor : {ready[0], ready[1], done[0], done[1]})
    ::close(descriptor);
  CHECK(scan(*kind.open()) == rows{{"a", "1"}});
}

TEST_CASE("a store on a file system that takes no writes is read, and written again when it takes them", "[store]") {
  auto kind = any_kind();
  auto how = GENERATE(test::drive_end::read_only, test::drive_end::full);
  CAPTURE(kind, test::to_string(how));
  auto disk = std::make_shared<test::simulated_files>();
  REQUIRE(disk->make_folder("/drive").has_value());
  auto random = std::make_shared<seeded_random>(seed_of_run());
  auto stores = kind.starts_with("rocksdb") ? test::rocksdb_stores_over(disk, random) : simple_stores(disk, random);
  ordered_store_options options;
  options.folder = "/drive/store";
  if (kind.ends_with("encrypted"))
    options.encryption_key = key_of("right");
  {
    auto store = stores->open(options);
    REQUIRE(store.has_value());
    put(**store, "in a table", "1");
    REQUIRE((*store)->flush().has_value());
    put(**store, "in the log", "2");
  }
  const rows all{{"in a table", "1"}, {"in the log", "2"}};
  disk->end_drive(1, "/drive", how);
  (void) disk->make_folder("/drive/ended");
  auto refusal = how == test::drive_end::full ? errc::no_space : errc::read_only;
  options.or_read_only = true;
  {
    auto store = stores->open(options);
    INFO((store ? std::string{} : store.error().message()));
    REQUIRE(store.has_value());
    for (int round = 0; round < 2; ++round) {
      CHECK(scan(**store) == all);
      CHECK(get(*(*store)->snapshot(), "in the log") == "2");
      CHECK((*store)->check().has_value());
      write_batch batch;
      batch.put("new", std::string(1 << 20, '3'));
      auto written = (*store)->write(batch, durability::synced);
      REQUIRE_FALSE(written.has_value());
      CHECK(written.error().code() == refusal);
      CHECK_FALSE((*store)->writable());
    }
    // Nobody else may write there as soon as there is room.
    if (how == test::drive_end::full) {
      auto second = stores->open(options);
      REQUIRE_FALSE(second.has_value());
      CHECK(second.error().code() == errc::locked);
    }
  }
  disk->plug_in("/drive");
  auto store = stores->open(options);
  REQUIRE(store.has_value());
  CHECK((*store)->writable());
  put(**store, "new", "3");
  CHECK(scan(**store).size() == 3);
}

TEST_CASE("a store that is to be written is refused where nothing can be written", "[store]") {
  auto how = GENERATE(test::drive_end::read_only, test::drive_end::full);
  CAPTURE(test::to_string(how));
  auto disk = std::make_shared<test::simulated_files>();
  REQUIRE(disk->make_folder("/drive").has_value());
  auto stores = test::rocksdb_stores_over(disk, std::make_shared<seeded_random>(seed_of_run()));
  ordered_store_options options;
  options.folder = "/drive/store";
  put(**stores->open(options), "a", "1");
  disk->end_drive(1, "/drive", how);
  (void) disk->make_folder("/drive/ended");
  auto opened = stores->open(options);
  REQUIRE_FALSE(opened.has_value());
  CHECK(opened.error().code() == (how == test::drive_end::full ? errc::no_space : errc::read_only));
  // One that is not there is not made either.
  options.folder = "/drive/other";
  options.or_read_only = true;
  CHECK_FALSE(stores->open(options).has_value());
}

TEST_CASE("a destroyed store is gone with its files and can be made anew", "[store]") {
  bench kind{any_kind()};
  CAPTURE(kind.name);
  CHECK(kind.stores->destroy(kind.options.folder).has_value());
  {
    auto store = kind.open();
    put(*store, "a", "1");
    REQUIRE(store->flush().has_value());
    put(*store, "b", "1");
  }
  REQUIRE(kind.stores->destroy(kind.options.folder).has_value());
  CHECK_FALSE(fs::exists(kind.options.folder));
  CHECK(kind.stores->destroy(kind.options.folder).has_value());
  CHECK(scan(*kind.open()).empty());
}

// -- damage -------------------------------------------------------------------------

TEST_CASE("any flipped bit of a simple store is refused or falls into the last batch", "[store]") {
  bench kind{GENERATE(as<std::string>{}, "simple", "simple encrypted")};
  CAPTURE(kind.name);
  {
    auto store = kind.open();
    put(*store, "state", "row");
    REQUIRE(store->flush().has_value());
    for (int i = 0; i < 4; ++i)
      put(*store, numbered("row", i), "v");
  }
  fs::copy(kind.options.folder, kind.scratch.path() / "good");
  constexpr size_t record_size = 24 + 1 + 1 + 4 + 9 + 4 + 1;
  for (const auto& path : kind.files("-0")) {
    auto size = fs::file_size(path);
    for (size_t at = 0; at < size; ++at) {
      CAPTURE(path.filename().string(), at);
      flip(path, at);
      auto opened = kind.try_open();
      if (path.filename().string().starts_with("log") && at + record_size >= size) {
        REQUIRE(opened.has_value());
        CHECK(scan(**opened).size() == 4);
      } else {
        REQUIRE_FALSE(opened.has_value());
        auto code = opened.error().code();
        auto in_head = !kind.options.encryption_key || at < file_cipher::header_size;
        CHECK((code == errc::store_corrupt || (in_head && code == errc::invalid_argument)));
      }
      opened = fail(errc::internal);
      fs::remove_all(kind.options.folder);
      fs::copy(kind.scratch.path() / "good", kind.options.folder);
    }
  }
  CHECK(scan(*kind.open()).size() == 5);
}

TEST_CASE("a log cut anywhere gives back the batches before the cut", "[store]") {
  bench kind{any_kind()};
  CAPTURE(kind.name);
  constexpr int count = 12;
  {
    auto store = kind.open();
    for (int i = 0; i < count; ++i)
      put(*store, numbered("row", i), std::string(static_cast<size_t>(i) * 3, 'v'), durability::relaxed);
  }
  fs::copy(kind.options.folder, kind.scratch.path() / "good");
  auto log = kind.files(kind.is_rocksdb() ? ".log" : "log-").back();
  auto size = fs::file_size(log);
  auto first = kind.is_rocksdb() ? 0 : 24 + (kind.options.encryption_key ? file_cipher::header_size : 0);
  size_t most = 0;
  for (auto at = first; at <= size; at += kind.is_rocksdb() ? 37 : 5) {
    CAPTURE(at);
    fs::resize_file(log, at);
    auto store = kind.open();
    auto found = scan(*store);
    CHECK(found.size() >= most);
    most = std::max(most, found.size());
    for (size_t i = 0; i < found.size(); ++i)
      CHECK(found[i] == std::pair{numbered("row", static_cast<int>(i)), std::string(i * 3, 'v')});
    put(*store, "after", "the cut");
    store.reset();
    CHECK(scan(*kind.open()).size() == found.size() + 1);
    fs::remove_all(kind.options.folder);
    fs::copy(kind.scratch.path() / "good", kind.options.folder);
  }
  CHECK(scan(*kind.open()).size() == count);
}

TEST_CASE("a lost file of a store is damage and no reason to begin anew", "[store]") {
  bench kind{any_kind()};
  CAPTURE(kind.name);
  {
    auto store = kind.open();
    put(*store, "a", "1");
    REQUIRE(store->flush().has_value());
    put(*store, "b", "1");
  }
  fs::copy(kind.options.folder, kind.scratch.path() / "good");
  std::set<std::string> spared = {"LOCK", "IDENTITY"};
  for (const auto& path : kind.files()) {
    auto name = path.filename().string();
    // Nothing tells of a log of RocksDB's that is gone as a whole.
    if (spared.contains(name) || name.starts_with("OPTIONS") || (kind.is_rocksdb() && name.ends_with(".log")))
      continue;
    CAPTURE(name);
    fs::remove(path);
    CHECK(kind.refusal() == errc::store_corrupt);
    fs::remove_all(kind.options.folder);
    fs::copy(kind.scratch.path() / "good", kind.options.folder);
  }
  CHECK(scan(*kind.open()).size() == 2);
}

TEST_CASE("damage in RocksDB's manifest or log is refused at opening", "[store]") {
  bench kind{GENERATE(as<std::string>{}, "rocksdb", "rocksdb encrypted")};
  CAPTURE(kind.name);
  {
    auto store = kind.open();
    for (int i = 0; i < 50; ++i)
      put(*store, numbered("row", i), std::string(50, 'v'));
  }
  for (std::string part : {"MANIFEST", ".log", "CURRENT"}) {
    CAPTURE(part);
    auto path = kind.files(part).back();
    auto good = content_of(path);
    flip(path, part == "CURRENT" ? good.size() - 2 : good.size() / 2);
    CHECK(kind.refusal() == errc::store_corrupt);
    set_content(path, good);
  }
  CHECK(scan(*kind.open()).size() == 50);
}

TEST_CASE("a batch of RocksDB's log that was never synced may be torn, a synced one not", "[store]") {
  bench kind{"rocksdb"};
  auto synced_after = GENERATE(false, true);
  CAPTURE(synced_after);
  {
    auto store = kind.open();
    put(*store, "a", "1");
    for (std::string key : {"b", "c", "d"})
      put(*store, key, key + "-torn", durability::relaxed);
    if (synced_after) {
      put(*store, "e", "1");
      put(*store, "f", "1", durability::relaxed);
    }
  }
  auto log = kind.files(".log").back();
  flip(log, content_of(log).find("c-torn"));
  if (synced_after) {
    CHECK(kind.refusal() == errc::store_corrupt);
    CHECK(kind.refusal() == errc::store_corrupt);
    return;
  }
  CHECK(scan(*kind.open()) == rows{{"a", "1"}, {"b", "b-torn"}});
  CHECK(scan(*kind.open()) == rows{{"a", "1"}, {"b", "b-torn"}});
}

TEST_CASE("a damaged table of RocksDB is never read as data", "[store]") {
  bench kind{GENERATE(as<std::string>{}, "rocksdb", "rocksdb encrypted")};
  CAPTURE(kind.name);
  {
    auto store = kind.open();
    for (int i = 0; i < 50; ++i)
      put(*store, numbered("row", i), std::string(50, 'v'));
    REQUIRE(store->flush().has_value());
  }
  flip(kind.files(".sst").back(), 60);
  auto store = kind.open();
  auto found = store->get(numbered("row", 1));
  REQUIRE_FALSE(found.has_value());
  CHECK(found.error().code() == errc::store_corrupt);
  auto scanned = store->scan({}, {}, [](std::string_view, std::string_view) { return true; });
  REQUIRE_FALSE(scanned.has_value());
  CHECK(scanned.error().code() == errc::store_corrupt);
  auto checked = store->check();
  REQUIRE_FALSE(checked.has_value());
  CHECK(checked.error().code() == errc::store_corrupt);
}

TEST_CASE("a check of an open store finds what was damaged under it", "[store]") {
  bench kind{any_kind()};
  CAPTURE(kind.name);
  auto store = kind.open();
  for (int i = 0; i < 50; ++i)
    put(*store, numbered("row", i), std::string(50, 'v'));
  REQUIRE(store->flush().has_value());
  REQUIRE(store->check().has_value());
  auto path = kind.files(kind.is_rocksdb() ? ".sst" : "state-").back();
  auto good = content_of(path);
  for (auto at : {good.size() / 3, good.size() / 2}) {
    flip(path, at);
    auto checked = store->check();
    REQUIRE_FALSE(checked.has_value());
    CHECK(checked.error().code() == errc::store_corrupt);
    set_content(path, good);
  }
  CHECK(store->check().has_value());
}

// -- encryption ----------------------------------------------------------------------

TEST_CASE("no file of an encrypted store holds a plain row", "[store]") {
  bench kind{GENERATE(as<std::string>{}, "simple encrypted", "rocksdb encrypted", "simple", "rocksdb")};
  CAPTURE(kind.name);
  const std::string key_canary = "canary-in-a-key!", value_canary = "canary-in-value!";
  auto store = kind.open();
  for (int i = 0; i < 50; ++i)
    put(*store, key_canary + numbered("", i), value_canary);
  auto hits = [&] {
    size_t found = 0;
    for (const auto& path : kind.files()) {
      auto content = content_of(path);
      for (const auto& canary : {key_canary, value_canary, std::string{"MANIFEST-0"}, std::string{"rocksdb."}, std::string{"BytewiseComp"}})
        found += content.find(canary) != std::string::npos;
      // A lock file tells the number of its process, for people.
      if (kind.options.encryption_key && !content.empty() && path.filename() != "LOCK")
        CHECK(file_cipher::is_encrypted(as_view(content)));
    }
    return found;
  };
  auto in_log = hits();
  REQUIRE(store->flush().has_value());
  put(*store, "more", "rows");
  auto in_state = hits();
  store.reset();
  store = kind.open();
  CHECK(scan(*store).size() == 51);
  if (kind.options.encryption_key) {
    CHECK(in_log + in_state + hits() == 0);
  } else {
    CHECK(in_log > 0);
    CHECK(in_state > 0);
  }
}

TEST_CASE("another key, no key and a needless key are told apart from damage", "[store]") {
  bench kind{GENERATE(as<std::string>{}, "simple encrypted", "rocksdb encrypted")};
  CAPTURE(kind.name);
  put(*kind.open(), "a", "1");
  kind.options.encryption_key = key_of("wrong");
  CHECK(kind.refusal() == errc::authentication_failed);
  kind.options.encryption_key.reset();
  CHECK(kind.refusal() == errc::authentication_failed);
  kind.options.encryption_key = bytes::copy_of("short");
  CHECK(kind.refusal() == errc::invalid_argument);
  kind.options.encryption_key = key_of("right");
  CHECK(scan(*kind.open()) == rows{{"a", "1"}});
  kind.options.encryption_key.reset();
  REQUIRE(kind.stores->destroy(kind.options.folder).has_value());
  put(*kind.open(), "a", "1");
  kind.options.encryption_key = key_of("right");
  CHECK(kind.refusal() == errc::invalid_argument);
  kind.options.encryption_key.reset();
  CHECK(scan(*kind.open()) == rows{{"a", "1"}});
}

TEST_CASE("no two encrypted files begin with the same counter block", "[store]") {
  bench kind{GENERATE(as<std::string>{}, "simple encrypted", "rocksdb encrypted")};
  CAPTURE(kind.name);
  // A file is known by its name and its first bytes: nothing is written over.
  std::map<std::string, std::set<std::string>> names_of;
  for (int round = 0; round < 6; ++round) {
    auto store = kind.open();
    put(*store, numbered("row", round), "v");
    if (round % 2 == 0)
      REQUIRE(store->flush().has_value());
    for (const auto& path : kind.files())
      if (auto content = content_of(path); content.size() >= file_cipher::header_size)
        names_of[content.substr(8, 16)].insert(path.filename().string());
  }
  CHECK(names_of.size() >= 12);
  for (const auto& [iv, names] : names_of)
    CHECK(names.size() == 1);
}

TEST_CASE("the file cipher is AES-256-CTR and can start at any byte", "[store]") {
  // NIST SP 800-38A, F.5.5 CTR-AES256.Encrypt.
  auto from_hex = [](std::string_view hex) {
    std::vector<std::byte> made;
    for (size_t i = 0; i < hex.size(); i += 2)
      made.push_back(static_cast<std::byte>(std::stoi(std::string{hex.substr(i, 2)}, nullptr, 16)));
    return made;
  };
  auto key = from_hex("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4");
  auto counter = from_hex("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff");
  auto plain = from_hex("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
                        "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710");
  auto sealed = from_hex("601ec313775789a5b7a7f504bbf3d228f443e3ca4d62b59aca84e990cacaf5c5"
                         "2b0930daa23de94ce87017ba2d84988ddfc9c58db67aada613c2dd08457941a6");
  auto cipher = file_cipher::create(key);
  REQUIRE(cipher.has_value());
  file_cipher::counter_block iv;
  std::copy(counter.begin(), counter.end(), iv.begin());
  for (size_t first = 0; first < plain.size(); ++first)
    for (size_t last = first; last <= plain.size(); ++last) {
      std::vector<std::byte> made(last - first);
      REQUIRE((*cipher)->apply(iv, first, byte_view{plain}.subspan(first, last - first), made).has_value());
      REQUIRE(std::equal(made.begin(), made.end(), sealed.begin() + static_cast<ptrdiff_t>(first)));
    }
  // The counter carries over all of its 16 bytes.
  iv.fill(std::byte{0xff});
  std::vector<std::byte> zeros(48), whole(48), part(16);
  REQUIRE((*cipher)->apply(iv, 0, zeros, whole).has_value());
  REQUIRE((*cipher)->apply(iv, 16, byte_view{zeros}.first(16), part).has_value());
  CHECK(std::equal(part.begin(), part.end(), whole.begin() + 16));
}

// -- both kinds against each other -----------------------------------------------------

namespace {

/// Drives all kinds of store and a map with the same random calls.
class differential {
public:
  explicit differential(uint64_t seed) : random_(seed) {
    for (auto name : {"simple", "simple encrypted", "rocksdb", "rocksdb encrypted"})
      sides_.push_back(std::make_unique<side>(name));
    for (auto& one : sides_)
      one->store = one->kind.open();
  }

  void step() {
    switch (random_.below(16)) {
    case 0:
      return random_.below(8) == 0 ? reopen() : view();
    case 1:
      return view();
    case 2:
      return forget();
    case 3:
      return random_.below(4) == 0 ? each([](side& one) { REQUIRE(one.store->flush().has_value()); }) : read();
    case 4:
      return random_.below(40) == 0 ? each([](side& one) { REQUIRE(one.store->check().has_value()); }) : read();
    case 5:
    case 6:
    case 7:
    case 8:
      return read();
    default:
      return write();
    }
  }

private:
  struct side {
    explicit side(std::string_view name) : kind(name) {
      kind.options.memory_bytes = 256 << 10;
    }
    bench kind;
    std::unique_ptr<ordered_store> store;
    std::vector<std::unique_ptr<ordered_view>> views;
  };

  using model = std::map<std::string, std::string>;

  template <class Do>
  void each(Do&& what) {
    for (auto& one : sides_)
      what(*one);
  }

  std::string key() {
    constexpr std::string_view letters{"\0\x01"
                                       "a\x7f\x80\xff",
                                       6};
    std::string made;
    for (auto length = random_.below(5); length > 0; --length)
      made += letters[random_.below(letters.size())];
    return made;
  }

  void write() {
    write_batch batch;
    auto next = now_;
    for (auto count = random_.below(7); count > 0; --count) {
      auto name = key();
      if (random_.below(3) == 0) {
        batch.erase(name);
        next.erase(name);
      } else {
        auto value = random_.make(random_.below(random_.below(10) == 0 ? 5000 : 30));
        batch.put(name, as_text(value));
        next[name] = as_text(value);
      }
    }
    auto level = random_.below(4) == 0 ? durability::synced : durability::relaxed;
    each([&](side& one) { REQUIRE(one.store->write(batch, level).has_value()); });
    now_ = std::move(next);
  }

  void read() {
    auto which = random_.below(views_.size() + 1);
    const auto& expected = which < views_.size() ? views_[which] : now_;
    auto name = key(), first = key(), last = key();
    auto limit = random_.below(3) == 0 ? 1 + random_.below(5) : SIZE_MAX;
    rows wanted;
    for (auto row = expected.lower_bound(first); row != expected.end() && wanted.size() < limit; ++row)
      if (last.empty() || row->first < last)
        wanted.emplace_back(*row);
    auto found = expected.find(name);
    each([&](side& one) {
      const ordered_view& at = which < views_.size() ? *one.views[which] : *one.store;
      INFO(one.kind.name);
      REQUIRE(get(at, name) == (found == expected.end() ? std::nullopt : std::optional{found->second}));
      REQUIRE(scan(at, first, last, limit) == wanted);
    });
  }

  void view() {
    if (views_.size() == 3)
      return;
    views_.push_back(now_);
    each([](side& one) { one.views.push_back(one.store->snapshot()); });
  }

  void forget() {
    if (views_.empty())
      return;
    auto which = static_cast<ptrdiff_t>(random_.below(views_.size()));
    views_.erase(views_.begin() + which);
    each([&](side& one) { one.views.erase(one.views.begin() + which); });
  }

  void reopen() {
    views_.clear();
    each([](side& one) {
      one.views.clear();
      one.store.reset();
      one.store = one.kind.open();
    });
  }

  seeded_random random_;
  std::vector<std::unique_ptr<side>> sides_;
  model now_;
  std::vector<model> views_;
};

} // namespace

TEST_CASE("the simple store and RocksDB answer every random call alike", "[store]") {
  auto seed = seed_of_run();
  CAPTURE(seed);
  differential both{seed};
  for (int step = 0; step < 4000; ++step) {
    CAPTURE(step);
    both.step();
  }
}
