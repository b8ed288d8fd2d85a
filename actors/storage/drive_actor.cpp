#include "storage/drive_actor.hpp"

#include "storage/convert.hpp"

#include <deque>
#include <map>

namespace datamesh::storage {

namespace {

using store_promise = caf::typed_response_promise<v1::Done>;

struct waiting_store {
  std::vector<shard_write> writes;
  store_promise promise;
};

struct writer_state {
  static inline constexpr const char* name = "drive-writer";
  std::shared_ptr<shard_place> store;
  std::deque<waiting_store> waiting;

  /// A writer that falls leaves nobody waiting.
  ~writer_state() {
    for (auto& request : waiting)
      request.promise.deliver(to_caf(error{errc::unavailable, "store shards"}));
  }
};

result<vault_id> vault_of(const std::string& field) {
  return field.empty() ? result<vault_id>{vault_id{}} : read_id<vault_id>(field);
}

result<std::vector<shard_write>> read_writes(const v1::StoreShards& request, const slices& bodies) {
  if (static_cast<size_t>(request.headers_size()) != bodies.size())
    return fail(errc::invalid_argument, "store shards");
  auto vault = vault_of(request.vault());
  if (!vault)
    return fail(vault.error());
  std::vector<shard_write> writes;
  for (size_t i = 0; i < bodies.size(); ++i) {
    auto header = parse_shard_header(as_view(request.headers(static_cast<int>(i))));
    if (!header)
      return fail(header.error());
    if (bodies[i].size() != header->pack.shape.shard_length)
      return fail(errc::invalid_argument, "store shards", header->pack.id.brief());
    writes.push_back(
        {std::move(*header), bodies[i], request.upkeep() ? room_for::upkeep : room_for::data, *vault, work_kind_of(request.work())});
  }
  return writes;
}

/// One call for all that waits; one by one where that fails, so that a request
/// that is at fault does not take the others with it.
void store_waiting(writer_state& state) {
  if (state.waiting.empty())
    return;
  std::vector<shard_write> all;
  for (const auto& request : state.waiting)
    all.insert(all.end(), request.writes.begin(), request.writes.end());
  auto together = state.store->store(all);
  for (auto& request : state.waiting) {
    auto outcome = together || state.waiting.size() == 1 ? together : state.store->store(request.writes);
    if (outcome)
      request.promise.deliver(v1::Done{});
    else
      request.promise.deliver(to_caf(outcome.error().within("store shards", state.store->folder())));
  }
  state.waiting.clear();
}

caf::result<v1::Done> answer(const result<void>& outcome) {
  if (outcome)
    return v1::Done{};
  return to_caf(outcome.error());
}

drive_writer_actor::behavior_type writer(drive_writer_actor::stateful_pointer<writer_state> self, std::shared_ptr<shard_place> store) {
  self->state.store = std::move(store);
  return {
      [=](const v1::StoreShards& request, const slices& bodies) -> caf::result<v1::Done> {
        auto writes = read_writes(request, bodies);
        if (!writes)
          return to_caf(writes.error());
        if (self->state.waiting.size() >= drive_queue_max)
          return to_caf(error{errc::capacity_exceeded, "store shards", self->state.store->folder()});
        // The flush queues up behind all stores that are in the mailbox already.
        if (self->state.waiting.empty())
          self->send(self, caf::flush_atom_v);
        auto promise = self->make_response_promise<store_promise>();
        self->state.waiting.push_back({std::move(*writes), promise});
        return promise;
      },
      [=](const v1::RemoveShards& request) -> caf::result<v1::Done> {
        std::vector<shard_key> keys;
        for (const auto& shard : request.shards()) {
          auto key = from_proto(shard);
          if (!key)
            return to_caf(key.error());
          keys.push_back(*key);
        }
        auto vault = vault_of(request.vault());
        if (!vault)
          return to_caf(vault.error());
        store_waiting(self->state);
        return answer(self->state.store->remove(keys, *vault));
      },
      [=](const v1::SetDriveState& request) -> caf::result<v1::Done> {
        if (request.state() > static_cast<uint32_t>(drive_state::failed))
          return to_caf(error{errc::invalid_argument, "set the drive's state"});
        return answer(self->state.store->set_state(static_cast<drive_state>(request.state())));
      },
      [=](const v1::SweepDrive& request) -> caf::result<v1::Done> {
        auto swept = self->state.store->sweep(request.grace_ns());
        return answer(swept ? result<void>{} : fail(swept.error()));
      },
      [=](const v1::RelistDrive& request) -> caf::result<v1::DriveRelisted> {
        auto vault = read_id<vault_id>(request.vault());
        if (!vault)
          return to_caf(vault.error());
        store_waiting(self->state);
        auto changed = self->state.store->relist(*vault);
        if (!changed)
          return to_caf(changed.error());
        v1::DriveRelisted relisted;
        relisted.set_changed(*changed);
        return relisted;
      },
      [=](caf::flush_atom) { store_waiting(self->state); },
      [=](caf::close_atom) -> caf::result<v1::Done> {
        store_waiting(self->state);
        return answer(self->state.store->flush());
      },
  };
}

struct reader_state {
  static inline constexpr const char* name = "drive-reader";
  std::shared_ptr<const shard_place> store;
  /// Whose disk the thread is to yield, before its first read.
  std::shared_ptr<file_system> yields_to_others;
  work_kind work = work_kind::client;
  /// Of the shard read last: the blocks of a file come one behind the other.
  std::optional<shard_header> header;
};

/// The actor is detached: all of its reads are on the thread that yields. A system that
/// can not do it reads like everybody else.
void yield_once(reader_state& state) {
  if (auto files = std::exchange(state.yields_to_others, nullptr))
    (void) files->yield_disk();
}

result<void> read_blocks(reader_state& state, const v1::ReadBlocks& request, byte_span out) {
  auto seal = from_proto(request.seal());
  if (!seal)
    return fail(seal.error());
  if (request.index() >= seal->shape.shard_count())
    return fail(errc::invalid_argument, "read shard", seal->id.brief());
  auto& header = state.header;
  if (!header || header->pack.id != seal->id || header->index != request.index()) {
    auto fresh = state.store->read_header({seal->id, static_cast<uint8_t>(request.index())});
    if (!fresh)
      return fail(fresh.error());
    // The header leads to the pack id by itself; a header of another pack or place
    // would be a shard under a wrong name.
    if (fresh->pack.id != seal->id || fresh->index != request.index())
      return fail(errc::shard_damaged, "read shard", seal->id.brief());
    header = std::move(*fresh);
  }
  return state.store->read_checked(*header, request.first_block(), out, state.work);
}

drive_reader_actor::behavior_type reader(drive_reader_actor::stateful_pointer<reader_state> self, std::shared_ptr<const shard_place> store,
                                         std::shared_ptr<file_system> yields_to_others) {
  self->state.store = std::move(store);
  self->state.work = yields_to_others ? work_kind::repair : work_kind::client;
  self->state.yields_to_others = std::move(yields_to_others);
  return {
      [=](const v1::ReadBlocks& request, memory& out) -> caf::result<v1::Done> {
        yield_once(self->state);
        return answer(read_blocks(self->state, request, out.span));
      },
      [=](const v1::CheckShard& request) -> caf::result<v1::Done> {
        auto key = from_proto(request.shard());
        if (!key)
          return to_caf(key.error());
        yield_once(self->state);
        return answer(request.deep() ? self->state.store->check_deep(*key) : self->state.store->check_quick(*key));
      },
  };
}

} // namespace

drive_writer_actor spawn_drive_writer(caf::actor_system& sys, std::shared_ptr<shard_place> store) {
  return sys.spawn<caf::detached>(writer, std::move(store));
}

drive_reader_actor spawn_drive_reader(caf::actor_system& sys, std::shared_ptr<const shard_place> store) {
  return sys.spawn<caf::detached>(reader, std::move(store), nullptr);
}

drive_reader_actor spawn_yielding_drive_reader(caf::actor_system& sys, std::shared_ptr<const shard_place> store,
                                               std::shared_ptr<file_system> files) {
  return sys.spawn<caf::detached>(reader, std::move(store), std::move(files));
}

} // namespace datamesh::storage
