#include "network/guest_store.hpp"

#include "network/ballast.hpp"
#include "network/guest_drive.hpp"
#include "network/guest_twins.hpp"
#include "storage/little_endian.hpp"

#include <array>
#include <mutex>
#include <set>

namespace datamesh::network {

namespace {

using storage::layout_reader;
using storage::layout_writer;
using storage::shard_record;
using storage::shard_store;

constexpr size_t page = 4096;

bool same(byte_view a, byte_view b) {
  return std::ranges::equal(a, b);
}

/// Another drive may take what this one refuses.
bool may_go_elsewhere(errc code) {
  return code == errc::drive_full || code == errc::drive_failed || code == errc::drive_missing || disk_refuses(code);
}

/// All shards of a store, in order.
class shard_walk {
public:
  explicit shard_walk(const shard_store& store) : store_(store) {}

  /// Nothing behind the last.
  result<std::optional<shard_record>> next() {
    if (at_ == rows_.size()) {
      auto more = store_.list(last_, page);
      if (!more)
        return fail(more.error());
      rows_ = std::move(*more);
      at_ = 0;
      if (rows_.empty())
        return std::nullopt;
      last_ = rows_.back().key;
    }
    return rows_[at_++];
  }

private:
  const shard_store& store_;
  std::vector<shard_record> rows_;
  size_t at_ = 0;
  std::optional<shard_key> last_;
};

} // namespace

struct guest_store::impl {
  environment env;
  std::vector<guest_drive> drives;
  mutable std::mutex mutex;
  using usage_map = std::map<vault_id, guest_usage>;
  usage_map usages;                   // By *mutex*.
  std::map<vault_id, roster> rosters; // By *mutex*.
  std::function<bool(const std::string&)> takes_new;
  std::unique_ptr<ballast> aside; // Its places are *drives*.
  // A write failed, and may be there all the same.
  bool is_unsure = false;
  // A drive took no deletion that another one has.
  bool is_unsettled = false;

  struct held_guest {
    size_t drive = 0;
    kept_guest kept;
  };

  [[nodiscard]] clock::wall_time now() const {
    return env.clock->wall();
  }
  void tell(std::string_view what, const std::string& folder, uint64_t count) const;
  void tell_failed(const error& why, const std::string& folder) const;
  void count(const vault_id& owner, int64_t shards, int64_t deletions, int64_t bytes);
  [[nodiscard]] guest_usage usage(const vault_id& owner) const;
  [[nodiscard]] uint64_t used_by_all() const;
  [[nodiscard]] bool may_take(const std::string& folder) const;

  result<void> load(const guest_store_options& options);
  result<void> load_drive(const guest_store_options& options, const std::string& folder);
  result<void> begin_rows(const guest_drive& drive) const;
  result<void> be_sure();
  result<void> count_all();
  bool reconcile();
  result<void> reconcile_rest();
  bool settle_deletions();
  bool settle_twins();
  result<void> settle_twin(const std::string& key, std::vector<size_t> at);
  result<void> compare(const guest_drive& drive, usage_map& into) const;
  result<void> count_deletions(usage_map& into) const;
  result<void> write(const guest_drive& drive, const write_batch& changes);
  [[nodiscard]] result<std::optional<held_guest>> find(const shard_key& shard, const vault_id& owner) const;
  [[nodiscard]] result<std::optional<deletion>> last_deletion(const vault_id& owner, const pack_id& pack) const;
  [[nodiscard]] result<std::optional<held_guest>> admit(const ticket& by) const;
  [[nodiscard]] result<std::vector<size_t>> drives_for(const shard_key& shard) const;
  result<void> put(size_t number, const guest_write& what, clock::wall_time at);
  result<void> put_row(const guest_drive& drive, const ticket& by, clock::wall_time at);
  result<uint32_t> remove_from(const guest_drive& drive, const deletion& what, clock::wall_time at);
  [[nodiscard]] result<std::vector<kept_guest>> of_pack(const guest_drive& drive, const vault_id& owner, const pack_id& pack) const;
  result<uint64_t> expire(const guest_drive& drive);
  result<void> forget_siblings(const guest_drive& drive);
  result<void> load_rosters(const guest_drive& drive);
  [[nodiscard]] result<const guest_drive*> drive_of(const vault_id& owner, const pack_id& pack) const;
  result<void> forget_deletions();
  [[nodiscard]] result<const guest_drive*> readable(const ticket& by) const;
  [[nodiscard]] uint64_t charge(const guest_drive& drive, const shard_key& shard) const;
};

std::string guests_folder(const std::string& drive) {
  return join_path(drive, "guests");
}

// -- what an owner has ---------------------------------------------------------------

void guest_store::impl::tell(std::string_view what, const std::string& folder, uint64_t how_many) const {
  if (env.log == nullptr)
    return;
  auto number = std::to_string(how_many);
  std::array<log_field, 2> fields{log_field{"folder", folder}, log_field{"count", number}};
  env.log->write(severity::warning, "guest store", what, fields);
}

void guest_store::impl::tell_failed(const error& why, const std::string& folder) const {
  if (env.log == nullptr)
    return;
  auto reason = why.message();
  std::array<log_field, 2> fields{log_field{"folder", folder}, log_field{"reason", reason}};
  env.log->write(severity::critical, "guest store", "Tickets could not be written; the drive takes no more writes from others.", fields);
}

void guest_store::impl::count(const vault_id& owner, int64_t shards, int64_t deletions, int64_t bytes) {
  std::lock_guard guard{mutex};
  auto& now = usages[owner];
  now.shards += static_cast<uint64_t>(shards);
  now.deletions += static_cast<uint64_t>(deletions);
  now.bytes += static_cast<uint64_t>(bytes);
  if (now == guest_usage{})
    usages.erase(owner);
}

guest_usage guest_store::impl::usage(const vault_id& owner) const {
  std::lock_guard guard{mutex};
  auto found = usages.find(owner);
  return found == usages.end() ? guest_usage{} : found->second;
}

uint64_t guest_store::impl::used_by_all() const {
  std::lock_guard guard{mutex};
  uint64_t sum = 0;
  for (const auto& [owner, used] : usages)
    sum += used.bytes;
  return sum;
}

// -- opening -------------------------------------------------------------------------

guest_store::guest_store() : impl_(std::make_unique<impl>()) {}
guest_store::~guest_store() = default;

result<void> guest_store::format(const environment& env, const std::string& folder) {
  // The tickets are made when it is opened, as long as it is empty.
  return shard_store::format(env, folder).map([](const drive_id&) {});
}

result<std::unique_ptr<guest_store>> guest_store::open(const environment& env, const guest_store_options& options) {
  std::unique_ptr<guest_store> opened{new guest_store};
  opened->impl_->env = env;
  if (auto loaded = opened->impl_->load(options); !loaded)
    return fail(loaded.error().within("open what is kept for others"));
  return opened;
}

/// With its tickets compared, so that what is wrong with it is known before it is one of the drives.
result<void> guest_store::impl::load_drive(const guest_store_options& options, const std::string& folder) {
  storage::shard_store_options of_drive;
  of_drive.folder = folder;
  // What was promised is stored on a disk that others filled, too: `ballast` minds the reserve.
  of_drive.reserve_bytes = std::min(options.reserve_bytes, rows_room) / 2;
  of_drive.reserve_ratio = 0;
  of_drive.direct_io = options.direct_io;
  auto shards = shard_store::open(env, std::move(of_drive));
  if (!shards)
    return fail(shards.error());
  auto rows = open_rows(env, **shards);
  if (!rows)
    return fail(rows.error());
  guest_drive drive{std::move(*shards), std::move(*rows)};
  if (auto begun = begin_rows(drive); !begun)
    return begun;
  usage_map here;
  if (auto compared = compare(drive, here); !compared)
    return compared;
  for (const auto& [owner, found] : here) {
    usages[owner].shards += found.shards;
    usages[owner].bytes += found.bytes;
  }
  if (auto loaded = load_rosters(drive); !loaded)
    return loaded;
  drives.push_back(std::move(drive));
  aside->add(folder);
  return {};
}

bool guest_store::impl::may_take(const std::string& folder) const {
  auto is_well = std::ranges::any_of(drives, [&](const guest_drive& drive) {
    return drive.shards->folder() == folder && drive.shards->state() == storage::drive_state::ok;
  });
  return is_well && (!takes_new || takes_new(folder));
}

/// A drive that was away may have an older one.
result<void> guest_store::impl::load_rosters(const guest_drive& drive) {
  std::string prefix{roster_prefix};
  result<void> read;
  auto scanned = drive.rows->scan(prefix, prefix_end(prefix), [&](std::string_view, std::string_view value) {
    auto found =
        value.size() < sizeof(int64_t) ? fail(errc::store_corrupt, "read the row of a roster") : read_roster(split_row(value).second);
    if (!found) {
      read = fail(found.error());
      return false;
    }
    auto& held = rosters[found->owner];
    if (held.raw.empty() || held.number < found->number)
      held = std::move(*found);
    return true;
  });
  return scanned ? read : scanned;
}

result<void> guest_store::impl::load(const guest_store_options& options) {
  takes_new = options.takes_new;
  aside = std::make_unique<ballast>(
      env, ballast_options{options.capacity, options.reserve_bytes, options.reserve_ratio, [this](const std::string& folder) {
                             return may_take(folder);
                           }});
  for (const auto& folder : options.folders) {
    auto loaded = load_drive(options, folder);
    if (!loaded && !options.left_out)
      return loaded;
    if (!loaded)
      options.left_out(folder, loaded.error());
  }
  auto counted = reconcile() ? count_all() : count_deletions(usages);
  if (counted)
    (void) aside->settle(used_by_all());
  return counted;
}

result<void> guest_store::impl::count_all() {
  usage_map fresh;
  for (const auto& drive : drives)
    if (auto compared = compare(drive, fresh); !compared)
      return compared;
  if (auto counted = count_deletions(fresh); !counted)
    return counted;
  std::lock_guard guard{mutex};
  usages = std::move(fresh);
  return {};
}

result<void> guest_store::impl::write(const guest_drive& drive, const write_batch& changes) {
  auto had_failed = drive.shards->state() == storage::drive_state::failed;
  aside->make_way_for_rows(static_cast<size_t>(&drive - drives.data()));
  auto written = drive.write(changes);
  is_unsure |= !written;
  if (!had_failed && drive.shards->state() == storage::drive_state::failed)
    tell_failed(written.error(), drive.shards->folder());
  return written;
}

/// After a write that failed, what a drive holds is the truth, once it was opened anew.
result<void> guest_store::impl::be_sure() {
  if (!is_unsure)
    return {};
  for (const auto& drive : drives)
    if (drive.shards->state() != storage::drive_state::failed && !drive.rows->writable())
      if (auto opened = drive.rows->reopen(); !opened)
        return opened;
  (void) reconcile();
  auto counted = count_all();
  is_unsure = !counted;
  return counted;
}

/// What an earlier process wrote and did not sync must be durable before it is relied on. A
/// drive that takes no writes is read all the same.
result<void> guest_store::impl::begin_rows(const guest_drive& drive) const {
  std::array<std::byte, sizeof(uint16_t)> version{};
  store_le<uint16_t>(version, rows_version);
  write_batch first;
  first.put(meta_key, as_text(version));
  auto written = drive.write(first);
  return written || may_go_elsewhere(written.error().code()) ? result<void>{} : written;
}

// -- where drives do not agree ----------------------------------------------------------

/// Answers whether anything was changed.
bool guest_store::impl::reconcile() {
  auto removed = settle_deletions();
  return settle_twins() || removed;
}

/// Whether a drive came back with shards that were deleted meanwhile: it was away, or took no writes, and what one says that failed
/// may be there all the same.
bool guest_store::impl::settle_deletions() {
  struct remembered {
    size_t drive; ///< Has nothing that was deleted: one batch says both.
    deletion what;
    clock::wall_time at;
  };
  std::vector<remembered> all;
  std::string prefix{deletion_prefix};
  uint64_t back = 0;
  for (size_t i = 0; drives.size() > 1 && i < drives.size(); ++i) {
    auto scanned = drives[i].rows->scan(prefix, prefix_end(prefix), [&](std::string_view, std::string_view value) {
      if (auto read = read_remembered(value))
        all.push_back({i, std::move(read->first), read->second});
      return true;
    });
    if (!scanned)
      tell(scanned.error().message(), drives[i].shards->folder(), 0);
  }
  for (const auto& [by, what, at] : all)
    for (size_t i = 0; i < drives.size(); ++i) {
      if (i == by)
        continue;
      const auto& drive = drives[i];
      auto kept = of_pack(drive, what.owner, what.pack);
      if (!kept || std::ranges::none_of(*kept, [&](const kept_guest& one) { return one.by.number <= what.number; }))
        continue;
      if (auto removed = remove_from(drive, what, at)) {
        back += *removed;
      } else {
        is_unsettled = true;
        tell(removed.error().message(), drive.shards->folder(), kept->size());
      }
    }
  if (back > 0)
    tell("Shards whose owners had deleted them came back with a drive, and are removed.", {}, back);
  return back > 0;
}

/// What could not be done when the drives came, as on a full disk.
result<void> guest_store::impl::reconcile_rest() {
  return std::exchange(is_unsettled, false) && reconcile() ? count_all() : result<void>{};
}

/// Whether there were any shards that two drives keep for the same owner.
bool guest_store::impl::settle_twins() {
  uint64_t twins = 0;
  auto looked = drives.size() < 2 ? result<void>{} : find_twins(drives, [&](const std::string& key, const std::vector<size_t>& at) {
    ++twins;
    return settle_twin(key, at);
  });
  if (!looked)
    tell(looked.error().message(), {}, twins);
  else if (twins > 0)
    tell("Shards for others were on two drives, of which one is enough.", {}, twins);
  return twins > 0;
}

/// One that is whole stays, where one is, and the latest ticket. What can not be removed is tried again with the next look.
result<void> guest_store::impl::settle_twin(const std::string& key, std::vector<size_t> at) {
  std::erase_if(at, [&](size_t number) { return drives[number].shards->state() != storage::drive_state::ok; });
  if (at.size() < 2)
    return {};
  std::vector<kept_guest> kept;
  for (auto number : at) {
    auto row = drives[number].rows->get(key);
    if (!row || !*row)
      return row ? result<void>{} : fail(row.error());
    auto read = read_kept(**row);
    if (!read)
      return fail(read.error());
    kept.push_back(std::move(*read));
  }
  auto latest = *std::ranges::max_element(kept, {}, [](const kept_guest& one) { return one.by.number; });
  const auto& shard = latest.by.shard;
  auto whole = std::ranges::find_if(at, [&](size_t number) { return drives[number].shards->check_deep(shard).has_value(); });
  auto stays = whole == at.end() ? at.front() : *whole;
  if (auto put = put_row(drives[stays], latest.by, latest.stored); !put)
    return put;
  for (auto number : at) {
    if (number == stays)
      continue;
    write_batch changes;
    changes.erase(key);
    changes.erase(owner_key(latest.by.owner, shard));
    if (auto erased = write(drives[number], changes); !erased)
      return erased;
    (void) drives[number].drop_shard(shard); // Or with the next start.
  }
  return {};
}

/// Tickets and shards, both in order.
result<void> guest_store::impl::compare(const guest_drive& drive, usage_map& into) const {
  shard_walk walk{*drive.shards};
  std::vector<shard_key> orphans;
  std::vector<std::pair<shard_key, vault_id>> lost;
  result<void> walked;
  std::optional<shard_record> current;
  bool is_kept = true;
  auto step = [&] {
    if (!is_kept)
      orphans.push_back(current->key);
    auto next = walk.next();
    walked = next ? result<void>{} : fail(next.error());
    current = next ? *next : std::nullopt;
    is_kept = !current;
    return walked.has_value();
  };
  if (!step())
    return walked;
  std::string prefix{ticket_prefix};
  result<void> read;
  auto scanned = drive.rows->scan(prefix, prefix_end(prefix), [&](std::string_view key, std::string_view value) {
    auto kept = read_kept(value);
    read = kept ? result<void>{} : fail(kept.error());
    if (!kept || key != ticket_key(kept->by.shard, kept->by.owner)) {
      read = read ? fail(errc::store_corrupt, "read the row of a ticket", drive.shards->folder()) : read;
      return false;
    }
    const auto& shard = kept->by.shard;
    while (current && current->key < shard)
      if (!step())
        return false;
    if (current && current->key == shard) {
      is_kept = true;
      auto& now = into[kept->by.owner];
      ++now.shards;
      now.bytes += charge_of(current->shape);
    } else {
      lost.emplace_back(shard, kept->by.owner);
    }
    return true;
  });
  while (current && walked && scanned && read)
    (void) step();
  for (const auto* outcome : {&scanned, &read, &walked})
    if (!*outcome)
      return fail(outcome->error().within("compare tickets with shards", drive.shards->folder()));
  write_batch changes;
  for (const auto& [shard, owner] : lost) {
    changes.erase(ticket_key(shard, owner));
    changes.erase(owner_key(owner, shard));
  }
  if (!lost.empty()) {
    tell("Shards that are kept for others are lost.", drive.shards->folder(), lost.size());
    (void) drive.write(changes);
  }
  if (!orphans.empty() && !drive.shards->remove(orphans))
    tell("Shards without a ticket could not be removed.", drive.shards->folder(), orphans.size());
  return {};
}

result<void> guest_store::impl::count_deletions(usage_map& into) const {
  std::set<std::string> seen;
  std::string prefix{deletion_prefix};
  for (const auto& drive : drives) {
    auto scanned = drive.rows->scan(prefix, prefix_end(prefix), [&](std::string_view key, std::string_view) {
      if (key.size() == 1 + vault_id::size + pack_id::size && seen.insert(std::string{key}).second) {
        auto& now = into[vault_id::from(as_view(key.substr(1, vault_id::size)))];
        ++now.deletions;
        now.bytes += row_charge;
      }
      return true;
    });
    if (!scanned)
      return fail(scanned.error());
  }
  return {};
}

// -- storing -------------------------------------------------------------------------

result<std::optional<guest_store::impl::held_guest>> guest_store::impl::find(const shard_key& shard, const vault_id& owner) const {
  // A drive that can not be read hides only what is on it, and one that works may have it, too.
  std::optional<error> failure;
  std::optional<held_guest> found;
  for (size_t i = 0; i < drives.size(); ++i) {
    auto kept = drives[i].find(shard, owner);
    if (!kept)
      failure = kept.error();
    else if (*kept && drives[i].shards->state() != storage::drive_state::failed)
      return held_guest{i, std::move(**kept)};
    else if (*kept && !found)
      found = held_guest{i, std::move(**kept)};
  }
  if (!found && failure)
    return fail(*failure);
  return found;
}

result<std::optional<deletion>> guest_store::impl::last_deletion(const vault_id& owner, const pack_id& pack) const {
  std::optional<deletion> last;
  for (const auto& drive : drives) {
    auto found = drive.find_deletion(owner, pack);
    if (!found)
      return fail(found.error());
    if (*found && (!last || (*found)->first.number > last->number))
      last = std::move((*found)->first);
  }
  return last;
}

/// What is here already by a ticket that *by* may take the place of.
result<std::optional<guest_store::impl::held_guest>> guest_store::impl::admit(const ticket& by) const {
  constexpr auto attempted = "keep a shard for another";
  auto refuse = [&](errc code, const char* why) {
    return fail(error{code, why, by.shard.pack.brief()}.within(attempted));
  };
  if (by.has_expired(now()))
    return refuse(errc::invalid_argument, "take a ticket that has run out");
  auto deleted = last_deletion(by.owner, by.shard.pack);
  if (!deleted)
    return fail(deleted.error());
  if (*deleted && (*deleted)->number >= by.number)
    return refuse(errc::conflict, "take a ticket that its owner's deletion is for");
  auto held = find(by.shard, by.owner);
  if (!held)
    return fail(held.error());
  if (*held) {
    const auto& before = (*held)->kept.by;
    if (before.number > by.number || (before.number == by.number && !same(before.raw, by.raw)))
      return refuse(errc::conflict, "take a ticket that is older than another");
  }
  return held;
}

result<std::optional<kept_guest>> guest_store::renew(const ticket& by) {
  if (auto sure = impl_->be_sure(); !sure)
    return fail(sure.error());
  auto held = impl_->admit(by);
  if (!held)
    return fail(held.error());
  if (!*held)
    return std::nullopt;
  const auto& drive = impl_->drives[(*held)->drive];
  // A receipt says that it is here now. What is damaged is to be sent again.
  if (!drive.shards->check_deep(by.shard))
    return std::nullopt;
  auto stored = (*held)->kept.stored;
  if (!same((*held)->kept.by.raw, by.raw))
    if (auto written = impl_->put_row(drive, by, stored); !written)
      return fail(written.error());
  return kept_guest{by, stored};
}

/// Of the drives that take what is new: where the shard is for somebody else, or else those with
/// the most room first.
result<std::vector<size_t>> guest_store::impl::drives_for(const shard_key& shard) const {
  std::vector<std::pair<uint64_t, size_t>> rooms;
  for (size_t i = 0; i < drives.size(); ++i) {
    if (takes_new && !takes_new(drives[i].shards->folder()))
      continue;
    auto there = drives[i].shards->find(shard);
    if (!there)
      return fail(there.error());
    if (*there)
      return std::vector{i};
    auto usage = drives[i].shards->usage();
    auto is_well = usage && !usage->read_only && drives[i].shards->state() == storage::drive_state::ok;
    rooms.emplace_back(is_well ? aside->room(i) : 0, i);
  }
  std::ranges::stable_sort(rooms, std::greater{}, &std::pair<uint64_t, size_t>::first);
  std::vector<size_t> order;
  for (const auto& [room, drive] : rooms)
    order.push_back(drive);
  return order;
}

result<void> guest_store::impl::put_row(const guest_drive& drive, const ticket& by, clock::wall_time at) {
  write_batch rows;
  rows.put(ticket_key(by.shard, by.owner), encode_row(at, by.raw));
  rows.put(owner_key(by.owner, by.shard), {});
  return write(drive, rows);
}

// The shard first: a row without one would be a promise that nobody keeps. What a failed row
// leaves goes with the next call.
result<void> guest_store::impl::put(size_t number, const guest_write& what, clock::wall_time at) {
  const auto& drive = drives[number];
  auto there = drive.shards->find(what.by.shard);
  if (!there)
    return fail(there.error());
  if (!*there)
    if (auto way = aside->make_way(number, charge_of(what.header.pack.shape), used_by_all()); !way)
      return way;
  storage::shard_write shard{what.header, what.body};
  if (auto stored = drive.shards->store(std::span{&shard, 1}); !stored)
    return stored;
  return put_row(drive, what.by, at);
}

result<kept_guest> guest_store::store(const guest_write& write, uint64_t room) {
  constexpr auto attempted = "keep a shard for another";
  const auto& by = write.by;
  if (auto fits = check_header(by, write.header); !fits)
    return fail(fits.error().within(attempted));
  if (auto sure = impl_->be_sure(); !sure)
    return fail(sure.error());
  auto held = impl_->admit(by);
  if (!held)
    return fail(held.error());
  auto charge = *held ? 0 : charge_of(write.header.pack.shape);
  auto used = impl_->usage(by.owner).bytes;
  if (charge > 0 && (used > room || charge > room - used))
    return fail(errc::no_space, attempted, "what was granted to " + by.owner.brief());
  auto order = *held ? result<std::vector<size_t>>{std::vector{(*held)->drive}} : impl_->drives_for(by.shard);
  if (!order)
    return fail(order.error());
  auto at = impl_->now();
  result<void> done = fail(errc::drive_full, "find a drive that takes it");
  for (auto drive : *order) {
    done = impl_->put(drive, write, at);
    if (done || !may_go_elsewhere(done.error().code()))
      break;
  }
  if (!done)
    return fail(done.error().within(attempted));
  if (!*held)
    impl_->count(by.owner, 1, 0, static_cast<int64_t>(charge));
  return kept_guest{by, at};
}

// -- removing ------------------------------------------------------------------------

result<std::vector<kept_guest>> guest_store::impl::of_pack(const guest_drive& drive, const vault_id& owner, const pack_id& pack) const {
  std::vector<shard_key> shards;
  auto prefix = pack_prefix(owner, pack);
  auto scanned = drive.rows->scan(prefix, prefix_end(prefix), [&](std::string_view key, std::string_view) {
    shards.push_back({pack, static_cast<uint8_t>(key.back())});
    return true;
  });
  if (!scanned)
    return fail(scanned.error());
  std::vector<kept_guest> found;
  for (const auto& shard : shards) {
    auto kept = drive.find(shard, owner);
    if (!kept)
      return fail(kept.error());
    if (*kept)
      found.push_back(std::move(**kept));
  }
  return found;
}

uint64_t guest_store::impl::charge(const guest_drive& drive, const shard_key& shard) const {
  auto record = drive.shards->find(shard);
  return record && *record ? charge_of((*record)->shape) : 0;
}

/// One batch: from then on the shards count no more, and what is left of them goes at the
/// latest when the store is opened.
result<uint32_t> guest_store::impl::remove_from(const guest_drive& drive, const deletion& what, clock::wall_time at) {
  auto all = of_pack(drive, what.owner, what.pack);
  if (!all)
    return fail(all.error());
  auto before = drive.find_deletion(what.owner, what.pack);
  if (!before)
    return fail(before.error());
  auto remembered = drive.siblings(what.owner, what.pack);
  if (!remembered)
    return fail(remembered.error());
  write_batch changes;
  std::vector<shard_key> gone;
  int64_t freed = 0;
  for (const auto& kept : *all) {
    if (kept.by.number > what.number)
      continue;
    changes.erase(ticket_key(kept.by.shard, what.owner));
    changes.erase(owner_key(what.owner, kept.by.shard));
    freed += static_cast<int64_t>(charge(drive, kept.by.shard));
    gone.push_back(kept.by.shard);
  }
  if (!gone.empty())
    for (const auto& sibling : *remembered)
      changes.erase(sibling_key(sibling));
  if (!*before || (*before)->first.number < what.number)
    changes.put(deletion_key(what.owner, what.pack), encode_row(at, what.raw));
  if (changes.empty())
    return 0;
  if (auto written = write(drive, changes); !written)
    return fail(written.error());
  count(what.owner, -static_cast<int64_t>(gone.size()), 0, -freed);
  for (const auto& shard : gone)
    if (auto dropped = drive.drop_shard(shard); !dropped)
      tell("A removed shard is left to the next start.", drive.shards->folder(), 1);
  return static_cast<uint32_t>(gone.size());
}

result<uint32_t> guest_store::remove(const deletion& what, uint64_t room) {
  constexpr auto attempted = "delete what is kept for another";
  if (auto sure = impl_->be_sure(); !sure)
    return fail(sure.error());
  auto before = impl_->last_deletion(what.owner, what.pack);
  if (!before)
    return fail(before.error());
  bool here = before->has_value();
  // What a drive can not free leaves no room to remember the deletion on another.
  std::vector<const guest_drive*> in_order;
  for (const auto& drive : impl_->drives) {
    auto found = impl_->of_pack(drive, what.owner, what.pack);
    if (!found)
      return fail(found.error());
    auto goes = std::ranges::any_of(*found, [&](const kept_guest& kept) { return kept.by.number <= what.number; });
    in_order.insert(goes ? in_order.begin() : in_order.end(), &drive);
    here |= goes;
  }
  auto used = impl_->usage(what.owner).bytes;
  if (!here && room == 0)
    return fail(errc::permission_denied, attempted, what.owner.brief());
  if (!here && (used > room || row_charge > room - used))
    return fail(errc::no_space, attempted, "what was granted to " + what.owner.brief());
  auto at = impl_->now();
  uint32_t removed = 0;
  // On all drives, for one of them may go.
  size_t remembered = 0;
  std::optional<error> failure;
  for (const auto* drive : in_order) {
    auto gone = impl_->remove_from(*drive, what, at);
    if (gone) {
      removed += *gone;
      ++remembered;
      continue;
    }
    auto left = impl_->of_pack(*drive, what.owner, what.pack);
    if (!may_go_elsewhere(gone.error().code()) || !left || !left->empty()) {
      failure = gone.error();
      break;
    }
  }
  if (!*before && remembered > 0)
    impl_->count(what.owner, 0, 1, static_cast<int64_t>(row_charge));
  // What was freed is for others before anybody else has it.
  (void) settle();
  if (failure || remembered == 0)
    return fail(failure ? failure->within(attempted) : error{errc::drive_failed, attempted});
  return removed;
}

result<void> guest_store::let_go(const ticket& by) {
  constexpr auto attempted = "let go of what another node keeps now";
  if (auto sure = impl_->be_sure(); !sure)
    return fail(sure.error());
  auto held = impl_->find(by.shard, by.owner);
  if (!held)
    return fail(held.error().within(attempted));
  if (!*held || !same((*held)->kept.by.raw, by.raw))
    return {};
  const auto& drive = impl_->drives[(*held)->drive];
  write_batch changes;
  changes.erase(ticket_key(by.shard, by.owner));
  changes.erase(owner_key(by.owner, by.shard));
  auto freed = static_cast<int64_t>(impl_->charge(drive, by.shard));
  if (auto written = impl_->write(drive, changes); !written)
    return fail(written.error().within(attempted));
  impl_->count(by.owner, -1, 0, -freed);
  if (auto dropped = drive.drop_shard(by.shard); !dropped)
    impl_->tell("A shard that another node keeps now is left to the next start.", drive.shards->folder(), 1);
  (void) settle();
  return {};
}

result<uint64_t> guest_store::impl::expire(const guest_drive& drive) {
  std::vector<ticket> due;
  auto latest = now() - expired_kept;
  std::string prefix{ticket_prefix};
  auto scanned = drive.rows->scan(prefix, prefix_end(prefix), [&](std::string_view, std::string_view value) {
    if (auto kept = read_kept(value); kept && kept->by.has_expired(latest))
      due.push_back(std::move(kept->by));
    return due.size() < page;
  });
  if (!scanned)
    return fail(scanned.error());
  if (due.empty())
    return 0;
  write_batch changes;
  for (const auto& by : due) {
    changes.erase(ticket_key(by.shard, by.owner));
    changes.erase(owner_key(by.owner, by.shard));
  }
  // Two owners may have the same shard: what it costs is asked before it goes.
  std::vector<int64_t> freed;
  for (const auto& by : due)
    freed.push_back(static_cast<int64_t>(charge(drive, by.shard)));
  if (auto written = write(drive, changes); !written)
    return fail(written.error());
  for (size_t i = 0; i < due.size(); ++i)
    count(due[i].owner, -1, 0, -freed[i]);
  for (const auto& by : due) {
    if (auto dropped = drive.drop_shard(by.shard); !dropped)
      tell("A shard whose ticket ran out is left to the next start.", drive.shards->folder(), 1);
  }
  return due.size();
}

/// On all drives together, as they were written.
result<void> guest_store::impl::forget_deletions() {
  std::map<std::string, clock::wall_time> last;
  std::string prefix{deletion_prefix};
  for (const auto& drive : drives) {
    auto scanned = drive.rows->scan(prefix, prefix_end(prefix), [&](std::string_view key, std::string_view value) {
      if (auto read = read_remembered(value)) {
        auto& at = last.try_emplace(std::string{key}, read->second).first->second;
        at = std::max(at, read->second);
      }
      return true;
    });
    if (!scanned)
      return fail(scanned.error());
  }
  write_batch changes;
  std::vector<vault_id> owners;
  for (const auto& [key, at] : last)
    if (now() - at >= deletion_kept) {
      changes.erase(key);
      owners.push_back(vault_id::from(as_view(key).subspan(1, vault_id::size)));
    }
  if (changes.empty())
    return {};
  for (const auto& drive : drives)
    if (auto written = write(drive, changes); !written)
      return written;
  for (const auto& owner : owners)
    count(owner, 0, -1, -static_cast<int64_t>(row_charge));
  return {};
}

/// Whose time is over, and those of packs of which nothing is here any more.
result<void> guest_store::impl::forget_siblings(const guest_drive& drive) {
  write_batch changes;
  std::string prefix{sibling_prefix};
  std::optional<std::pair<std::string, bool>> last; // A pack, and whether something of it is here.
  result<void> looked;
  auto scanned = drive.rows->scan(prefix, prefix_end(prefix), [&](std::string_view key, std::string_view value) {
    auto read = read_ticket(as_view(value));
    auto gone = !read || read->has_expired(now());
    if (read && (!last || last->first != siblings_prefix(read->owner, read->shard.pack))) {
      auto here = of_pack(drive, read->owner, read->shard.pack);
      if (!here) {
        looked = fail(here.error());
        return false;
      }
      last.emplace(siblings_prefix(read->owner, read->shard.pack), !here->empty());
    }
    if (gone || !last->second)
      changes.erase(std::string{key});
    return true;
  });
  if (!scanned || !looked)
    return scanned ? looked : scanned;
  return changes.empty() ? result<void>{} : write(drive, changes);
}

result<uint64_t> guest_store::expire() {
  if (auto sure = impl_->be_sure().and_then([this] { return impl_->reconcile_rest(); }); !sure)
    return fail(sure.error());
  uint64_t removed = 0;
  for (const auto& drive : impl_->drives)
    for (;;) {
      auto gone = impl_->expire(drive);
      if (!gone)
        return fail(gone.error().within("remove what ran out"));
      if (*gone == 0)
        break;
      removed += *gone;
    }
  for (const auto& drive : impl_->drives)
    if (auto forgotten = impl_->forget_siblings(drive); !forgotten)
      return fail(forgotten.error().within("forget tickets of other nodes"));
  if (auto forgotten = impl_->forget_deletions(); !forgotten)
    return fail(forgotten.error().within("forget deletions"));
  for (size_t i = 0; i < impl_->drives.size(); ++i)
    impl_->aside->make_way_for_rows(i);
  (void) settle();
  return removed;
}

// -- what is set aside ---------------------------------------------------------------

void guest_store::set_aside(uint64_t capacity) {
  impl_->aside->set_capacity(capacity);
}

bool guest_store::needs_settling() const {
  return impl_->aside->capacity() > 0 || impl_->aside->held() > 0;
}

bool guest_store::settle() {
  return impl_->aside->settle(impl_->used_by_all());
}

uint64_t guest_store::held() const {
  return impl_->aside->held_for(impl_->used_by_all());
}

uint64_t guest_store::lacking() const {
  return impl_->aside->lacking(impl_->used_by_all());
}

uint64_t guest_store::held_in(const std::string& folder) const {
  return impl_->aside->held_in(folder);
}

// -- siblings ------------------------------------------------------------------------

result<bool> guest_store::keep(const roster& what) {
  constexpr auto attempted = "keep an owner's roster";
  auto held = roster_of(what.owner);
  if (held && (held->number > what.number || (held->number == what.number && !same(held->raw, what.raw))))
    return fail(errc::conflict, attempted, what.owner.brief());
  if (held && held->number == what.number)
    return false;
  write_batch row;
  row.put(roster_key(what.owner), encode_row(impl_->now(), what.raw));
  result<void> kept = fail(errc::drive_missing, attempted);
  for (const auto& drive : impl_->drives)
    if (auto written = impl_->write(drive, row); written || !kept)
      kept = written;
  if (!kept)
    return fail(kept.error().within(attempted));
  std::lock_guard guard{impl_->mutex};
  impl_->rosters[what.owner] = what;
  return true;
}

/// That on which a shard of the pack lies; none where nothing of it is here.
result<const guest_drive*> guest_store::impl::drive_of(const vault_id& owner, const pack_id& pack) const {
  for (const auto& drive : drives) {
    auto here = of_pack(drive, owner, pack);
    if (!here)
      return fail(here.error());
    if (!here->empty())
      return &drive;
  }
  return nullptr;
}

result<void> guest_store::remember(std::span<const ticket> siblings) {
  std::map<const guest_drive*, write_batch> changes;
  for (const auto& one : siblings) {
    auto drive = impl_->drive_of(one.owner, one.shard.pack);
    if (!drive)
      return fail(drive.error());
    if (*drive == nullptr)
      continue;
    auto before = (*drive)->rows->get(sibling_key(one));
    if (!before)
      return fail(before.error());
    auto held = *before ? read_ticket(as_view(**before)) : fail(errc::not_found);
    if (!held || held->number < one.number)
      changes[*drive].put(sibling_key(one), as_text(one.raw));
  }
  for (const auto& [drive, batch] : changes)
    if (auto written = impl_->write(*drive, batch); !written)
      return written;
  return {};
}

std::optional<roster> guest_store::roster_of(const vault_id& owner) const {
  std::lock_guard guard{impl_->mutex};
  auto found = impl_->rosters.find(owner);
  return found == impl_->rosters.end() ? std::nullopt : std::optional{found->second};
}

std::vector<roster> guest_store::rosters() const {
  std::lock_guard guard{impl_->mutex};
  std::vector<roster> all;
  for (const auto& [owner, one] : impl_->rosters)
    all.push_back(one);
  return all;
}

result<std::vector<ticket>> guest_store::siblings(const vault_id& owner, const pack_id& pack) const {
  auto drive = impl_->drive_of(owner, pack);
  if (!drive)
    return fail(drive.error());
  return *drive == nullptr ? std::vector<ticket>{} : (*drive)->siblings(owner, pack);
}

// -- reading -------------------------------------------------------------------------

/// Whoever shows a ticket that is valid may read, and whoever shows the one by which it is here.
result<const guest_drive*> guest_store::impl::readable(const ticket& by) const {
  constexpr auto attempted = "read what is kept for another";
  auto held = find(by.shard, by.owner);
  if (!held)
    return fail(held.error());
  if (!*held)
    return fail(errc::shard_missing, attempted, by.shard.pack.brief());
  if (by.has_expired(now()) && !same((*held)->kept.by.raw, by.raw))
    return fail(errc::invalid_argument, attempted, "the ticket has run out");
  return &drives[(*held)->drive];
}

result<storage::shard_header> guest_store::read_header(const ticket& by) const {
  auto drive = impl_->readable(by);
  if (!drive)
    return fail(drive.error());
  auto header = (*drive)->shards->read_header(by.shard);
  if (!header)
    return header;
  if (!check_header(by, *header))
    return fail(errc::shard_damaged, "read what is kept for another", by.shard.pack.brief());
  return header;
}

result<bytes> guest_store::read_blocks(const ticket& by, uint32_t first, uint32_t count) const {
  constexpr auto attempted = "read what is kept for another";
  auto drive = impl_->readable(by);
  if (!drive)
    return fail(drive.error());
  auto header = read_header(by);
  if (!header)
    return fail(header.error());
  const auto& shape = header->pack.shape;
  if (count == 0 || first >= shape.block_count() || count > shape.block_count() - first)
    return fail(errc::range_invalid, attempted, by.shard.pack.brief());
  auto begin = uint64_t{first} * storage::block_size;
  auto size = std::min(uint64_t{count} * storage::block_size, shape.shard_length - begin);
  auto buffer = buffer_pool::make(size, 0)->take();
  if (auto read = (*drive)->shards->read_checked(*header, first, buffer.span().first(size)); !read)
    return fail(read.error().within(attempted));
  return buffer.freeze(0, size);
}

result<std::vector<ticket>> guest_store::list(const vault_id& owner, const std::optional<shard_key>& after, size_t limit) const {
  std::map<shard_key, ticket> found;
  std::string prefix{owner_prefix};
  prefix += owner.text();
  auto first = after ? owner_key(owner, *after) + '\0' : prefix;
  for (const auto& drive : impl_->drives) {
    std::vector<shard_key> shards;
    auto scanned = drive.rows->scan(first, prefix_end(prefix), [&](std::string_view key, std::string_view) {
      shards.push_back(shard_of_ticket_key(key.substr(vault_id::size)));
      return shards.size() < limit;
    });
    if (!scanned)
      return fail(scanned.error());
    for (const auto& shard : shards) {
      auto kept = drive.find(shard, owner);
      if (!kept)
        return fail(kept.error());
      // It may have gone in between.
      if (*kept)
        found.emplace(shard, std::move((*kept)->by));
    }
  }
  std::vector<ticket> list;
  for (auto& [shard, by] : found)
    if (list.size() < limit)
      list.push_back(std::move(by));
  return list;
}

guest_usage guest_store::usage(const vault_id& owner) const {
  return impl_->usage(owner);
}

std::map<vault_id, guest_usage> guest_store::usages() const {
  std::lock_guard guard{impl_->mutex};
  return impl_->usages;
}

std::vector<std::string> guest_store::folders() const {
  std::vector<std::string> folders;
  for (const auto& drive : impl_->drives)
    folders.push_back(drive.shards->folder());
  return folders;
}

result<uint64_t> guest_store::shards_in(const std::string& folder) const {
  auto found = std::ranges::find(impl_->drives, folder, [](const guest_drive& drive) { return drive.shards->folder(); });
  if (found == impl_->drives.end())
    return fail(errc::not_found, "count what is kept for others", folder);
  return found->shards->usage().map([](const storage::drive_usage& usage) { return usage.shard_count; });
}

result<void> guest_store::flush() {
  for (const auto& drive : impl_->drives)
    if (auto flushed = drive.rows->flush().and_then([&] { return drive.shards->flush(); }); !flushed)
      return flushed;
  return {};
}

} // namespace datamesh::network
