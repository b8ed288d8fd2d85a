#include "node/node_core.hpp"

#include "network/mesh_member.hpp"
#include "network/peer_drive.hpp"
#include "node/guest_host.hpp"
#include "node/vault_runtime.hpp"
#include "storage/ask.hpp"
#include "storage/convert.hpp"

#include <fmt/format.h>

#include <thread>

namespace datamesh {

namespace {

/// A thread that waits for a drive that owes an answer gets so long to come back.
constexpr auto silent_grace = std::chrono::seconds{2};
/// A node that is added is looked for so long, and looked at so often.
constexpr auto peer_found_in = std::chrono::seconds{40};
/// ... and asked so long for its room: it may be opening what it keeps.
constexpr auto peer_told_in = std::chrono::seconds{30};
constexpr auto peer_looked_at = std::chrono::milliseconds{100};
/// How long a node that has a link may take to open what it keeps.
constexpr auto peer_opens_in = std::chrono::seconds{5};

const char* name_of(storage::drive_state state) {
  switch (state) {
  case storage::drive_state::ok:
    return "ok";
  case storage::drive_state::draining:
    return "draining";
  case storage::drive_state::failed:
    return "failed";
  }
  return "failed";
}

} // namespace

drive_report node_core::report_of(const storage::drive_entry& drive) const {
  drive_report report;
  report.id = drive.id;
  report.folder = drive.folder;
  report.labels = drive.labels;
  report.outside_rule = !drives->allows(drive);
  if (!drive.store) {
    report.state = "missing";
    report.reason = drive.reason;
    return report;
  }
  report.state = name_of(drive.state());
  if (auto usage = drive.store->usage()) {
    report.shards = usage->shard_count;
    report.shard_bytes = usage->shard_bytes;
    report.disk_total = usage->disk.total;
    report.disk_free = usage->disk.total > 0 ? usage->room(storage::room_for::data) : 0;
    report.held = guests_ && !network::peer_of(drive.folder) ? guests_->held_on(drive.folder) : 0;
    if (usage->read_only) {
      report.state = report.state == "ok" ? "read-only" : report.state;
      report.reason = error{errc::read_only, "write to drive", drive.folder};
    }
  } else {
    report.state = "failed";
    report.reason = usage.error();
  }
  report.audits = drive.store->audits();
  if (report.audits && report.audits->lies)
    report.reason = error{errc::peer_lies, "rely on a node", drive.folder};
  return report;
}

result<std::shared_ptr<storage::shard_place>> node_core::open_place(const known_drive& known, bool take_over) {
  if (auto peer = network::peer_of(known.folder))
    return network::open_peer_drive(*system_, env, {home.peer_index_folder(*peer), *peer, peers});
  storage::shard_store_options how;
  how.folder = known.folder;
  how.take_over = take_over;
  how.owner = {device_, known.term};
  return storage::shard_store::open(env, std::move(how));
}

storage::drive_entry node_core::start_drive(const known_drive& known, bool take_over) {
  const auto& [id, folder, term] = known;
  storage::drive_entry entry;
  entry.id = id;
  entry.folder = folder;
  entry.term = term;
  if (auto peer = network::peer_of(folder))
    entry.node = peer->hex();
  auto store = open_place(known, take_over);
  if (!store) {
    entry.reason = store.error();
    return entry;
  }
  if ((*store)->id() != id) {
    entry.reason = error{errc::drive_alien, "open drive", folder};
    return entry;
  }
  entry.store = std::move(*store);
  entry.term = entry.store->term();
  entry.writer = storage::spawn_drive_writer(*system_, entry.store);
  for (size_t i = 0; i < storage::readers_per_drive; ++i)
    entry.readers.push_back(storage::spawn_drive_reader(*system_, entry.store));
  entry.care = storage::spawn_yielding_drive_reader(*system_, entry.store, env.files);
  entry.next_reader = std::make_shared<std::atomic<uint32_t>>(0);
  return entry;
}

storage::drive_table::list node_core::start_drives(const std::vector<known_drive>& known, const storage::label_table& labels) {
  // Each index has a log to read: side by side, they open in the time of one.
  storage::drive_table::list list(known.size());
  std::vector<std::thread> openers;
  for (size_t i = 0; i < known.size(); ++i)
    openers.emplace_back([&, i] { list[i] = start_drive(known[i]); });
  for (auto& opener : openers)
    opener.join();
  for (auto& drive : list)
    if (auto found = labels.find(drive.id); found != labels.end())
      drive.labels = found->second;
  for (const auto& drive : list) {
    if (drive.store)
      caf::anon_send(supervisor_, drive_watch{std::make_shared<const storage::drive_entry>(drive)});
    else
      report_drive(drive, severity::warning, drive.reason ? drive.reason->message() : std::string{}, errc::drive_missing);
  }
  return list;
}

namespace {

/// True when all have ended before nothing happened for *grace*.
bool end_within(caf::actor_system& sys, const std::vector<caf::actor>& actors, std::chrono::seconds grace) {
  caf::scoped_actor self{sys};
  for (const auto& actor : actors)
    self->monitor(actor);
  auto left = actors.size();
  while (left > 0) {
    auto before = left;
    self->receive([&](const caf::down_msg&) { --left; }, caf::after(grace) >> [] {});
    if (left == before)
      return false;
  }
  return true;
}

} // namespace

void node_core::stop_drives(const storage::drive_table::list& list) {
  caf::scoped_actor self{*system_};
  // All of them flush their indexes at the same time.
  auto close = [&](const storage::drive_entry& drive) {
    return self->request(drive.writer, close_timeout, caf::close_atom_v);
  };
  std::vector<decltype(close(list.front()))> closing;
  for (const auto& drive : list)
    if (drive.store)
      closing.push_back(close(drive));
  for (auto& answer : closing)
    answer.receive([](v1::Done&) {}, [](caf::error&) {});
  std::vector<caf::actor> ending;
  std::vector<caf::actor> silent;
  for (const auto& drive : list) {
    if (!drive.store)
      continue;
    auto& kind = pace->of(drive.id) == storage::read_pace::standing::answers ? ending : silent;
    kind.push_back(caf::actor_cast<caf::actor>(drive.writer));
    for (const auto& reader : drive.readers)
      kind.push_back(caf::actor_cast<caf::actor>(reader));
    kind.push_back(caf::actor_cast<caf::actor>(drive.care));
  }
  for (const auto* kind : {&ending, &silent})
    for (const auto& actor : *kind)
      self->send_exit(actor, caf::exit_reason::user_shutdown);
  for (const auto& actor : ending)
    self->wait_for(actor);
  if (!end_within(*system_, silent, silent_grace))
    kept_threads_ = true;
}

void node_core::start_supervisor() {
  // The supervisor ends before the core does; see the destructor.
  supervisor_tasks tasks;
  tasks.fallen = [this](const drive_id& id, const std::string& why) {
    drive_fell(id, why);
  };
  tasks.restart = [this](const drive_id& id) {
    return restart_drive(id);
  };
  supervisor_ = spawn_supervisor(*system_, std::move(tasks));
}

void node_core::report_drive(const storage::drive_entry& drive, severity level, std::string detail, std::optional<errc> code) {
  event what;
  what.kind = event_kind::drive_changed;
  what.level = level;
  what.subject = drive.folder;
  what.detail = std::move(detail);
  what.code = code;
  events->publish(std::move(what));
}

void node_core::drive_fell(const drive_id& id, const std::string& why) {
  std::lock_guard guard{mutex_};
  auto list = *drives->all();
  auto found = std::find_if(list.begin(), list.end(), [&](const auto& drive) { return drive.id == id; });
  if (found == list.end() || !found->store)
    return;
  auto fallen = *found;
  found->store = nullptr;
  found->writer = nullptr;
  found->readers.clear();
  found->care = nullptr;
  found->reason = error{errc::drive_failed, "serve drive", fallen.folder};
  drives->replace(std::move(list));
  guests_->drives_changed();
  stop_drives({fallen});
  report_drive(fallen, severity::error, "an actor of the drive fell: " + why, errc::drive_failed);
}

bool node_core::restart_drive(const drive_id& id) {
  std::lock_guard guard{mutex_};
  auto list = *drives->all();
  auto found = std::find_if(list.begin(), list.end(), [&](const auto& drive) { return drive.id == id; });
  if (found == list.end() || found->store)
    return true; // Removed, or brought back, meanwhile.
  auto fresh = start_drive({id, found->folder, found->term});
  fresh.leaving = found->leaving;
  fresh.labels = found->labels;
  *found = fresh;
  drives->replace(std::move(list));
  if (!fresh.store)
    return false;
  guests_->drives_changed();
  caf::anon_send(supervisor_, drive_watch{std::make_shared<const storage::drive_entry>(fresh)});
  report_drive(fresh, severity::info, "the drive is in service again", std::nullopt);
  return true;
}

result<storage::drive_entry> node_core::find_drive(const std::string& which) const {
  std::optional<storage::drive_entry> found;
  for (const auto& drive : *drives->all()) {
    auto named = drive.folder == which || (which.size() >= 4 && drive.id.hex().starts_with(which));
    if (named && found)
      return fail(errc::invalid_argument, "name one drive", which);
    if (named)
      found = drive;
  }
  if (!found)
    return fail(errc::not_found, "find drive", which);
  return *found;
}

result<void> node_core::save_drives(const storage::drive_table::list& list) {
  std::vector<known_drive> known;
  for (const auto& drive : list)
    known.push_back({drive.id, drive.folder, drive.term});
  auto saved = home.set_drives(known);
  if (saved)
    name_peers(list);
  return saved;
}

/// Where one that is not told of nobody looks for what is lost, and brings nothing.
void node_core::name_peers(const storage::drive_table::list& list) {
  std::vector<std::string> folders;
  for (const auto& drive : list)
    if (drives->allows(drive))
      folders.push_back(drive.folder);
  name_peers(folders);
}

/// Those that are drives, and that the rule allows, are told of each other.
void node_core::name_peers(const std::vector<std::string>& folders) {
  std::vector<peer_id> nodes;
  for (const auto& folder : folders)
    if (auto peer = network::peer_of(folder))
      nodes.push_back(*peer);
  auto now = std::chrono::duration_cast<std::chrono::milliseconds>(env.clock->wall().time_since_epoch()).count();
  peers->name_nodes(std::move(nodes), static_cast<uint64_t>(std::max<int64_t>(now, 1)));
}

/// What other nodes stored for the vault, or lost, while nobody looked.
void node_core::ask_peers(vault_runtime& vault) {
  auto changed = false;
  for (const auto& drive : *drives->all())
    if (network::peer_of(drive.folder) && drive.is_there())
      if (auto listed = relist_until(env.clock->monotonic() + peer_opens_in, drive, vault.context->id); listed && *listed > 0) {
        vault.context->names->doubt(drive.id);
        changed = true;
      }
  if (changed)
    (void) vault.mend(); // What that could not do, the next does.
}

/// Those of drives that are no more go.
result<void> node_core::save_labels(const storage::drive_table::list& list) {
  storage::label_table labels;
  for (const auto& drive : list)
    labels[drive.id] = drive.labels;
  return home.set_labels(labels);
}

result<drive_report> node_core::label_drive(const std::string& which, const drive_label_change& change) {
  std::lock_guard guard{mutex_};
  auto found = find_drive(which);
  if (!found)
    return fail(found.error());
  auto labels = storage::changed_by(found->labels, change);
  if (auto good = storage::check_labels(labels); !good)
    return fail(good.error());
  auto list = *drives->all();
  auto& drive = *std::ranges::find(list, found->id, &storage::drive_entry::id);
  drive.labels = labels;
  if (auto saved = save_labels(list); !saved)
    return fail(saved.error().within("label drive", found->folder));
  auto report = report_of(drive);
  name_peers(list);
  drives->replace(std::move(list));
  return report;
}

result<void> node_core::set_rule(const placement_rule& rule) {
  if (auto good = check_rule(rule); !good)
    return good;
  std::lock_guard guard{mutex_};
  if (auto saved = home.set_rule(rule); !saved)
    return saved;
  drives->set_rule(rule);
  name_peers(*drives->all());
  return {};
}

/// The drive of this node that is in *folder* and gets no new data.
std::optional<drive_id> node_core::draining_at(const std::string& folder) const {
  auto there = storage::shard_store::identify(*env.files, folder);
  auto list = drives->all();
  for (const auto& drive : *list)
    if (there && drive.id == *there && drive.folder == folder && drive.store && drive.state() == storage::drive_state::draining)
      return drive.id;
  return std::nullopt;
}

result<drive_report> node_core::end_draining(const drive_id& id) {
  if (auto changed = set_drive_state(id.hex(), storage::drive_state::ok); !changed)
    return fail(changed.error());
  auto now = find_drive(id.hex());
  if (!now)
    return fail(now.error());
  report_drive(*now, severity::info, "the drive gets new data again", std::nullopt);
  return report_of(*now);
}

/// Waits until the node was reached, and told what room it gives the vaults that are open.
result<storage::drive_entry> node_core::reach_peer(const peer_id& peer, const std::string& folder) {
  auto entry = start_drive({network::peer_drive_id(peer), folder, 0});
  if (!entry.store)
    return fail(*entry.reason);
  auto until = env.clock->monotonic() + peer_found_in;
  auto refuse = [&](const error& why) {
    stop_drives({entry});
    return fail(why);
  };
  auto linked = false;
  while (!linked || (!peers->owners().empty() && !peers->has_told(peer))) {
    std::this_thread::sleep_for(peer_looked_at);
    if (entry.store->is_in_place() && !std::exchange(linked, true))
      until = env.clock->monotonic() + peer_told_in;
    if (env.clock->monotonic() >= until)
      return refuse(error{errc::timed_out, linked ? "ask the node how much room it gives" : "reach the node", folder});
  }
  auto owners = peers->owners();
  if (auto use = entry.store->usage(); !owners.empty() && (!use || use->disk.total == 0))
    return refuse(error{errc::permission_denied, "store on a node that gives no room to the vaults that are open", folder});
  // It may have been a drive of these vaults before, here or elsewhere. A vault that is not open is
  // told when it is made anew.
  for (const auto& [owner, signer] : owners) {
    auto listed = relist_until(until, entry, owner);
    if (!listed)
      return refuse(listed.error());
  }
  return entry;
}

result<drive_report> node_core::add_peer(const std::string& folder) {
  constexpr auto attempt = "add a node as a drive";
  auto peer = network::peer_of(folder);
  if (!peer || !mesh_)
    return fail(errc::invalid_argument, peer ? "add a node as a drive while this one is in no mesh" : "name a node by 64 digits", folder);
  if (*peer == mesh_->identity()->id())
    return fail(errc::invalid_argument, "add this node as a drive of its own", folder);
  auto is_there = [&] {
    auto all = drives->all();
    return std::ranges::any_of(*all, [&](const auto& drive) { return drive.folder == folder; });
  };
  if (is_there())
    return fail(errc::already_exists, attempt, folder);
  // Others are not held up by a node that is not found.
  auto entry = reach_peer(*peer, folder);
  if (!entry)
    return fail(entry.error().within(attempt, folder));
  std::unique_lock guard{mutex_};
  auto list = *drives->all();
  // What was said of it when it was a drive before is forgotten.
  auto forgotten = save_labels(list);
  list.push_back(*entry);
  auto free = is_there() ? fail(errc::already_exists, attempt, folder) : std::move(forgotten);
  if (auto saved = free.and_then([&] { return save_drives(list); }); !saved) {
    stop_drives({*entry});
    return fail(saved.error());
  }
  drives->replace(std::move(list));
  caf::anon_send(supervisor_, drive_watch{std::make_shared<const storage::drive_entry>(*entry)});
  auto use = entry->store->usage();
  tell_vaults(entry->id, !use || use->shard_count > 0, guard);
  return report_of(*entry);
}

/// The node may be opening what it keeps anew.
result<uint64_t> node_core::relist_until(clock::monotonic_time until, const storage::drive_entry& drive, const vault_id& vault) {
  auto listed = relist(drive, vault);
  for (; !listed && listed.error().code() == errc::unavailable && env.clock->monotonic() < until; listed = relist(drive, vault))
    std::this_thread::sleep_for(peer_looked_at);
  return listed;
}

result<uint64_t> node_core::relist(const storage::drive_entry& drive, const vault_id& vault) {
  v1::RelistDrive request;
  request.set_vault(std::string{vault.text()});
  caf::scoped_actor self{*system_};
  return storage::ask<v1::DriveRelisted>(self.ptr(), drive.writer, storage::until_answered, std::move(request))
      .map([](const v1::DriveRelisted& relisted) { return relisted.changed(); });
}

result<drive_report> node_core::add_drive(const std::string& folder, bool adopt) {
  if (folder.starts_with("node:"))
    return add_peer(folder);
  if (folder.empty() || folder.front() != '/')
    return fail(errc::invalid_argument, "add a drive by an absolute path", folder);
  if (auto id = adopt ? std::nullopt : draining_at(folder))
    return end_draining(*id);
  std::unique_lock guard{mutex_};
  auto list = *drives->all();
  auto id = storage::shard_store::identify(*env.files, folder);
  if (adopt && !id)
    return fail(id.error());
  if (!adopt) {
    if (id)
      return fail(errc::already_exists, "add drive", folder);
    id = storage::shard_store::format(env, folder);
    if (!id)
      return fail(id.error());
  }
  auto entry = start_drive({*id, folder, 0}, adopt);
  if (!entry.store)
    return fail(*entry.reason);
  // A drive that was missing comes back under its old id, perhaps elsewhere.
  auto old = std::find_if(list.begin(), list.end(), [&](const auto& drive) { return drive.id == *id; });
  auto forgotten = save_labels(list);
  if (old != list.end()) {
    entry.labels = old->labels;
    *old = entry;
  } else
    list.push_back(entry);
  if (auto saved = forgotten.and_then([&] { return save_drives(list); }); !saved) {
    stop_drives({entry});
    return fail(saved.error());
  }
  // From here on it is this node's, though it may not be able to note that yet.
  if (auto claimed = entry.store->claim(); !claimed)
    report_drive(entry, severity::warning, claimed.error().message(), claimed.error().code());
  drives->replace(std::move(list));
  guests_->drives_changed();
  caf::anon_send(supervisor_, drive_watch{std::make_shared<const storage::drive_entry>(entry)});
  tell_vaults(entry.id, adopt, guard);
  return report_of(entry);
}

std::vector<drive_id> node_core::drives_in_service() const {
  std::vector<drive_id> ids;
  for (const auto& drive : *drives->all())
    if (drive.store)
      ids.push_back(drive.id);
  return ids;
}

/// Open vaults take in what a drive brought that *holds* something; those that are busy when
/// they are opened the next time.
void node_core::tell_vaults(const drive_id& drive, bool holds, std::unique_lock<std::mutex>& guard) {
  std::vector<std::shared_ptr<vault_runtime>> vaults;
  for (const auto& [name, handle] : open_)
    if (auto vault = handle.lock())
      vaults.push_back(std::move(vault));
  guard.unlock(); // Who holds the last handle of a vault closes it, which takes the lock.
  for (const auto& vault : vaults) {
    if (!holds) {
      vault->context->names->trust({drive});
      continue;
    }
    vault->context->names->doubt(drive);
    (void) vault->mend(); // Who opens it next is told.
  }
}

namespace {

constexpr size_t rows_at_once = 1000;

/// What open vaults keep on a drive, and what they would be without it.
struct drive_use {
  uint64_t packs = 0;  ///< Have a shard there.
  uint64_t needed = 0; ///< Of these, can not be read without it.
};

result<drive_use> use_of(const storage::catalog& names, const storage::drive_table::list& drives, const drive_id& id) {
  drive_use use;
  std::optional<pack_id> after;
  for (;;) {
    auto page = names.packs(after, rows_at_once);
    if (!page)
      return fail(page.error());
    if (page->empty())
      return use;
    after = page->back().seal.id;
    for (const auto& pack : *page) {
      if (pack.condemned || std::find(pack.drives.begin(), pack.drives.end(), id) == pack.drives.end())
        continue;
      auto others = std::count_if(pack.drives.begin(), pack.drives.end(), [&](const drive_id& other) {
        return !other.is_zero() && other != id && storage::drive_table::find(drives, other) != nullptr;
      });
      ++use.packs;
      use.needed += others < pack.seal.shape.k;
    }
  }
}

/// Shards on a drive that are of no pack of these vaults.
result<uint64_t> unknown_shards(const storage::shard_place& store, const std::vector<std::shared_ptr<vault_runtime>>& vaults) {
  uint64_t unknown = 0;
  std::optional<storage::shard_key> after;
  for (;;) {
    auto page = store.list(after, rows_at_once);
    if (!page)
      return fail(page.error());
    if (page->empty())
      return unknown;
    after = page->back().key;
    for (const auto& shard : *page) {
      auto known = std::any_of(vaults.begin(), vaults.end(), [&](const auto& vault) {
        auto pack = vault->context->names->find_pack(shard.key.pack);
        return pack && *pack;
      });
      unknown += known ? 0 : 1;
    }
  }
}

} // namespace

/// @pre the lock is held; *vaults* are those that are open
result<void> node_core::check_unused(const storage::drive_entry& drive, const std::vector<std::shared_ptr<vault_runtime>>& vaults) {
  auto list = drives->all();
  auto closed = home.vault_names();
  if (!closed)
    return fail(closed.error());
  for (const auto& vault : vaults) {
    std::erase(*closed, vault->name);
    auto use = use_of(*vault->context->names, *list, drive.id);
    if (!use)
      return fail(use.error());
    if (use->packs > 0)
      return fail(errc::conflict,
                  fmt::format("remove a drive on which {} of vault '{}', {} of which can not be read without it",
                              use->packs == 1 ? "1 pack has a shard" : fmt::format("{} packs have shards", use->packs), vault->name,
                              use->needed),
                  drive.folder);
  }
  auto unknown = drive.store ? unknown_shards(*drive.store, vaults) : result<uint64_t>{0};
  if (!closed->empty() && (!drive.store || !unknown || *unknown > 0))
    return fail(errc::conflict, fmt::format("remove a drive on which vault '{}', which is not open, may have shards", closed->front()),
                drive.folder);
  // Who can not be read any more has nothing that could still be saved.
  if (unknown && *unknown > 0)
    return fail(
        errc::conflict,
        fmt::format("remove a drive with {} that no vault here knows", *unknown == 1 ? "1 shard" : fmt::format("{} shards", *unknown)),
        drive.folder);
  return {};
}

/// What can not be counted does not hold up who removes a drive, unless it is only not known yet.
result<void> node_core::check_no_guests(const storage::drive_entry& drive) {
  auto count = drive.store && !network::peer_of(drive.folder) ? guests_->shards_on(drive.folder) : result<uint64_t>{0};
  if (!count && count.error().code() == errc::timed_out)
    return fail(count.error().within("remove drive", drive.folder));
  if (count && *count > 0)
    return fail(errc::conflict,
                fmt::format("remove a drive with {} kept for others", *count == 1 ? "1 shard" : fmt::format("{} shards", *count)),
                drive.folder);
  return {};
}

result<void> node_core::remove_drive(const std::string& which, bool force) {
  std::vector<std::shared_ptr<vault_runtime>> vaults; // They outlive the lock, which their closing takes.
  std::lock_guard guard{mutex_};
  auto drive = find_drive(which);
  if (!drive)
    return fail(drive.error());
  for (const auto& [name, handle] : open_)
    if (auto vault = handle.lock())
      vaults.push_back(std::move(vault));
  if (!force)
    if (auto unused = check_unused(*drive, vaults).and_then([&] { return check_no_guests(*drive); }); !unused)
      return unused;
  auto list = *drives->all();
  std::erase_if(list, [&](const auto& other) { return other.id == drive->id; });
  if (auto saved = save_drives(list); !saved)
    return saved;
  (void) save_labels(list); // Whoever adds it again forgets them, too.
  drives->replace(std::move(list));
  guests_->await_drives();
  guests_->let_go_of(drive->folder);
  stop_drives({*drive});
  return {};
}

result<void> node_core::set_drive_state(const std::string& which, storage::drive_state state) {
  auto drive = find_drive(which);
  if (!drive)
    return fail(drive.error());
  if (!drive->store)
    return fail(errc::drive_missing, "change drive", drive->folder);
  caf::scoped_actor self{*system_};
  result<void> outcome;
  v1::SetDriveState request;
  request.set_state(static_cast<uint32_t>(state));
  self->request(drive->writer, close_timeout, std::move(request))
      .receive([](v1::Done&) {}, [&](caf::error& reason) { outcome = fail(from_caf(reason)); });
  // A drive that takes no writes is emptied all the same, while the node is open.
  hold_leaving(drive->id, state == storage::drive_state::draining && !outcome);
  return outcome;
}

void node_core::hold_leaving(const drive_id& id, bool leaving) {
  std::lock_guard guard{mutex_};
  auto list = *drives->all();
  for (auto& drive : list)
    if (drive.id == id)
      drive.leaving = leaving;
  drives->replace(std::move(list));
  guests_->drives_changed();
}

std::vector<drive_report> node_core::reports() const {
  std::vector<drive_report> reports;
  for (const auto& drive : *drives->all()) {
    auto report = report_of(drive);
    // What lies below the folder now may be another disk, or an empty mount point.
    if (network::peer_of(drive.folder)) {
      if (drive.store && !drive.store->is_in_place()) {
        report.state = "missing";
        report.reason = error{errc::unavailable, "reach the node", drive.folder};
      }
    } else if (auto there = storage::shard_store::identify(*env.files, drive.folder); drive.store && (!there || *there != drive.id)) {
      report.state = "missing";
      report.reason = there ? error{errc::drive_alien, "find drive", drive.folder} : there.error();
    }
    reports.push_back(std::move(report));
  }
  return reports;
}

} // namespace datamesh
