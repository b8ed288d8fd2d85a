#include "storage/catalog_actor.hpp"

#include "storage/convert.hpp"
#include "tests/actors/waiting.hpp"
#include "tests/libdatamesh/storage/catalog_fixture.hpp"
#include "tests/support/manual_clock.hpp"

using namespace datamesh;
using namespace datamesh::storage;
using test::answer_to;
using test::code_of;
using test::make;

namespace {

/// What nobody answers is a failure, not a test that hangs.
constexpr auto patience = std::chrono::minutes{2};

struct catalog_room {
  caf::actor_system_config config;
  caf::actor_system sys{config.add_message_types<caf::id_block::datamesh>()};
  std::shared_ptr<test::memory_disk> disk = std::make_shared<test::memory_disk>();
  std::shared_ptr<catalog> names = test::open_catalog(disk);
  test::seeded_random random{test::run_seed()};
  std::shared_ptr<name_claims> claims = std::make_shared<name_claims>(*names, random);
  catalog_actor writer = spawn_catalog(sys, names, std::make_shared<test::manual_clock>(), claims);
  caf::scoped_actor self{sys};

  ~catalog_room() {
    self->send_exit(writer, caf::exit_reason::user_shutdown);
    self->wait_for(writer);
  }

  static std::string body(uint64_t n) {
    return encode_body(make(test::nth_node(n), root_node(), "n" + std::to_string(n), node_kind::folder));
  }
  template <class Request>
  static Request with_bodies(std::initializer_list<uint64_t> numbers) {
    Request request;
    for (auto n : numbers)
      request.add_bodies(body(n));
    return request;
  }
  auto stamp(caf::scoped_actor& who, std::initializer_list<uint64_t> numbers) {
    return who->request(writer, patience, with_bodies<v1::StampOperations>(numbers));
  }
  auto apply(caf::scoped_actor& who, std::initializer_list<uint64_t> numbers) {
    return who->request(writer, patience, with_bodies<v1::ApplyOperations>(numbers));
  }
  v1::StampedOperations stamped(caf::scoped_actor& who, std::initializer_list<uint64_t> numbers) {
    auto pending = stamp(who, numbers);
    auto answer = answer_to<v1::StampedOperations>(pending);
    if (!answer)
      FAIL(answer.error().message());
    return *answer;
  }
  auto commit(caf::scoped_actor& who, const v1::StampedOperations& what) {
    v1::CommitCatalog request;
    *request.mutable_operations() = what.operations();
    request.set_operations_in_pack(true);
    return who->request(writer, patience, std::move(request));
  }
  errc committed(caf::scoped_actor& who, const v1::StampedOperations& what) {
    auto pending = commit(who, what);
    return code_of(answer_to<v1::Done>(pending));
  }
  template <class Pending>
  errc done(Pending& pending) {
    return code_of(answer_to<v1::Done>(pending));
  }
  /// The log has every operation up to *last*, each linked to the one before.
  void check_log(uint64_t last) {
    auto devices = names->devices();
    REQUIRE(devices);
    REQUIRE(devices->size() == 1);
    CHECK(devices->front().last_sequence == last);
    CHECK(devices->front().missing == 0);
    CHECK(devices->front().broken_at == 0);
  }
  bool has(uint64_t n) {
    return names->resolve("/n" + std::to_string(n)).has_value();
  }
};

} // namespace

TEST_CASE("operations that wait for a stamped pack are served after its commit, and none is lost", "[catalog_actor]") {
  catalog_room room;
  caf::scoped_actor other{room.sys};
  auto pack = room.stamped(room.self, {1, 2});
  CHECK(pack.first_sequence() == 1);
  auto first = room.apply(other, {3});
  auto second = room.stamp(other, {4});
  auto third = room.apply(other, {5, 6});
  CHECK(room.committed(room.self, pack) == errc{});
  CHECK(room.done(first) == errc{});
  auto next = answer_to<v1::StampedOperations>(second);
  REQUIRE(next);
  CHECK(next->first_sequence() == 4);
  CHECK(room.committed(other, *next) == errc{});
  CHECK(room.done(third) == errc{});
  for (uint64_t n = 1; n <= 6; ++n)
    CHECK(room.has(n));
  room.check_log(6);
}

TEST_CASE("stamps of a pack that failed are taken back, so that the log has no gap", "[catalog_actor]") {
  catalog_room room;
  caf::scoped_actor other{room.sys};
  auto pack = room.stamped(room.self, {1, 2, 3});
  auto waiting = room.apply(other, {4});
  room.self->send(room.writer, caf::delete_atom_v);
  CHECK(room.done(waiting) == errc{});
  CHECK(!room.has(1));
  auto again = room.stamped(room.self, {1});
  CHECK(again.first_sequence() == 2);
  CHECK(room.committed(room.self, again) == errc{});
  room.check_log(2);
}

TEST_CASE("a catalog that falls answers all that waits for a pack", "[catalog_actor]") {
  catalog_room room;
  caf::scoped_actor other{room.sys};
  auto pack = room.stamped(room.self, {1});
  auto applied = room.apply(other, {2});
  auto stamped = room.stamp(other, {3});
  room.self->send_exit(room.writer, caf::exit_reason::kill);
  CHECK(room.done(applied) == errc::unavailable);
  CHECK(code_of(answer_to<v1::StampedOperations>(stamped)) == errc::unavailable);
}

TEST_CASE("one who holds no stamp can neither take back nor end another's", "[catalog_actor]") {
  catalog_room room;
  caf::scoped_actor other{room.sys};
  auto pack = room.stamped(room.self, {1, 2});
  other->send(room.writer, caf::delete_atom_v);
  v1::CommitCatalog nothing;
  CHECK(code_of(test::ask<v1::Done>(other, room.writer, nothing)) == errc{});
  auto waiting = room.apply(other, {3});
  CHECK(room.committed(room.self, pack) == errc{});
  CHECK(room.done(waiting) == errc{});
  room.check_log(3);
}

TEST_CASE("operations that others commit wait, too, as they may take the same numbers", "[catalog_actor]") {
  catalog_room room;
  caf::scoped_actor other{room.sys};
  auto first = room.stamped(other, {1});
  CHECK(room.committed(other, first) == errc{});
  auto pack = room.stamped(room.self, {2, 3});
  auto repeated = room.commit(other, first);
  CHECK(room.committed(room.self, pack) == errc{});
  CHECK(room.done(repeated) == errc{});
  room.check_log(3);
}

TEST_CASE("a stamp that nobody waits for any more is withdrawn", "[catalog_actor]") {
  catalog_room room;
  caf::scoped_actor other{room.sys};
  auto pack = room.stamped(room.self, {1});
  auto late = room.stamp(other, {2});
  other->send(room.writer, caf::delete_atom_v);
  CHECK(code_of(answer_to<v1::StampedOperations>(late)) == errc::cancelled);
  CHECK(room.committed(room.self, pack) == errc{});
  auto after = room.apply(other, {3});
  CHECK(room.done(after) == errc{});
  room.check_log(2);
}

TEST_CASE("the stamps of one who ended are taken back", "[catalog_actor]") {
  catalog_room room;
  {
    caf::scoped_actor gone{room.sys};
    (void) room.stamped(gone, {1, 2});
  }
  auto waiting = room.apply(room.self, {3});
  CHECK(room.done(waiting) == errc{});
  room.check_log(1);
}

TEST_CASE("nothing to stamp holds nobody up, and what can not be read is refused", "[catalog_actor]") {
  catalog_room room;
  CHECK(room.stamped(room.self, {}).operations_size() == 0);
  v1::StampOperations broken;
  broken.add_bodies("no operation");
  CHECK(code_of(test::ask<v1::StampedOperations>(room.self, room.writer, broken)) == errc::format_damaged);
  auto next = room.apply(room.self, {1});
  CHECK(room.done(next) == errc{});
  room.check_log(1);
}

TEST_CASE("after a failed commit every later request is answered, with the failure", "[catalog_actor]") {
  catalog_room room;
  caf::scoped_actor other{room.sys};
  auto pack = room.stamped(room.self, {1});
  auto waiting = room.apply(other, {2});
  room.disk->write_fails = true;
  CHECK(room.committed(room.self, pack) == errc::no_space);
  CHECK(room.done(waiting) == errc::no_space);
}

TEST_CASE("a change that could not be committed holds nobody up", "[catalog_actor]") {
  catalog_room room;
  caf::scoped_actor other{room.sys};
  room.disk->write_fails = true;
  auto refused = room.apply(room.self, {1});
  CHECK(room.done(refused) == errc::no_space);
  auto waiting = room.stamp(other, {2});
  CHECK(code_of(answer_to<v1::StampedOperations>(waiting)) == errc::no_space);
}

TEST_CASE("the stamps of one who ends after the catalog was closed are no more", "[catalog_actor]") {
  catalog_room room;
  {
    caf::scoped_actor holder{room.sys};
    (void) room.stamped(holder, {1});
    auto closing = room.self->request(room.writer, patience, caf::close_atom_v);
    CHECK(room.done(closing) == errc{});
  }
  auto late = room.apply(room.self, {2});
  CHECK(room.done(late) == errc::unavailable);
}

TEST_CASE("a catalog that met a full disk serves again once it was opened anew", "[catalog_actor]") {
  catalog_room room;
  caf::scoped_actor other{room.sys};
  auto pack = room.stamped(room.self, {1});
  room.disk->write_fails = true;
  CHECK(room.committed(room.self, pack) == errc::no_space);
  auto refused = room.apply(other, {2});
  CHECK(room.done(refused) == errc::no_space);
  CHECK(code_of(test::ask<v1::StampedOperations>(other, room.writer, room.with_bodies<v1::StampOperations>({3}))) == errc::no_space);
  CHECK(code_of(test::ask<v1::Done>(other, room.writer, caf::open_atom_v)) == errc::no_space);
  room.disk->write_fails = false;
  CHECK(code_of(test::ask<v1::Done>(other, room.writer, caf::open_atom_v)) == errc{});
  auto applied = room.apply(other, {4});
  CHECK(room.done(applied) == errc{});
  pack = room.stamped(room.self, {5});
  CHECK(room.committed(room.self, pack) == errc{});
  for (uint64_t n = 1; n <= 3; ++n)
    CHECK_FALSE(room.has(n));
  CHECK(room.has(4));
  CHECK(room.has(5));
}
