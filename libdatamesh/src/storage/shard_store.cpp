#include "storage/shard_store.hpp"

#include "base/buffer_pool.hpp"
#include "storage/drive_marker.hpp"
#include "storage/shard_index.hpp"
#include "storage/shard_reader.hpp"

#include <algorithm>
#include <array>
#include <set>

namespace datamesh::storage {

namespace {

/// Files that one `store` holds open at once.
constexpr size_t open_file_max = 64;

constexpr uint64_t round_up_to_page(uint64_t size) noexcept {
  return (size + direct_alignment - 1) / direct_alignment * direct_alignment;
}

/// A shard that has to be written.
struct staged_shard {
  const shard_write* write = nullptr;
  bytes header;
  shard_record record;
  bool has_row = false;
  bool linked = false;
  std::unique_ptr<writable_file> file;

  /// Disk space that it takes, about; a row is written to the log and to a table.
  [[nodiscard]] uint64_t cost() const noexcept {
    auto length = stored_length(record.shape);
    return record.in_index ? 2 * length : round_up_to_page(length);
  }
};

/// A copy in memory that direct I/O takes together with an aligned body.
bytes aligned_copy(byte_view data) {
  auto buffer = buffer_pool::make(data.size(), 0)->take();
  std::copy(data.begin(), data.end(), buffer.span().begin());
  return buffer.freeze(0, data.size());
}

unsigned folder_number(const shard_key& key) noexcept {
  return std::to_integer<unsigned>(key.pack.view().front());
}

uint64_t reserve_of(const shard_store_options& options, const disk_space& space) {
  return std::max(options.reserve_bytes, static_cast<uint64_t>(static_cast<double>(space.total) * options.reserve_ratio));
}

/// What a failed call that is no sync means for the caller.
error refusal(const error& cause, const char* attempt, const std::string& folder) {
  switch (cause.code()) {
  case errc::no_space:
    return cause.as(errc::drive_full, attempt, folder);
  case errc::not_found:
    return cause.as(errc::drive_missing, attempt, folder);
  default:
    return cause.within(attempt, folder);
  }
}

} // namespace

struct shard_store::impl {
  environment env;
  shard_store_options options;
  drive_id id;
  std::unique_ptr<file_lock> lock;
  std::unique_ptr<shard_index> index;
  std::unique_ptr<shard_reader> reader;
  std::atomic<drive_state> state = drive_state::ok;
  // A sync failed, now or in an earlier run: nothing makes the drive good again.
  bool broken = false;
  // Tombstones in the index.
  std::set<shard_key> unlinking;

  [[nodiscard]] file_system& files() const {
    return *env.files;
  }
  [[nodiscard]] const std::string& folder() const {
    return options.folder;
  }
  [[nodiscard]] bool is_in_place() const {
    auto there = read_marker(files(), folder());
    return there && *there == id;
  }
  void tell(severity level, std::string_view what, const error& cause) const;
  error fail_drive(const error& cause, const char* attempt);
  error sync_refused(const error& cause, const char* attempt);
  error index_refused(const error& cause, const char* attempt);
  result<void> may_write(const char* attempt);
  result<void> make_writable(const char* attempt);

  result<void> load();
  result<void> check_owner();
  result<void> write_owner();
  result<void> learn();
  result<std::vector<staged_shard>> stage(std::span<const shard_write> writes) const;
  result<bool> is_held(const staged_shard& shard) const;
  result<void> check_room(std::span<const staged_shard> staged) const;
  result<void> write_files(std::span<staged_shard> staged);
  result<void> link(staged_shard& shard) const;
  result<void> sync_folders(std::span<const staged_shard> staged);
  result<void> write_rows(std::span<staged_shard> staged);
  void unlink(std::span<const staged_shard> staged) const;
  result<void> store(std::span<const shard_write> writes);
  result<void> remove(std::span<const shard_key> keys, const vault_id& vault);
  result<void> finish_deletions();
  result<void> set_state(drive_state next);
  result<uint64_t> sweep(int64_t grace_ns);
  result<uint64_t> sweep_folder(unsigned number, int64_t newest_ns);
};

void shard_store::impl::tell(severity level, std::string_view what, const error& cause) const {
  if (env.log == nullptr)
    return;
  auto message = cause.message();
  auto name = id.hex();
  std::array<log_field, 3> fields{log_field{"drive", name}, log_field{"folder", folder()}, log_field{"reason", message}};
  env.log->write(level, "shard store", what, fields);
}

// The page cache may hold as clean what never reached the disk, and a later run
// would take it for durable: the failure is written down, away from the index. A drive
// that was pulled out is none that failed, and nothing is written where it is not.
error shard_store::impl::fail_drive(const error& cause, const char* attempt) {
  if (!is_in_place())
    return cause.as(errc::drive_missing, attempt, folder());
  broken = true;
  state = drive_state::failed;
  tell(severity::critical, "A sync failed; the drive takes no more writes.", cause);
  auto written = write_whole(files(), failed_path(folder()), as_view(cause.message() + "\n"));
  if (!written && !index->write_state(drive_state::failed))
    tell(severity::error, "The failure of the drive could not be written down.", written.error());
  return cause.as(errc::drive_failed, attempt, folder());
}

error shard_store::impl::sync_refused(const error& cause, const char* attempt) {
  if (cause.code() == errc::no_space || cause.code() == errc::read_only || cause.code() == errc::not_found)
    return refusal(cause, attempt, folder());
  return fail_drive(cause, attempt);
}

// A full disk is no failure, but the index takes writes again only after it was
// opened anew; what it then holds is the truth.
error shard_store::impl::index_refused(const error& cause, const char* attempt) {
  if (cause.code() == errc::no_space) {
    if (auto opened = index->reopen(); !opened)
      return fail_drive(opened.error(), attempt);
  }
  return sync_refused(cause, attempt);
}

result<void> shard_store::impl::may_write(const char* attempt) {
  if (state != drive_state::failed)
    if (auto ready = make_writable(attempt); !ready)
      return ready;
  if (state == drive_state::failed)
    return fail(errc::drive_failed, attempt, folder());
  return {};
}

// The disk was full or read-only when the index met it; perhaps it is no more. Without
// the lock another process may have written meanwhile.
result<void> shard_store::impl::make_writable(const char* attempt) {
  if (lock != nullptr && index->writable())
    return {};
  if (lock == nullptr) {
    auto held = files().lock(lock_path(folder()));
    if (!held)
      return fail(refusal(held.error(), attempt, folder()));
    lock = std::move(*held);
  }
  if (auto ready = index->reopen().and_then([this] { return learn(); }).and_then([this] { return check_owner(); }); !ready)
    return fail(refusal(ready.error(), attempt, folder()));
  if (state == drive_state::failed)
    return {};
  if (auto owned = write_owner(); !owned)
    return owned;
  if (auto synced = index->sync(); !synced)
    return fail(sync_refused(synced.error(), attempt));
  return {};
}

// -- opening -----------------------------------------------------------------

result<std::unique_ptr<shard_store>> shard_store::open(const environment& env, shard_store_options options) {
  constexpr auto attempt = "open drive";
  auto id = identify(*env.files, options.folder);
  if (!id)
    return fail(id.error().within(attempt, options.folder));
  std::unique_ptr<shard_store> opened{new shard_store};
  auto& drive = *opened->impl_;
  drive.env = env;
  drive.options = std::move(options);
  drive.id = *id;
  if (auto loaded = drive.load(); !loaded)
    return fail(loaded.error().within(attempt, drive.folder()));
  return opened;
}

result<void> shard_store::impl::load() {
  auto held = files().lock(lock_path(folder()));
  // Where nobody can write, nobody needs the lock.
  if (!held && held.error().code() != errc::read_only)
    return fail(held.error());
  if (held)
    lock = std::move(*held);
  auto found = shard_index::open(env.stores, index_path(folder()));
  if (!found) {
    auto code = found.error().code();
    if (code == errc::not_found)
      return fail(found.error().as(errc::store_corrupt, "find the drive's index"));
    return fail(found.error());
  }
  index = std::move(*found);
  if (index->drive() != id)
    return fail(errc::drive_alien, "match the index with the marker", index->drive().hex());
  reader = std::make_unique<shard_reader>(env.files, folder(), *index);
  if (auto known = learn(); !known)
    return known;
  if (auto ours = check_owner(); !ours)
    return ours;
  if (state == drive_state::failed || lock == nullptr)
    return {};
  if (!options.take_over)
    if (auto owned = write_owner(); !owned)
      return owned;
  // A process may have ended between a write of the index and its sync. Rows that
  // only the page cache holds must be durable before a store relies on them.
  auto ready = index->sync();
  if (!ready)
    ready = fail(index_refused(ready.error(), "sync the drive's index"));
  if (ready)
    ready = finish_deletions();
  // The drive serves what it has in any case.
  if (!ready)
    tell(severity::warning, "The drive opened, but does not take writes now.", ready.error());
  return {};
}

/// Who takes it over is the next that has it. A home that took it over later than the one that
/// the drive tells of has not been able to write that down.
result<void> shard_store::impl::check_owner() {
  if (options.owner.node.is_zero())
    return {};
  auto told = index->owner();
  if (!told)
    return fail(told.error());
  auto others = *told && (*told)->node != options.owner.node;
  if (options.take_over)
    options.owner.term = *told ? std::max(options.owner.term, (*told)->term + (others ? 1 : 0)) : options.owner.term;
  else if (others && (*told)->term >= options.owner.term)
    return fail(errc::drive_alien, "serve a drive that another node has taken over", folder());
  else if (*told && !others)
    options.owner.term = std::max(options.owner.term, (*told)->term);
  return {};
}

/// A drive that takes no writes now is served all the same.
result<void> shard_store::impl::write_owner() {
  if (options.owner.node.is_zero())
    return {};
  auto told = index->owner();
  if (!told)
    return fail(told.error());
  if (*told == options.owner)
    return {};
  auto written = index->write_owner(options.owner);
  return written || disk_refuses(written.error().code()) ? result<void>{} : written;
}

result<void> shard_store::impl::learn() {
  auto tombstones = index->tombstones();
  if (!tombstones)
    return fail(tombstones.error());
  unlinking = {tombstones->begin(), tombstones->end()};
  broken = files().status(failed_path(folder())).has_value();
  state = broken ? drive_state::failed : index->state();
  return {};
}

// -- storing -----------------------------------------------------------------

result<bool> shard_store::impl::is_held(const staged_shard& shard) const {
  auto held = reader->holds(shard.record, shard.header, shard.write->body);
  if (!held || *held)
    return held;
  // Only what proves itself may take the place of something.
  constexpr auto attempt = "replace a damaged shard";
  if (auto header = parse_shard_header(shard.header); !header)
    return fail(header.error().as(errc::invalid_argument, attempt));
  auto body = shard.write->body.view();
  for (uint32_t number = 0; number < shard.record.shape.block_count(); ++number) {
    auto at = size_t{number} * block_size;
    auto block = body.subspan(at, std::min<size_t>(block_size, body.size() - at));
    if (auto good = check_block(shard.write->header, number, block); !good)
      return fail(good.error().as(errc::invalid_argument, attempt));
  }
  return false;
}

result<std::vector<staged_shard>> shard_store::impl::stage(std::span<const shard_write> writes) const {
  constexpr auto attempt = "store shards";
  auto now_ns = env.clock->wall().time_since_epoch().count();
  std::vector<staged_shard> staged;
  std::set<shard_key> seen;
  for (const auto& write : writes) {
    const auto& [pack, index_of_shard, hashes] = write.header;
    if (!validate(pack.shape) || write.body.size() != pack.shape.shard_length || index_of_shard >= pack.shape.shard_count()
        || pack.shard_roots.size() != pack.shape.shard_count() || hashes.size() != pack.shape.block_count())
      return fail(errc::invalid_argument, attempt, pack.id.hex());
    shard_key key{pack.id, index_of_shard};
    if (!seen.insert(key).second)
      continue;
    auto row = index->find(key);
    if (!row)
      return fail(row.error().within(attempt, folder()));
    staged_shard shard;
    shard.write = &write;
    shard.header = aligned_copy(encode_shard_header(write.header, pack.shape.shards_are_files()));
    shard.has_row = row->has_value();
    shard.record = {key, pack.shape, now_ns, !pack.shape.shards_are_files()};
    if (shard.has_row) {
      auto held = is_held(shard);
      if (!held)
        return fail(held.error().within(attempt, folder()));
      if (*held)
        continue;
    }
    staged.push_back(std::move(shard));
  }
  return staged;
}

result<void> shard_store::impl::check_room(std::span<const staged_shard> staged) const {
  auto space = files().space(folder());
  if (!space)
    return fail(refusal(space.error(), "store shards", folder()));
  uint64_t cost = 0;
  auto what = room_for::upkeep;
  for (const auto& shard : staged) {
    cost += shard.cost();
    what = std::min(what, shard.write->what);
  }
  drive_usage usage;
  usage.disk = *space;
  usage.reserve = reserve_of(options, *space);
  if (usage.room(what) < cost)
    return fail(errc::drive_full, "store shards", folder());
  return {};
}

// An unnamed file that is not linked vanishes by itself when an error ends this.
result<void> shard_store::impl::write_files(std::span<staged_shard> staged) {
  constexpr auto attempt = "store shards";
  auto hint = options.direct_io ? access_hint::direct : access_hint::normal;
  for (auto& shard : staged) {
    auto create = [&] {
      return files().create_unnamed(shard_folder(folder(), folder_number(shard.record.key)), 0600, hint);
    };
    auto file = create();
    // Whoever deleted shards may have taken their folder along: then it is made again.
    if (!file && file.error().code() == errc::not_found && is_in_place() && make_shard_folders(files(), folder()))
      file = create();
    if (!file)
      return fail(refusal(file.error(), attempt, folder()));
    shard.file = std::move(*file);
    std::array<byte_view, 2> parts{shard.header, shard.write->body};
    auto written = shard.file->allocate(stored_length(shard.record.shape)).and_then([&] { return shard.file->write_at(0, parts); });
    if (!written)
      return fail(refusal(written.error(), attempt, folder()));
  }
  for (auto& shard : staged)
    if (auto synced = shard.file->sync(); !synced)
      return fail(sync_refused(synced.error(), attempt));
  for (auto& shard : staged) {
    if (auto linked = link(shard); !linked)
      return fail(refusal(linked.error(), attempt, folder()));
    shard.linked = true;
    shard.file.reset();
  }
  return {};
}

result<void> shard_store::impl::link(staged_shard& shard) const {
  auto path = shard_path(folder(), shard.record.key);
  auto linked = shard.file->link_as(path);
  if (linked || linked.error().code() != errc::already_exists)
    return linked;
  // What stands there is damaged, or a crash left it without a row.
  auto beside = replacement_path(folder(), shard.record.key);
  linked = shard.file->link_as(beside);
  if (!linked && linked.error().code() == errc::already_exists)
    linked = files().remove(beside).and_then([&] { return shard.file->link_as(beside); });
  if (!linked)
    return linked;
  auto renamed = files().rename(beside, path);
  if (!renamed)
    (void) files().remove(beside);
  return renamed;
}

result<void> shard_store::impl::sync_folders(std::span<const staged_shard> staged) {
  std::set<unsigned> numbers;
  for (const auto& shard : staged)
    if (shard.linked)
      numbers.insert(folder_number(shard.record.key));
  for (auto number : numbers)
    if (auto synced = files().sync_folder(shard_folder(folder(), number)); !synced)
      return fail(sync_refused(synced.error(), "store shards"));
  return {};
}

result<void> shard_store::impl::write_rows(std::span<staged_shard> staged) {
  constexpr auto attempt = "store shards";
  shard_index::batch rows;
  for (const auto& shard : staged) {
    std::string content;
    if (shard.record.in_index)
      content.append(as_text(shard.header)).append(as_text(shard.write->body));
    rows.put(shard.record, shard.has_row, content);
    if (!shard.write->vault.is_zero())
      rows.count_change(shard.write->vault);
    if (unlinking.contains(shard.record.key))
      rows.drop_tombstone(shard.record.key);
  }
  if (auto written = index->write(std::move(rows), durability::synced); !written) {
    auto refused = index_refused(written.error(), attempt);
    if (refused.code() != errc::drive_full)
      return fail(refused);
    // The index was opened anew and may hold the rows after all.
    std::vector<shard_key> fresh;
    for (const auto& shard : staged)
      if (!shard.has_row)
        fresh.push_back(shard.record.key);
    if (auto removed = remove(fresh, {}); !removed)
      return fail(fail_drive(removed.error(), attempt));
    return fail(refused);
  }
  for (const auto& shard : staged)
    unlinking.erase(shard.record.key);
  return {};
}

// A file that replaced a damaged one stays: its row still points to it.
void shard_store::impl::unlink(std::span<const staged_shard> staged) const {
  for (const auto& shard : staged)
    if (shard.linked && !shard.has_row)
      if (auto removed = files().remove(shard_path(folder(), shard.record.key)); !removed && removed.error().code() != errc::not_found)
        tell(severity::warning, "A shard file without a row is left to the sweep.", removed.error());
}

result<void> shard_store::impl::store(std::span<const shard_write> writes) {
  if (auto allowed = may_write("store shards"); !allowed)
    return allowed;
  auto selected = stage(writes);
  if (!selected)
    return fail(selected.error());
  std::span<staged_shard> staged{*selected};
  if (staged.empty())
    return {};
  if (auto room = check_room(staged); !room)
    return room;
  // Files first, so that the groups below hold nothing else.
  auto files_end = std::stable_partition(staged.begin(), staged.end(), [](const staged_shard& shard) { return !shard.record.in_index; });
  auto in_files = staged.first(static_cast<size_t>(files_end - staged.begin()));
  result<void> done;
  for (size_t at = 0; done && at < in_files.size(); at += open_file_max)
    done = write_files(in_files.subspan(at, std::min(open_file_max, in_files.size() - at)));
  if (done)
    done = sync_folders(in_files);
  if (done)
    done = write_rows(staged);
  // On a failed or read-only drive a row may exist in spite of the error: its file
  // stays, and the sweep takes it when there is none.
  if (!done && done.error().code() != errc::drive_failed && done.error().code() != errc::read_only)
    unlink(in_files);
  return done;
}

// -- removing ----------------------------------------------------------------

result<void> shard_store::impl::remove(std::span<const shard_key> keys, const vault_id& vault) {
  constexpr auto attempt = "remove shards";
  if (auto allowed = may_write(attempt); !allowed)
    return allowed;
  shard_index::batch rows;
  std::set<shard_key> seen;
  std::vector<shard_key> tombstones;
  for (const auto& key : keys) {
    if (!seen.insert(key).second)
      continue;
    auto record = index->find(key);
    if (!record)
      return fail(record.error().within(attempt, folder()));
    if (!*record)
      continue;
    rows.erase(**record, !(*record)->in_index);
    if (!vault.is_zero())
      rows.count_change(vault);
    if (!(*record)->in_index)
      tombstones.push_back(key);
  }
  if (rows.empty())
    return {};
  if (auto written = index->write(std::move(rows), durability::synced); !written)
    return fail(index_refused(written.error(), attempt));
  unlinking.insert(tombstones.begin(), tombstones.end());
  return finish_deletions();
}

result<void> shard_store::impl::finish_deletions() {
  constexpr auto attempt = "unlink removed shards";
  std::set<unsigned> numbers;
  std::optional<error> first_error;
  shard_index::batch rows;
  std::vector<shard_key> gone;
  for (const auto& key : unlinking) {
    auto removed = files().remove(shard_path(folder(), key));
    if (!removed && removed.error().code() != errc::not_found) {
      if (!first_error)
        first_error = refusal(removed.error(), attempt, folder());
      continue;
    }
    numbers.insert(folder_number(key));
    rows.drop_tombstone(key);
    gone.push_back(key);
  }
  for (auto number : numbers)
    if (auto synced = files().sync_folder(shard_folder(folder(), number)); !synced)
      return fail(sync_refused(synced.error(), attempt));
  if (!gone.empty()) {
    // May be lost: unlinking once more does no harm, and a later store of the
    // shard is lost with it or durable with it.
    if (auto written = index->write(std::move(rows), durability::relaxed); !written)
      return fail(index_refused(written.error(), attempt));
    for (const auto& key : gone)
      unlinking.erase(key);
  }
  if (first_error)
    return fail(*first_error);
  return {};
}

// -- the rest ----------------------------------------------------------------

result<void> shard_store::impl::set_state(drive_state next) {
  constexpr auto attempt = "set drive state";
  if (auto ready = make_writable(attempt); !ready)
    return ready;
  if (broken)
    return next == drive_state::failed ? result<void>{} : fail(errc::drive_failed, attempt, folder());
  if (auto written = index->write_state(next); !written)
    return fail(index_refused(written.error(), attempt));
  state = next;
  return {};
}

result<uint64_t> shard_store::impl::sweep(int64_t grace_ns) {
  constexpr auto attempt = "sweep drive";
  if (auto allowed = may_write(attempt); !allowed)
    return fail(allowed.error());
  if (auto finished = finish_deletions(); !finished)
    return fail(finished.error().within(attempt, folder()));
  auto newest_ns = env.clock->wall().time_since_epoch().count() - grace_ns;
  uint64_t removed = 0;
  for (unsigned number = 0; number < shard_folder_count; ++number) {
    auto swept = sweep_folder(number, newest_ns);
    if (!swept)
      return fail(swept.error());
    removed += *swept;
  }
  return removed;
}

result<uint64_t> shard_store::impl::sweep_folder(unsigned number, int64_t newest_ns) {
  constexpr auto attempt = "sweep drive";
  auto path = shard_folder(folder(), number);
  auto entries = files().list(path);
  if (!entries)
    return fail(refusal(entries.error(), attempt, folder()));
  if (entries->empty())
    return 0;
  auto rows = index->list(std::nullopt, static_cast<size_t>(-1), static_cast<uint8_t>(number));
  if (!rows)
    return fail(rows.error().within(attempt, folder()));
  auto has_row = [&](const shard_key& key) {
    auto row = std::ranges::lower_bound(*rows, key, {}, &shard_record::key);
    return row != rows->end() && row->key == key && !row->in_index;
  };
  uint64_t removed = 0;
  for (const auto& entry : *entries) {
    if (entry.kind != file_kind::regular)
      continue;
    auto name = parse_shard_name(entry.name);
    // Elsewhere files have a hidden name while they are unnamed to us.
    auto left_over = name ? name->replacement || !has_row(name->key) : entry.name.starts_with(".datamesh-") && entry.name.ends_with(".tmp");
    if (!left_over)
      continue;
    auto file = join_path(path, entry.name);
    auto status = files().status(file);
    if (!status)
      return fail(refusal(status.error(), attempt, folder()));
    if (status->modified_ns > newest_ns)
      continue;
    if (auto gone = files().remove(file); !gone)
      return fail(refusal(gone.error(), attempt, folder()));
    ++removed;
  }
  if (removed != 0)
    if (auto synced = files().sync_folder(path); !synced)
      return fail(sync_refused(synced.error(), attempt));
  return removed;
}

// -- the face ----------------------------------------------------------------

shard_store::shard_store() : impl_(std::make_unique<impl>()) {}

shard_store::~shard_store() = default;

const drive_id& shard_store::id() const noexcept {
  return impl_->id;
}

const std::string& shard_store::folder() const noexcept {
  return impl_->options.folder;
}

drive_state shard_store::state() const noexcept {
  return impl_->state;
}

result<void> shard_store::store(std::span<const shard_write> writes) {
  return impl_->store(writes);
}

result<void> shard_store::remove(std::span<const shard_key> keys, const vault_id& vault) {
  return impl_->remove(keys, vault);
}

result<void> shard_store::set_state(drive_state next) {
  return impl_->set_state(next);
}

result<uint64_t> shard_store::sweep(int64_t grace_ns) {
  return impl_->sweep(grace_ns);
}

result<shard_header> shard_store::read_header(const shard_key& key) const {
  return impl_->reader->read_header(key);
}

result<void> shard_store::read(const shard_key& key, uint32_t offset, byte_span out) const {
  return impl_->reader->read(key, offset, out);
}

// Who reads for what says so to the disk by its thread: `file_system::yield_disk`.
result<void> shard_store::read_checked(const shard_header& header, uint32_t first_block, byte_span out, work_kind) const {
  return impl_->reader->read_checked(header, first_block, out);
}

result<std::optional<shard_record>> shard_store::find(const shard_key& key) const {
  return impl_->index->find(key);
}

result<void> shard_store::check_quick(const shard_key& key) const {
  return impl_->reader->check_quick(key);
}

result<void> shard_store::check_deep(const shard_key& key) const {
  return impl_->reader->check_deep(key);
}

result<std::vector<shard_record>> shard_store::list(const std::optional<shard_key>& after, size_t limit) const {
  return impl_->index->list(after, limit);
}

uint64_t shard_store::term() const noexcept {
  return impl_->options.owner.term;
}

result<void> shard_store::claim() {
  impl_->options.take_over = false;
  if (impl_->state == drive_state::failed || impl_->lock == nullptr)
    return {};
  return impl_->write_owner();
}

uint64_t shard_store::shards_changed(const vault_id& vault) const {
  return impl_->index->changes_of(vault);
}

result<drive_usage> shard_store::usage() const {
  auto space = impl_->files().space(folder());
  if (!space)
    return fail(space.error().within("measure drive", folder()));
  auto totals = impl_->index->totals();
  drive_usage usage;
  usage.shard_count = totals.shard_count;
  usage.shard_bytes = totals.shard_bytes;
  usage.disk = *space;
  usage.reserve = reserve_of(impl_->options, *space);
  // Asked of the file system each time: it may be mounted anew, either way.
  auto opened = impl_->files().open_write(marker_path(folder()));
  usage.read_only = !opened && opened.error().code() == errc::read_only;
  return usage;
}

bool shard_store::is_in_place() const {
  return impl_->is_in_place();
}

result<void> shard_store::flush() {
  return impl_->index->flush();
}

} // namespace datamesh::storage
