#include "storage/adopt_actor.hpp"

#include "storage/checkpoint_parts.hpp"
#include "storage/convert.hpp"
#include "storage/memory_wait.hpp"
#include "storage/operation_batch.hpp"
#include "storage/pack_reader_actor.hpp"
#include "storage/shard_healer.hpp"

namespace datamesh::storage {

namespace {

constexpr size_t shards_at_once = 4096;
constexpr size_t packs_at_once = 256;

/// Shards of one pack, as the drives' indexes list them.
struct found_pack {
  geometry shape;
  int64_t stored_ns = 0;
  std::vector<drive_id> drives;
  std::vector<std::pair<size_t, drive_id>> more; ///< The same shards on other drives.

  void add(size_t index, const drive_id& drive) {
    if (index >= drives.size())
      return;
    if (drives[index].is_zero())
      drives[index] = drive;
    else
      more.emplace_back(index, drive);
  }
  [[nodiscard]] bool has(size_t index, const drive_id& drive) const {
    return (index < drives.size() && drives[index] == drive) || std::ranges::find(more, std::pair{index, drive}) != more.end();
  }
};

class adopter {
public:
  adopter(caf::blocking_actor* self, std::shared_ptr<vault_context> context, adopt_task& task)
      : self_(self), context_(std::move(context)), task_(task), reader_(spawn_pack_reader(*context_->sys, context_, task.job)) {}
  ~adopter() {
    self_->send_exit(reader_, caf::exit_reason::user_shutdown);
  }

  result<rebuild_summary> run() {
    if (auto listed = list_drives(); !listed)
      return fail(listed.error());
    for (auto& [id, pack] : found_) {
      if (auto reason = task_.job->ended())
        return fail(*reason);
      auto known = context_->names->find_pack(id);
      if (!known)
        return fail(known.error());
      if (!*known)
        if (auto taken = take_in(id, pack); !taken)
          return fail(taken.error());
      task_.job->progress(summary_.packs, found_.size(), 0, 0);
    }
    if (auto placed = task_.fresh ? result<void>{} : compare_places(); !placed)
      return fail(placed.error());
    count_unseen();
    auto folded = task_.fresh ? fold_all() : fold_again().and_then([&] { return compare_checkpoints(); });
    if (!folded)
      return fail(folded.error());
    if (auto counted = count_incomplete(); !counted)
      return fail(counted.error());
    auto totals = context_->names->totals();
    if (!totals)
      return fail(totals.error());
    summary_.files = totals->files;
    return summary_;
  }

private:
  result<void> list_drives() {
    context_->drives->look();
    complete_ = context_->drives->complete();
    for (const auto& drive : *context_->drives->all()) {
      // What an index says of a drive that is not in place is no news.
      if (!drive.is_there()) {
        ++away_;
        continue;
      }
      // A catalog that is made anew takes nothing on trust: where somebody else keeps shards, he
      // is asked.
      if (task_.fresh && !relist(drive)) {
        ++away_;
        continue;
      }
      listed_.insert(drive.id);
      std::optional<shard_key> after;
      for (;;) {
        auto page = drive.store->list(after, shards_at_once);
        if (!page)
          return fail(page.error());
        for (const auto& shard : *page) {
          auto& pack = found_[shard.key.pack];
          pack.shape = shard.shape;
          pack.stored_ns = shard.stored_ns;
          pack.drives.resize(shard.shape.shard_count());
          pack.add(shard.key.index, drive.id);
        }
        if (page->size() < shards_at_once)
          break;
        after = page->back().key;
      }
    }
    return {};
  }

  bool relist(const drive_entry& drive) {
    v1::RelistDrive request;
    request.set_vault(std::string{context_->id.text()});
    return ask<v1::DriveRelisted>(self_, drive.writer, until_answered, std::move(request)).has_value();
  }

  /// Packs that were known: shards that the catalog misses may have turned up, and what it
  /// knows may be gone from drives that are copies from earlier days.
  result<void> compare_places() {
    std::optional<pack_id> after;
    for (;;) {
      if (auto reason = task_.job->ended())
        return fail(*reason);
      auto page = context_->names->packs(after, packs_at_once);
      if (!page)
        return fail(page.error());
      v1::CommitCatalog moved;
      v1::MarkPacks gone;
      for (const auto& pack : *page)
        if (!pack.condemned)
          compare_places(pack, moved, gone);
      if (moved.placed_size() > 0)
        if (auto sent = send(std::move(moved)); !sent)
          return sent;
      if (gone.faulty_size() > 0)
        if (auto marked = ask<v1::Done>(self_, context_->catalog_writer, step_timeout, std::move(gone)); !marked)
          return fail(marked.error());
      if (page->size() < packs_at_once)
        return {};
      after = page->back().seal.id;
    }
  }

  void compare_places(const pack_record& known, v1::CommitCatalog& moved, v1::MarkPacks& gone) {
    static const found_pack nowhere;
    auto found = found_.find(known.seal.id);
    const auto& there = found == found_.end() ? nowhere : found->second;
    auto record = known;
    auto changed = false;
    for (size_t i = 0; i < record.drives.size(); ++i) {
      auto& place = record.drives[i];
      if (!place.is_zero() && there.has(i, place))
        continue;
      if (i < there.drives.size() && !there.drives[i].is_zero()) {
        place = there.drives[i];
        changed = true;
      } else if (listed_.count(place) > 0) {
        *gone.add_faulty() = to_proto(seen_shard{known.seal.id, static_cast<uint8_t>(i), place});
      }
    }
    if (changed)
      *moved.add_placed() = to_proto(record);
  }

  /// Packs of which nothing is seen may lie on the drives that are away where there are as many
  /// as the fewest that can hold one.
  void count_unseen() {
    size_t fewest = found_.empty() ? 1 : shard_count_max;
    for (const auto& [id, pack] : found_)
      fewest = std::min<size_t>(fewest, pack.shape.k);
    summary_.drives_unseen = away_ >= fewest ? away_ : 0;
  }

  /// Without those of which shards wait to be removed.
  result<void> count_incomplete() {
    for (const auto& id : incomplete_) {
      auto condemned = context_->names->was_condemned(id);
      if (!condemned)
        return fail(condemned.error());
      summary_.packs_incomplete += *condemned ? 0 : 1;
    }
    return {};
  }

  result<void> send(v1::CommitCatalog commit) {
    auto done = ask<v1::Done>(self_, context_->catalog_writer, step_timeout, std::move(commit));
    if (!done)
      return fail(done.error());
    return {};
  }

  /// The seal of a pack from the first of its shards whose header is good.
  std::optional<pack_seal> seal_of(const pack_id& id, const found_pack& pack) {
    auto drives = context_->drives->all();
    for (size_t i = 0; i < pack.drives.size(); ++i) {
      const auto* drive = pack.drives[i].is_zero() ? nullptr : drive_table::find(*drives, pack.drives[i]);
      if (drive == nullptr)
        continue;
      auto header = drive->store->read_header({id, static_cast<uint8_t>(i)});
      if (header && header->pack.id == id)
        return header->pack;
    }
    return std::nullopt;
  }

  result<bytes> read(const pack_record& pack, uint32_t begin, uint32_t end) {
    v1::ReadStretch request;
    *request.mutable_pack() = to_proto(pack);
    request.set_begin(begin);
    request.set_end(end);
    auto answer = ask_with<v1::StretchRead, bytes>(self_, reader_, until_answered, std::move(request));
    if (!answer)
      return fail(answer.error());
    return answer->second.slice(begin - answer->first.base(), end - begin);
  }

  result<void> take_in(const pack_id& id, const found_pack& pack) {
    auto present = static_cast<size_t>(std::count_if(pack.drives.begin(), pack.drives.end(), [](const auto& d) { return !d.is_zero(); }));
    if (present < pack.shape.k) {
      // Left over from a put that failed, and nobody was told that it is there; unless the
      // rest lies on drives that are away, or on others. A catalog that goes on knows what
      // anybody was told of.
      if (task_.fresh && present + away_ >= pack.shape.k)
        ++summary_.packs_unreadable;
      else
        incomplete_.push_back(id);
      return {};
    }
    auto seal = seal_of(id, pack);
    pack_record record;
    record.seal.id = id;
    record.drives = pack.drives;
    if (!seal)
      return count_unreadable(record);
    record.seal = std::move(*seal);
    record.created_ns = pack.stored_ns;
    auto head = read(record, 0, pack_header_size);
    if (!head)
      return count_unreadable(record);
    auto header = parse_pack_header(*head, record.seal.shape.data_length());
    if (!header)
      return count_unreadable(record);
    if (header->vault != context_->id)
      return {}; // Another vault's.
    record.created_ns = header->created_ns;
    record.used_length = header->used_length;
    record.table_offset = header->table_offset;
    record.table_sealed_length = header->table_sealed_length;
    return fold_in(record, *header);
  }

  /// With all drives in service it is lost, unless some of its shards lie where nobody knows.
  result<void> count_unreadable(const pack_record& pack) {
    auto whole = std::ranges::none_of(pack.drives, &drive_id::is_zero);
    if (complete_ && !whole)
      incomplete_.push_back(pack.seal.id);
    else
      ++summary_.packs_unreadable;
    return {};
  }

  result<void> fold_in(const pack_record& record, const pack_header& header) {
    auto keys = context_->keys->get();
    auto sealed = read(record, header.table_offset, header.table_offset + header.table_sealed_length);
    auto table = sealed ? open_pack_table(header, *sealed, *keys, cipher_) : fail(sealed.error());
    if (!table && table.error().code() == errc::unknown_epoch) {
      ++summary_.packs_unreadable;
      ++summary_.packs_newer;
      return {};
    }
    if (!table)
      return count_unreadable(record);
    v1::CommitCatalog commit;
    *commit.add_packs() = to_proto(record, *table);
    commit.set_operations_in_pack(true);
    // A fresh catalog looks for a checkpoint in all packs first. Any other takes a pack
    // with its operations or not at all, since it passes over a pack that it knows.
    if (!task_.fresh) {
      if (std::ranges::any_of(table->operations, &operations_entry::checkpoint))
        commit.set_behind(true); // Until the catalog was compared with it.
      // What a drive that is away may mend is taken in when it is back.
      if (!add_operations(record, *table, {}, commit)) {
        (void) count_unreadable(record);
        if (!complete_)
          return {};
      }
    }
    ++summary_.packs;
    return send(std::move(commit));
  }

  /// Operations of a pack that *known* does not cover. False where some can not be read.
  bool add_operations(const pack_record& record, const pack_table& table, const checkpoint_header& known, v1::CommitCatalog& commit) {
    auto keys = context_->keys->get();
    auto all_read = true;
    for (const auto& entry : table.operations) {
      if (entry.checkpoint || known.covers(entry.device, entry.first_sequence, entry.last_sequence))
        continue;
      auto batch = read(record, entry.offset, entry.offset + entry.sealed_length);
      auto operations = batch ? open_operations(keys->vault, table.space, entry, *batch, *keys, cipher_) : fail(batch.error());
      if (!operations) {
        all_read = false;
        continue;
      }
      summary_.operations += operations->size();
      for (auto& op : *operations)
        commit.add_operations(std::move(op));
    }
    return all_read;
  }

  // -- a fresh catalog: the newest checkpoint that is whole, and what came after it ------

  result<void> fold_all() {
    auto checkpoint = import_newest();
    if (!checkpoint)
      return fail(checkpoint.error());
    return fold_packs(*checkpoint).and_then([&] { return count_missing(); });
  }

  /// Operations that *known* does not cover, of all packs that are in the catalog.
  result<void> fold_packs(const checkpoint_header& known) {
    std::optional<pack_id> after;
    for (;;) {
      auto page = context_->names->packs(after, packs_at_once);
      if (!page)
        return fail(page.error());
      for (const auto& pack : *page)
        if (auto folded = fold_pack(pack, known); !folded)
          return folded;
      if (page->size() < packs_at_once)
        return {};
      after = page->back().seal.id;
    }
  }

  /// What a checkpoint that can not be read covers may be gone from the packs.
  result<void> count_missing() {
    if (headers_.empty())
      return {};
    auto known = known_by(*context_->names->freeze());
    if (!known && known.error().code() != errc::not_found)
      return fail(known.error());
    for (const auto& header : headers_)
      summary_.operations_missing = std::max(summary_.operations_missing, header.count_beyond(known ? *known : checkpoint_header{}));
    return {};
  }

  result<void> fold_pack(const pack_record& pack, const checkpoint_header& known) {
    if (auto reason = task_.job->ended())
      return fail(*reason);
    auto table = context_->names->table_of(pack.seal.id);
    if (!table)
      return fail(table.error());
    v1::CommitCatalog commit;
    commit.set_operations_in_pack(true);
    if (!add_operations(pack, *table, known, commit))
      (void) count_unreadable(pack);
    return commit.operations_size() > 0 ? send(std::move(commit)) : result<void>{};
  }

  /// What it covers; nothing without one.
  result<checkpoint_header> import_newest() {
    auto found = find_checkpoints(*context_->names);
    if (!found)
      return fail(found.error());
    checkpoint_parts parts{self_, *context_, reader_, *task_.job};
    std::vector<std::pair<checkpoint_header, const found_checkpoint*>> newest_last;
    for (const auto& one : *found)
      if (auto header = parts.header_of(one))
        newest_last.emplace_back(std::move(*header), &one);
    std::sort(newest_last.begin(), newest_last.end(), [](const auto& a, const auto& b) {
      return std::tie(a.first.operations, a.second->number) < std::tie(b.first.operations, b.second->number);
    });
    for (const auto& [header, from] : newest_last)
      headers_.push_back(header);
    for (auto i = newest_last.rbegin(); i != newest_last.rend(); ++i) {
      auto good = parts.verify(*i->second);
      if (auto reason = task_.job->ended())
        return fail(*reason);
      if (!good)
        continue; // An older one, then, and more operations.
      if (auto imported = import(parts, *i->second, good->header); !imported)
        return fail(imported.error());
      return std::move(good->header);
    }
    return checkpoint_header{};
  }

  result<void> import(checkpoint_parts& parts, const found_checkpoint& from, const checkpoint_header& header) {
    for (uint64_t part = 0; part < from.parts.size(); ++part) {
      auto encoded = parts.read(from, part);
      if (!encoded)
        return fail(encoded.error());
      v1::CommitCatalog commit;
      commit.add_imported(std::move(*encoded));
      if (part + 1 == from.parts.size()) {
        auto& note = *commit.mutable_checkpoint();
        note.set_number(from.number);
        note.set_created_ns(header.created_ns);
        note.set_operations(header.operations);
      }
      if (auto sent = send(std::move(commit)); !sent)
        return sent;
    }
    return {};
  }

  // -- a catalog that goes on --------------------------------------------------------------

  /// What could not be read of packs when they were taken in, drives may have brought since.
  result<void> fold_again() {
    if (!task_.again)
      return {};
    auto known = known_by(*context_->names->freeze());
    if (!known && known.error().code() != errc::not_found)
      return fail(known.error());
    return fold_packs(known ? *known : checkpoint_header{});
  }

  /// Operations that a checkpoint covers may be gone from the packs. A catalog that did
  /// not know them before it met the checkpoint is a copy from earlier days.
  result<void> compare_checkpoints() {
    if (!context_->names->is_behind())
      return {};
    auto found = find_checkpoints(*context_->names);
    if (!found)
      return fail(found.error());
    checkpoint_parts parts{self_, *context_, reader_, *task_.job};
    for (const auto& one : *found) {
      auto header = parts.header_of(one);
      if (!header && !complete_)
        return fail(errc::drive_missing, "compare the catalog with a checkpoint in packs whose drives are away", context_->name);
      if (!header)
        continue;
      auto known = known_by(*context_->names->freeze());
      if (!known && known.error().code() != errc::not_found)
        return fail(known.error());
      if (!known || !known->covers(*header))
        return fail(errc::store_corrupt, "take in packs: the catalog is older than a checkpoint in them", context_->name);
    }
    v1::CommitCatalog compared;
    compared.set_behind(false);
    return send(std::move(compared));
  }

  caf::blocking_actor* self_;
  std::shared_ptr<vault_context> context_;
  adopt_task& task_;
  pack_reader_actor reader_;
  crypto::aead cipher_;
  rebuild_summary summary_;
  bool complete_ = false; ///< All drives are in service.
  std::set<drive_id> listed_;
  size_t away_ = 0;                 ///< Drives that are not in service.
  std::vector<pack_id> incomplete_; ///< With too few good shards on the drives, and some that are on none of these.
  std::map<pack_id, found_pack> found_;
  std::vector<checkpoint_header> headers_; ///< Of all checkpoints that were found.
};

} // namespace

void start_adopt(std::shared_ptr<vault_context> context, adopt_task task) {
  auto shared = std::make_shared<adopt_task>(std::move(task));
  auto size = std::min<uint64_t>(context->budget->limit(), uint64_t{2} * pack_buffer_size);
  auto granted = [context, shared](const std::shared_ptr<memory_budget::reservation>& held) {
    context->sys->spawn<caf::detached>([context, shared, held](caf::blocking_actor* self) {
      auto outcome = adopter{self, context, *shared}.run();
      *held = {};
      shared->done(std::move(outcome));
    });
  };
  wait_for_memory(*context, shared->job, size, granted, [shared](const error& reason) { shared->done(fail(reason)); });
}

} // namespace datamesh::storage
