#include "storage/rebalance_actor.hpp"

#include "storage/convert.hpp"
#include "storage/memory_wait.hpp"
#include "storage/shard_healer.hpp"

namespace datamesh::storage {

namespace {

constexpr size_t pack_page_size = 64;
/// A drive is emptied while it is fuller than the mean by more than this share.
constexpr double fill_slack = 0.05;

class rebalancer {
public:
  rebalancer(caf::blocking_actor* self, std::shared_ptr<vault_context> context, rebalance_task& task)
      : self_(self), context_(std::move(context)), task_(task), healer_(self, context_, task.job) {}

  result<rebalance_summary> run() {
    measure();
    std::optional<pack_id> after;
    for (;;) {
      auto page = context_->names->packs(after, pack_page_size);
      if (!page)
        return fail(page.error());
      if (page->empty())
        return summary_;
      after = page->back().seal.id;
      look_at_drives();
      for (const auto& pack : *page) {
        // None of a condemned pack is wanted anywhere.
        if (pack.condemned)
          continue;
        if (auto reason = task_.job->ended())
          return fail(*reason);
        if (auto moved = task_.dry_run ? move_shards(pack) : move_alone(pack); !moved)
          return fail(moved.error());
      }
    }
  }

private:
  struct load {
    uint64_t used = 0;
    uint64_t room = 0;
    bool leaving = false;
    bool stuck = false; ///< It lets nothing go, so that moving makes no room.
    [[nodiscard]] double ratio() const {
      return room + used == 0 ? 0 : static_cast<double>(used) / static_cast<double>(used + room);
    }
  };

  /// The drives with the room that is left, for the packs of a page.
  void look_at_drives() {
    drives_ = context_->drives->candidates(*context_->drives->all(), room_for::data);
    // Most have no domains but that of the node.
    apart_ = std::ranges::any_of(drives_, [&](const auto& drive) { return drive.domains != drives_.front().domains; });
    for (auto& drive : drives_)
      if (auto found = loads_.find(drive.id); found != loads_.end())
        drive.bytes_free = found->second.room;
  }

  static policy how_of(const pack_record& pack, domain_level level) {
    return {pack.seal.shape.k, pack.seal.shape.m, level};
  }

  static uint64_t size_of(const pack_record& pack) {
    return uint64_t{pack.seal.shape.shard_length} + shard_header_length(pack.seal.shape, true);
  }

  /// A shard that should be further from the others, and its drive.
  std::optional<size_t> too_close_of(const pack_record& pack, domain_level level) {
    if (!apart_)
      return std::nullopt;
    auto index = too_close(drives_, pack.drives, how_of(pack, level), pack.seal.id.view(), size_of(pack));
    return index && loads_.contains(pack.drives[*index]) ? index : std::nullopt;
  }

  void measure() {
    for (const auto& drive : *context_->drives->all()) {
      if (!drive.store)
        continue;
      auto usage = drive.store->usage();
      if (!usage)
        continue;
      auto leaving = drive.state() != drive_state::ok || !context_->drives->allows(drive);
      // It gets nothing and lets nothing go.
      if (usage->read_only && !leaving)
        continue;
      loads_[drive.id] = {usage->shard_bytes, usage->room(room_for::data), leaving};
    }
  }

  double mean_ratio() const {
    uint64_t used = 0;
    uint64_t room = 0;
    for (const auto& [id, drive] : loads_)
      if (!drive.leaving) {
        used += drive.used;
        room += drive.room;
      }
    return used + room == 0 ? 0 : static_cast<double>(used) / static_cast<double>(used + room);
  }

  /// The load of *drive*, if what it has is to go elsewhere.
  load* to_empty(const drive_id& drive) {
    auto found = loads_.find(drive);
    if (found == loads_.end())
      return nullptr;
    auto& from = found->second;
    auto too_full = !from.leaving && !from.stuck && from.ratio() > mean_ratio() + fill_slack;
    return from.leaving || too_full ? &from : nullptr;
  }

  /// A pack that others may have changed since it was *seen*.
  result<void> move_alone(const pack_record& seen) {
    if (std::ranges::none_of(seen.drives, [&](const auto& drive) { return to_empty(drive) != nullptr; })
        && !too_close_of(seen, healer_.level_of(seen)))
      return {};
    auto turn = context_->turns.take({&seen.seal.id, 1}, *task_.job);
    if (!turn)
      return fail(turn.error());
    auto now = context_->names->find_pack(seen.seal.id);
    if (!now)
      return fail(now.error());
    return *now && !(*now)->condemned ? move_shards(**now) : result<void>{};
  }

  result<void> move_shards(const pack_record& pack) {
    auto current = pack;
    auto level = healer_.level_of(pack);
    for (size_t i = 0; i < pack.drives.size(); ++i) {
      auto* from = to_empty(pack.drives[i]);
      if (from == nullptr)
        continue;
      if (!from->leaving && crowds(current, i, level))
        continue;
      if (auto moved = move_or_foresee(current, i, *from, level); !moved)
        return moved;
    }
    // Each makes the excess less, so that it ends; a drive that refuses must not keep it going.
    for (size_t moves = 0; moves < pack.drives.size(); ++moves) {
      auto index = too_close_of(current, level);
      if (!index)
        return {};
      auto before = current.drives[*index];
      if (auto moved = move_or_foresee(current, *index, loads_.at(before), level); !moved)
        return moved;
      if (current.drives[*index] == before)
        return {};
    }
    return {};
  }

  /// Whether the shards would be closer to each other with that one on a drive that is less full.
  bool crowds(const pack_record& pack, size_t index, domain_level level) {
    if (!apart_)
      return false;
    auto seen = healer_.foresee(pack, {static_cast<uint8_t>(index)}, true, level, full_for(pack));
    return seen.stored > 0 && comes_closer(drives_, pack.drives, index, seen.where.front(), how_of(pack, level), size_of(pack));
  }

  result<void> move_or_foresee(pack_record& pack, size_t index, load& from, domain_level level) {
    if (!task_.dry_run)
      return move_one(pack, static_cast<uint8_t>(index), from, level);
    foresee_one(pack, static_cast<uint8_t>(index), from, level);
    return {};
  }

  /// Drives without room when all before was moved.
  std::set<drive_id> full_for(const pack_record& pack) const {
    std::set<drive_id> full;
    for (const auto& [id, drive] : loads_)
      if (drive.room < size_of(pack))
        full.insert(id);
    return full;
  }

  /// What `move_one` would do, with the room that is left when all before was moved.
  void foresee_one(pack_record& pack, uint8_t index, load& from, domain_level level) {
    auto seen = healer_.foresee(pack, {index}, true, level, full_for(pack));
    if (seen.stored == 0) {
      ++summary_.shards_left;
      return;
    }
    ++summary_.shards_moved;
    summary_.bytes_moved += seen.bytes;
    pack.drives[index] = seen.where.front();
    take(from, seen.bytes);
    give(pack.drives[index], seen.bytes);
  }

  static void take(load& from, uint64_t bytes) {
    from.used -= std::min(from.used, bytes);
    from.room += bytes;
  }

  void give(const drive_id& to, uint64_t bytes) {
    if (auto now = loads_.find(to); now != loads_.end()) {
      now->second.used += bytes;
      now->second.room -= std::min(now->second.room, bytes);
    }
  }

  result<void> move_one(pack_record& pack, uint8_t index, load& from, domain_level level) {
    auto moved = healer_.rebuild(pack, {index}, true, level);
    // What can not be read any more stays where it is.
    if (!moved && moved.error().code() != errc::damaged)
      return fail(moved.error());
    if (!moved || moved->stored == 0) {
      ++summary_.shards_left;
      return {};
    }
    auto drives = context_->drives->all();
    v1::RemoveShards request;
    request.set_vault(write_id(context_->id));
    *request.add_shards() = to_proto(shard_key{pack.seal.id, index});
    const auto* old = drive_table::find(*drives, pack.drives[index]);
    // The shard has its new place in any case. A drive that failed, or is full or read-only,
    // keeps a copy that nobody asks for.
    if (old != nullptr)
      from.stuck = !ask<v1::Done>(self_, old->writer, step_timeout, std::move(request)).has_value();
    ++summary_.shards_moved;
    summary_.bytes_moved += moved->bytes;
    take(from, moved->bytes);
    auto fresh = context_->names->find_pack(pack.seal.id);
    if (!fresh)
      return fail(fresh.error());
    if (*fresh)
      pack = std::move(**fresh);
    give(pack.drives[index], moved->bytes);
    task_.job->progress(summary_.shards_moved, 0, summary_.bytes_moved, 0);
    return {};
  }

  caf::blocking_actor* self_;
  std::shared_ptr<vault_context> context_;
  rebalance_task& task_;
  shard_healer healer_;
  rebalance_summary summary_;
  std::map<drive_id, load> loads_;
  std::vector<drive_candidate> drives_;
  bool apart_ = false; ///< They are of several domains.
};

} // namespace

void start_rebalance(std::shared_ptr<vault_context> context, rebalance_task task) {
  auto shared = std::make_shared<rebalance_task>(std::move(task));
  auto size = std::min<uint64_t>(context->budget->limit(), uint64_t{3} * pack_buffer_size);
  auto granted = [context, shared](const std::shared_ptr<memory_budget::reservation>& held) {
    context->sys->spawn<caf::detached>([context, shared, held](caf::blocking_actor* self) {
      auto outcome = rebalancer{self, context, *shared}.run();
      *held = {};
      shared->done(std::move(outcome));
    });
  };
  wait_for_memory(*context, shared->job, size, granted, [shared](const error& reason) { shared->done(fail(reason)); });
}

} // namespace datamesh::storage
