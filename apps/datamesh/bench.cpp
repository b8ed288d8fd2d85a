// bench: a throw-away node, generated data, and how long it took.
#include "display.hpp"
#include "session.hpp"
#include "units.hpp"

#include <array>
#include <chrono>
#include <filesystem>
#include <functional>

#include <unistd.h>

namespace datamesh::cli {

namespace {

namespace fs = std::filesystem;

/// xorshift64*: the same bytes for the same seed, much faster than they are stored.
class generator {
public:
  explicit generator(uint64_t seed) : state_(seed) {}
  uint64_t next() noexcept {
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    return state_ * 0x2545f4914f6cdd1dull;
  }

private:
  uint64_t state_;
};

enum class content : uint8_t { random, text };

class generated : public source {
public:
  generated(content what, uint64_t size)
      : what_(what), left_(size), numbers_(what == content::random ? 0x9e3779b97f4a7c15ull : 0xd1b54a32d192ed03ull) {}
  result<size_t> read(byte_span out) override {
    auto size = static_cast<size_t>(std::min<uint64_t>(out.size(), left_));
    for (size_t i = 0; i < size;) {
      auto word = numbers_.next();
      // Letters of a small alphabet compress about as well as prose does.
      auto bits = what_ == content::random ? word : (word & 0x0707070707070707ull) + 0x6161616161616161ull;
      for (auto b = 0; b < 8 && i < size; ++b, ++i)
        out[i] = static_cast<std::byte>(bits >> (8 * b));
    }
    left_ -= size;
    return size;
  }

private:
  content what_;
  uint64_t left_;
  generator numbers_;
};

class forgetting : public sink {
public:
  result<void> write(byte_view) override {
    return {};
  }
  result<void> write_hole(uint64_t) override {
    return {};
  }
};

/// Removed with all it holds when it goes.
class temporary_folder {
public:
  static result<temporary_folder> make(const std::string& below) {
    auto name = below + "/datamesh-bench-XXXXXX";
    if (mkdtemp(name.data()) == nullptr)
      return datamesh::fail(from_errno(errno, "make a temporary folder in", below));
    return temporary_folder{std::move(name)};
  }
  temporary_folder(temporary_folder&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  temporary_folder& operator=(temporary_folder&&) = delete;
  ~temporary_folder() {
    std::error_code ignored;
    if (!path_.empty())
      fs::remove_all(path_, ignored);
  }
  [[nodiscard]] const std::string& path() const noexcept {
    return path_;
  }

private:
  explicit temporary_folder(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

struct stage {
  session& s;
  text_table table{{text_table::align::left, text_table::align::right, text_table::align::right}};

  /// Runs *work* and tells how long it took for *bytes*.
  template <class Work>
  outcome<void> measure(const std::string& name, uint64_t bytes, Work work) {
    if (s.cancel.cancelled())
      return refuse(errc::cancelled, "measure");
    auto begin = std::chrono::steady_clock::now();
    if (auto done = s.with_progress(work); !done)
      return refuse(done.error().within("measure", name));
    auto seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    json_line line{"item"};
    line.add("stage", name).add("seconds", seconds);
    if (bytes > 0)
      line.add("bytes", bytes).add("bytes_per_second", static_cast<double>(bytes) / seconds);
    s.out.line(line);
    table.row({name, fmt::format("{:.3f} s", seconds),
               bytes > 0 ? human_size(static_cast<uint64_t>(static_cast<double>(bytes) / seconds)) + "/s" : ""});
    return {};
  }
};

outcome<void> measure_all(stage& run, node& n, uint64_t size, const std::string& policy) {
  auto password = credential::password("only for this measurement");
  std::optional<vault> v;
  auto open = [&](const job_options&) -> result<void> {
    auto opened = n.open_vault("bench", password);
    if (!opened)
      return datamesh::fail(opened.error());
    v.emplace(std::move(*opened));
    return {};
  };
  auto put = [&](content what, const char* path) {
    return [&, what, path](const job_options& job) {
      return v->put(
          put_stream_request{
              .from = std::make_shared<generated>(what, size), .target_path = path, .policy = policy, .modified_ns = std::nullopt},
          job);
    };
  };
  auto get = [&](const char* path) {
    return [&, path](const job_options& job) {
      return v->get(path, std::make_shared<forgetting>(), {}, {}, job);
    };
  };
  auto verify = [&](const job_options& job) {
    return v->verify({.deep = true}, job);
  };
  const std::pair<std::string, std::function<outcome<void>(const std::string&)>> stages[] = {
      {"open the vault by password",
       [&](auto& name) {
         return run.measure(name, 0, open);
       }},
      {"store random data",
       [&](auto& name) {
         return run.measure(name, size, put(content::random, "/random"));
       }},
      {"store the same again",
       [&](auto& name) {
         return run.measure(name, size, put(content::random, "/random-again"));
       }},
      {"store compressible data",
       [&](auto& name) {
         return run.measure(name, size, put(content::text, "/text"));
       }},
      {"fetch random data",
       [&](auto& name) {
         return run.measure(name, size, get("/random"));
       }},
      {"fetch compressible data",
       [&](auto& name) {
         return run.measure(name, size, get("/text"));
       }},
      {"verify every block",
       [&](auto& name) {
         return run.measure(name, size, verify);
       }},
  };
  for (auto& [name, measure] : stages)
    if (auto done = measure(name); !done)
      return done;
  return {};
}

} // namespace

outcome<int> run_bench(session& s) {
  auto size = s.set.number("size");
  auto drives = s.set.number("drives");
  if (size == 0 || drives == 0 || drives > 128)
    return refuse(errc::usage, "--size is more than 0 and --drives from 1 to 128", "datamesh help bench");
  auto below = s.set.given("folder") ? s.set.text("folder") : s.set.text("home");
  std::error_code failed;
  auto there = fs::is_directory(below, failed);
  if (!there && s.set.given("folder"))
    return refuse(errc::not_found, fmt::format("there is no folder '{}'{}", printable(below), s.set.said_by("folder")),
                  "name a folder of the disk that is to be measured");
  if (!there)
    below = fs::temp_directory_path(failed).string();
  auto folder = temporary_folder::make(below);
  if (!folder)
    return refuse(folder.error());
  auto options = s.options();
  options.home = folder->path() + "/home";
  stage run{s};
  {
    auto made = node::create(options);
    if (!made)
      return refuse(made.error());
    for (uint64_t i = 0; i < drives; ++i)
      if (auto added = (*made)->add_drive(fmt::format("{}/drive-{}", folder->path(), i)); !added)
        return refuse(added.error());
    if (auto vault = (*made)->create_vault({.name = "bench", .password = credential::password("only for this measurement")}); !vault)
      return refuse(vault.error());
    s.out.note("{} of each kind of data over {} drives, all folders of the disk at {}.", human_size(size), drives, printable(below));
    if (auto done = measure_all(run, **made, size, s.set.text("policy")); !done)
      return refuse(done.error());
  }
  s.out.page(run.table.render());
  s.out.line(json_line{"summary"}.add("size", size).add("drives", drives).name("folder", below));
  return 0;
}

} // namespace datamesh::cli
