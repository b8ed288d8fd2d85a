#include "storage/verify_actor.hpp"

#include "storage/convert.hpp"
#include "storage/memory_wait.hpp"
#include "storage/restore_plan.hpp"
#include "storage/shard_healer.hpp"

#include <fmt/format.h>

#include <unordered_set>

namespace datamesh::storage {

namespace {

/// Packs whose shards are looked at side by side.
constexpr size_t packs_at_once = 16;

using check_handle = decltype(std::declval<caf::blocking_actor*>()->request(std::declval<const drive_reader_actor&>(),
                                                                            std::chrono::seconds{1}, v1::CheckShard{}));

struct shard_under_check {
  size_t pack;
  uint8_t index;
  bool leaving; ///< Its drive failed: it may be read, and is to be elsewhere.
  check_handle answer;
};

class verifier {
public:
  verifier(caf::blocking_actor* self, std::shared_ptr<vault_context> context, verify_task& task)
      : self_(self), context_(std::move(context)), task_(task), healer_(self, context_, task.job) {}

  result<verify_summary> run() {
    std::optional<std::set<pack_id>> only;
    if (!task_.request.paths.empty()) {
      auto chosen = data_of(*context_, task_.request.paths);
      if (!chosen)
        return fail(chosen.error());
      only = std::move(chosen->packs);
      lost_chunks_ = std::move(chosen->nowhere);
    }
    auto totals = context_->names->totals();
    if (!totals)
      return fail(totals.error());
    pack_total_ = only ? only->size() : totals->packs;
    for (const auto& drive : *context_->drives->all())
      if (!drive.store)
        report(event_kind::drive_changed, severity::warning, drive.folder, drive.reason ? drive.reason->message() : std::string{},
               errc::drive_missing);
      else if (drive.store->state() == drive_state::failed)
        report(event_kind::drive_changed, severity::warning, drive.folder,
               "the drive failed; what lies there is read, and should be elsewhere", errc::drive_failed);
    auto after = task_.request.after;
    uint64_t seen = 0;
    for (;;) {
      auto left = task_.request.packs_max > 0 ? task_.request.packs_max - seen : packs_at_once;
      auto as_of = turns_of_others();
      auto page = context_->names->packs(after, std::min<uint64_t>(left, packs_at_once));
      if (!page)
        return fail(page.error());
      if (page->empty())
        break;
      after = page->back().seal.id;
      seen += page->size();
      if (only)
        std::erase_if(*page, [&](const auto& pack) { return only->count(pack.seal.id) == 0; });
      // Of a condemned pack shards may be gone already, and none is wanted back.
      std::erase_if(*page, [](const auto& pack) { return pack.condemned; });
      if (auto reason = task_.job->ended())
        return fail(*reason);
      if (auto looked = look_at(*page, as_of); !looked)
        return fail(looked.error());
      if (seen == task_.request.packs_max) {
        summary_.next_after = after;
        break;
      }
    }
    if (auto named = name_lost_files(!only && !summary_.next_after); !named)
      return fail(named.error());
    // What was found is told, though the catalog can not keep it now: the next look finds it again.
    if (auto marked = mark_packs(); !marked && !disk_refuses(marked.error().code()))
      return fail(marked.error());
    task_.job->progress(summary_.packs, pack_total_, summary_.bytes, 0, true);
    return summary_;
  }

private:
  using bad_shards = std::map<uint8_t, error>;

  struct findings {
    bad_shards bad;
    std::vector<uint8_t> leaving; ///< Good ones on failed drives.
    [[nodiscard]] bool is_well() const {
      return bad.empty() && leaving.empty();
    }
  };

  std::vector<findings> check(std::span<const pack_record> packs) {
    std::vector<findings> found(packs.size());
    std::vector<shard_under_check> asked;
    auto drives = context_->drives->all();
    for (size_t i = 0; i < packs.size(); ++i)
      for (size_t index = 0; index < packs[i].drives.size(); ++index)
        ask_for(packs[i], i, static_cast<uint8_t>(index), *drives, found[i].bad, asked);
    for (auto& shard : asked)
      shard.answer.receive(
          [&](v1::Done&) {
            summary_.bytes += task_.request.deep ? packs[shard.pack].seal.shape.shard_length : 0;
            if (shard.leaving)
              found[shard.pack].leaving.push_back(shard.index);
          },
          [&](caf::error& reason) { found[shard.pack].bad.emplace(shard.index, from_caf(reason)); });
    return found;
  }

  /// *as_of*: how many turns of others were over before *packs* were read.
  result<void> look_at(const std::vector<pack_record>& packs, uint64_t as_of) {
    auto found = check(packs);
    for (size_t i = 0; i < packs.size(); ++i) {
      ++summary_.packs;
      summary_.shards += packs[i].seal.shape.shard_count();
      task_.job->progress(summary_.packs, pack_total_, summary_.bytes, 0);
      auto noted = found[i].is_well() ? note(packs[i], found[i]) : look_alone(packs[i], std::move(found[i]), as_of);
      if (!noted)
        return noted;
    }
    return {};
  }

  /// What looks bad may just have been moved, or mended by another: it is looked at once more
  /// where nobody else can change it.
  result<void> look_alone(const pack_record& seen, findings found, uint64_t as_of) {
    auto turn = context_->turns.take({&seen.seal.id, 1}, *task_.job);
    if (!turn)
      return fail(turn.error());
    auto changed = turns_of_others() != as_of;
    ++own_turns_;
    if (!changed)
      return note(seen, found);
    auto now = context_->names->find_pack(seen.seal.id);
    if (!now)
      return fail(now.error());
    if (!*now || (*now)->condemned)
      return {};
    found = check({&**now, 1}).front();
    return note(**now, found);
  }

  uint64_t turns_of_others() const {
    return context_->turns.count_over() - own_turns_;
  }

  result<void> note(const pack_record& pack, findings& found) {
    if (found.bad.empty())
      note_whole(pack);
    else if (auto treated = treat(pack, found.bad); !treated)
      return treated;
    note_shards(pack, found.bad);
    return bring_elsewhere(pack.seal.id, found.leaving);
  }

  void ask_for(const pack_record& pack, size_t number, uint8_t index, const drive_table::list& drives, bad_shards& bad,
               std::vector<shard_under_check>& asked) {
    const auto& id = pack.drives[index];
    const auto* drive = id.is_zero() ? nullptr : drive_table::find(drives, id);
    if (drive == nullptr) {
      bad.emplace(index, error{id.is_zero() ? errc::shard_missing : errc::drive_missing, "look at shard"});
      return;
    }
    v1::CheckShard request;
    *request.mutable_shard() = to_proto(shard_key{pack.seal.id, index});
    // What was found damaged by its bytes is good by its bytes alone.
    request.set_deep(task_.request.deep || pack.is_faulty(index));
    const auto& reader = task_.request.background ? drive->care : drive->reader();
    auto leaving = drive->store->state() == drive_state::failed;
    asked.push_back({number, index, leaving, self_->request(reader, step_timeout, std::move(request))});
  }

  /// Reports what is bad of a pack, and rebuilds it when asked to; what then is where it
  /// was is bad no more.
  result<void> treat(const pack_record& pack, bad_shards& bad) {
    std::vector<uint8_t> wanted;
    for (const auto& [index, reason] : bad) {
      wanted.push_back(index);
      auto missing = reason.code() == errc::shard_missing || reason.code() == errc::drive_missing;
      ++(missing ? summary_.shards_missing : summary_.shards_damaged);
      // A missing drive is one piece of news, not one a shard.
      if (reason.code() == errc::drive_missing)
        tell_if_away(pack.drives[index], reason);
      else
        report(event_kind::damage_found, severity::warning, fmt::format("{}.{}", pack.seal.id.hex(), index), reason.message(),
               reason.code());
    }
    if (bad.size() > pack.seal.shape.m)
      return note_lost(pack, bad.size(), missing_drives(bad));
    if (!task_.request.repair)
      return {};
    if (task_.request.dry_run) {
      auto seen = healer_.foresee(pack, wanted, false, healer_.level_of(pack));
      summary_.shards_repaired += seen.stored;
      summary_.shards_unplaced += seen.unplaced;
      return {};
    }
    auto healed = healer_.rebuild(pack, wanted, false, healer_.level_of(pack));
    if (!healed) {
      // Shards that passed a quick look may fail when they are read.
      if (healed.error().code() == errc::damaged)
        return note_lost(pack, bad.size(), missing_drives(bad));
      return fail(healed.error());
    }
    note_whole(pack);
    // Reads that found it bad told the catalog so, maybe after it was healed.
    for (auto index : healed->healed) {
      bad.erase(index);
      if (!pack.drives[index].is_zero())
        *marks_.add_good() = to_proto(seen_shard{pack.seal.id, index, pack.drives[index]});
    }
    summary_.shards_repaired += healed->stored;
    summary_.shards_unplaced += healed->unplaced;
    if (healed->stored > 0)
      report(event_kind::damage_healed, severity::info, pack.seal.id.hex(),
             healed->stored == 1 ? "1 shard rebuilt" : fmt::format("{} shards rebuilt", healed->stored), std::nullopt);
    return {};
  }

  /// Good shards on failed drives are news only when they get a new place: until then they
  /// are read where they are.
  result<void> bring_elsewhere(const pack_id& id, const std::vector<uint8_t>& leaving) {
    if (leaving.empty() || !task_.request.repair)
      return {};
    auto pack = context_->names->find_pack(id);
    if (!pack)
      return fail(pack.error());
    if (!*pack)
      return {};
    auto level = healer_.level_of(**pack);
    auto moved = task_.request.dry_run ? result<shard_healer::outcome>{healer_.foresee(**pack, leaving, false, level)}
                                       : healer_.rebuild(**pack, leaving, false, level);
    if (!moved)
      return moved.error().code() == errc::damaged ? result<void>{} : fail(moved.error());
    summary_.shards_missing += moved->stored;
    summary_.shards_repaired += moved->stored;
    if (moved->stored > 0 && !task_.request.dry_run)
      report(event_kind::damage_healed, severity::info, id.hex(), fmt::format("{} shards brought off failed drives", moved->stored),
             std::nullopt);
    return {};
  }

  /// A drive that was there when the node opened, and is not now.
  void tell_if_away(const drive_id& id, const error& reason) {
    auto drives = context_->drives->all();
    const auto* drive = drive_table::find(*drives, id);
    if (drive != nullptr && away_.insert(id).second)
      report(event_kind::drive_changed, severity::warning, drive->folder, reason.message(), errc::drive_missing);
  }

  static size_t missing_drives(const bad_shards& bad) {
    return static_cast<size_t>(
        std::count_if(bad.begin(), bad.end(), [](const auto& one) { return one.second.code() == errc::drive_missing; }));
  }

  void report(event_kind kind, severity level, std::string subject, std::string detail, std::optional<errc> code) {
    event what;
    what.kind = kind;
    what.level = level;
    what.job = task_.job->number;
    what.subject = std::move(subject);
    what.detail = std::move(detail);
    what.code = code;
    context_->events->publish(std::move(what));
  }

  /// Fewer than k shards are good. Chunks that lie wholly in good data shards can
  /// still be read: only the others are lost.
  result<void> note_lost(const pack_record& pack, size_t bad, size_t away) {
    ++summary_.packs_lost;
    // Drives that are away may come back, and a put sees for itself that they are away.
    if (!pack.lost && bad - away > pack.seal.shape.m)
      marks_.add_lost(write_id(pack.seal.id));
    report(event_kind::data_lost, severity::critical, pack.seal.id.hex(), "fewer good shards than are needed", errc::damaged);
    auto table = context_->names->table_of(pack.seal.id);
    if (!table)
      return fail(table.error());
    for (const auto& entry : table->chunks)
      if (!healer_.readable(pack, entry.offset, entry.offset + entry.sealed_length)) {
        auto place = context_->names->locate_chunk(entry.id);
        if (place && *place && (*place)->pack == pack.seal.id)
          lost_chunks_.insert(entry.id);
      }
    return {};
  }

  void note_whole(const pack_record& pack) {
    if (pack.lost)
      marks_.add_whole(write_id(pack.seal.id));
  }

  void note_shards(const pack_record& pack, const bad_shards& bad) {
    for (size_t i = 0; i < pack.drives.size(); ++i) {
      auto index = static_cast<uint8_t>(i);
      auto found = bad.find(index);
      auto known = pack.is_faulty(index);
      auto proved = found != bad.end() && (found->second.code() == errc::shard_missing || found->second.code() == errc::shard_damaged);
      if (proved && !known && !pack.drives[i].is_zero())
        *marks_.add_faulty() = to_proto(seen_shard{pack.seal.id, index, pack.drives[i]});
      else if (found == bad.end() && known)
        *marks_.add_good() = to_proto(seen_shard{pack.seal.id, index, pack.drives[i]});
    }
  }

  /// What is lost is stored anew when it comes by; what came back is not.
  result<void> mark_packs() {
    auto found = marks_.lost_size() + marks_.whole_size() + marks_.faulty_size() + marks_.good_size();
    if (task_.request.dry_run || found == 0)
      return {};
    auto marked = ask<v1::Done>(self_, context_->catalog_writer, step_timeout, marks_);
    return marked ? result<void>{} : fail(marked.error());
  }

  /// *all*: every pack was looked at, so that what is in none is lost, too.
  result<void> name_lost_files(bool all) {
    auto without = all ? files_without_data(*context_->names) : result<std::set<std::string>>{};
    if (!without)
      return fail(without.error());
    auto& files = *without;
    if (!files.empty())
      report(event_kind::data_lost, severity::critical, context_->name, fmt::format("{} files need data that no pack holds", files.size()),
             errc::damaged);
    summary_.files_lost.assign(files.begin(), files.end());
    if (lost_chunks_.empty())
      return {};
    auto visited = context_->names->visit_references([&](const node_id& node, const version_id& version, const chunk_id& chunk) {
      if (lost_chunks_.count(chunk) > 0)
        files.insert(name_for_report(*context_->names, node, version));
      return true;
    });
    if (!visited)
      return visited;
    summary_.files_lost.assign(files.begin(), files.end());
    return {};
  }

  caf::blocking_actor* self_;
  std::shared_ptr<vault_context> context_;
  verify_task& task_;
  shard_healer healer_;
  verify_summary summary_;
  uint64_t pack_total_ = 0;
  uint64_t own_turns_ = 0;
  std::unordered_set<chunk_id> lost_chunks_;
  v1::MarkPacks marks_;
  std::set<drive_id> away_; ///< That were told of.
};

} // namespace

void start_verify(std::shared_ptr<vault_context> context, verify_task task) {
  auto shared = std::make_shared<verify_task>(std::move(task));
  // One pack, what it is rebuilt from, and its parity.
  auto size = std::min<uint64_t>(context->budget->limit(), uint64_t{3} * pack_buffer_size);
  auto granted = [context, shared](const std::shared_ptr<memory_budget::reservation>& held) {
    context->sys->spawn<caf::detached>([context, shared, held](caf::blocking_actor* self) {
      auto outcome = verifier{self, context, *shared}.run();
      *held = {};
      shared->done(std::move(outcome));
    });
  };
  wait_for_memory(*context, shared->job, size, granted, [shared](const error& reason) { shared->done(fail(reason)); });
}

result<needed_data> data_of(const vault_context& context, const std::vector<std::string>& paths) {
  std::vector<restore_plan::root> roots;
  for (const auto& path : paths) {
    auto node = context.names->resolve(path);
    if (!node)
      return fail(node.error());
    roots.push_back({*node, node->name, std::nullopt});
  }
  needed_data needed;
  restore_plan plan{context.names, std::move(roots), {}};
  for (;;) {
    auto file = plan.next();
    if (!file)
      return fail(file.error());
    if (!*file)
      return needed;
    if ((*file)->kind != node_kind::file)
      continue;
    for (;;) {
      auto piece = plan.next_extent();
      if (!piece)
        return fail(piece.error());
      if (!*piece)
        break;
      const auto& chunk = (*piece)->what.chunk;
      if (!chunk)
        continue;
      auto place = context.names->locate_chunk(*chunk);
      if (!place)
        return fail(place.error());
      if (*place)
        needed.packs.insert((*place)->pack);
      else
        needed.nowhere.insert(*chunk);
    }
  }
}

result<std::set<std::string>> files_without_data(const catalog& names) {
  using found_versions = std::map<version_id, std::string>;
  auto look = [&](const auto& wanted) -> result<found_versions> {
    found_versions found;
    result<void> outcome;
    auto visited = names.visit_references([&](const node_id& node, const version_id& version, const chunk_id& chunk) {
      if (!wanted(version) || found.count(version) > 0)
        return true;
      auto place = names.locate_chunk(chunk);
      if (!place)
        outcome = fail(place.error());
      else if (!*place)
        found.emplace(version, name_for_report(names, node, version));
      return outcome.has_value();
    });
    if (!visited || !outcome)
      return fail(visited ? outcome.error() : visited.error());
    return found;
  };
  auto found = look([](const version_id&) { return true; });
  // A cleanup may have forgotten a version, and then its chunks, while the first look was at it.
  if (found && !found->empty())
    found = look([first = std::move(*found)](const version_id& version) { return first.count(version) > 0; });
  if (!found)
    return fail(found.error());
  std::set<std::string> files;
  for (auto& [version, name] : *found)
    files.insert(std::move(name));
  return files;
}

std::string name_for_report(const catalog& names, const node_id& node, const version_id& version) {
  auto view = names.node(node);
  auto path = names.path_of(node);
  auto name = path ? *path : fmt::format("{} (in the trash)", view ? view->name : node.hex());
  if (view && view->version && *view->version != version)
    name += fmt::format(" (version {})", version.brief());
  return name;
}

} // namespace datamesh::storage
