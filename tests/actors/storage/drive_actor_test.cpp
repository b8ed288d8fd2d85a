#include "storage/drive_actor.hpp"

#include "base/simple_store.hpp"
#include "storage/convert.hpp"
#include "tests/actors/waiting.hpp"
#include "tests/libdatamesh/storage/pack_maker.hpp"
#include "tests/libdatamesh/storage/seed.hpp"
#include "tests/support/manual_clock.hpp"
#include "tests/support/simulated_files.hpp"

#include <catch2/catch.hpp>

#include <condition_variable>

using namespace datamesh;
using namespace datamesh::storage;
using test::answer_to;
using test::code_of;
using test::disk_call;

namespace {

constexpr geometry in_index{2, 1, 5056};
constexpr geometry in_files{2, 1, 4 * block_size};

/// A disk that stands still at a look at its space until it is let go.
class gated_files : public test::simulated_files {
public:
  using test::simulated_files::simulated_files;
  void close_gate() {
    std::lock_guard guard{mutex_};
    open_ = false;
  }
  void open_gate() {
    std::lock_guard guard{mutex_};
    open_ = true;
    changed_.notify_all();
  }
  void wait_at_gate() {
    std::unique_lock guard{mutex_};
    changed_.wait(guard, [&] { return standing_; });
  }
  result<disk_space> space(const std::string& path) override {
    {
      std::unique_lock guard{mutex_};
      standing_ = !open_;
      changed_.notify_all();
      changed_.wait(guard, [&] { return open_; });
      standing_ = false;
    }
    return test::simulated_files::space(path);
  }

private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = true;
  bool standing_ = false;
};

struct drive_room {
  caf::actor_system_config config;
  caf::actor_system sys{config.add_message_types<caf::id_block::datamesh>()};
  test::seeded_random random{test::seed()};
  std::shared_ptr<gated_files> disk = std::make_shared<gated_files>();
  environment env;
  std::shared_ptr<shard_store> store;
  drive_writer_actor writer;
  drive_reader_actor reader;
  caf::scoped_actor self{sys};

  drive_room() {
    env.clock = std::make_shared<test::manual_clock>();
    env.random = std::make_shared<test::seeded_random>(1);
    env.files = disk;
    env.stores = simple_stores(disk, env.random);
    REQUIRE(shard_store::format(env, "/drive"));
    shard_store_options options;
    options.folder = "/drive";
    options.reserve_bytes = 0;
    options.reserve_ratio = 0;
    auto opened = shard_store::open(env, options);
    REQUIRE(opened);
    store = std::move(*opened);
    writer = spawn_drive_writer(sys, store);
    reader = spawn_drive_reader(sys, store);
  }
  ~drive_room() {
    disk->open_gate();
    self->send_exit(writer, caf::exit_reason::user_shutdown);
    self->send_exit(reader, caf::exit_reason::user_shutdown);
    self->wait_for(writer, reader);
  }
  auto send(const std::vector<shard_write>& pack) {
    v1::StoreShards request;
    slices bodies;
    for (const auto& shard : pack) {
      request.add_headers(std::string{as_text(encode_shard_header(shard.header, pack.front().header.pack.shape.shards_are_files()))});
      bodies.push_back(shard.body);
    }
    return self->request(writer, caf::infinite, std::move(request), std::move(bodies));
  }
  template <class Pending>
  errc done(Pending& pending) {
    return code_of(answer_to<v1::Done>(pending));
  }
  bool has(const std::vector<shard_write>& pack) {
    return std::all_of(pack.begin(), pack.end(), [&](const auto& shard) {
      auto found = store->find(test::key_of(shard));
      return found && found->has_value();
    });
  }
};

} // namespace

TEST_CASE("stores that wait at a drive are written in one call", "[drive_actor]") {
  drive_room room;
  auto first = test::make_pack(room.random, in_index);
  room.disk->close_gate();
  auto leader = room.send(first);
  room.disk->wait_at_gate();
  auto before = room.disk->calls(disk_call::sync);
  std::vector<std::vector<shard_write>> packs;
  using pending_store = decltype(room.send(first));
  std::vector<pending_store> waiting;
  for (int i = 0; i < 8; ++i) {
    packs.push_back(test::make_pack(room.random, in_index));
    waiting.push_back(room.send(packs.back()));
  }
  room.disk->open_gate();
  CHECK(room.done(leader) == errc{});
  for (auto& pending : waiting)
    CHECK(room.done(pending) == errc{});
  for (const auto& pack : packs)
    CHECK(room.has(pack));
  auto alone = room.disk->calls(disk_call::sync);
  CHECK(alone - before <= 2);
}

TEST_CASE("a request that can not be stored does not take others with it", "[drive_actor]") {
  drive_room room;
  auto leader_pack = test::make_pack(room.random, in_index);
  room.disk->close_gate();
  auto leader = room.send(leader_pack);
  room.disk->wait_at_gate();
  auto good = test::make_pack(room.random, in_index);
  auto large = test::make_pack(room.random, in_files);
  auto better = test::make_pack(room.random, in_index);
  room.disk->set_capacity(room.disk->used() + (300 << 10));
  auto first = room.send(good);
  auto second = room.send(large);
  auto third = room.send(better);
  room.disk->open_gate();
  CHECK(room.done(leader) == errc{});
  CHECK(room.done(first) == errc{});
  CHECK(room.done(second) == errc::drive_full);
  CHECK(room.done(third) == errc{});
  CHECK(room.has(good));
  CHECK(room.has(better));
  CHECK(!room.has(large));
}

TEST_CASE("headers that do not fit their bodies are refused before anything is written", "[drive_actor]") {
  drive_room room;
  auto pack = test::make_pack(room.random, in_index);
  auto cut = pack;
  cut[1].body = cut[1].body.slice(0, 100);
  auto wrong = room.send(cut);
  CHECK(room.done(wrong) == errc::invalid_argument);
  v1::StoreShards lonely;
  lonely.add_headers("no header");
  CHECK(code_of(test::ask<v1::Done>(room.self, room.writer, lonely, slices{})) == errc::invalid_argument);
  CHECK(code_of(test::ask<v1::Done>(room.self, room.writer, lonely, slices{pack[0].body})) != errc{});
  CHECK(!room.has({pack[0]}));
  auto right = room.send(pack);
  CHECK(room.done(right) == errc{});
}

TEST_CASE("a remove comes behind the stores that were sent before it", "[drive_actor]") {
  drive_room room;
  auto pack = test::make_pack(room.random, in_index);
  auto stored = room.send(pack);
  v1::RemoveShards request;
  *request.add_shards() = to_proto(test::key_of(pack[0]));
  auto removed = room.self->request(room.writer, caf::infinite, std::move(request));
  CHECK(room.done(stored) == errc{});
  CHECK(room.done(removed) == errc{});
  CHECK(!room.has({pack[0]}));
  CHECK(room.has({pack[1]}));
}

TEST_CASE("a writer that ends leaves nobody waiting", "[drive_actor]") {
  drive_room room;
  room.disk->close_gate();
  auto leader = room.send(test::make_pack(room.random, in_index));
  room.disk->wait_at_gate();
  auto late = room.send(test::make_pack(room.random, in_index));
  room.self->send_exit(room.writer, caf::exit_reason::user_shutdown);
  room.disk->open_gate();
  CHECK(room.done(leader) == errc{});
  CHECK(room.done(late) == errc::unavailable);
}

TEST_CASE("a reader fills memory with blocks that are checked", "[drive_actor]") {
  drive_room room;
  auto pack = test::make_pack(room.random, in_files);
  auto stored = room.send(pack);
  REQUIRE(room.done(stored) == errc{});
  auto owner = std::make_shared<std::vector<std::byte>>(block_size);
  memory out{owner, byte_span{*owner}};
  v1::ReadBlocks request;
  *request.mutable_seal() = to_proto(pack[1].header.pack);
  request.set_index(1);
  request.set_first_block(2);
  CHECK(code_of(test::ask<v1::Done>(room.self, room.reader, request, out)) == errc{});
  CHECK(std::equal(owner->begin(), owner->end(), pack[1].body.view().begin() + 2 * block_size));
  request.set_index(9);
  CHECK(code_of(test::ask<v1::Done>(room.self, room.reader, request, out)) == errc::invalid_argument);
  *request.mutable_seal() = to_proto(test::make_pack(room.random, in_files)[0].header.pack);
  request.set_index(0);
  CHECK(code_of(test::ask<v1::Done>(room.self, room.reader, request, out)) == errc::shard_missing);
}
