#include "storage/packer_actor.hpp"

#include "base/simple_store.hpp"
#include "storage/convert.hpp"
#include "tests/actors/waiting.hpp"
#include "tests/libdatamesh/storage/seed.hpp"
#include "tests/support/fake_drive.hpp"
#include "tests/support/manual_clock.hpp"
#include "tests/support/seeded_random.hpp"
#include "tests/support/simulated_files.hpp"

#include <catch2/catch.hpp>

#include <atomic>
#include <future>

using namespace datamesh;
using namespace datamesh::storage;
using test::answer_to;
using test::code_of;
using test::fake_drive;
using manner = fake_drive::manner;

namespace {

/// What nobody answers is a failure, not a test that hangs.
constexpr auto patience = std::chrono::minutes{2};

/// Real codecs, a real catalog and fake drives behind one packer.
struct packer_room {
  caf::actor_system_config config;
  caf::actor_system sys{config.add_message_types<caf::id_block::datamesh>()};
  test::seeded_random random{test::seed()};
  std::shared_ptr<test::simulated_files> disk = std::make_shared<test::simulated_files>();
  packer_context context;
  std::vector<std::shared_ptr<fake_drive>> drives;
  std::vector<drive_writer_actor> writers;
  packer_actor packer;
  caf::scoped_actor self{sys};

  packer_room(policy how, size_t drive_count, uint32_t pack_limit = pack_size_max, size_t packs_max = 2) {
    auto codec = std::make_shared<codec_context>();
    codec->env.clock = std::make_shared<test::manual_clock>();
    codec->env.random = std::make_shared<test::seeded_random>(test::seed() + 1);
    codec->env.files = disk;
    codec->env.stores = simple_stores(disk, codec->env.random);
    auto keys = crypto::make_keyring(random);
    REQUIRE(keys);
    auto store = codec->env.stores->open({"/catalog", true, std::nullopt, 1 << 20});
    REQUIRE(store);
    auto opened = catalog::open(std::move(*store), keys->vault, *random_id<device_id>(random));
    REQUIRE(opened);
    context.names = std::move(*opened);
    codec->keys = std::make_shared<key_holder>(std::move(*keys));
    codec->claims = std::make_shared<chunk_claims>(*context.names);
    codec->parity_pool = buffer_pool::make(pack_buffer_size, packs_max);
    context.codec = codec;
    context.team = std::make_shared<codec_team>(sys, *codec, 2);
    context.pack_pool = buffer_pool::make(pack_buffer_size, packs_max);
    context.catalog_writer = spawn_catalog(sys, context.names, codec->env.clock);
    context.how = how;
    context.pack_limit = pack_limit;
    context.packs_max = packs_max;
    context.drives = std::make_shared<drive_table>();
    add_drives(drive_count);
    packer = spawn_packer(sys, context);
  }
  ~packer_room() {
    stop(packer);
    stop(context.catalog_writer);
    for (const auto& worker : context.team->workers())
      stop(worker);
    for (const auto& writer : writers)
      stop(writer);
  }
  template <class Handle>
  void stop(const Handle& whom) {
    self->send_exit(whom, caf::exit_reason::user_shutdown);
    self->wait_for(whom);
  }

  void add_drives(size_t count) {
    drive_table::list list;
    for (size_t i = 0; i < count; ++i) {
      shard_store_options options;
      options.folder = "/d" + std::to_string(i);
      REQUIRE(shard_store::format(context.codec->env, options.folder));
      auto opened = shard_store::open(context.codec->env, options);
      REQUIRE(opened);
      drive_entry entry;
      entry.folder = options.folder;
      entry.store = std::move(*opened);
      entry.id = entry.store->id();
      drives.push_back(std::make_shared<fake_drive>());
      writers.push_back(test::spawn_fake_drive(sys, drives.back()));
      entry.writer = writers.back();
      list.push_back(std::move(entry));
    }
    context.drives->replace(std::move(list));
  }
  void set_all(manner how) {
    for (auto& drive : drives)
      drive->set(how);
  }
  void wait_for_stores(size_t count) {
    for (auto& drive : drives)
      drive->wait_for_stores(count);
  }
  /// Returns when the packer has the stamps that it asked for.
  void let_stamp() {
    open(99);
    REQUIRE(test::ask<v1::Done>(self, context.catalog_writer, v1::CommitCatalog{}));
    open(99);
  }
  /// Returns when packs have come as far as they can: a pack asks the catalog for stamps,
  /// a worker for its parity and the drives for a place, and all of these answer in turn.
  void let_come() {
    for (int step = 0; step < 4; ++step) {
      let_stamp();
      for (const auto& worker : context.team->workers()) {
        memory none;
        REQUIRE(test::ask<v1::Done>(self, worker, v1::OpenChunks{}, bytes{}, none));
      }
      open(99);
    }
    for (const auto& writer : writers)
      REQUIRE(test::ask<v1::Done>(self, writer, v1::SetDriveState{}));
  }
  void let_go() {
    for (const auto& writer : writers)
      self->send(writer, caf::flush_atom_v);
  }
  size_t shards_on_drives() const {
    size_t count = 0;
    for (const auto& drive : drives)
      count += drive->shards().size();
    return count;
  }

  // -- what a job says ------------------------------------------------------------

  v1::PackFigures open(uint64_t job) {
    v1::OpenIntake request;
    request.set_job(job);
    auto figures = test::ask<v1::PackFigures>(self, packer, request);
    REQUIRE(figures);
    return *figures;
  }
  auto closing(uint64_t job) {
    v1::CloseIntake request;
    request.set_job(job);
    return self->request(packer, patience, request);
  }
  void close(uint64_t job) {
    auto pending = closing(job);
    REQUIRE(answer_to<v1::Done>(pending));
  }
  slices chunks(size_t count, size_t size) {
    slices data;
    for (size_t i = 0; i < count; ++i)
      data.push_back(bytes::take(random.make(size)));
    return data;
  }
  auto seal(uint64_t job, const slices& data) {
    v1::SealChunks request;
    request.set_job(job);
    return self->request(packer, patience, std::move(request), data);
  }
  v1::SealedChunks sealed(uint64_t job, const slices& data) {
    auto pending = seal(job, data);
    auto reply = answer_to<v1::SealedChunks>(pending);
    if (!reply)
      FAIL(reply.error().message());
    return *reply;
  }
  auto submit(uint64_t job) {
    v1::SubmitOperations request;
    request.set_job(job);
    auto node = *random_id<node_id>(random);
    request.add_bodies(encode_body(move_node{node, root_node(), node.hex(), node_kind::folder}));
    return self->request(packer, patience, std::move(request));
  }
  auto flush(uint64_t job, bool at_once = true) {
    v1::FlushPacks request;
    request.set_job(job);
    request.set_at_once(at_once);
    return self->request(packer, patience, std::move(request));
  }
  template <class Pending>
  v1::PackFigures figures(Pending& pending) {
    auto answer = answer_to<v1::PackFigures>(pending);
    if (!answer)
      FAIL(answer.error().message());
    return *answer;
  }
  template <class Pending>
  errc outcome(Pending& pending) {
    return code_of(answer_to<v1::PackFigures>(pending));
  }

  // -- what came of it --------------------------------------------------------------

  std::vector<pack_record> packs() const {
    auto all = context.names->packs(std::nullopt, 1000);
    return all ? *all : std::vector<pack_record>{};
  }
  /// No operation is missing, and so many are there.
  void check_log(uint64_t last) {
    auto devices = context.names->devices();
    REQUIRE(devices);
    REQUIRE(devices->size() == (last > 0 ? 1 : 0));
    if (last == 0)
      return;
    CHECK(devices->front().last_sequence == last);
    CHECK(devices->front().missing == 0);
    CHECK(devices->front().broken_at == 0);
  }
  bool all_known(const v1::SealedChunks& rows) const {
    return std::all_of(rows.chunks().begin(), rows.chunks().end(), [&](const auto& row) {
      auto found = context.names->find_chunk(*read_id<chunk_id>(row.id()));
      return found && *found;
    });
  }
};

bool all_are(const v1::SealedChunks& rows, v1::SealedChunk::Standing standing) {
  return std::all_of(rows.chunks().begin(), rows.chunks().end(), [&](const auto& row) { return row.standing() == standing; });
}

constexpr policy two_and_two{2, 2, domain_level::drive};
constexpr policy mirrored{1, 1, domain_level::drive};

} // namespace

TEST_CASE("jobs that run side by side share a pack", "[packer]") {
  packer_room room{two_and_two, 4};
  room.open(1);
  room.open(2);
  auto mine = room.sealed(1, room.chunks(3, 10'000));
  auto others = room.sealed(2, room.chunks(2, 20'000));
  CHECK(all_are(mine, v1::SealedChunk::STORED));
  auto first = room.submit(1);
  auto second = room.submit(2);
  auto waiting = room.flush(1, false);
  auto last = room.flush(2);
  CHECK(room.outcome(first) == errc{});
  CHECK(room.outcome(second) == errc{});
  CHECK(room.outcome(waiting) == errc{});
  CHECK(room.figures(last).packs() == 1);
  CHECK(room.packs().size() == 1);
  CHECK(room.all_known(mine));
  CHECK(room.all_known(others));
  room.check_log(2);
}

TEST_CASE("a flush is answered after the wait for company, too", "[packer]") {
  packer_room room{mirrored, 2};
  room.open(1);
  room.open(2);
  auto rows = room.sealed(1, room.chunks(1, 1000));
  auto pending = room.flush(1, false);
  CHECK(room.figures(pending).packs() == 1);
  CHECK(room.all_known(rows));
}

TEST_CASE("what is in a pack that is filled is pending, what is committed is known", "[packer]") {
  packer_room room{mirrored, 2};
  room.open(1);
  room.open(2);
  auto data = room.chunks(2, 5000);
  CHECK(all_are(room.sealed(1, data), v1::SealedChunk::STORED));
  CHECK(all_are(room.sealed(2, data), v1::SealedChunk::PENDING));
  auto pending = room.flush(2);
  CHECK(room.outcome(pending) == errc{});
  CHECK(all_are(room.sealed(2, data), v1::SealedChunk::KNOWN));
}

TEST_CASE("a batch that is larger than the room left goes on in the next packs", "[packer]") {
  packer_room room{mirrored, 2, 128 << 10};
  room.open(1);
  auto data = room.chunks(12, 40'000);
  auto rows = room.sealed(1, data);
  REQUIRE(rows.chunks_size() == 12);
  CHECK(all_are(rows, v1::SealedChunk::STORED));
  auto submitted = room.submit(1);
  auto flushed = room.flush(1);
  CHECK(room.outcome(submitted) == errc{});
  CHECK(room.figures(flushed).packs() >= 4);
  CHECK(room.all_known(rows));
  room.check_log(1);
}

TEST_CASE("a pack that carries operations is written when the packs before it are stored", "[packer]") {
  packer_room room{mirrored, 2, 64 << 10};
  room.open(1);
  auto first = room.sealed(1, room.chunks(1, 60'000));
  room.drives[0]->set(manner::hold_next);
  room.drives[1]->set(manner::hold_next);
  auto second = room.sealed(1, room.chunks(1, 60'000));
  auto submitted = room.submit(1);
  auto flushed = room.flush(1);
  room.drives[0]->wait_for_stores(1);
  room.drives[1]->wait_for_stores(1);
  room.let_come();
  CHECK(room.drives[0]->stores() == 1);
  CHECK(room.drives[1]->stores() == 1);
  // The first pack lies on the second drive when the first drive is asked for the next.
  std::atomic<bool> overtaken = false;
  room.drives[0]->observe([&] { overtaken = overtaken || room.drives[1]->shards().empty(); });
  room.let_go();
  CHECK(room.outcome(submitted) == errc{});
  CHECK(room.figures(flushed).packs() == 2);
  CHECK(!overtaken);
  CHECK(room.all_known(first));
  CHECK(room.all_known(second));
}

TEST_CASE("a flush waits for packs that later ones overtook", "[packer]") {
  packer_room room{mirrored, 2, 64 << 10};
  room.open(1);
  (void) room.sealed(1, room.chunks(1, 60'000));
  room.drives[0]->set(manner::hold_next);
  room.drives[1]->set(manner::hold_next);
  (void) room.sealed(1, room.chunks(1, 60'000)); // Closes the first pack.
  room.drives[0]->wait_for_stores(1);
  room.drives[1]->wait_for_stores(1);
  auto flushed = room.flush(1);
  while (room.open(9).packs() < 1)
    ; // The second pack is committed while the first is held.
  CHECK(room.packs().size() == 1);
  room.let_go();
  CHECK(room.figures(flushed).packs() == 2);
}

TEST_CASE("a packer that falls answers all that waits for it", "[packer]") {
  packer_room room{mirrored, 2};
  room.set_all(manner::hold);
  room.open(1);
  (void) room.sealed(1, room.chunks(1, 60'000));
  auto submitted = room.submit(1);
  auto flushed = room.flush(1);
  auto closed = room.closing(1);
  room.wait_for_stores(1);
  room.self->send_exit(room.packer, caf::exit_reason::kill);
  CHECK(room.outcome(submitted) == errc::unavailable);
  CHECK(room.outcome(flushed) == errc::unavailable);
  CHECK(code_of(answer_to<v1::Done>(closed)) == errc::unavailable);
  room.let_go();
}

TEST_CASE("a drive that refuses is replaced by another", "[packer]") {
  packer_room room{mirrored, 3};
  auto refusing = GENERATE(0u, 1u, 2u);
  room.drives[refusing]->set(manner::refuse);
  room.open(1);
  auto rows = room.sealed(1, room.chunks(2, 5000));
  auto flushed = room.flush(1);
  auto figures = room.figures(flushed);
  CHECK(figures.shards_short() == 0);
  CHECK(room.all_known(rows));
  REQUIRE(room.packs().size() == 1);
  CHECK(room.packs()[0].shards_present() == 2);
  CHECK(room.shards_on_drives() == 2);
  CHECK(room.drives[refusing]->shards().empty());
}

TEST_CASE("shards that a pack lacks are told to the jobs that ran meanwhile", "[packer]") {
  packer_room room{two_and_two, 4};
  room.drives[2]->set(manner::refuse);
  room.open(1);
  (void) room.sealed(1, room.chunks(1, 5000));
  auto first = room.flush(1);
  CHECK(room.figures(first).shards_short() == 1);
  room.close(1);
  room.drives[2]->set(manner::take);
  room.open(2);
  (void) room.sealed(2, room.chunks(1, 5000));
  auto second = room.flush(2);
  CHECK(room.figures(second).shards_short() == 0);
}

TEST_CASE("fewer shards than the least fail every waiting put, and the next one works", "[packer]") {
  packer_room room{two_and_two, 4};
  room.drives[0]->set(manner::refuse);
  room.drives[3]->set(manner::refuse);
  room.open(1);
  room.open(2);
  auto data = room.chunks(2, 5000);
  (void) room.sealed(1, data);
  (void) room.sealed(2, room.chunks(1, 5000));
  auto first = room.submit(1);
  auto second = room.submit(2);
  auto flushed = room.flush(1);
  CHECK(room.outcome(first) == errc::too_few_drives);
  CHECK(room.outcome(second) == errc::too_few_drives);
  CHECK(room.outcome(flushed) == errc::too_few_drives);
  CHECK(room.packs().empty());
  room.set_all(manner::take);
  room.close(1);
  room.close(2);
  room.open(3);
  CHECK(all_are(room.sealed(3, data), v1::SealedChunk::STORED));
  auto third = room.submit(3);
  auto last = room.flush(3);
  CHECK(room.outcome(third) == errc{});
  CHECK(room.outcome(last) == errc{});
  CHECK(room.shards_on_drives() == 4); // What the failed pack stored is gone.
  room.check_log(1);
}

TEST_CASE("a job whose chunks were lost with a pack can not go on", "[packer]") {
  packer_room room{mirrored, 2};
  room.set_all(manner::refuse);
  room.open(1);
  room.open(2);
  room.open(3);
  (void) room.sealed(1, room.chunks(1, 5000)); // Answered before its pack fails.
  (void) room.sealed(2, room.chunks(1, 5000));
  auto flushed = room.flush(2);
  CHECK(room.outcome(flushed) == errc::too_few_drives);
  room.set_all(manner::take);
  auto submitted = room.submit(1);
  CHECK(room.outcome(submitted) == errc::too_few_drives);
  auto more = room.seal(1, room.chunks(1, 5000));
  CHECK(code_of(answer_to<v1::SealedChunks>(more)) == errc::too_few_drives);
  auto last = room.flush(1);
  CHECK(room.outcome(last) == errc::too_few_drives);
  CHECK(all_are(room.sealed(3, room.chunks(1, 5000)), v1::SealedChunk::STORED));
  auto other = room.flush(3);
  CHECK(room.outcome(other) == errc{});
  room.check_log(0);
}

TEST_CASE("a pack that fails takes nothing along that is before it", "[packer]") {
  packer_room room{mirrored, 2, 64 << 10};
  room.open(1);
  room.open(2);
  room.set_all(manner::hold_next);
  auto first = room.sealed(1, room.chunks(1, 60'000));
  auto submitted = room.submit(1);
  auto flushed = room.flush(1);
  room.wait_for_stores(1);
  // The pack of the first job is on its way; that of the second overtakes it, and dies.
  room.set_all(manner::refuse);
  auto lost = room.sealed(2, room.chunks(1, 60'000));
  auto refused = room.flush(2);
  CHECK(room.outcome(refused) == errc::too_few_drives);
  room.set_all(manner::take);
  SECTION("the first job hears of its own pack") {
    room.let_go();
    CHECK(room.outcome(submitted) == errc{});
    CHECK(room.outcome(flushed) == errc{});
  }
  SECTION("a job that is closed meanwhile hears of its end when nothing of it can change") {
    auto closed = room.closing(1);
    room.let_go();
    CHECK(answer_to<v1::Done>(closed));
    CHECK(room.packs().size() == 1);
  }
  CHECK(room.all_known(first));
  CHECK(!room.all_known(lost));
  room.check_log(1);
}

TEST_CASE("stamps of packs that died are taken back behind those that are committed", "[packer]") {
  packer_room room{mirrored, 2, 64 << 10, 3};
  room.open(1);
  room.open(2);
  room.open(3);
  room.set_all(manner::hold_next);
  (void) room.sealed(1, room.chunks(1, 60'000));
  auto first = room.submit(1);
  auto flushed = room.flush(1);
  room.wait_for_stores(1);
  // Drives take their time to refuse the next pack, and one with operations is behind it.
  room.set_all(manner::refuse);
  std::promise<void> enough;
  auto released = enough.get_future().share();
  for (auto& drive : room.drives)
    drive->observe([released] { released.wait(); });
  (void) room.sealed(2, room.chunks(1, 60'000));
  auto third = room.flush(2);
  (void) room.sealed(3, room.chunks(1, 60'000));
  auto second = room.submit(3);
  auto last = room.flush(3);
  room.let_stamp();
  enough.set_value();
  CHECK(room.outcome(third) == errc::too_few_drives);
  CHECK(room.outcome(second) == errc::too_few_drives);
  CHECK(room.outcome(last) == errc::too_few_drives);
  room.set_all(manner::take);
  room.open(4);
  auto fourth = room.submit(4);
  auto after = room.flush(4);
  room.let_go();
  CHECK(room.outcome(first) == errc{});
  CHECK(room.outcome(flushed) == errc{});
  CHECK(room.outcome(fourth) == errc{});
  CHECK(room.outcome(after) == errc{});
  room.check_log(2);
}

TEST_CASE("a flush is answered while others keep the packer busy", "[packer]") {
  packer_room room{mirrored, 2, 256 << 10};
  room.open(1);
  room.open(2);
  auto mine = room.sealed(1, room.chunks(1, 5000));
  auto submitted = room.submit(1);
  using pending_seal = decltype(room.seal(2, slices{}));
  std::vector<pending_seal> busy;
  for (int i = 0; i < 12; ++i)
    busy.push_back(room.seal(2, room.chunks(4, 30'000)));
  auto flushed = room.flush(1);
  CHECK(room.outcome(submitted) == errc{});
  CHECK(room.outcome(flushed) == errc{});
  CHECK(room.all_known(mine));
  for (auto& pending : busy)
    CHECK(code_of(answer_to<v1::SealedChunks>(pending)) == errc{});
  auto last = room.flush(2);
  CHECK(room.outcome(last) == errc{});
}

TEST_CASE("a flush of nothing is answered at once", "[packer]") {
  packer_room room{mirrored, 2};
  auto unknown = room.flush(7);
  CHECK(room.figures(unknown).packs() == 0);
  room.open(1);
  auto idle = room.flush(1, false);
  CHECK(room.figures(idle).packs() == 0);
  CHECK(room.packs().empty());
}

TEST_CASE("packs of a running job are pinned until it ends", "[packer]") {
  packer_room room{mirrored, 2};
  room.open(1);
  (void) room.sealed(1, room.chunks(1, 5000));
  auto flushed = room.flush(1);
  REQUIRE(room.outcome(flushed) == errc{});
  auto id = room.packs().at(0).seal.id;
  CHECK(room.context.codec->claims->condemn({id}).empty());
  room.close(1);
  room.open(2);
  CHECK(room.context.codec->claims->condemn({id}).size() == 1);
}

TEST_CASE("chunks that can not be are refused, and fail nobody else", "[packer]") {
  packer_room room{mirrored, 2};
  room.open(1);
  room.open(2);
  auto rows = room.sealed(1, room.chunks(1, 5000));
  auto empty = room.seal(2, slices{bytes{}});
  CHECK(code_of(answer_to<v1::SealedChunks>(empty)) == errc::invalid_argument);
  auto large = room.seal(2, room.chunks(1, chunk_plain_max + 1));
  CHECK(code_of(answer_to<v1::SealedChunks>(large)) == errc::invalid_argument);
  auto flushed = room.flush(1);
  CHECK(room.outcome(flushed) == errc{});
  CHECK(room.all_known(rows));
}
