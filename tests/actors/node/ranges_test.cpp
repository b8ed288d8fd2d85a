// Ranges that are read one after another or here and there: what comes back, and how
// often the drives are asked for it.
#include "tests/actors/node/hooked_files.hpp"
#include "tests/actors/node/house.hpp"

#include <atomic>
#include <future>
#include <random>
#include <thread>

namespace datamesh::test {

namespace {

constexpr size_t kib = 1 << 10;
constexpr size_t mib = 1 << 20;

/// Counts the reads from the drives.
struct counting_house {
  std::shared_ptr<hooked_files> files = std::make_shared<hooked_files>(std::make_shared<simulated_files>());
  std::shared_ptr<std::atomic<size_t>> reads = std::make_shared<std::atomic<size_t>>(0);
  house h;

  explicit counting_house(uint64_t memory_bytes = node_options{}.memory_bytes) : h{3, disk::simulated, with(memory_bytes)} {
    files->set([reads = reads, below = h.path("drive")](std::string_view call, const std::string& path) -> result<void> {
      if (call == "read" && path.starts_with(below))
        ++*reads;
      return {};
    });
  }
  node_options with(uint64_t memory_bytes) const {
    node_options options;
    options.environment.files = files;
    options.memory_bytes = memory_bytes;
    return options;
  }
  /// How often the drives were asked while *step* was done.
  template <class Step>
  size_t reads_of(Step&& step) {
    auto before = reads->load();
    step();
    return reads->load() - before;
  }
  size_t chunks_of(const std::string& path) {
    auto to = std::make_shared<text_sink>();
    must(h.vault().get(path, to));
    return to->pieces.size();
  }
};

void read_in_steps(house& h, const std::string& path, const std::string& text, size_t step, size_t from = 0) {
  for (size_t at = from; at < text.size(); at += step) {
    CAPTURE(at);
    REQUIRE(h.get_text(path, {at, step}) == text.substr(at, step));
  }
}

} // namespace

TEST_CASE("a file read in ranges from end to end has each chunk opened once", "[ranges]") {
  counting_house c;
  auto text = noise(1, 24 * mib + 4321);
  c.h.put_text("/film", text);
  auto chunks = c.chunks_of("/film");
  c.h.reopen();
  // A chunk lies in one shard or in two, of which each is read with the head that it has.
  auto whole = c.reads_of([&] { read_in_steps(c.h, "/film", text, 64 * kib); });
  INFO("chunks " << chunks << ", reads " << whole);
  CHECK(whole <= 5 * chunks);
}

TEST_CASE("what was read of a small file is not asked of the drives again", "[ranges]") {
  counting_house c;
  auto text = noise(2, 3 * mib + 17);
  c.h.put_text("/file", text);
  read_in_steps(c.h, "/file", text, 100'000);
  CHECK(c.reads_of([&] { read_in_steps(c.h, "/file", text, 64 * kib); }) == 0);
  CHECK(c.reads_of([&] { read_in_steps(c.h, "/file", text, 5000); }) == 0);
}

TEST_CASE("a whole get passes by the cache", "[ranges]") {
  counting_house c;
  auto text = noise(3, 2 * mib);
  c.h.put_text("/file", text);
  CHECK(c.h.get_text("/file") == text);
  CHECK(c.reads_of([&] { CHECK(c.h.get_text("/file", {0, 1000}) == text.substr(0, 1000)); }) > 0);
  CHECK(c.reads_of([&] { CHECK(c.h.get_text("/file", {10, 1000}) == text.substr(10, 1000)); }) == 0);
}

TEST_CASE("ranges here and there are exact, by one reader and by several at once", "[ranges]") {
  for (auto memory : {uint64_t{40 * mib}, uint64_t{48 * mib}, uint64_t{96 * mib}}) {
    CAPTURE(memory);
    counting_house c{memory};
    auto text = noise(4, 12 * mib + 99);
    c.h.put_text("/file", text);
    std::atomic<size_t> wrong = 0;
    std::vector<std::thread> readers;
    for (uint64_t reader = 0; reader < 3; ++reader)
      readers.emplace_back([&, reader] {
        std::mt19937_64 chance{reader};
        for (int i = 0; i < 40; ++i) {
          auto at = i % 4 == 0 ? chance() % text.size() : (reader * 2 + static_cast<size_t>(i) / 8) * mib;
          auto length = 1 + chance() % (i % 8 == 0 ? 5 * mib : 100 * kib);
          auto got = get_text(c.h.vault(), "/file", {at, length});
          wrong += got && *got == text.substr(at, length) ? 0 : 1;
        }
      });
    // Who takes much memory is not kept waiting by what the cache holds.
    for (int i = 0; i < 3; ++i) {
      wrong += put_text(c.h.vault(), "/other", noise(100 + static_cast<uint64_t>(i), 9 * mib)) ? 0 : 1;
      auto whole = get_text(c.h.vault(), "/file");
      wrong += whole && *whole == text ? 0 : 1;
    }
    for (auto& reader : readers)
      reader.join();
    CHECK(wrong == 0);
  }
}

TEST_CASE("a get that takes all of the memory there is follows upon ranges at once", "[ranges]") {
  counting_house c{40 * mib};
  auto text = noise(5, 10 * mib);
  c.h.put_text("/file", text);
  for (int round = 0; round < 3; ++round) {
    read_in_steps(c.h, "/file", text, 256 * kib);
    CHECK(c.h.get_text("/file") == text);
    c.h.put_text("/again" + std::to_string(round), noise(6, 2 * mib));
  }
}

TEST_CASE("what could not be opened is not in the cache, and is read when it is whole again", "[ranges]") {
  house h{3};
  auto text = noise(7, 2 * mib);
  h.put_text("/file", text);
  h.reopen();
  std::map<std::string, std::string> before;
  for (size_t drive = 1; drive <= 3; ++drive)
    for (const auto& path : h.files_below(h.drive(drive))) {
      auto from = must(h.files().open_read(path, access_hint::normal));
      std::string content(static_cast<size_t>(must(h.files().status(path)).size), '\0');
      must(from->read_at(0, std::as_writable_bytes(std::span{content})));
      if (content.size() > 256 * kib)
        before[path] = content;
    }
  REQUIRE_FALSE(before.empty());
  auto write_all = [&](bool damaged) {
    for (const auto& [path, content] : before) {
      auto to = must(h.files().open_write(path));
      auto data = content;
      for (size_t at = 100 * kib; damaged && at < data.size(); at += 4096)
        data[at] = static_cast<char>(data[at] ^ 1);
      byte_view view = as_view(data);
      must(to->write_at(0, std::span{&view, 1}));
      must(to->sync());
    }
  };
  write_all(true);
  h.reopen();
  auto lost = get_text(h.vault(), "/file", {0, 64 * kib});
  for (size_t at = 0; lost && at < text.size(); at += 64 * kib)
    lost = get_text(h.vault(), "/file", {at, 64 * kib});
  CHECK(code_of(lost) == errc::damaged);
  for (size_t at = 0; at < text.size(); at += 64 * kib)
    if (auto got = get_text(h.vault(), "/file", {at, 64 * kib}))
      CHECK(*got == text.substr(at, 64 * kib));
  write_all(false);
  read_in_steps(h, "/file", text, 64 * kib);
}

TEST_CASE("a file that is removed and cleaned away is gone for ranges, and can come again", "[ranges]") {
  house h{3};
  auto text = noise(8, 3 * mib);
  h.put_text("/file", text);
  read_in_steps(h, "/file", text, 64 * kib);
  must(h.vault().remove("/file"));
  must(h.vault().cleanup({.trash_age = std::chrono::seconds{0}}));
  CHECK(code_of(get_text(h.vault(), "/file", {0, 64 * kib})) == errc::not_found);
  auto other = noise(9, 3 * mib);
  h.put_text("/file", other);
  read_in_steps(h, "/file", other, 64 * kib);
  h.put_text("/file2", text);
  read_in_steps(h, "/file2", text, 64 * kib);
}

TEST_CASE("a range of an older version is of that version", "[ranges]") {
  house h{3};
  auto first = noise(10, 2 * mib);
  auto second = first.substr(0, mib) + noise(11, 2 * mib);
  h.put_text("/file", first);
  auto old = must(h.vault().versions("/file")).front().id;
  h.put_text("/file", second);
  for (size_t at = 0; at < first.size(); at += 100'000) {
    CHECK(h.get_text("/file", {at, 100'000}, old) == first.substr(at, 100'000));
    CHECK(h.get_text("/file", {at, 100'000}) == second.substr(at, 100'000));
  }
  CHECK(h.get_text("/file", {first.size() + 5, 10}, old).empty());
  CHECK(code_of(get_text(h.vault(), "/file", {0, 10}, version_id{})) == errc::not_found);
}

TEST_CASE("vaults of one node with the same content are told apart", "[ranges]") {
  house h{3};
  must(h.node().create_vault({.name = "second", .password = credential::password("other")}));
  auto second = must(h.node().open_vault("second", credential::password("other")));
  auto text = noise(12, mib);
  auto other = noise(13, mib);
  h.put_text("/file", text);
  must(put_text(second, "/file", other));
  for (int round = 0; round < 2; ++round) {
    CHECK(h.get_text("/file", {1000, 5000}) == text.substr(1000, 5000));
    CHECK(must(get_text(second, "/file", {1000, 5000})) == other.substr(1000, 5000));
  }
}

TEST_CASE("a sink that fails ends the range, and a range asked for without waiting is answered once", "[ranges]") {
  struct refusing : sink {
    result<void> write(byte_view) override {
      return fail(errc::no_space, "write");
    }
  };
  struct throwing : sink {
    result<void> write(byte_view) override {
      throw std::runtime_error{"write"};
    }
  };
  house h{3};
  auto text = noise(14, mib);
  h.put_text("/file", text);
  for (int round = 0; round < 2; ++round) {
    CHECK(code_of(h.vault().get("/file", std::make_shared<refusing>(), {0, 1000})) == errc::no_space);
    CHECK(code_of(h.vault().get("/file", std::make_shared<throwing>(), {0, 1000})) == errc::unavailable);
    auto to = std::make_shared<text_sink>();
    std::promise<result<get_summary>> promise;
    h.vault().get("/file", to, {5, 1000}, {}, [&](result<get_summary> answer) { promise.set_value(std::move(answer)); });
    auto answer = must(promise.get_future().get());
    CHECK(answer.bytes == 1000);
    CHECK(answer.files == 1);
    CHECK(to->text == text.substr(5, 1000));
  }
  job_options cancelled;
  cancelled.cancel.cancel();
  CHECK(code_of(h.vault().get("/file", std::make_shared<text_sink>(), {0, 1000}, {}, cancelled)) == errc::cancelled);
}

TEST_CASE("a range whose sink blocks ends when it is cancelled", "[ranges]") {
  struct blocking : sink {
    std::promise<void> entered;
    std::promise<void> let_go;
    result<void> write(byte_view) override {
      entered.set_value();
      let_go.get_future().wait();
      return {};
    }
  };
  house h{3};
  h.put_text("/file", noise(16, 100'000));
  auto to = std::make_shared<blocking>();
  job_options job;
  auto answer = std::async(std::launch::async, [&] { return code_of(h.vault().get("/file", to, {0, 1000}, {}, job)); });
  to->entered.get_future().wait();
  job.cancel.cancel();
  CHECK(answer.get() == errc::cancelled);
  to->let_go.set_value();
}

TEST_CASE("a vault closes while something is opened ahead", "[ranges]") {
  house h{3};
  auto text = noise(15, 16 * mib);
  h.put_text("/file", text);
  for (size_t steps = 3; steps < 12; ++steps) {
    for (size_t i = 0; i < steps; ++i)
      REQUIRE(h.get_text("/file", {i * 64 * kib, 64 * kib}) == text.substr(i * 64 * kib, 64 * kib));
    h.reopen();
  }
}

} // namespace datamesh::test
