// How jobs are steered: cancelled, timed out, called back, reported.
#include "tests/actors/node/house.hpp"
#include "tests/support/manual_clock.hpp"

#include <condition_variable>
#include <future>
#include <mutex>
#include <thread>

namespace datamesh::test {

namespace {

/// Blocks its reader until it is let go.
class stuck_source : public source {
public:
  explicit stuck_source(size_t bytes_before) : left_(bytes_before) {}
  ~stuck_source() override = default;
  result<size_t> read(byte_span out) override {
    auto count = std::min(out.size(), left_);
    if (count > 0) {
      std::fill_n(out.begin(), count, std::byte{7});
      left_ -= count;
      return count;
    }
    std::unique_lock lock{mutex_};
    waiting_ = true;
    changed_.notify_all();
    changed_.wait(lock, [this] { return free_; });
    return size_t{0};
  }
  void await_reader() {
    std::unique_lock lock{mutex_};
    changed_.wait(lock, [this] { return waiting_; });
  }
  void let_go() {
    std::lock_guard guard{mutex_};
    free_ = true;
    changed_.notify_all();
  }

private:
  size_t left_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool waiting_ = false;
  bool free_ = false;
};

/// Blocks its writer in the first write.
class stuck_sink : public sink {
public:
  result<void> write(byte_view) override {
    std::unique_lock lock{mutex_};
    waiting_ = true;
    changed_.notify_all();
    changed_.wait(lock, [this] { return free_; });
    return {};
  }
  void await_writer() {
    std::unique_lock lock{mutex_};
    changed_.wait(lock, [this] { return waiting_; });
  }
  void let_go() {
    std::lock_guard guard{mutex_};
    free_ = true;
    changed_.notify_all();
  }

private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool waiting_ = false;
  bool free_ = false;
};

/// Gives a byte when it is told to, and ends when it is let go.
class dripping_source : public source {
public:
  result<size_t> read(byte_span out) override {
    std::unique_lock lock{mutex_};
    waiting_ = true;
    changed_.notify_all();
    changed_.wait(lock, [this] { return drop_ || free_; });
    if (!std::exchange(drop_, false))
      return size_t{0};
    out.front() = std::byte{7};
    return size_t{1};
  }
  void await_reader() {
    std::unique_lock lock{mutex_};
    changed_.wait(lock, [this] { return waiting_; });
  }
  /// Until the next one is asked for.
  void drip() {
    std::unique_lock lock{mutex_};
    drop_ = true;
    waiting_ = false;
    changed_.notify_all();
    changed_.wait(lock, [this] { return waiting_; });
  }
  void let_go() {
    std::lock_guard guard{mutex_};
    free_ = true;
    changed_.notify_all();
  }

private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool waiting_ = false;
  bool drop_ = false;
  bool free_ = false;
};

/// Takes the answer of a callback form.
template <class T>
struct answer_box {
  std::shared_ptr<std::promise<result<T>>> promise = std::make_shared<std::promise<result<T>>>();
  std::future<result<T>> future = promise->get_future();
  completion<T> done() {
    return [promise = promise](result<T> outcome) {
      promise->set_value(std::move(outcome));
    };
  }
};

put_stream_request stream_of(std::shared_ptr<source> from, std::string target) {
  put_stream_request what;
  what.from = std::move(from);
  what.target_path = std::move(target);
  return what;
}

/// A node without memory for a put and a get at once, on a clock that the test moves.
struct narrow_house {
  std::shared_ptr<manual_clock> time = std::make_shared<manual_clock>();
  house h{3, disk::system, with()};

  node_options with() const {
    node_options options;
    options.environment.clock = time;
    options.memory_bytes = 48 << 20;
    return options;
  }

  /// Waits for memory, and has looked at who holds it, when this much time has passed.
  void wait_in_vain(std::chrono::milliseconds time_passes) {
    answer_box<get_summary> box;
    job_options job;
    job.timeout = std::chrono::milliseconds{1};
    h.vault().get("/file", std::make_shared<text_sink>(), {}, {}, box.done(), job);
    time->advance(time_passes);
    CHECK(code_of(box.future.get()) == errc::timed_out);
  }
};

} // namespace

TEST_CASE("a put whose source blocks can be cancelled", "[jobs]") {
  house h;
  auto from = std::make_shared<stuck_source>(3 << 20);
  answer_box<put_summary> box;
  job_options job;
  h.vault().put(stream_of(from, "/stuck"), box.done(), job);
  from->await_reader();
  job.cancel.cancel();
  CHECK(code_of(box.future.get()) == errc::cancelled);
  CHECK(h.list().empty());
  from->let_go();
  h.put_text("/stuck", "the name is free again");
  CHECK(h.get_text("/stuck") == "the name is free again");
}

TEST_CASE("a get whose sink blocks can be cancelled", "[jobs]") {
  house h;
  h.put_text("/file", noise(1, 3 << 20));
  auto to = std::make_shared<stuck_sink>();
  answer_box<get_summary> box;
  job_options job;
  h.vault().get("/file", to, {}, {}, box.done(), job);
  to->await_writer();
  job.cancel.cancel();
  CHECK(code_of(box.future.get()) == errc::cancelled);
  to->let_go();
  CHECK(h.get_text("/file") == noise(1, 3 << 20));
}

TEST_CASE("a deadline ends a job on the node's own clock", "[jobs]") {
  auto time = std::make_shared<manual_clock>();
  node_options options;
  options.environment.clock = time;
  house h{3, disk::system, options};
  auto from = std::make_shared<stuck_source>(100);
  answer_box<put_summary> box;
  job_options job;
  job.timeout = std::chrono::hours{1};
  h.vault().put(stream_of(from, "/late"), box.done(), job);
  from->await_reader();
  time->advance(std::chrono::hours{2});
  CHECK(code_of(box.future.get()) == errc::timed_out);
  from->let_go();
  // What is in time is not late.
  CHECK(h.put_text("/fine", "x").files == 1);
  must(h.vault().put(stream_of(std::make_shared<text_source>("y"), "/fine too"), job));
}

TEST_CASE("a job that waits for memory ends when it is cancelled or late", "[jobs]") {
  auto time = std::make_shared<manual_clock>();
  node_options options;
  options.environment.clock = time;
  options.memory_bytes = 48 << 20;
  house h{3, disk::system, options};
  auto from = std::make_shared<stuck_source>(100);
  answer_box<put_summary> holder;
  h.vault().put(stream_of(from, "/stuck"), holder.done());
  from->await_reader();
  // A verify takes all the memory that this node has.
  job_options job;
  job.timeout = std::chrono::milliseconds{1};
  auto waiting = std::async(std::launch::async, [&] { return h.vault().verify({}, job); });
  SECTION("cancelled") {
    job.cancel.cancel();
    CHECK(waiting.wait_for(std::chrono::minutes{2}) == std::future_status::ready);
    from->let_go();
    CHECK(code_of(waiting.get()) == errc::cancelled);
  }
  SECTION("late") {
    // It may begin only after the first step of the clock. All of them are less than 30 s,
    // after which the put would give way.
    for (size_t i = 0; i < 12'000 && waiting.wait_for(std::chrono::milliseconds{10}) != std::future_status::ready; ++i)
      time->advance(std::chrono::milliseconds{2});
    CHECK(waiting.wait_for(std::chrono::seconds{0}) == std::future_status::ready);
    from->let_go();
    CHECK(code_of(waiting.get()) == errc::timed_out);
  }
  must(holder.future.get());
  // Its place in the queue is free again.
  must(h.vault().verify({}));
}

TEST_CASE("a put whose source gives nothing for 30 s gives way to who waits for memory as long", "[jobs]") {
  narrow_house n;
  n.h.put_text("/file", "small");
  auto from = std::make_shared<stuck_source>(3 << 20);
  answer_box<put_summary> stuck;
  n.h.vault().put(stream_of(from, "/stuck"), stuck.done());
  from->await_reader();
  auto to = std::make_shared<text_sink>();
  answer_box<get_summary> waiting;
  n.h.vault().get("/file", to, {}, {}, waiting.done());
  n.time->advance(std::chrono::seconds{30});
  // The source still keeps its thread.
  CHECK(stuck.future.wait_for(std::chrono::minutes{2}) == std::future_status::ready);
  CHECK(waiting.future.wait_for(std::chrono::minutes{2}) == std::future_status::ready);
  from->let_go();
  auto told = stuck.future.get();
  REQUIRE(code_of(told) == errc::timed_out);
  CHECK(told.error().attempted() == "read a source that gave nothing for 30 s while others waited for memory");
  must(waiting.future.get());
  CHECK(to->text == "small");
  CHECK(code_of(n.h.vault().info("/stuck")) == errc::not_found);
  n.h.put_text("/stuck", "the name is free again");
  CHECK(n.h.get_text("/stuck") == "the name is free again");
}

TEST_CASE("a get whose target takes nothing for 30 s gives way to who waits for memory as long", "[jobs]") {
  narrow_house n;
  n.h.put_text("/file", noise(1, 3 << 20));
  auto to = std::make_shared<stuck_sink>();
  answer_box<get_summary> stuck;
  n.h.vault().get("/file", to, {}, {}, stuck.done());
  to->await_writer();
  answer_box<put_summary> waiting;
  n.h.vault().put(stream_of(std::make_shared<text_source>("new"), "/new"), waiting.done());
  n.time->advance(std::chrono::seconds{30});
  CHECK(stuck.future.wait_for(std::chrono::minutes{2}) == std::future_status::ready);
  CHECK(waiting.future.wait_for(std::chrono::minutes{2}) == std::future_status::ready);
  to->let_go();
  auto told = stuck.future.get();
  REQUIRE(code_of(told) == errc::timed_out);
  CHECK(told.error().attempted() == "write to a target that took nothing for 30 s while others waited for memory");
  CHECK(must(waiting.future.get()).files == 1);
  CHECK(n.h.get_text("/file") == noise(1, 3 << 20));
  CHECK(n.h.get_text("/new") == "new");
}

TEST_CASE("a put whose source gives nothing is left alone while nobody waits for memory for long", "[jobs]") {
  narrow_house n;
  n.h.put_text("/file", "small");
  auto from = std::make_shared<stuck_source>(100);
  answer_box<put_summary> stuck;
  n.h.vault().put(stream_of(from, "/stuck"), stuck.done());
  from->await_reader();
  n.time->advance(std::chrono::hours{1});
  answer_box<get_summary> waiting;
  n.h.vault().get("/file", std::make_shared<text_sink>(), {}, {}, waiting.done());
  n.wait_in_vain(std::chrono::seconds{29});
  from->let_go();
  CHECK(must(stuck.future.get()).files == 1);
  must(waiting.future.get());
}

TEST_CASE("a put whose source gives a little now and then ends as it should, whoever waits for memory", "[jobs]") {
  narrow_house n;
  n.h.put_text("/file", "small");
  auto from = std::make_shared<dripping_source>();
  answer_box<put_summary> slow;
  n.h.vault().put(stream_of(from, "/slow"), slow.done());
  from->await_reader();
  answer_box<get_summary> waiting;
  n.h.vault().get("/file", std::make_shared<text_sink>(), {}, {}, waiting.done());
  for (int drops = 0; drops < 5; ++drops) {
    n.wait_in_vain(std::chrono::seconds{20});
    from->drip();
  }
  from->let_go();
  CHECK(must(slow.future.get()).bytes == 5);
  must(waiting.future.get());
}

TEST_CASE("a source or sink that throws fails its job", "[jobs]") {
  struct throwing : source, sink {
    result<size_t> read(byte_span) override {
      throw std::runtime_error{"read"};
    }
    result<void> write(byte_view) override {
      throw std::runtime_error{"write"};
    }
  };
  house h;
  h.put_text("/file", noise(1, 100'000));
  auto thrower = std::make_shared<throwing>();
  job_options job;
  job.timeout = std::chrono::minutes{2}; // Else it is late.
  CHECK(code_of(h.vault().put(stream_of(thrower, "/thrown"), job)) == errc::unavailable);
  CHECK(code_of(h.vault().get("/file", thrower, {}, {}, job)) == errc::unavailable);
  CHECK(h.get_text("/file") == noise(1, 100'000));
}

TEST_CASE("a token that was cancelled before ends a job at once", "[jobs]") {
  house h;
  h.put_text("/file", "x");
  job_options job;
  job.cancel.cancel();
  CHECK(code_of(h.vault().put(stream_of(std::make_shared<text_source>("x"), "/x"), job)) == errc::cancelled);
  CHECK(code_of(h.vault().get("/file", std::make_shared<text_sink>(), {}, {}, job)) == errc::cancelled);
  CHECK(code_of(h.vault().verify({}, job)) == errc::cancelled);
}

TEST_CASE("a vault that closes cancels its jobs and answers them all", "[jobs]") {
  house h;
  auto from = std::make_shared<stuck_source>(100);
  answer_box<put_summary> box;
  h.vault().put(stream_of(from, "/stuck"), box.done());
  from->await_reader();
  // The reader is let go as soon as the job is answered.
  std::thread freeing{[&] {
    CHECK(code_of(box.future.get()) == errc::cancelled);
    from->let_go();
  }};
  h.close();
  freeing.join();
  h.open();
  CHECK(h.list().empty());
}

TEST_CASE("callbacks run on the host's executor, once each", "[jobs]") {
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<std::function<void()>> tasks;
  node_options options;
  options.executor = [&](std::function<void()> task) {
    std::lock_guard guard{mutex};
    tasks.push_back(std::move(task));
    changed.notify_all();
  };
  house h{3, disk::system, options};
  std::vector<std::thread::id> threads;
  std::vector<errc> codes;
  auto done = [&](const auto& outcome) {
    threads.push_back(std::this_thread::get_id());
    codes.push_back(code_of(outcome));
  };
  h.vault().put(stream_of(std::make_shared<text_source>("x"), "/x"), done);
  h.vault().put(stream_of(nullptr, "/y"), done);
  h.vault().get(get_request{.paths = {"/none"}, .target_folder = h.path(".")}, done);
  for (size_t ran = 0; ran < 3; ++ran) {
    std::function<void()> task;
    {
      std::unique_lock lock{mutex};
      changed.wait(lock, [&] { return !tasks.empty(); });
      task = std::move(tasks.front());
      tasks.erase(tasks.begin());
    }
    task();
  }
  h.close();
  CHECK(tasks.empty());
  CHECK(threads == std::vector<std::thread::id>(3, std::this_thread::get_id()));
  std::sort(codes.begin(), codes.end());
  CHECK(codes == std::vector<errc>{errc{}, errc::invalid_argument, errc::not_found});
}

TEST_CASE("events come in order without a gap, each job under its number", "[jobs]") {
  std::mutex mutex;
  std::vector<event> events;
  node_options options;
  options.on_event = [&](const event& what) {
    std::lock_guard guard{mutex};
    events.push_back(what);
  };
  {
    house h{3, disk::system, options};
    h.write("tree/one", "1");
    h.write("tree/two", "2");
    job_options job;
    job.job = 4711;
    must(h.vault().put(put_request{.sources = {{h.path("tree"), "/tree"}, {h.path("none"), "/none"}}}, job));
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i)
      threads.emplace_back(
          [&h, i] { (void) put_text(h.vault(), "/stream" + std::to_string(i), noise(static_cast<uint64_t>(i), 300'000)); });
    for (auto& thread : threads)
      thread.join();
  }
  REQUIRE(!events.empty());
  for (size_t i = 0; i < events.size(); ++i)
    REQUIRE(events[i].sequence == i + 1);
  std::vector<std::string> done;
  std::vector<std::string> failed;
  for (const auto& what : events) {
    if (what.job != 4711)
      continue;
    if (what.kind == event_kind::item_done)
      done.push_back(what.subject);
    if (what.kind == event_kind::item_failed)
      failed.push_back(what.subject);
  }
  std::sort(done.begin(), done.end());
  CHECK(done == std::vector<std::string>{"/tree", "/tree/one", "/tree/two"});
  CHECK(failed.size() == 1);
}

TEST_CASE("many puts and gets run beside one another", "[jobs]") {
  node_options options;
  options.memory_bytes = 64 << 20;
  house h{6, disk::system, options};
  std::vector<std::thread> threads;
  std::atomic<int> right = 0;
  for (uint64_t i = 0; i < 8; ++i)
    threads.emplace_back([&, i] {
      auto path = "/t" + std::to_string(i);
      for (uint64_t round = 0; round < 3; ++round) {
        auto text = noise(100 * i + round, 400'000 + 10'000 * i);
        auto stored = put_text(h.vault(), path, text);
        auto back = get_text(h.vault(), path);
        right += stored && back && *back == text;
      }
    });
  for (auto& thread : threads)
    thread.join();
  CHECK(right == 24);
  CHECK(h.list().size() == 8);
  CHECK(must(h.vault().verify({.deep = true})).shards_damaged == 0);
}

} // namespace datamesh::test
