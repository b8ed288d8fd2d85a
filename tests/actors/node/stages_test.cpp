// For which stage puts and gets say that they waited: time passes in one place alone.
#include "tests/actors/node/hooked_files.hpp"
#include "tests/actors/node/house.hpp"
#include "tests/support/manual_clock.hpp"

#include <condition_variable>
#include <future>
#include <mutex>
#include <set>

namespace datamesh::test {

using namespace std::chrono_literals;

namespace {

constexpr uint64_t ms = 1'000'000;

struct timed_house {
  std::shared_ptr<manual_clock> clock = std::make_shared<manual_clock>();
  std::shared_ptr<hooked_files> files = std::make_shared<hooked_files>(std::make_shared<simulated_files>(clock));
  house h;

  explicit timed_house(uint64_t memory_bytes = node_options{}.memory_bytes) : h{3, disk::simulated, with(memory_bytes)} {}
  node_options with(uint64_t memory_bytes) {
    node_options options;
    options.environment.files = files;
    options.environment.clock = clock;
    options.memory_bytes = memory_bytes;
    return options;
  }

  /// Each of these *calls* below *folder* takes that long.
  void slow_down(std::set<std::string_view> calls, std::string folder, std::chrono::nanoseconds time) {
    files->set([=, this](std::string_view call, const std::string& path) -> result<void> {
      if (calls.count(call) > 0 && path.starts_with(folder))
        clock->advance(time);
      return {};
    });
  }
  put_summary put(std::shared_ptr<source> from, std::string target) {
    put_stream_request what;
    what.from = std::move(from);
    what.target_path = std::move(target);
    return must(h.vault().put(what));
  }
};

/// All of the time was spent there.
void check_only(const transfer_waits& waits, transfer_stage stage) {
  INFO("limiting: " << to_string(waits.limiting()) << ", elapsed " << waits.elapsed_ns << ", memory " << waits.memory_ns << ", source "
                    << waits.source_ns << ", codec " << waits.codec_ns << ", drives " << waits.drives_ns << ", catalog " << waits.catalog_ns
                    << ", target " << waits.target_ns);
  CHECK(waits.limiting() == stage);
  CHECK(waits.elapsed_ns > 0);
  CHECK(waits.of(stage) == waits.elapsed_ns);
  CHECK(waits.share() == 1);
}

struct slow_source : text_source {
  std::shared_ptr<manual_clock> clock;
  slow_source(std::shared_ptr<manual_clock> time, std::string text) : text_source(std::move(text)), clock(std::move(time)) {}
  result<size_t> read(byte_span out) override {
    clock->advance(10ms);
    return text_source::read(out);
  }
};

struct slow_sink : text_sink {
  std::shared_ptr<manual_clock> clock;
  result<void> write(byte_view data) override {
    clock->advance(10ms);
    return text_sink::write(data);
  }
};

/// Ends when it is let go.
class stuck_source : public source {
public:
  result<size_t> read(byte_span) override {
    std::unique_lock lock{mutex_};
    reading_ = true;
    changed_.notify_all();
    changed_.wait(lock, [this] { return free_; });
    return size_t{0};
  }
  void await_reader() {
    std::unique_lock lock{mutex_};
    changed_.wait(lock, [this] { return reading_; });
  }
  void let_go() {
    std::lock_guard guard{mutex_};
    free_ = true;
    changed_.notify_all();
  }

private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool reading_ = false;
  bool free_ = false;
};

} // namespace

TEST_CASE("a put from a slow source says that it waited for the source", "[stages]") {
  timed_house timed;
  auto stored = timed.put(std::make_shared<slow_source>(timed.clock, noise(1, 300'000)), "/file");
  check_only(stored.waits, transfer_stage::source);
  CHECK(stored.waits.drive.empty());
  CHECK(timed.h.get_text("/file") == noise(1, 300'000));
}

TEST_CASE("a put onto slow drives says that it waited for the drives", "[stages]") {
  timed_house timed;
  // What drives have to do when they are opened is behind them then.
  timed.h.put_text("/before", noise(5, 100'000));
  timed.slow_down({"write", "sync"}, timed.h.path("drive"), 10ms);
  auto stored = timed.put(std::make_shared<text_source>(noise(2, 300'000)), "/file");
  check_only(stored.waits, transfer_stage::drives);
}

TEST_CASE("a get from slow drives says that it waited for the drives", "[stages]") {
  timed_house timed;
  auto text = noise(3, 300'000);
  timed.h.put_text("/file", text);
  timed.slow_down({"open_read", "read"}, timed.h.path("drive"), 10ms);
  auto to = std::make_shared<text_sink>();
  auto fetched = must(timed.h.vault().get("/file", to));
  CHECK(to->text == text);
  check_only(fetched.waits, transfer_stage::drives);
}

TEST_CASE("a get into a slow target says that it waited for the target", "[stages]") {
  timed_house timed;
  auto text = noise(4, 300'000);
  timed.h.put_text("/file", text);
  auto to = std::make_shared<slow_sink>();
  to->clock = timed.clock;
  auto fetched = must(timed.h.vault().get("/file", to));
  CHECK(to->text == text);
  check_only(fetched.waits, transfer_stage::target);
}

TEST_CASE("a get that has to wait for its share of memory says so", "[stages]") {
  timed_house timed{48 << 20};
  timed.h.put_text("/file", "small");
  // What the put holds leaves too little for a get beside it.
  auto from = std::make_shared<stuck_source>();
  put_stream_request what;
  what.from = from;
  what.target_path = "/stuck";
  std::promise<result<put_summary>> stored;
  timed.h.vault().put(what, [&](result<put_summary> outcome) { stored.set_value(std::move(outcome)); });
  from->await_reader();
  std::promise<result<get_summary>> fetched;
  timed.h.vault().get("/file", std::make_shared<text_sink>(), {}, {},
                      [&](result<get_summary> outcome) { fetched.set_value(std::move(outcome)); });
  timed.clock->advance(20s);
  from->let_go();
  check_only(must(fetched.get_future().get()).waits, transfer_stage::memory);
  must(stored.get_future().get());
}

TEST_CASE("a dry run waits for its source, and for no drive", "[stages]") {
  timed_house timed;
  timed.h.write("from/file", "some text");
  timed.slow_down({"open_read", "read"}, timed.h.path("from"), 10ms);
  auto planned = must(timed.h.vault().put(put_request{.sources = {{timed.h.path("from"), "/to"}}, .dry_run = true}));
  check_only(planned.waits, transfer_stage::source);
}

} // namespace datamesh::test
