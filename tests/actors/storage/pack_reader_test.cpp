#include "storage/pack_reader_actor.hpp"

#include "base/simple_store.hpp"
#include "storage/convert.hpp"
#include "storage/erasure.hpp"
#include "tests/actors/waiting.hpp"
#include "tests/libdatamesh/storage/pack_maker.hpp"
#include "tests/libdatamesh/storage/seed.hpp"
#include "tests/support/manual_clock.hpp"
#include "tests/support/seeded_random.hpp"
#include "tests/support/simulated_files.hpp"

#include <catch2/catch.hpp>

#include <condition_variable>

using namespace datamesh;
using namespace datamesh::storage;
using std::chrono::milliseconds;
using test::code_of;

namespace {

/// What nobody answers is a failure, not a test that hangs.
constexpr auto patience = std::chrono::minutes{2};

/// A drive's shards, and how it answers for them. Thread rule: any thread.
class scripted_reads {
public:
  /// Answers nothing until it is let go.
  void hold(bool is) {
    std::lock_guard guard{mutex_};
    hold_ = is;
  }
  [[nodiscard]] bool holds() const {
    std::lock_guard guard{mutex_};
    return hold_;
  }
  /// Called for each read before it is answered, on the drive's thread.
  void before(std::function<void()> what) {
    std::lock_guard guard{mutex_};
    before_ = std::move(what);
  }
  scripted_reads() = default;
  /// The same shards.
  scripted_reads(const scripted_reads& other) : shards_(other.shards_) {}

  void put(uint32_t index, bytes body) {
    std::lock_guard guard{mutex_};
    shards_[index] = std::move(body);
  }
  void lose(uint32_t index) {
    std::lock_guard guard{mutex_};
    shards_.erase(index);
  }
  void count() {
    std::function<void()> what;
    {
      std::lock_guard guard{mutex_};
      ++reads_;
      came_.notify_all();
      what = before_;
    }
    if (what)
      what();
  }
  [[nodiscard]] size_t reads() const {
    std::lock_guard guard{mutex_};
    return reads_;
  }
  [[nodiscard]] bool wait_for_reads(size_t count) {
    std::unique_lock guard{mutex_};
    return came_.wait_for(guard, patience, [&] { return reads_ >= count; });
  }
  result<void> read(const v1::ReadBlocks& request, byte_span out) const {
    std::lock_guard guard{mutex_};
    auto found = shards_.find(request.index());
    if (found == shards_.end())
      return fail(errc::shard_missing, "read shard");
    auto from = found->second.view().subspan(request.first_block() * size_t{block_size}, out.size());
    std::copy(from.begin(), from.end(), out.begin());
    return {};
  }

private:
  mutable std::mutex mutex_;
  std::condition_variable came_;
  bool hold_ = false;
  std::function<void()> before_;
  size_t reads_ = 0;
  std::map<uint32_t, bytes> shards_;
};

struct held_read {
  v1::ReadBlocks request;
  memory out;
  caf::typed_response_promise<v1::Done> promise;
};

struct scripted_state {
  static inline constexpr const char* name = "scripted-drive";
  std::vector<held_read> held;
};

/// A quick `CheckShard` lets go what is held; a deep one does so, but writes rubbish to
/// the memory first.
drive_reader_actor spawn_scripted(caf::actor_system& sys, std::shared_ptr<scripted_reads> script) {
  using pointer = drive_reader_actor::stateful_pointer<scripted_state>;
  auto behavior = [](pointer self, std::shared_ptr<scripted_reads> drive) -> drive_reader_actor::behavior_type {
    auto serve = [](const scripted_reads& from, const v1::ReadBlocks& request, memory& out) -> caf::result<v1::Done> {
      if (auto outcome = from.read(request, out.span); !outcome)
        return to_caf(outcome.error());
      return v1::Done{};
    };
    return {
        [=](const v1::ReadBlocks& request, memory& out) -> caf::result<v1::Done> {
          if (!drive->holds()) {
            drive->count();
            return serve(*drive, request, out);
          }
          auto promise = self->make_response_promise<caf::typed_response_promise<v1::Done>>();
          self->state.held.push_back({request, out, promise});
          drive->count();
          return promise;
        },
        [=](const v1::CheckShard& request) -> caf::result<v1::Done> {
          for (auto& one : std::exchange(self->state.held, {})) {
            if (request.deep())
              std::fill(one.out.span.begin(), one.out.span.end(), std::byte{0xee});
            else if (auto outcome = drive->read(one.request, one.out.span); !outcome) {
              one.promise.deliver(to_caf(outcome.error()));
              continue;
            }
            one.promise.deliver(v1::Done{});
          }
          return v1::Done{};
        },
    };
  };
  return sys.spawn(behavior, std::move(script));
}

/// A pack on scripted drives, one shard each, and a reader.
struct reader_room {
  caf::actor_system_config config;
  caf::actor_system sys{config.add_message_types<caf::id_block::datamesh>()};
  test::seeded_random random{test::seed()};
  std::shared_ptr<test::manual_clock> time = std::make_shared<test::manual_clock>();
  std::shared_ptr<test::simulated_files> disk = std::make_shared<test::simulated_files>();
  std::shared_ptr<vault_context> context = std::make_shared<vault_context>();
  std::vector<std::shared_ptr<scripted_reads>> drives;
  std::vector<event> events;
  geometry shape;
  pack_record pack;
  std::vector<std::byte> data;
  pack_reader_actor reader;
  caf::scoped_actor self{sys};

  reader_room(uint8_t k, uint8_t m, uint32_t blocks = 3) : shape{k, m, blocks * block_size} {
    INFO("seed " << test::seed());
    context->env.clock = time;
    context->env.random = std::make_shared<test::seeded_random>(test::seed() + 1);
    context->env.files = disk;
    context->env.stores = simple_stores(disk, context->env.random);
    context->sys = &sys;
    context->events = std::make_shared<event_hub>(time, [this](const event& what) { events.push_back(what); });
    context->drives = std::make_shared<drive_table>();
    context->pace = std::make_shared<read_pace>(time);
    context->segment_pool = buffer_pool::make(segment_size, 2);
    context->pack_pool = buffer_pool::make(pack_buffer_size, 2);
    codec_context codec;
    codec.env = context->env;
    codec.keys = std::make_shared<key_holder>(*crypto::make_keyring(random));
    codec.parity_pool = context->pack_pool;
    context->team = std::make_shared<codec_team>(sys, codec, 1);
    make_pack();
    reader = spawn_pack_reader(sys, context, nullptr);
  }
  ~reader_room() {
    stop(reader);
    for (const auto& drive : *context->drives->all()) {
      stop(drive.readers.front());
      if (drive.care)
        stop(drive.care);
    }
    for (const auto& worker : context->team->workers())
      stop(worker);
    context->drives->replace({});
    // Nobody publishes any more; what is on its way comes to `events`, which goes first.
    context->events->wait_delivered();
  }
  template <class Handle>
  void stop(const Handle& whom) {
    self->send_exit(whom, caf::exit_reason::user_shutdown);
    self->wait_for(whom);
  }

  void make_pack() {
    data = random.make(shape.data_length());
    std::vector<std::vector<std::byte>> shards(shape.shard_count(), std::vector<std::byte>(shape.shard_length));
    std::vector<byte_view> from;
    std::vector<byte_span> parity;
    for (size_t i = 0; i < shards.size(); ++i)
      if (i < shape.k) {
        std::copy_n(data.begin() + static_cast<ptrdiff_t>(i * shape.shard_length), shape.shard_length, shards[i].begin());
        from.emplace_back(shards[i]);
      } else {
        parity.emplace_back(shards[i]);
      }
    erasure_code{shape.k, shape.m}.encode(from, parity);
    auto written = test::pack_of(shape, shards);
    pack.seal = written.front().header.pack;
    drive_table::list list;
    for (size_t i = 0; i < written.size(); ++i) {
      shard_store_options options;
      options.folder = "/d" + std::to_string(i);
      REQUIRE(shard_store::format(context->env, options.folder));
      auto opened = shard_store::open(context->env, options);
      REQUIRE(opened);
      drives.push_back(std::make_shared<scripted_reads>());
      drives.back()->put(static_cast<uint32_t>(i), written[i].body);
      drive_entry entry;
      entry.folder = options.folder;
      entry.store = std::move(*opened);
      entry.id = entry.store->id();
      entry.readers = {spawn_scripted(sys, drives.back())};
      entry.next_reader = std::make_shared<std::atomic<uint32_t>>(0);
      pack.drives.push_back(entry.id);
      list.push_back(std::move(entry));
    }
    context->drives->replace(std::move(list));
  }

  /// From now on the reader is that of a repair, and *drive* is on another node. Answers how that
  /// is read for repairs.
  std::shared_ptr<scripted_reads> repair_with_other(size_t drive) {
    auto list = *context->drives->all();
    auto behind_clients = std::make_shared<scripted_reads>(*drives[drive]);
    list[drive].node = "another";
    list[drive].care = spawn_scripted(sys, behind_clients);
    context->drives->replace(std::move(list));
    stop(reader);
    reader = spawn_pack_reader(sys, context, nullptr, work_kind::repair);
    return behind_clients;
  }

  auto begin(uint32_t first, uint32_t end) {
    v1::ReadStretch request;
    *request.mutable_pack() = to_proto(pack);
    request.set_begin(first);
    request.set_end(end);
    return self->request(reader, patience, std::move(request));
  }
  auto begin() {
    return begin(0, static_cast<uint32_t>(shape.data_length()));
  }
  template <class Pending>
  result<std::pair<v1::StretchRead, bytes>> end(Pending pending) {
    result<std::pair<v1::StretchRead, bytes>> outcome = fail(errc::internal, "wait for an answer");
    pending.receive(
        [&](v1::StretchRead& reply, bytes& read) {
          outcome = std::pair{std::move(reply), std::move(read)};
        },
        [&](caf::error& reason) { outcome = fail(from_caf(reason)); });
    return outcome;
  }
  /// Time goes by, and the reader looks at once.
  void pass(std::chrono::nanoseconds by) {
    time->advance(by);
    self->send(reader, caf::tick_atom_v);
  }
  void let_go(size_t drive, bool with_rubbish = false) {
    v1::CheckShard request;
    request.set_deep(with_rubbish);
    auto entry = context->drives->all()->at(drive);
    REQUIRE(test::ask<v1::Done>(self, entry.reader(), request));
  }
  /// Returns when *drive* is through with so many reads.
  void settle(size_t drive, size_t reads) {
    REQUIRE(drives[drive]->wait_for_reads(reads));
    let_go(drive);
  }
  /// From now on each read of *drive* takes so long, and the reader looks meanwhile.
  void slow_down(size_t drive, std::chrono::nanoseconds by) {
    drives[drive]->before([this, by] {
      time->advance(by);
      caf::anon_send(reader, caf::tick_atom_v);
    });
  }
  bool is_whole(const bytes& read) const {
    return std::equal(read.view().begin(), read.view().end(), data.begin(), data.end());
  }
  size_t count_events(event_kind kind) {
    context->events->wait_delivered();
    return static_cast<size_t>(std::count_if(events.begin(), events.end(), [&](const auto& what) { return what.kind == kind; }));
  }
};

} // namespace

TEST_CASE("drives that answer are asked for nothing but data", "[pack_reader]") {
  reader_room room{2, 2};
  auto read = room.end(room.begin());
  REQUIRE(read);
  CHECK(room.is_whole(read->second));
  CHECK(read->first.reads_hedged() == 0);
  CHECK(room.drives[2]->reads() + room.drives[3]->reads() == 0);
}

TEST_CASE("what a drive does not answer in time is rebuilt from others", "[pack_reader]") {
  reader_room room{2, 2};
  room.drives[0]->hold(true);
  auto pending = room.begin();
  REQUIRE(room.drives[0]->wait_for_reads(1));
  room.settle(1, 1);
  room.pass(late_unmeasured);
  auto read = room.end(std::move(pending));
  REQUIRE(read);
  CHECK(room.is_whole(read->second));
  CHECK(read->first.reads_hedged() == 1);
  CHECK(read->first.shards_bad() == 0);
  CHECK(room.count_events(event_kind::damage_found) == 0);

  // What comes late goes to memory that nobody reads.
  room.let_go(0, true);
  CHECK(room.is_whole(read->second));
}

TEST_CASE("a pack of which a shard is bad is read whole with no more reads than one that is good", "[pack_reader]") {
  reader_room room{3, 2};
  SECTION("when the shard is gone") {
    room.drives[1]->lose(1);
  }
  SECTION("when it does not answer in time") {
    room.drives[1]->hold(true);
  }
  SECTION("when the first one is gone, and the others were not asked yet") {
    room.drives[0]->lose(0);
  }
  auto pending = room.begin();
  if (room.drives[1]->holds()) {
    REQUIRE(room.drives[1]->wait_for_reads(1));
    room.settle(0, 1);
    room.settle(2, 1);
    room.pass(late_unmeasured);
  }
  auto read = room.end(std::move(pending));
  REQUIRE(read);
  CHECK(room.is_whole(read->second));
  for (size_t i : {0, 1, 2, 3})
    CHECK(room.drives[i]->reads() == 1);
  CHECK(room.drives[4]->reads() == 0);
}

TEST_CASE("a part that is read anyway and fails is made up for by others", "[pack_reader]") {
  reader_room room{3, 2};
  room.drives[0]->lose(0);
  room.drives[1]->hold(true);
  auto pending = room.begin();
  REQUIRE(room.drives[1]->wait_for_reads(1));
  SECTION("when it is gone, too") {
    room.drives[1]->lose(1);
    room.let_go(1);
  }
  SECTION("when it is late") {
    room.settle(0, 1);
    room.settle(2, 1);
    room.settle(3, 1);
    room.pass(late_unmeasured);
  }
  auto read = room.end(std::move(pending));
  REQUIRE(read);
  CHECK(room.is_whole(read->second));
  CHECK(room.drives[4]->reads() >= 1);
  room.let_go(1, true);
  CHECK(room.is_whole(read->second));
}

TEST_CASE("an answer that comes before the others' is taken", "[pack_reader]") {
  reader_room room{2, 2};
  for (size_t i : {0, 2, 3})
    room.drives[i]->hold(true);
  auto pending = room.begin();
  REQUIRE(room.drives[0]->wait_for_reads(1));
  room.settle(1, 1);
  room.pass(late_unmeasured);
  REQUIRE(room.drives[2]->wait_for_reads(1));
  room.let_go(0);
  auto read = room.end(std::move(pending));
  REQUIRE(read);
  CHECK(room.is_whole(read->second));
  CHECK(read->first.reads_hedged() == 1);
}

TEST_CASE("a spare that is late itself is replaced by another", "[pack_reader]") {
  reader_room room{2, 2};
  for (size_t i : {0, 2})
    room.drives[i]->hold(true);
  auto pending = room.begin();
  REQUIRE(room.drives[0]->wait_for_reads(1));
  room.settle(1, 1);
  room.pass(late_unmeasured);
  REQUIRE(room.drives[2]->wait_for_reads(1));
  room.pass(late_unmeasured);
  auto read = room.end(std::move(pending));
  REQUIRE(read);
  CHECK(room.is_whole(read->second));
  CHECK(read->first.reads_hedged() == 2);
  CHECK(room.drives[3]->reads() == 1);
  room.let_go(0, true);
  room.let_go(2, true);
  CHECK(room.is_whole(read->second));
}

TEST_CASE("two drives that are late do not stop a pack that can do without them", "[pack_reader]") {
  reader_room room{3, 2};
  for (size_t i : {0, 2})
    room.drives[i]->hold(true);
  auto pending = room.begin();
  REQUIRE(room.drives[0]->wait_for_reads(1));
  REQUIRE(room.drives[2]->wait_for_reads(1));
  room.settle(1, 1);
  room.pass(late_unmeasured);
  auto read = room.end(std::move(pending));
  REQUIRE(read);
  CHECK(room.is_whole(read->second));
  CHECK(read->first.reads_hedged() == 2);
  room.let_go(0, true);
  room.let_go(2, true);
  CHECK(room.is_whole(read->second));
}

TEST_CASE("a repair asks another node behind clients, and waits for what is late", "[pack_reader]") {
  reader_room room{2, 2};
  auto behind_clients = room.repair_with_other(0);
  room.drives[1]->hold(true);
  auto pending = room.begin();
  REQUIRE(behind_clients->wait_for_reads(1));
  REQUIRE(room.drives[1]->wait_for_reads(1));
  room.pass(hanging_after - milliseconds{1});
  room.let_go(1);
  auto read = room.end(std::move(pending));
  REQUIRE(read);
  CHECK(room.is_whole(read->second));
  CHECK(read->first.reads_hedged() == 0);
  CHECK(room.drives[0]->reads() + room.drives[2]->reads() + room.drives[3]->reads() == 0);
  // What is slow for it is not slow for others.
  CHECK(room.context->pace->patience(block_size) == late_unmeasured);
}

TEST_CASE("a repair reads around a drive that hangs, and tells nobody", "[pack_reader]") {
  reader_room room{2, 2};
  room.repair_with_other(0)->hold(true);
  auto pending = room.begin();
  room.settle(1, 1);
  room.pass(hanging_after);
  auto read = room.end(std::move(pending));
  REQUIRE(read);
  CHECK(room.is_whole(read->second));
  CHECK(room.count_events(event_kind::drive_changed) == 0);
}

TEST_CASE("a drive that hangs is told of once, and asked no more until it answers", "[pack_reader]") {
  reader_room room{2, 2};
  room.drives[0]->hold(true);
  auto first = room.begin();
  REQUIRE(room.drives[0]->wait_for_reads(1));
  room.settle(1, 1);
  room.pass(hanging_after);
  REQUIRE(room.end(std::move(first)));
  // More often than could be paid for.
  for (unsigned i = 0; i < 2 * hedges_at_once; ++i) {
    auto read = room.end(room.begin());
    REQUIRE(read);
    REQUIRE(room.is_whole(read->second));
  }
  CHECK(room.drives[0]->reads() == 1);
  CHECK(room.count_events(event_kind::drive_changed) == 1);
  CHECK(room.count_events(event_kind::damage_found) == 0);

  room.drives[0]->hold(false);
  room.let_go(0);
  auto read = room.end(room.begin());
  REQUIRE(read);
  CHECK(room.is_whole(read->second));
  CHECK(room.drives[0]->reads() == 2);
}

TEST_CASE("a hanging drive is asked when the others are too few", "[pack_reader]") {
  reader_room room{2, 2};
  room.drives[0]->hold(true);
  auto first = room.begin();
  REQUIRE(room.drives[0]->wait_for_reads(1));
  room.settle(1, 1);
  room.pass(hanging_after);
  REQUIRE(room.end(std::move(first)));
  // Nobody knows yet that these are gone.
  room.drives[2]->lose(2);
  room.drives[3]->lose(3);
  auto pending = room.begin();
  REQUIRE(room.drives[0]->wait_for_reads(2));
  room.let_go(0);
  auto read = room.end(std::move(pending));
  REQUIRE(read);
  CHECK(room.is_whole(read->second));
  CHECK(read->first.shards_bad() == 2);
}

TEST_CASE("a read that is never answered counts as failed at its deadline", "[pack_reader]") {
  SECTION("and is lost where too few others are good") {
    reader_room room{2, 1};
    room.drives[0]->hold(true);
    room.drives[2]->lose(2);
    auto pending = room.begin();
    REQUIRE(room.drives[0]->wait_for_reads(1));
    room.settle(1, 1);
    room.pass(hanging_after);
    room.settle(2, 1);
    room.pass(read_deadline);
    CHECK(code_of(room.end(std::move(pending))) == errc::damaged);
    CHECK(room.count_events(event_kind::damage_found) == 2);
  }
  SECTION("and is rebuilt into other memory, since the drive may write yet") {
    reader_room room{1, 1};
    room.drives[0]->hold(true);
    auto pending = room.begin();
    REQUIRE(room.drives[0]->wait_for_reads(1));
    room.pass(read_deadline);
    auto read = room.end(std::move(pending));
    REQUIRE(read);
    CHECK(read->first.shards_bad() == 1);
    room.let_go(0, true);
    CHECK(room.is_whole(read->second));
  }
}

TEST_CASE("hedges are a small share of reads, however many are late", "[pack_reader]") {
  constexpr size_t rounds = 300;
  reader_room room{2, 2};
  // As fast as drives can be.
  REQUIRE(room.end(room.begin()));
  uint64_t hedged = 0;
  SECTION("of one drive or another") {
    for (size_t i = 0; i < rounds; ++i) {
      room.slow_down(i % 2, milliseconds{2000});
      room.drives[1 - i % 2]->before({});
      auto read = room.end(room.begin());
      REQUIRE(read);
      REQUIRE(room.is_whole(read->second));
      hedged = read->first.reads_hedged();
    }
    CHECK(hedged > 0);
  }
  SECTION("of all drives") {
    for (size_t i = 0; i < room.drives.size(); ++i)
      room.slow_down(i, milliseconds{2000});
    for (size_t i = 0; i < rounds; ++i) {
      auto read = room.end(room.begin());
      REQUIRE(read);
      REQUIRE(room.is_whole(read->second));
      hedged = read->first.reads_hedged();
    }
  }
  size_t reads = 0;
  for (const auto& drive : room.drives)
    reads += drive->reads();
  // Where a thread of ours stood still meanwhile, a drive hung, and that is free.
  if (room.count_events(event_kind::drive_changed) > 0)
    return;
  auto most = hedges_at_once + reads / reads_per_hedge;
  CHECK(hedged <= most);
  CHECK(reads <= 2 * (rounds + 1) + most);
}

TEST_CASE("a reader that ends leaves nobody waiting for a drive", "[pack_reader]") {
  reader_room room{2, 2};
  for (auto& drive : room.drives)
    drive->hold(true);
  auto pending = room.begin();
  REQUIRE(room.drives[0]->wait_for_reads(1));
  room.stop(room.reader);
  CHECK(code_of(room.end(std::move(pending))) == errc::unavailable);
}
