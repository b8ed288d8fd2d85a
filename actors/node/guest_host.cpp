#include "node/guest_host.hpp"

#include "network/ballast_file.hpp"
#include "network/link_messages.hpp"
#include "network/mesh_member.hpp"
#include "network/peer_drive.hpp"
#include "storage/ask.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <set>

namespace datamesh {

namespace {

using network::guest_store;
using network::guest_usage;
using network::guests_folder;
using storage::shard_store;

constexpr auto answer_max = std::chrono::seconds{10};
/// The service may write an index for a minute.
constexpr auto close_max = std::chrono::seconds{70};
/// A thread that waits for a drive that owes an answer gets so long to come back.
constexpr auto silent_grace = std::chrono::seconds{2};
constexpr auto glance = std::chrono::milliseconds{100};

v1::SetGrants message_of(const network::grants& room, hosting how) {
  v1::SetGrants message;
  message.set_hosting(static_cast<uint32_t>(how));
  for (const auto& [owner, bytes] : room) {
    auto& grant = *message.add_grant();
    grant.set_owner(std::string{owner.text()});
    grant.set_room(bytes);
  }
  return message;
}

/// A drive that is to be emptied, or that failed, gets nothing new.
bool takes_new(const storage::drive_table& drives, const std::string& guests) {
  auto all = drives.all();
  return std::ranges::any_of(*all, [&](const storage::drive_entry& drive) {
    return drive.is_there() && drive.state() == storage::drive_state::ok && guests_folder(drive.folder) == guests;
  });
}

/// At most the largest number there is.
uint64_t sum_of(const network::grants& room) {
  uint64_t sum = 0;
  for (const auto& [owner, bytes] : room)
    sum += std::min(bytes, std::numeric_limits<uint64_t>::max() - sum);
  return sum;
}

std::string counted(uint64_t n, const char* one, const char* many) {
  return fmt::format("{} {}", n, n == 1 ? one : many);
}

} // namespace

guest_host::guest_host(caf::actor_system& sys, guest_parts parts) : sys_(sys), parts_(std::move(parts)) {}

guest_host::~guest_host() {
  (void) close();
}

// -- which drives ------------------------------------------------------------------------

/// Those in service that have guests; with *make*, all that may have some are given a place for
/// them. Those of *known* are not looked at again: one of them may owe an answer.
guest_host::drive_list guest_host::drives_with_guests(bool make, const drive_list& known) {
  drive_list found;
  auto all = parts_.drives->all();
  for (const auto& drive : *all) {
    if (!drive.store || network::peer_of(drive.folder))
      continue;
    auto folder = guests_folder(drive.folder);
    if (std::ranges::count(known, std::pair{drive.id, folder}) > 0) {
      found.emplace_back(drive.id, folder);
      continue;
    }
    auto there = shard_store::identify(*parts_.env.files, folder);
    auto is_none = !there && (there.error().code() == errc::drive_missing || there.error().code() == errc::drive_alien);
    if (!is_none) {
      found.emplace_back(drive.id, folder); // Also one that is damaged: whoever opens it tells.
      continue;
    }
    if (!make || drive.state() != storage::drive_state::ok)
      continue;
    auto made = guest_store::format(parts_.env, folder);
    if (made)
      found.emplace_back(drive.id, folder);
    else
      parts_.tell(severity::warning, "no room for others on a drive: " + made.error().message(), made.error().code());
  }
  return found;
}

result<std::unique_ptr<guest_store>> guest_host::open_store(const drive_list& over) {
  network::guest_store_options options;
  for (const auto& [id, folder] : over)
    options.folders.push_back(folder);
  // The store may outlive this, when a drive keeps a thread that uses it.
  options.takes_new = [drives = parts_.drives](const std::string& folder) {
    return takes_new(*drives, folder);
  };
  // Where it can not be read nothing is held; whoever serves or grants is told.
  options.capacity = parts_.home->capacity().value_or(0);
  std::optional<error> first;
  options.left_out = [&](const std::string&, const error& why) {
    first = first.value_or(why);
    parts_.tell(severity::error,
                "what is kept for others on a drive is not served: " + why.message() + "; mend or remove the drive, then restart the node",
                why.code());
  };
  auto opened = guest_store::open(parts_.env, options);
  // An owner who was told that nothing of his is here would make it again elsewhere.
  if (opened && !over.empty() && (*opened)->folders().empty())
    return fail(*first);
  return opened;
}

// -- the service -------------------------------------------------------------------------

void guest_host::serve(network::mesh_member& mesh) {
  auto room = parts_.home->grants();
  if (!room)
    parts_.tell(severity::error, "nobody has room on this node: " + room.error().message(), room.error().code());
  auto how = parts_.home->hosts();
  if (!how)
    parts_.tell(severity::error, "this node takes nothing from others: " + how.error().message(), how.error().code());
  auto aside = parts_.home->capacity();
  if (!aside)
    parts_.tell(severity::error, "nothing is held for others: " + aside.error().message(), aside.error().code());
  std::lock_guard guard{mutex_};
  mesh_ = &mesh;
  how_ = how.value_or(hosting::paused);
  if (room)
    room_ = std::move(*room);
  aside_ = aside.value_or(0);
  makes_folders_ = !room_.empty() || aside_ > 0;
  due_ = true;
  thread_ = std::thread{[this] {
    run();
  }};
}

void guest_host::run() {
  std::optional<drive_list> served;
  std::unique_lock lock{mutex_};
  for (;;) {
    changed_.wait(lock, [&] { return due_ || stopping_; });
    if (stopping_)
      return;
    due_ = false;
    busy_ = true;
    auto make = makes_folders_;
    lock.unlock();
    auto next = drives_with_guests(make, served.value_or(drive_list{}));
    if (served != next) {
      end_service();
      if (await_end())
        begin_service(next);
      served = std::move(next);
    }
    lock.lock();
    busy_ = false;
    changed_.notify_all();
  }
}

/// False when the host closes before that.
bool guest_host::await_end() {
  auto patience = settled_within / glance;
  while (!store_is_gone(glance)) {
    if (--patience == 0)
      parts_.tell(severity::warning, "what is kept for others is not served until a drive gives an answer that it owes", errc::timed_out);
    std::lock_guard guard{mutex_};
    if (stopping_)
      return false;
  }
  return true;
}

void guest_host::begin_service(const drive_list& over) {
  auto opened = open_store(over);
  if (!opened) {
    if (over.empty())
      parts_.tell(severity::error, opened.error().message(), opened.error().code());
    return;
  }
  auto gone = std::make_shared<std::promise<void>>();
  // Folders can be opened again when the last who uses them has let them go.
  std::shared_ptr<guest_store> store{opened->release(), [gone](guest_store* ended) {
                                       std::unique_ptr<guest_store>{ended}.reset();
                                       gone->set_value();
                                     }};
  uint64_t shards = 0;
  auto usages = store->usages();
  for (const auto& [owner, used] : usages)
    shards += used.shards;
  network::shard_service_actor service;
  size_t granted = 0;
  {
    std::lock_guard guard{mutex_};
    store_gone_ = gone->get_future();
    store_ = store;
    store_->set_aside(aside_); // It may have been changed while the store was opened.
    granted = room_.size();
    // From here on a change of grants is told to it.
    board_ = std::make_shared<network::sibling_board>();
    board_->set(how_);
    service = service_ = network::spawn_shard_service(sys_, {parts_.env,
                                                             mesh_->identity(),
                                                             std::move(store),
                                                             mesh_->network(),
                                                             room_,
                                                             {},
                                                             2,
                                                             parts_.peers,
                                                             board_,
                                                             parts_.tell,
                                                             nullptr,
                                                             {},
                                                             parts_.home->folder() + "/siblings"});
  }
  if (auto served = mesh_->serve(network::peer_part::shards, caf::actor_cast<caf::actor>(service)); !served)
    return parts_.tell(severity::error, "what is kept for others is not served: " + served.error().message(), served.error().code());
  if (granted > 0 || !usages.empty())
    parts_.tell(severity::info,
                fmt::format("keeps {} of {}; {} room", counted(shards, "shard", "shards"), counted(usages.size(), "owner", "owners"),
                            granted == 1 ? "1 owner has" : fmt::format("{} owners have", granted)),
                std::nullopt);
}

void guest_host::end_service() {
  network::shard_service_actor service;
  {
    std::lock_guard guard{mutex_};
    std::swap(service, service_);
    store_ = nullptr;
  }
  if (!service)
    return;
  caf::scoped_actor asks{sys_};
  (void) storage::ask<v1::Done>(asks.ptr(), service, close_max, caf::close_atom_v);
  asks->send_exit(service, caf::exit_reason::user_shutdown);
  asks->wait_for(service);
}

/// Its threads end by themselves; one that a drive keeps may take for ever.
bool guest_host::store_is_gone(std::chrono::milliseconds within) {
  if (store_gone_.valid() && store_gone_.wait_for(within) != std::future_status::ready)
    return false;
  store_gone_ = {};
  return true;
}

bool guest_host::close() {
  {
    std::lock_guard guard{mutex_};
    stopping_ = true;
    changed_.notify_all();
  }
  if (thread_.joinable())
    thread_.join();
  end_service();
  return store_is_gone(silent_grace);
}

// -- grants ------------------------------------------------------------------------------

result<void> guest_host::allow(const vault_id& owner, uint64_t bytes) {
  constexpr auto attempted = "give room to an owner";
  if (owner.is_zero())
    return fail(errc::invalid_argument, attempted, owner.hex());
  std::lock_guard one_at_a_time{changes_};
  auto room = parts_.home->grants();
  if (!room)
    return fail(room.error().within(attempted, owner.hex()));
  if (bytes > 0)
    (*room)[owner] = bytes;
  else if (room->erase(owner) == 0)
    return {};
  if (auto fits = bytes > 0 ? check_capacity(*room) : result<void>{}; !fits)
    return fail(fits.error().within(attempted, owner.hex()));
  if (auto written = parts_.home->set_grants(*room); !written)
    return fail(written.error().within(attempted, owner.hex()));
  {
    std::lock_guard guard{mutex_};
    room_ = *room;
    makes_folders_ = !room_.empty() || aside_ > 0;
    due_ = true;
    changed_.notify_all();
  }
  auto told = tell_service();
  return told ? told : fail(told.error().within(attempted, owner.hex()));
}

/// What is granted comes to no more than was set aside.
result<void> guest_host::check_capacity(const network::grants& room) const {
  auto capacity = parts_.home->capacity();
  if (!capacity)
    return fail(capacity.error());
  auto granted = sum_of(room);
  if (*capacity == 0 || granted <= *capacity)
    return {};
  return fail(errc::capacity_exceeded,
              fmt::format("grant {} bytes in all, where {} are set aside for all owners together", granted, *capacity));
}

/// What the drives of this node have free for shards, what is held, and what others keep there already.
result<uint64_t> guest_host::room_for_others() {
  auto used = count();
  if (!used)
    return fail(used.error());
  uint64_t room = 0;
  for (const auto& [owner, usage] : *used)
    room += usage.bytes;
  std::set<uint64_t> disks; // Several drives may lie on one.
  for (const auto& drive : *parts_.drives->all()) {
    if (!drive.is_there() || network::peer_of(drive.folder) || drive.state() != storage::drive_state::ok)
      continue;
    room += held_on(drive.folder);
    auto usage = drive.store->usage();
    auto folder = parts_.env.files->status(drive.folder);
    if (usage && folder && !usage->read_only && disks.insert(folder->device).second)
      room += usage->room(storage::room_for::data);
  }
  return room;
}

result<void> guest_host::reserve(uint64_t bytes) {
  constexpr auto attempted = "set room aside for others";
  std::lock_guard one_at_a_time{changes_};
  auto room = parts_.home->grants();
  if (!room)
    return fail(room.error().within(attempted));
  auto granted = sum_of(*room);
  if (bytes > 0 && granted > bytes)
    return fail(errc::conflict, fmt::format("set {} bytes aside for others, where {} are granted already", bytes, granted));
  auto there = bytes > 0 ? room_for_others() : result<uint64_t>{0};
  if (!there)
    return fail(there.error().within(attempted));
  if (bytes > *there)
    return fail(errc::no_space, fmt::format("set {} bytes aside for others, where the drives have {} for that", bytes, *there));
  if (auto written = parts_.home->set_capacity(bytes); !written)
    return fail(written.error().within(attempted));
  return hold(bytes);
}

/// By the service, soon; where there is none, now.
result<void> guest_host::hold(uint64_t bytes) {
  bool in_mesh = false;
  {
    std::lock_guard guard{mutex_};
    in_mesh = mesh_ != nullptr;
    aside_ = bytes;
    makes_folders_ = !room_.empty() || aside_ > 0;
    due_ = true;
    changed_.notify_all();
    if (store_)
      store_->set_aside(bytes);
  }
  if (in_mesh)
    return tell_service();
  auto over = drives_with_guests(bytes > 0, {});
  if (over.empty())
    return {};
  auto opened = open_store(over);
  if (!opened)
    parts_.tell(severity::warning, "nothing is held for others yet: " + opened.error().message(), opened.error().code());
  while (opened && !(*opened)->settle())
    continue;
  return {};
}

result<reserve_report> guest_host::reserved() {
  auto bytes = parts_.home->capacity();
  if (!bytes)
    return fail(bytes.error());
  reserve_report report{*bytes, {}, {}};
  auto with = [&](const guest_store& store) {
    report.held = store.held();
    report.lacking = store.lacking();
  };
  std::lock_guard one_at_a_time{changes_};
  {
    std::lock_guard guard{mutex_};
    if (store_)
      with(*store_);
    if (store_ || mesh_ != nullptr)
      return report;
  }
  auto over = drives_with_guests(false, {});
  if (auto opened = open_store(over))
    with(**opened);
  return report;
}

uint64_t guest_host::held_on(const std::string& folder) {
  auto guests = guests_folder(folder);
  {
    std::lock_guard guard{mutex_};
    if (store_)
      return store_->held_in(guests);
  }
  network::ballast_file there{parts_.env.files, guests};
  return there.look() ? there.held() : 0;
}

void guest_host::let_go_of(const std::string& folder) {
  if (network::peer_of(folder))
    return;
  network::ballast_file there{parts_.env.files, guests_folder(folder)};
  if (auto gone = there.hold(0); !gone)
    parts_.tell(severity::warning, "room on a drive that was removed stays held: " + gone.error().message(), gone.error().code());
}

result<void> guest_host::set_hosting(hosting how) {
  std::lock_guard one_at_a_time{changes_};
  if (auto written = parts_.home->set_hosts(how); !written)
    return fail(written.error().within("change how the node serves others"));
  {
    std::lock_guard guard{mutex_};
    how_ = how;
  }
  return tell_service();
}

/// What it is to know, where there is one.
result<void> guest_host::tell_service() {
  network::shard_service_actor service;
  v1::SetGrants message;
  {
    std::lock_guard guard{mutex_};
    service = service_;
    message = message_of(room_, how_);
  }
  if (!service)
    return {};
  caf::scoped_actor asks{sys_};
  auto told = storage::ask<v1::Done>(asks.ptr(), service, answer_max, std::move(message));
  std::lock_guard guard{mutex_};
  // One that ended meanwhile is followed by one that knows.
  if (!told && service_ == service)
    return fail(told.error());
  return {};
}

/// Where nobody is served, what there is is opened for the moment.
result<std::map<vault_id, guest_usage>> guest_host::count() {
  {
    std::lock_guard guard{mutex_};
    if (store_)
      return store_->usages();
    if (mesh_ != nullptr)
      return fail(errc::unavailable, "count what is kept for others");
  }
  auto over = drives_with_guests(false, {});
  if (over.empty())
    return std::map<vault_id, guest_usage>{};
  return open_store(over).map([](const std::unique_ptr<guest_store>& opened) { return opened->usages(); });
}

result<std::vector<room_report>> guest_host::rooms() {
  std::lock_guard one_at_a_time{changes_};
  auto room = parts_.home->grants();
  if (!room)
    return fail(room.error().within("list who has room here"));
  auto used = count();
  std::map<vault_id, room_report> all;
  auto board = [&] {
    std::lock_guard guard{mutex_};
    return board_;
  }();
  for (const auto& [owner, bytes] : *room)
    all[owner].granted = bytes;
  if (used)
    for (const auto& [owner, usage] : *used)
      (void) all[owner];
  std::vector<room_report> rooms;
  for (auto& [owner, one] : all) {
    one.owner = owner;
    if (used) {
      auto usage = (*used)[owner];
      one.used = usage.bytes;
      one.shards = usage.shards;
    }
    if (auto when = board ? board->last_compared(owner) : std::nullopt)
      one.compared_ns = when->time_since_epoch().count();
    one.stuck = board ? board->stuck(owner) : std::nullopt;
    rooms.push_back(one);
  }
  return rooms;
}

// -- drives that come and go ---------------------------------------------------------------

void guest_host::drives_changed() {
  std::lock_guard guard{mutex_};
  due_ = true;
  changed_.notify_all();
}

bool guest_host::await_idle(std::unique_lock<std::mutex>& lock) {
  return mesh_ == nullptr || changed_.wait_for(lock, settled_within, [&] { return (!due_ && !busy_) || stopping_; });
}

void guest_host::await_drives() {
  std::unique_lock lock{mutex_};
  due_ = true;
  changed_.notify_all();
  (void) await_idle(lock);
}

result<uint64_t> guest_host::shards_on(const std::string& folder) {
  auto guests = guests_folder(folder);
  std::lock_guard one_at_a_time{changes_};
  std::unique_lock lock{mutex_};
  if (!await_idle(lock))
    return fail(errc::timed_out, "count what is kept for others", guests);
  auto store = store_;
  lock.unlock();
  if (store)
    if (auto found = store->shards_in(guests); found || found.error().code() != errc::not_found)
      return found;
  store = nullptr;
  if (auto there = shard_store::identify(*parts_.env.files, guests); !there)
    return there.error().code() == errc::drive_missing ? result<uint64_t>{0} : fail(there.error());
  storage::shard_store_options options;
  options.folder = guests;
  auto opened = shard_store::open(parts_.env, std::move(options));
  if (!opened)
    return fail(opened.error());
  return (*opened)->usage().map([](const storage::drive_usage& usage) { return usage.shard_count; });
}

} // namespace datamesh
