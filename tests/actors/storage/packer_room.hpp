// A packer with real codecs and a real catalog, between jobs that a test speaks for and
// drives that do what it says.
#pragma once

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

namespace datamesh::storage {

using test::answer_to;
using test::code_of;
using test::fake_drive;
using test::seeded_random;

inline constexpr policy two_and_two{2, 2, domain_level::drive};
inline constexpr policy mirrored{1, 1, domain_level::drive};

/// Tells a test each time it is asked, on the thread that asks.
class told_random : public random_source {
public:
  explicit told_random(uint64_t seed) : inner_(seed) {}
  /// @pre nobody asks meanwhile
  void tell(std::function<void()> whom) {
    whom_ = std::move(whom);
  }
  result<void> fill(byte_span out) override {
    if (whom_)
      whom_();
    return inner_.fill(out);
  }

private:
  seeded_random inner_;
  std::function<void()> whom_;
};

/// What nobody answers is a failure, not a test that hangs.
inline constexpr auto patience = std::chrono::minutes{2};

struct packer_room {
  caf::actor_system_config config;
  caf::actor_system sys{config.add_message_types<caf::id_block::datamesh>()};
  test::seeded_random random{test::seed()};
  std::shared_ptr<test::simulated_files> disk = std::make_shared<test::simulated_files>();
  std::shared_ptr<told_random> codec_random = std::make_shared<told_random>(test::seed() + 1);
  packer_context context;
  std::vector<std::shared_ptr<fake_drive>> drives;
  std::vector<drive_writer_actor> writers;
  packer_actor packer;
  caf::scoped_actor self{sys};

  packer_room(policy how, size_t drive_count, uint32_t pack_limit = pack_size_max, size_t packs_max = 2, size_t workers = 2) {
    auto codec = std::make_shared<codec_context>();
    codec->env.clock = std::make_shared<test::manual_clock>();
    codec->env.random = codec_random;
    codec->env.files = disk;
    codec->env.stores = simple_stores(disk, std::make_shared<seeded_random>(test::seed() + 2));
    auto keys = crypto::make_keyring(random);
    REQUIRE(keys);
    auto store = lasting_store::open(codec->env.stores, {.folder = "/catalog", .memory_bytes = 1 << 20});
    REQUIRE(store);
    auto opened = catalog::open(std::move(*store), keys->vault, *random_id<device_id>(random));
    REQUIRE(opened);
    context.names = std::move(*opened);
    codec->keys = std::make_shared<key_holder>(std::move(*keys));
    codec->claims = std::make_shared<chunk_claims>(*context.names);
    codec->parity_pool = buffer_pool::make(pack_buffer_size, packs_max);
    context.codec = codec;
    context.team = std::make_shared<codec_team>(sys, *codec, workers);
    context.pack_pool = buffer_pool::make(pack_buffer_size, packs_max);
    context.catalog_writer = spawn_catalog(sys, context.names, codec->env.clock, std::make_shared<name_claims>(*context.names, random));
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
  void set_all(fake_drive::manner how) {
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
  v1::PackFigures open(uint64_t job, std::shared_ptr<stage_watch> watch) {
    v1::OpenIntake request;
    request.set_job(job);
    auto figures = test::ask<v1::PackFigures>(self, packer, request, stage_watch_ref{std::move(watch)});
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

} // namespace datamesh::storage
