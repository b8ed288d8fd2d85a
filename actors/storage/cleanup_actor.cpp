#include "storage/cleanup_actor.hpp"

#include "storage/checkpoint_parts.hpp"
#include "storage/convert.hpp"
#include "storage/memory_wait.hpp"
#include "storage/pack_reader_actor.hpp"
#include "storage/shard_healer.hpp"

#include <fmt/format.h>

#include <thread>

namespace datamesh::storage {

namespace {

constexpr size_t operations_at_once = 1000;
constexpr size_t packs_at_once = 256;
constexpr size_t shards_at_once = 4096;
/// How soon who waits sees that the job has ended.
constexpr auto look_interval = std::chrono::milliseconds{20};
/// Sealed chunks that are read and copied together.
constexpr uint32_t copy_bytes_max = 6 << 20;
/// Room that a shard of a pack of operations alone may take.
constexpr uint64_t small_pack_shard = 64 << 10;
/// A file without a row that is younger may be a shard on its way.
constexpr auto sweep_grace = std::chrono::hours{1};

class cleaner {
public:
  cleaner(caf::blocking_actor* self, std::shared_ptr<vault_context> context, cleanup_task& task)
      : self_(self), context_(std::move(context)), task_(task), reader_(spawn_pack_reader(*context_->sys, context_, task.job)) {}
  ~cleaner() {
    context_->leaving.clear();
    context_->chunks->spare(free_);
    // Until then its own packs are pinned, and a cleanup that follows at once would leave them alone.
    v1::CloseIntake close;
    close.set_job(task_.job->number);
    for (const auto& packer : packers_)
      (void) ask<v1::Done>(self_, packer, until_answered, close);
    self_->send_exit(reader_, caf::exit_reason::user_shutdown);
  }

  result<cleanup_summary> run() {
    auto alone = wait_for_others();
    if (!alone)
      return fail(alone.error());
    // What it does not know of, it would take for dead.
    if (context_->names->is_behind())
      return fail(errc::store_corrupt, "clean up by a catalog that is older than a checkpoint in the packs", context_->name);
    if (auto compared = check_compared(); !compared)
      return fail(compared.error());
    context_->drives->look();
    if (auto read = read_checkpoints(); !read)
      return fail(read.error());
    auto now = context_->env.clock->wall().time_since_epoch().count();
    auto plan = plan_cleanup(*context_->names, task_.rules, task_.copies, now, {}, cover_);
    if (!plan)
      return fail(plan.error());
    summary_.nodes_forgotten = plan->nodes_forgotten;
    summary_.versions_forgotten = plan->versions_forgotten;
    if (task_.dry_run)
      return dry(*plan);
    auto drives = context_->drives->candidates(*context_->drives->all(), room_for::upkeep);
    // Nothing is forgotten that the drives could not be told.
    if (!plan->forget.empty())
      if (auto room = place(drives, task_.copies.how, pack_id{}.view(), small_pack_shard); !room)
        return fail(room.error());
    if (auto condemned = condemn(*plan, now); !condemned)
      return fail(condemned.error());
    for (size_t i = 0; i < plan->forget.size(); i += operations_at_once)
      if (auto applied = apply({plan->forget.begin() + static_cast<ptrdiff_t>(i),
                                plan->forget.begin() + static_cast<ptrdiff_t>(std::min(i + operations_at_once, plan->forget.size()))});
          !applied)
        return fail(applied.error());
    // What was forgotten goes into packs before anything is deleted, also when nothing is copied.
    packers_.insert(context_->packer_for(task_.copies.how));
    // What is planned is what is done, but for packs that a running put relies on, and those
    // that can not be read.
    summary_.bytes_freed = plan->bytes_freed;
    auto deleted = copy_and_delete(*plan, drives);
    tell_waiting();
    if (!deleted)
      return fail(deleted.error());
    let_drives_know();
    if (auto removed = remove_strays(); !removed)
      return fail(removed.error());
    sweep();
    return summary_;
  }

private:
  /// Packs that came with a drive, or that a crash left, may need what nothing else does. They are taken in
  /// when no other job runs.
  result<void> check_compared() const {
    if (context_->names->was_interrupted())
      return fail(errc::unavailable, "clean up before what came with a drive is taken in, which waits for other jobs", context_->name);
    return {};
  }

  /// Another cleanup, or who writes a checkpoint.
  result<std::unique_lock<std::mutex>> wait_for_others() {
    std::unique_lock alone{context_->upkeep, std::try_to_lock};
    if (alone)
      return alone;
    event what;
    what.kind = event_kind::job_progress;
    what.job = task_.job->number;
    what.subject = context_->name;
    what.detail = "waits until another cleanup, or a checkpoint, of this vault is done";
    context_->events->publish(std::move(what));
    while (!alone.try_lock()) {
      if (auto reason = task_.job->ended())
        return fail(*reason);
      std::this_thread::sleep_for(look_interval);
    }
    return alone;
  }

  /// In as few steps as there is room for: each frees more than it copies.
  result<void> copy_and_delete(const cleanup_plan& plan, const std::vector<drive_candidate>& drives) {
    uint64_t free = 0;
    for (const auto& drive : drives)
      free += drive.bytes_free;
    auto step_bytes = std::max<uint64_t>(pack_size_max, free / 4);
    uint64_t copying = 0;
    for (const auto& copy : plan.copied)
      copying += copy.bytes;
    auto dead = plan.dead; // Free ones, as are those that are copied.
    auto in_steps = copying > step_bytes;
    copying = in_steps ? step_bytes : 0;
    auto how = task_.copies.how;
    for (const auto& copy : plan.copied) {
      if (auto reason = task_.job->ended())
        return fail(*reason);
      // One open pack at a time, whatever the policies: there is memory for no more.
      if (copy.how != std::exchange(how, copy.how))
        if (auto flushed = flush(); !flushed)
          return flushed;
      if (in_steps && copying + copy.bytes > step_bytes) {
        if (auto deleted = flush_and_delete(dead); !deleted)
          return deleted;
        copying = 0;
      }
      copying += copy.bytes;
      auto copied = copy_forward(copy);
      if (!copied && copied.error().code() == errc::damaged) {
        auto spent = is_spent(copy);
        if (!spent)
          return fail(spent.error());
        if (*spent)
          dead.push_back(copy.pack);
        else if (auto left = leave(copy); !left)
          return fail(left.error());
        continue;
      }
      if (!copied)
        return fail(copied.error());
      dead.push_back(copy.pack);
    }
    return flush_and_delete(dead);
  }

  /// Leaves *dead* empty.
  result<void> flush_and_delete(std::vector<pack_id>& dead) {
    if (auto flushed = flush().and_then([&] { return check_compared(); }); !flushed)
      return flushed;
    auto gone = std::exchange(dead, {});
    for (size_t i = 0; i < gone.size(); i += packs_at_once)
      if (auto deleted = delete_packs(
              {gone.begin() + static_cast<ptrdiff_t>(i), gone.begin() + static_cast<ptrdiff_t>(std::min(i + packs_at_once, gone.size()))});
          !deleted)
        return deleted;
    return {};
  }

  static bool in_service(const drive_entry& drive) {
    return drive.store && drive.store->state() != drive_state::failed;
  }

  /// Operations go only when they are in checkpoints that were read just now, with all
  /// drives there: one that is away may hold what tells that something is missing here.
  result<void> read_checkpoints() {
    auto drives = context_->drives->all();
    if (std::any_of(drives->begin(), drives->end(), [](const auto& drive) { return !in_service(drive); }))
      return {};
    auto found = find_checkpoints(*context_->names);
    if (!found)
      return fail(found.error());
    auto read = checkpoint_parts{self_, *context_, reader_, *task_.job}.verify_all(*found);
    if (!read)
      return fail(read.error());
    if (!read->newer)
      cover_ = choose_cover(std::move(read->good), read->broken);
    return {};
  }

  /// From here on no put finds chunks in those packs. Puts that found some there
  /// and have ended are in the catalog, so only what is planned now is safe to go.
  result<void> condemn(cleanup_plan& plan, int64_t now) {
    auto candidates = plan.dead;
    for (const auto& copy : plan.copied)
      candidates.push_back(copy.pack);
    free_ = context_->chunks->condemn(candidates);
    std::set<pack_id> pinned{candidates.begin(), candidates.end()};
    for (const auto& id : free_)
      pinned.erase(id);
    {
      // What is planned here to go can not be brought back from here on.
      auto held = context_->leaving.hold_returns();
      auto again = plan_cleanup(*context_->names, task_.rules, task_.copies, now, pinned, cover_);
      if (!again)
        return fail(again.error());
      plan = std::move(*again);
      context_->leaving.set(plan.forget);
    }
    std::vector<pack_id> planned = plan.dead;
    for (const auto& copy : plan.copied)
      planned.push_back(copy.pack);
    std::set<pack_id> free{free_.begin(), free_.end()};
    if (auto kept = keep_others(planned, free, plan); !kept)
      return kept;
    std::erase_if(plan.dead, [&](const auto& id) { return free.count(id) == 0; });
    std::erase_if(plan.copied, [&](const auto& copy) { return free.count(copy.pack) == 0; });
    summary_.nodes_forgotten = plan.nodes_forgotten;
    summary_.versions_forgotten = plan.versions_forgotten;
    return {};
  }

  result<cleanup_summary> dry(const cleanup_plan& plan) {
    summary_.packs_copied = plan.copied.size();
    summary_.bytes_freed = plan.bytes_freed;
    auto gone = plan.dead;
    for (const auto& copy : plan.copied) {
      summary_.bytes_copied += copy.bytes;
      gone.push_back(copy.pack);
    }
    auto keeping = drives_that_keep();
    for (const auto& id : gone) {
      auto record = context_->names->find_pack(id);
      if (!record)
        return fail(record.error());
      if (!*record)
        continue;
      going_.emplace(id, (*record)->drives);
      if (!leave_waiting(**record, keeping))
        ++summary_.packs_deleted;
    }
    tell_waiting();
    if (auto removed = remove_strays(); !removed)
      return fail(removed.error());
    return summary_;
  }

  /// Those that would refuse to remove a shard, as far as one can know.
  std::map<drive_id, error> drives_that_keep() const {
    std::map<drive_id, error> keeping;
    for (const auto& drive : *context_->drives->all()) {
      if (!drive.is_there()) {
        keeping.emplace(drive.id, why_away(drive));
        continue;
      }
      auto usage = drive.store->usage();
      if (drive.store->state() == drive_state::failed)
        keeping.emplace(drive.id, error{errc::drive_failed, "remove shards", drive.folder});
      else if (usage && usage->read_only)
        keeping.emplace(drive.id, error{errc::read_only, "remove shards", drive.folder});
    }
    return keeping;
  }

  static error why_away(const drive_entry& drive) {
    return !drive.store && drive.reason ? *drive.reason : error{errc::drive_missing, "remove shards", drive.folder};
  }

  /// Takes from *pack* all places but those on drives that keep them for now. True when there are some.
  bool leave_waiting(pack_record& pack, const std::map<drive_id, error>& keeping) {
    uint64_t left = 0;
    for (auto& drive : pack.drives) {
      auto kept = keeping.find(drive);
      if (kept == keeping.end()) {
        drive = {};
        continue;
      }
      ++left;
      ++waiting_.try_emplace(drive, kept->second, 0).first->second.second;
    }
    summary_.shards_waiting += left;
    summary_.bytes_freed -= std::min(summary_.bytes_freed, left * pack.seal.shape.shard_length);
    return left > 0;
  }

  result<void> apply(const std::vector<operation_body>& bodies) {
    v1::ApplyOperations request;
    for (const auto& body : bodies)
      request.add_bodies(encode_body(body));
    auto applied = ask<v1::Done>(self_, context_->catalog_writer, step_timeout, std::move(request));
    if (!applied)
      return fail(applied.error());
    return {};
  }

  result<bytes> read(const v1::PackRecord& pack, uint32_t begin, uint32_t end) {
    v1::ReadStretch request;
    *request.mutable_pack() = pack;
    request.set_begin(begin);
    request.set_end(end);
    auto answer = ask_with<v1::StretchRead, bytes>(self_, reader_, until_answered, std::move(request));
    if (!answer)
      return fail(answer.error());
    return answer->second.slice(begin - answer->first.base(), end - begin);
  }

  /// Living chunks and all operations of one pack go into the open pack, sealed as
  /// they are.
  result<void> copy_forward(const cleanup_plan::copy& copy) {
    auto turn = context_->turns.take({&copy.pack, 1}, *task_.job);
    if (!turn)
      return fail(turn.error());
    auto record = context_->names->find_pack(copy.pack);
    if (!record)
      return fail(record.error());
    if (!*record)
      return {};
    auto pack = to_proto(**record);
    auto packer = context_->packer_for(copy.how);
    packers_.insert(packer);
    v1::CopyChunks batch;
    slices data;
    uint32_t bytes_in_batch = 0;
    auto send = [&]() -> result<void> {
      if (data.empty())
        return {};
      batch.set_job(task_.job->number);
      auto sent = ask<v1::Done>(self_, packer, until_answered, std::exchange(batch, {}), std::exchange(data, {}));
      bytes_in_batch = 0;
      if (!sent)
        return fail(sent.error());
      return {};
    };
    for (const auto& entry : copy.living) {
      auto sealed = read(pack, entry.offset, entry.offset + entry.sealed_length);
      if (!sealed)
        return fail(sealed.error());
      *batch.add_chunks() = to_proto(entry);
      data.push_back(std::move(*sealed));
      bytes_in_batch += entry.sealed_length;
      if (bytes_in_batch >= copy_bytes_max)
        if (auto sent = send(); !sent)
          return sent;
    }
    if (auto sent = send(); !sent)
      return sent;
    v1::CopyOperations operations;
    operations.set_job(task_.job->number);
    for (const auto& entry : copy.operations) {
      auto sealed = read(pack, entry.offset, entry.offset + entry.sealed_length);
      if (!sealed)
        return fail(sealed.error());
      auto* row = operations.add_batches();
      *row->mutable_at() = to_proto(entry);
      row->set_sealed(std::string{as_text(*sealed)});
    }
    ++summary_.packs_copied;
    summary_.bytes_copied += copy.bytes;
    if (operations.batches_size() > 0)
      copying_.push_back(self_->request(packer, until_answered, std::move(operations)));
    return {};
  }

  /// What a condemned pack had was copied before. Where no drive is away, and it can not be read all
  /// the same, nothing of it comes back; nor of one of which no drive has anything, as after a cleanup by
  /// a copy of this catalog that is newer.
  result<bool> is_spent(const cleanup_plan::copy& copy) const {
    auto record = context_->names->find_pack(copy.pack);
    if (!record)
      return fail(record.error());
    if (!*record || !copy.living.empty() || !context_->drives->complete())
      return false;
    return (*record)->condemned ? result<bool>{true} : is_gone(**record);
  }

  result<bool> is_gone(const pack_record& pack) const {
    auto drives = context_->drives->all();
    for (size_t i = 0; i < pack.drives.size(); ++i) {
      const auto* drive = drive_table::find(*drives, pack.drives[i]);
      if (drive == nullptr)
        continue;
      auto there = drive->store->find({pack.seal.id, static_cast<uint8_t>(i)});
      if (!there)
        return fail(there.error());
      if (*there)
        return false;
    }
    return true;
  }

  /// A pack that can not be read stays, for the drives that may come back.
  result<void> leave(const cleanup_plan::copy& copy) {
    event what;
    what.kind = event_kind::data_lost;
    what.level = severity::warning;
    what.job = task_.job->number;
    what.subject = copy.pack.hex();
    what.detail = "left where it is: fewer good shards than are needed";
    what.code = errc::damaged;
    context_->events->publish(std::move(what));
    auto record = context_->names->find_pack(copy.pack);
    if (!record)
      return fail(record.error());
    if (!*record)
      return {};
    // Neither is it freed, nor does a copy of it take room.
    const auto& shape = (*record)->seal.shape;
    auto freed = uint64_t{shape.shard_length} * (*record)->shards_present();
    auto taken = copy.bytes * shape.shard_count() / shape.k;
    summary_.bytes_freed -= std::min(summary_.bytes_freed, freed - std::min(freed, taken));
    return {};
  }

  /// Copies count only when they are durable.
  result<void> flush() {
    v1::FlushPacks request;
    request.set_job(task_.job->number);
    request.set_at_once(true);
    for (const auto& packer : packers_)
      if (auto flushed = ask<v1::PackFigures>(self_, packer, until_answered, request); !flushed)
        return fail(flushed.error());
    result<void> outcome;
    for (auto& answer : std::exchange(copying_, {}))
      answer.receive([](v1::PackFigures&) {}, [&](caf::error& reason) { outcome = fail(from_caf(reason)); });
    return outcome;
  }

  result<void> delete_packs(const std::vector<pack_id>& free) {
    auto turn = context_->turns.take(free, *task_.job);
    if (!turn)
      return fail(turn.error());
    auto condemned = condemn_in_log(free);
    if (!condemned)
      return condemned;
    std::map<drive_id, v1::RemoveShards> by_drive;
    std::vector<pack_record> packs;
    v1::CommitCatalog spent;
    for (const auto& id : free) {
      auto record = context_->names->find_pack(id);
      if (!record)
        return fail(record.error());
      if (!*record)
        continue;
      if (!std::exchange((*record)->copied_forward, true))
        *spent.add_placed() = to_proto(**record);
      for (size_t i = 0; i < (*record)->drives.size(); ++i)
        if (!(*record)->drives[i].is_zero()) {
          *by_drive[(*record)->drives[i]].add_shards() = to_proto(shard_key{id, static_cast<uint8_t>(i)});
        }
      packs.push_back(std::move(**record));
    }
    // Whoever takes this up again must not look for operations in shards that are gone.
    if (spent.placed_size() > 0)
      if (auto noted = ask<v1::Done>(self_, context_->catalog_writer, step_timeout, std::move(spent)); !noted)
        return fail(noted.error());
    std::map<drive_id, error> keeping;
    // For a drive that is none of this node's any more nothing waits.
    for (const auto& drive : *context_->drives->all()) {
      auto asked = by_drive.find(drive.id);
      if (asked == by_drive.end())
        continue;
      if (!drive.is_there()) {
        keeping.emplace(drive.id, why_away(drive));
        continue;
      }
      asked->second.set_vault(write_id(context_->id));
      auto removed = ask<v1::Done>(self_, drive.writer, step_timeout, std::move(asked->second));
      if (!removed)
        keeping.emplace(drive.id, removed.error());
    }
    return forget(std::move(packs), keeping);
  }

  /// Those that are not condemned yet: what waits for a drive may wait through many cleanups.
  result<void> condemn_in_log(const std::vector<pack_id>& free) {
    condemn_packs wanted;
    condemned_now_.clear();
    for (const auto& id : free) {
      auto record = context_->names->find_pack(id);
      if (!record)
        return fail(record.error());
      if (*record && !(*record)->condemned)
        wanted.packs.push_back(id);
    }
    if (wanted.packs.empty())
      return {};
    condemned_now_.insert(wanted.packs.begin(), wanted.packs.end());
    return apply({wanted});
  }

  /// Where shards wait that did not before, drives soon hold what condemns them, so that a catalog
  /// that is made again knows what they are. Otherwise the next pack tells.
  void let_drives_know() {
    if (more_wait_)
      (void) flush();
  }

  void tell_waiting() {
    for (const auto& drive : *context_->drives->all()) {
      auto found = waiting_.find(drive.id);
      if (found == waiting_.end())
        continue;
      const auto& [reason, count] = found->second;
      event what;
      what.kind = event_kind::drive_changed;
      what.level = severity::warning;
      what.job = task_.job->number;
      what.subject = drive.folder;
      what.detail = fmt::format("{} left there for the next cleanup: {}", count == 1 ? "1 shard is" : fmt::format("{} shards are", count),
                                reason.message());
      what.code = reason.code();
      context_->events->publish(std::move(what));
    }
  }

  /// Shards of condemned packs that the catalog does not know: it was made again while they lay on
  /// a drive that was away, and too few of them came back for a pack. Those of others may be away.
  result<void> remove_strays() {
    if (!context_->drives->complete())
      return {};
    for (const auto& drive : *context_->drives->all()) {
      std::optional<shard_key> after;
      while (drive.store) {
        if (auto reason = task_.job->ended())
          return fail(*reason);
        auto page = drive.store->list(after, shards_at_once);
        if (!page || page->empty())
          break; // Nothing depends on it.
        after = page->back().key;
        v1::RemoveShards request;
        uint64_t bytes = 0;
        for (const auto& shard : *page) {
          auto stray = is_stray(shard.key, drive.id);
          if (!stray)
            return fail(stray.error());
          if (!*stray)
            continue;
          *request.add_shards() = to_proto(shard.key);
          bytes += shard.shape.shard_length;
        }
        request.set_vault(write_id(context_->id));
        if (bytes > 0 && !task_.dry_run)
          note_change(self_, *context_);
        if (bytes > 0 && (task_.dry_run || ask<v1::Done>(self_, drive.writer, step_timeout, std::move(request))))
          summary_.bytes_freed += bytes;
      }
    }
    return {};
  }

  result<bool> is_stray(const shard_key& shard, const drive_id& on) const {
    const auto& id = shard.pack;
    if (auto going = going_.find(id); going != going_.end())
      return going->second.at(shard.index) != on;
    auto condemned = context_->names->was_condemned(id);
    if (!condemned || !*condemned)
      return condemned;
    auto known = context_->names->find_pack(id);
    if (!known)
      return fail(known.error());
    return !*known;
  }

  /// Packs of which drives keep shards for now stay in the catalog, condemned, with these
  /// shards alone: the next cleanup takes them up again, and so the node knows what they are.
  result<void> forget(std::vector<pack_record> packs, const std::map<drive_id, error>& keeping) {
    v1::CommitCatalog commit;
    for (auto& pack : packs) {
      auto before = pack.drives;
      if (leave_waiting(pack, keeping)) {
        more_wait_ = more_wait_ || condemned_now_.count(pack.seal.id) > 0;
        if (pack.drives != before)
          *commit.add_placed() = to_proto(pack);
      } else {
        ++summary_.packs_deleted;
        commit.add_forgotten(write_id(pack.seal.id));
      }
    }
    if (commit.placed_size() + commit.forgotten_size() == 0)
      return {};
    auto committed = ask<v1::Done>(self_, context_->catalog_writer, step_timeout, std::move(commit));
    if (!committed)
      return fail(committed.error());
    return {};
  }

  /// What stays until the next time is not freed.
  result<void> keep_others(const std::vector<pack_id>& planned, const std::set<pack_id>& free, cleanup_plan& plan) {
    for (const auto& id : planned) {
      if (free.count(id) > 0)
        continue;
      auto record = context_->names->find_pack(id);
      if (!record)
        return fail(record.error());
      if (*record)
        plan.bytes_freed -= std::min(plan.bytes_freed, uint64_t{(*record)->seal.shape.shard_length} * (*record)->shards_present());
    }
    return {};
  }

  /// What a crash left on the drives. A drive that can not be swept now says so when
  /// something is stored on it; nothing depends on the sweep.
  void sweep() {
    v1::SweepDrive request;
    request.set_grace_ns(std::chrono::nanoseconds{sweep_grace}.count());
    auto drives = context_->drives->all();
    for (const auto& drive : *drives)
      if (drive.store && !task_.job->ended())
        (void) ask<v1::Done>(self_, drive.writer, step_timeout, request);
  }

  using copy_handle =
      decltype(std::declval<caf::blocking_actor*>()->request(std::declval<const packer_actor&>(), until_answered, v1::CopyOperations{}));

  caf::blocking_actor* self_;
  std::shared_ptr<vault_context> context_;
  cleanup_task& task_;
  pack_reader_actor reader_;
  std::set<packer_actor> packers_; ///< One for each policy.
  std::vector<pack_id> free_;      ///< No running put relies on them.
  checkpoint_cover cover_;
  cleanup_summary summary_;
  /// How many shards that are to go drives keep for now, and why.
  std::map<drive_id, std::pair<error, uint64_t>> waiting_;
  bool more_wait_ = false; ///< Than before.
  /// Packs that would be deleted, with their places.
  std::map<pack_id, std::vector<drive_id>> going_;
  std::set<pack_id> condemned_now_; ///< Of the packs that are just being deleted.
  std::vector<copy_handle> copying_;
};

} // namespace

void start_cleanup(std::shared_ptr<vault_context> context, cleanup_task task) {
  auto shared = std::make_shared<cleanup_task>(std::move(task));
  auto size = std::min<uint64_t>(context->budget->limit(), uint64_t{2} * pack_buffer_size);
  auto granted = [context, shared](const std::shared_ptr<memory_budget::reservation>& held) {
    context->sys->spawn<caf::detached>([context, shared, held](caf::blocking_actor* self) {
      auto outcome = cleaner{self, context, *shared}.run();
      *held = {};
      shared->done(std::move(outcome));
    });
  };
  wait_for_memory(*context, shared->job, size, granted, [shared](const error& reason) { shared->done(fail(reason)); });
}

} // namespace datamesh::storage
