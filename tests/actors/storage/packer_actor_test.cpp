#include "tests/actors/storage/packer_room.hpp"

#include <catch2/catch.hpp>

#include <atomic>
#include <future>

using namespace datamesh;
using namespace datamesh::storage;
using test::answer_to;
using test::code_of;
using manner = test::fake_drive::manner;

namespace {

bool all_are(const v1::SealedChunks& rows, v1::SealedChunk::Standing standing) {
  return std::all_of(rows.chunks().begin(), rows.chunks().end(), [&](const auto& row) { return row.standing() == standing; });
}

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

TEST_CASE("nothing of a failed pack is left on drives when its jobs are closed", "[packer]") {
  packer_room room{two_and_two, 4};
  room.drives[0]->set(GENERATE(manner::refuse, manner::lie));
  room.drives[3]->set(manner::refuse);
  room.open(1);
  (void) room.sealed(1, room.chunks(2, 5000));
  auto flushed = room.flush(1);
  CHECK(room.outcome(flushed) == errc::too_few_drives);
  room.close(1);
  CHECK(room.shards_on_drives() == 0);
  room.check_log(0);
}

TEST_CASE("a pack that dies on its way to drives is removed from all that took it", "[packer]") {
  packer_room room{two_and_two, 4, 64 << 10};
  room.open(1);
  room.drives[0]->set(manner::hold_next);
  room.drives[1]->set(manner::refuse);
  room.drives[2]->set(manner::refuse);
  (void) room.sealed(1, room.chunks(1, 60'000));
  auto second = room.seal(1, room.chunks(1, 60'000)); // Closes the first pack.
  room.wait_for_stores(1);
  CHECK(answer_to<v1::SealedChunks>(second));
  room.drives[1]->set(manner::hold);
  room.drives[2]->set(manner::take);
  auto flushed = room.flush(1);
  room.wait_for_stores(2);
  // The first pack fails, and takes along the second, which is still held by a drive.
  room.self->send(room.writers[0], caf::flush_atom_v);
  CHECK(room.outcome(flushed) == errc::too_few_drives);
  auto closed = room.closing(1);
  room.self->send(room.writers[1], caf::flush_atom_v);
  CHECK(answer_to<v1::Done>(closed));
  CHECK(room.shards_on_drives() == 0);
  CHECK(room.packs().empty());
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
