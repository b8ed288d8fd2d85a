#include "storage/fetch_stages.hpp"
#include "tests/actors/storage/packer_room.hpp"

#include <catch2/catch.hpp>

#include <future>

using namespace datamesh;
using namespace datamesh::storage;
using namespace std::chrono_literals;
using test::manual_clock;
using manner = test::fake_drive::manner;

namespace {

constexpr uint64_t ms = 1'000'000;

/// A job that waits for nothing but its packs, on a clock that a test moves.
struct watched_job {
  std::shared_ptr<manual_clock> clock = std::make_shared<manual_clock>();
  std::shared_ptr<stage_watch> watch = std::make_shared<stage_watch>(clock);

  watched_job() {
    watch->wait_for_pipeline();
  }
  stage_watch::figures read() {
    return watch->read();
  }
};

/// Returns when the packer has what the drive answered before.
void let_answer(packer_room& room, size_t drive) {
  REQUIRE(test::ask<v1::Done>(room.self, room.writers[drive], v1::RemoveShards{}));
  room.open(99);
}

/// Holds whoever comes until it is let go.
class gate {
public:
  void pass() {
    std::unique_lock lock{mutex_};
    reached_ = true;
    changed_.notify_all();
    changed_.wait(lock, [this] { return open_; });
  }
  void await() {
    std::unique_lock lock{mutex_};
    changed_.wait(lock, [this] { return reached_; });
  }
  void open() {
    std::lock_guard guard{mutex_};
    open_ = true;
    changed_.notify_all();
  }

private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool reached_ = false;
  bool open_ = false;
};

} // namespace

TEST_CASE("the drive whose answer alone is due is the one that is waited for", "[stages]") {
  packer_room room{mirrored, 2};
  watched_job job;
  watched_job idle;
  auto slow = GENERATE(0u, 1u);
  room.open(1, job.watch);
  room.open(2, idle.watch);
  room.drives[slow]->set(manner::hold);
  (void) room.sealed(1, room.chunks(1, 5000));
  auto submitted = room.submit(1);
  auto flushed = room.flush(1);
  room.wait_for_stores(1);
  let_answer(room, 1 - slow);
  job.clock->advance(10ms);
  idle.clock->advance(10ms);
  room.let_go();
  CHECK(room.outcome(submitted) == errc{});
  CHECK(room.outcome(flushed) == errc{});
  auto found = job.read();
  CHECK(found.waits.drives_ns == 10 * ms);
  CHECK(found.waits.elapsed_ns == 10 * ms);
  CHECK(found.waits.limiting() == transfer_stage::drives);
  CHECK(found.drive == (*room.context.drives->all())[slow].id);
  CHECK(idle.read().waits.limiting() == transfer_stage::none);
}

TEST_CASE("chunks that find no pack wait for the drives that take the ones before", "[stages]") {
  packer_room room{mirrored, 2, 64 << 10, 1};
  watched_job job;
  room.open(1, job.watch);
  room.set_all(manner::hold_next);
  (void) room.sealed(1, room.chunks(1, 60'000));
  auto second = room.seal(1, room.chunks(1, 60'000)); // Closes the first pack, and there is no other.
  room.wait_for_stores(1);
  room.open(99);
  job.clock->advance(5ms);
  room.let_go();
  CHECK(test::answer_to<v1::SealedChunks>(second));
  auto found = job.read();
  CHECK(found.waits.drives_ns == 5 * ms);
  CHECK(found.waits.elapsed_ns == 5 * ms);
  CHECK(found.drive.is_zero());
  auto flushed = room.flush(1);
  CHECK(room.outcome(flushed) == errc{});
}

TEST_CASE("a job whose chunks or packs are at a worker waits for the codec", "[stages]") {
  packer_room room{mirrored, 2, pack_size_max, 2, 1};
  watched_job job;
  watched_job other;
  room.open(1, job.watch);
  room.open(2, other.watch);
  auto data = room.chunks(1, 5000);
  auto others = room.chunks(2, 5000);
  gate busy;
  room.codec_random->tell([&] { busy.pass(); });
  auto sealing = room.seal(1, data);
  auto behind = room.seal(2, others);
  busy.await();
  room.open(99);
  job.clock->advance(8ms);
  other.clock->advance(8ms);
  busy.open();
  CHECK(test::answer_to<v1::SealedChunks>(sealing));
  CHECK(test::answer_to<v1::SealedChunks>(behind));
  for (auto* one : {&job, &other}) {
    auto waits = one->read().waits;
    CHECK(waits.codec_ns == 8 * ms);
    CHECK(waits.limiting() == transfer_stage::codec);
    CHECK(waits.share() == 1);
  }
  auto flushed = room.flush(1);
  CHECK(room.outcome(flushed) == errc{});
}

TEST_CASE("a job whose pack can not be stamped or committed waits for the catalog", "[stages]") {
  packer_room room{mirrored, 2};
  watched_job job;
  room.open(1, job.watch);
  (void) room.sealed(1, room.chunks(1, 5000));
  // Somebody else has stamps, and takes his time.
  v1::StampOperations stamp;
  stamp.add_bodies(encode_body(move_node{*random_id<node_id>(room.random), root_node(), "held", node_kind::folder}));
  auto held = test::ask<v1::StampedOperations>(room.self, room.context.catalog_writer, stamp);
  REQUIRE(held);
  auto submitted = room.submit(1);
  auto flushed = room.flush(1);
  room.open(99);
  job.clock->advance(7ms);
  room.self->send(room.context.catalog_writer, caf::delete_atom_v);
  CHECK(room.outcome(submitted) == errc{});
  CHECK(room.outcome(flushed) == errc{});
  auto waits = job.read().waits;
  CHECK(waits.catalog_ns == 7 * ms);
  CHECK(waits.limiting() == transfer_stage::catalog);
}

TEST_CASE("a flush that waits for company waits for no stage", "[stages]") {
  packer_room room{mirrored, 2};
  watched_job job;
  room.open(1, job.watch);
  room.open(2);
  (void) room.sealed(1, room.chunks(1, 1000));
  auto flushed = room.flush(1, false);
  CHECK(room.figures(flushed).packs() == 1);
  room.open(99); // It tells of the wait's end behind its answer.
  job.clock->advance(3ms);
  CHECK(job.read().waits.limiting() == transfer_stage::none);
  CHECK(job.read().waits.elapsed_ns == 3 * ms);
}

TEST_CASE("of several reads the first tells for what a get waits", "[stages]") {
  watched_job job;
  auto stages = std::make_shared<fetch_stages>(job.watch);
  test::seeded_random random{test::seed()};
  auto a = *random_id<drive_id>(random);
  auto b = *random_id<drive_id>(random);
  auto first = stages->begin();
  auto second = stages->begin();
  second->at_worker(true);
  job.clock->advance(1ms); // The first has asked for nothing yet.
  CHECK(job.read().waits.limiting() == transfer_stage::none);
  first->ask(a);
  first->ask(b);
  first->ask(b);
  job.clock->advance(2ms);
  first->answered(a);
  first->answered(b);
  job.clock->advance(16ms);
  CHECK(job.read().waits.drives_ns == 18 * ms);
  CHECK(job.read().drive == b);
  first->answered(b);
  first->at_worker(true);
  job.clock->advance(4ms);
  first->at_worker(false);
  first->end();
  first->ask(a); // Too late to count.
  job.clock->advance(32ms);
  second.reset();
  job.clock->advance(64ms);
  auto waits = job.read().waits;
  CHECK(waits.drives_ns == 18 * ms);
  CHECK(waits.codec_ns == 36 * ms);
  CHECK(waits.elapsed_ns == 119 * ms);
  // Nobody wants to know of the reads of other jobs.
  std::make_shared<fetch_stages>(nullptr)->begin()->ask(a);
}
