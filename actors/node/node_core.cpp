#include "node/node_core.hpp"

#include "crypto/identity.hpp"
#include "storage/adopt_actor.hpp"
#include "storage/checkpoint_actor.hpp"
#include "storage/convert.hpp"
#include "storage/range_reader.hpp"

#include <thread>

namespace datamesh {

namespace {

constexpr uint64_t memory_min = 40ull << 20;
constexpr auto close_timeout = std::chrono::seconds{30};
/// A thread that waits for a drive that owes an answer gets so long to come back.
constexpr auto silent_grace = std::chrono::seconds{2};

environment complete(environment env) {
  auto system = system_environment();
  if (!env.clock)
    env.clock = system.clock;
  if (!env.random)
    env.random = system.random;
  if (!env.files)
    env.files = system.files;
  if (!env.stores)
    env.stores = system.stores;
  if (!env.log)
    env.log = system.log;
  return env;
}

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

drive_report report_of(const storage::drive_entry& drive) {
  drive_report report;
  report.id = drive.id;
  report.folder = drive.folder;
  if (!drive.store) {
    report.state = "missing";
    report.reason = drive.reason;
    return report;
  }
  report.state = name_of(drive.store->state());
  if (auto usage = drive.store->usage()) {
    report.shards = usage->shard_count;
    report.shard_bytes = usage->shard_bytes;
    report.disk_total = usage->disk.total;
    report.disk_free = usage->disk.available > usage->reserve ? usage->disk.available - usage->reserve : 0;
  } else {
    report.state = "failed";
    report.reason = usage.error();
  }
  return report;
}

} // namespace

// -- jobs --------------------------------------------------------------------------------

std::shared_ptr<storage::job> job_registry::begin(const job_options& options, const environment& env, std::shared_ptr<event_hub> events) {
  auto job = std::make_shared<storage::job>();
  job->number = options.job;
  job->cancel = options.cancel;
  job->time = env.clock;
  job->events = std::move(events);
  if (options.timeout)
    job->deadline = env.clock->monotonic() + *options.timeout;
  std::lock_guard guard{mutex_};
  if (closing_)
    return nullptr;
  running_.insert(job);
  return job;
}

void job_registry::end(const std::shared_ptr<storage::job>& job) {
  // Notified under the lock: who waits may destroy us right after.
  std::lock_guard guard{mutex_};
  running_.erase(job);
  changed_.notify_all();
}

void job_registry::cancel_and_wait() {
  std::unique_lock lock{mutex_};
  closing_ = true;
  for (const auto& job : running_)
    job->cancel.cancel();
  changed_.wait(lock, [this] { return running_.empty(); });
}

// -- node ------------------------------------------------------------------------------------

node_core::node_core(node_options o, environment e) : options(std::move(o)), env(std::move(e)), home(env, options.home) {
  config_->add_message_types<caf::id_block::datamesh>();
  config_->set("scheduler.max-threads", 2u);
  // Idle workers wait on a condition. Those that steal poll and sleep up to 10 ms,
  // and most of our messages come from detached actors while they do.
  config_->set("scheduler.policy", caf::atom("sharing"));
}

result<std::shared_ptr<node_core>> node_core::open(node_options options, bool create) {
  if (options.home.empty())
    return fail(errc::invalid_argument, "open the node");
  if (options.memory_bytes < memory_min)
    return fail(errc::invalid_argument, "open the node with less than 40 MiB of memory", options.home);
  if (options.compression_level < 0 || options.compression_level > 19)
    return fail(errc::invalid_argument, "open the node with a compression level outside of 0 to 19", options.home);
  auto env = complete(options.environment);
  std::shared_ptr<node_core> core{new node_core{std::move(options), std::move(env)}};
  if (create)
    if (auto made = core->home.create(); !made)
      return fail(made.error());
  auto lock = core->home.lock();
  if (!lock)
    return fail(lock.error());
  core->lock_ = std::move(*lock);
  auto known = core->home.drives();
  if (!known)
    return fail(known.error());
  core->events = std::make_shared<event_hub>(core->env.clock, core->options.on_event);
  core->pace = std::make_shared<storage::read_pace>(core->env.clock);
  core->budget = memory_budget::make(core->options.memory_bytes);
  uint64_t seed = 0;
  if (auto filled = core->env.random->fill(std::as_writable_bytes(std::span{&seed, 1})); !filled)
    return fail(filled.error());
  core->cache = std::make_shared<storage::read_cache>(core->budget, seed);
  core->segment_pool = buffer_pool::make(storage::segment_size, 6);
  core->pack_pool = buffer_pool::make(storage::pack_buffer_size, storage::pack_buffers_max);
  core->system_ = std::make_unique<caf::actor_system>(*core->config_);
  core->start_supervisor();
  core->drives->load([core = core.get(), known = std::move(*known)] { return core->start_drives(known); });
  return core;
}

node_core::~node_core() {
  if (!system_)
    return;
  // They may still be opening.
  (void) drives->all();
  // First of all: what stops from here on stops on purpose.
  if (supervisor_) {
    caf::scoped_actor self{*system_};
    self->send_exit(supervisor_, caf::exit_reason::user_shutdown);
    self->wait_for(supervisor_);
    supervisor_ = nullptr;
  }
  auto list = *drives->all();
  stop_drives(list);
  drives->replace({});
  // Whoever drops a store last closes its index.
  std::vector<std::thread> closers;
  for (auto& drive : list)
    closers.emplace_back([&drive] { drive.store.reset(); });
  for (auto& closer : closers)
    closer.join();
  if (!kept_threads_) {
    system_->await_all_actors_done();
    return;
  }
  // A thread that a disk keeps can not be ended. What it uses stays until the process ends.
  (void) system_.release();
  (void) config_.release();
}

// -- drives --------------------------------------------------------------------------------------

storage::drive_entry node_core::start_drive(const drive_id& id, const std::string& folder) {
  storage::drive_entry entry;
  entry.id = id;
  entry.folder = folder;
  storage::shard_store_options store_options;
  store_options.folder = folder;
  auto store = storage::shard_store::open(env, std::move(store_options));
  if (!store) {
    entry.reason = store.error();
    return entry;
  }
  if ((*store)->id() != id) {
    entry.reason = error{errc::drive_alien, "open drive", folder};
    return entry;
  }
  entry.store = std::move(*store);
  entry.writer = storage::spawn_drive_writer(*system_, entry.store);
  for (size_t i = 0; i < storage::readers_per_drive; ++i)
    entry.readers.push_back(storage::spawn_drive_reader(*system_, entry.store));
  entry.care = storage::spawn_yielding_drive_reader(*system_, entry.store, env.files);
  entry.next_reader = std::make_shared<std::atomic<uint32_t>>(0);
  return entry;
}

storage::drive_table::list node_core::start_drives(const std::vector<known_drive>& known) {
  // Each index has a log to read: side by side, they open in the time of one.
  storage::drive_table::list list(known.size());
  std::vector<std::thread> openers;
  for (size_t i = 0; i < known.size(); ++i)
    openers.emplace_back([&, i] { list[i] = start_drive(known[i].id, known[i].folder); });
  for (auto& opener : openers)
    opener.join();
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
  stop_drives({fallen});
  report_drive(fallen, severity::error, "an actor of the drive fell: " + why, errc::drive_failed);
}

bool node_core::restart_drive(const drive_id& id) {
  std::lock_guard guard{mutex_};
  auto list = *drives->all();
  auto found = std::find_if(list.begin(), list.end(), [&](const auto& drive) { return drive.id == id; });
  if (found == list.end() || found->store)
    return true; // Removed, or brought back, meanwhile.
  auto fresh = start_drive(id, found->folder);
  *found = fresh;
  drives->replace(std::move(list));
  if (!fresh.store)
    return false;
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
    known.push_back({drive.id, drive.folder});
  return home.set_drives(known);
}

result<drive_report> node_core::add_drive(const std::string& folder, bool adopt) {
  if (folder.empty() || folder.front() != '/')
    return fail(errc::invalid_argument, "add a drive by an absolute path", folder);
  std::lock_guard guard{mutex_};
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
  auto entry = start_drive(*id, folder);
  if (!entry.store)
    return fail(*entry.reason);
  // A drive that was missing comes back under its old id, perhaps elsewhere.
  auto old = std::find_if(list.begin(), list.end(), [&](const auto& drive) { return drive.id == *id; });
  if (old != list.end())
    *old = entry;
  else
    list.push_back(entry);
  if (auto saved = save_drives(list); !saved) {
    stop_drives({entry});
    return fail(saved.error());
  }
  drives->replace(std::move(list));
  caf::anon_send(supervisor_, drive_watch{std::make_shared<const storage::drive_entry>(entry)});
  return report_of(entry);
}

result<void> node_core::remove_drive(const std::string& which, bool force) {
  std::lock_guard guard{mutex_};
  auto drive = find_drive(which);
  if (!drive)
    return fail(drive.error());
  if (drive->store && !force && drive->store->state() != storage::drive_state::failed) {
    auto usage = drive->store->usage();
    if (!usage || usage->shard_count > 0)
      return fail(errc::conflict, "remove a drive that holds shards; drain it and run 'datamesh rebalance' first", drive->folder);
  }
  auto list = *drives->all();
  std::erase_if(list, [&](const auto& other) { return other.id == drive->id; });
  if (auto saved = save_drives(list); !saved)
    return saved;
  drives->replace(std::move(list));
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
  return outcome;
}

std::vector<drive_report> node_core::reports() const {
  std::vector<drive_report> reports;
  for (const auto& drive : *drives->all()) {
    auto report = report_of(drive);
    // What lies below the folder now may be another disk, or an empty mount point.
    if (auto there = storage::shard_store::identify(*env.files, drive.folder); drive.store && (!there || *there != drive.id)) {
      report.state = "missing";
      report.reason = there ? error{errc::drive_alien, "find drive", drive.folder} : there.error();
    }
    reports.push_back(std::move(report));
  }
  return reports;
}

// -- vaults -------------------------------------------------------------------------------------------

result<crypto::unlocker> node_core::unlocker_for(const credential& with) {
  crypto::unlocker unlocker;
  switch (with.type()) {
  case credential::kind::password:
    unlocker.kind = crypto::lock_kind::password;
    unlocker.value = crypto::secret_bytes{with.secret()};
    break;
  case credential::kind::recovery_phrase:
    unlocker.kind = crypto::lock_kind::recovery_phrase;
    unlocker.value = crypto::secret_bytes{with.secret()};
    break;
  case credential::kind::device: {
    auto secret = home.device_secret();
    if (!secret)
      return fail(secret.error());
    unlocker.kind = crypto::lock_kind::device;
    unlocker.value = crypto::secret_bytes{secret->view()};
    break;
  }
  }
  return unlocker;
}

result<created_vault> node_core::create_vault(const new_vault& what) {
  if (auto valid = node_home::check_vault_name(what.name); !valid)
    return fail(valid.error());
  if (!what.password && !what.trust_this_device)
    return fail(errc::invalid_argument, "create a vault without a password and without trusting this device", what.name);
  std::lock_guard guard{mutex_};
  if (home.key_file(what.name))
    return fail(errc::vault_exists, "create vault", what.name);
  // What an interrupted removal left must not become part of it.
  auto half = home.is_half_removed(what.name);
  if (!half)
    return fail(half.error());
  if (*half)
    if (auto cleared = home.remove_vault(what.name); !cleared)
      return fail(cleared.error());
  auto now = env.clock->wall().time_since_epoch().count();
  auto ring = crypto::make_keyring(*env.random);
  if (!ring)
    return fail(ring.error());
  auto id = ring->vault;
  auto file = crypto::key_file::create(std::move(*ring), *env.random);
  if (!file)
    return fail(file.error());
  if (what.password) {
    auto added = file->add_password(crypto::secret_bytes{what.password->secret()}, "password", {}, now, *env.random);
    if (!added)
      return fail(added.error());
  }
  auto phrase = file->add_recovery_phrase("recovery phrase", now, *env.random);
  if (!phrase)
    return fail(phrase.error());
  if (what.trust_this_device) {
    auto secret = home.device_secret();
    auto key = secret ? crypto::x25519_public(*secret) : fail(secret.error());
    if (!key)
      return fail(key.error());
    auto added = file->add_device(*key, "this device", now, *env.random);
    if (!added)
      return fail(added.error());
  }
  auto encoded = file->encode(*env.random);
  if (!encoded)
    return fail(encoded.error());
  if (auto saved = home.set_key_file(what.name, *encoded); !saved)
    return fail(saved.error());
  auto runtime = std::make_shared<vault_runtime>(shared_from_this(), what.name, std::move(*file));
  if (auto started = runtime->start(true); !started)
    return fail(started.error());
  return created_vault{id, std::string{as_text(phrase->view())}};
}

bool node_core::is_open(const std::string& name) {
  std::lock_guard guard{mutex_};
  return open_.count(name) > 0;
}

void node_core::closed(const std::string& name) {
  std::lock_guard guard{mutex_};
  open_.erase(name);
  vault_closed_.notify_all();
}

result<crypto::key_file> node_core::unlock(const std::string& name, const credential& with) {
  auto encoded = home.key_file(name);
  if (!encoded)
    return fail(encoded.error());
  auto unlocker = unlocker_for(with);
  if (!unlocker)
    return fail(unlocker.error());
  auto file = crypto::key_file::open(*encoded, *unlocker);
  if (!file)
    return fail(file.error().within("open vault", name));
  return file;
}

result<std::shared_ptr<vault_runtime>> node_core::open_vault(const std::string& name, const credential& with) {
  auto file = unlock(name, with);
  if (!file)
    return fail(file.error());
  std::unique_lock guard{mutex_};
  // Its last handle may be gone while its catalog is not closed yet.
  std::shared_ptr<vault_runtime> there;
  vault_closed_.wait(guard, [&] {
    auto found = open_.find(name);
    if (found == open_.end())
      return true;
    there = found->second.lock();
    return there != nullptr;
  });
  if (there)
    return there;
  auto rebuilding = home.is_rebuilding(name);
  if (!rebuilding)
    return fail(rebuilding.error());
  if (*rebuilding) {
    rebuild_summary summary;
    return start_rebuilding(name, std::move(*file), {}, summary);
  }
  auto runtime = std::make_shared<vault_runtime>(shared_from_this(), name, std::move(*file));
  if (auto started = runtime->start(false); !started)
    return fail(started.error());
  runtime->listed = true;
  open_[name] = runtime;
  return runtime;
}

result<rebuild_summary> node_core::rebuild_catalog(const std::string& name, const credential& with, const job_options& job) {
  // The key must open before anything is thrown away.
  auto file = unlock(name, with);
  if (!file)
    return fail(file.error());
  if (is_open(name))
    return fail(errc::locked, "rebuild the catalog of an open vault", name);
  // What only the catalog knows goes into packs first, if it can still be read.
  if (auto rebuilding = home.is_rebuilding(name); rebuilding && !*rebuilding)
    if (auto old = open_vault(name, with))
      if (auto flushed = (*old)->flush(); !flushed)
        return fail(flushed.error().within("put changes into packs before the catalog is made again", name));
  std::shared_ptr<vault_runtime> made; // Outlives the lock, which its closing takes.
  std::lock_guard guard{mutex_};
  if (open_.count(name) > 0)
    return fail(errc::locked, "rebuild the catalog of an open vault", name);
  rebuild_summary summary;
  auto runtime = start_rebuilding(name, std::move(*file), job, summary);
  if (!runtime)
    return fail(runtime.error());
  made = std::move(*runtime);
  return summary;
}

/// @pre the lock is held and the vault is not open
result<std::shared_ptr<vault_runtime>> node_core::start_rebuilding(const std::string& name, crypto::key_file keys, const job_options& job,
                                                                   rebuild_summary& summary) {
  constexpr auto attempt = "rebuild the catalog of vault";
  if (auto begun = home.begin_rebuild(name); !begun)
    return fail(begun.error().within(attempt, name));
  if (auto destroyed = env.stores->destroy(home.catalog_folder(name)); !destroyed && destroyed.error().code() != errc::not_found)
    return fail(destroyed.error().within(attempt, name));
  auto runtime = std::make_shared<vault_runtime>(shared_from_this(), name, std::move(keys));
  if (auto started = runtime->start(true); !started)
    return fail(started.error());
  auto adopted = runtime->wait_for<rebuild_summary>(job, [&](auto running, auto done) {
    storage::start_adopt(runtime->context, {true, running, std::move(done)});
  });
  if (!adopted)
    return fail(adopted.error().within(attempt, name));
  if (auto ended = home.end_rebuild(name); !ended)
    return fail(ended.error().within(attempt, name));
  summary = *adopted;
  runtime->listed = true;
  open_[name] = runtime;
  return runtime;
}

// -- an opened vault -----------------------------------------------------------------------------------

vault_runtime::vault_runtime(std::shared_ptr<node_core> c, std::string n, crypto::key_file k)
    : core(std::move(c)), name(std::move(n)), keys(std::move(k)) {}

vault_runtime::~vault_runtime() {
  close();
  if (listed)
    core->closed(name);
}

result<void> vault_runtime::start(bool fresh_catalog) {
  auto device = core->home.device();
  if (!device)
    return fail(device.error());
  ordered_store_options options;
  options.folder = core->home.catalog_folder(name);
  options.create_if_missing = fresh_catalog;
  options.encryption_key = bytes::copy_of(keys.keys().catalog_key.view());
  options.memory_bytes = 16 << 20;
  auto store = core->env.stores->open(options);
  if (!store) {
    if (store.error().code() == errc::not_found)
      return fail(store.error().as(errc::catalog_missing, "open the catalog of vault", name));
    return fail(store.error().within("open the catalog of vault", name));
  }
  auto names = storage::catalog::open(std::move(*store), keys.keys().vault, *device);
  if (!names)
    return fail(names.error().within("open the catalog of vault", name));
  context = std::make_shared<storage::vault_context>();
  context->env = core->env;
  context->name = name;
  context->home = core->home.folder();
  context->id = keys.keys().vault;
  context->sys = &core->system();
  context->events = core->events;
  context->budget = core->budget;
  context->drives = core->drives;
  context->pace = core->pace;
  context->keys = std::make_shared<storage::key_holder>(keys.keys());
  context->names = std::move(*names);
  context->chunks =
      std::make_shared<storage::chunk_claims>(*context->names, [drives = core->drives, names = context->names](const pack_id& id) {
        if (drives->complete())
          return true;
        auto pack = names->find_pack(id);
        return pack && *pack && drives->can_read(**pack);
      });
  context->claims = std::make_shared<storage::name_claims>(*context->names, *core->env.random);
  context->segment_pool = core->segment_pool;
  context->pack_pool = core->pack_pool;
  context->cache = core->cache;
  context->ranges = std::make_shared<storage::range_reader>(core->cache);
  context->begin_job = [this] {
    return begin({});
  };
  context->end_job = [this](const auto& job) {
    jobs.end(job);
  };
  context->codec = std::make_shared<storage::codec_context>();
  context->codec->env = core->env;
  context->codec->keys = context->keys;
  context->codec->claims = context->chunks;
  context->codec->parity_pool = buffer_pool::make(storage::pack_size_max / 2 + storage::shard_count_max * storage::direct_alignment, 2);
  context->codec->compression_level = core->options.compression_level;
  auto threads = core->options.codec_threads > 0 ? core->options.codec_threads : std::max(1u, std::thread::hardware_concurrency());
  context->team = std::make_shared<storage::codec_team>(core->system(), *context->codec, threads);
  context->catalog_writer = storage::spawn_catalog(core->system(), context->names, core->env.clock, context->claims);
  // The drives open meanwhile; no actor shall be the one that waits for them.
  (void) core->drives->all();
  if (!fresh_catalog && context->names->was_interrupted()) {
    auto adopted = wait_for<rebuild_summary>({}, [this](auto job, auto done) {
      storage::start_adopt(context, {false, job, std::move(done)});
    });
    if (!adopted)
      return fail(adopted.error().within("take in what a crash left", name));
  }
  return {};
}

std::shared_ptr<storage::job> vault_runtime::begin(const job_options& options) {
  auto numbered = options;
  if (numbered.job == 0)
    numbered.job = core->next_job();
  return jobs.begin(numbered, core->env, core->events);
}

result<void> vault_runtime::apply(const std::vector<storage::operation_body>& bodies) {
  v1::ApplyOperations request;
  for (const auto& body : bodies)
    request.add_bodies(storage::encode_body(body));
  caf::scoped_actor self{core->system()};
  result<void> outcome;
  self->request(context->catalog_writer, storage::step_timeout, std::move(request))
      .receive([](v1::Done&) {}, [&](caf::error& reason) { outcome = fail(from_caf(reason)); });
  return outcome;
}

result<void> vault_runtime::flush() {
  auto pending = context->names->pending_operations(1);
  if (!pending)
    return fail(pending.error());
  caf::scoped_actor self{core->system()};
  result<void> outcome;
  while (!pending->empty() && outcome) {
    auto how = storage::choose_policy(*core->drives, {});
    if (!how)
      return fail(how.error());
    v1::FlushPacks request;
    request.set_at_once(true);
    self->request(context->packer_for(*how), storage::step_timeout, request)
        .receive([](v1::PackFigures&) {}, [&](caf::error& reason) { outcome = fail(from_caf(reason)); });
    pending = context->names->pending_operations(1);
    if (!pending)
      return fail(pending.error());
  }
  return outcome;
}

result<void> vault_runtime::save_keys() {
  auto encoded = keys.encode(*core->env.random);
  if (!encoded)
    return fail(encoded.error());
  if (auto saved = core->home.set_key_file(name, *encoded); !saved)
    return saved;
  context->keys->set(keys.keys());
  return {};
}

void vault_runtime::keep_checkpoint(const cancel_token& cancel) {
  auto how = storage::choose_policy(*core->drives, {});
  if (!how || !storage::wants_checkpoint(*context))
    return;
  (void) wait_for<storage::checkpoint_note>({.cancel = cancel}, [&](auto running, auto done) {
    storage::start_checkpoint(context, {*how, running, std::move(done)});
  });
}

void vault_runtime::close() {
  jobs.cancel_and_wait();
  if (!context || !context->catalog_writer)
    return;
  caf::scoped_actor self{core->system()};
  for (const auto& packer : context->packers()) {
    self->send_exit(packer, caf::exit_reason::user_shutdown);
    self->wait_for(packer);
  }
  for (const auto& worker : context->team->workers()) {
    self->send_exit(worker, caf::exit_reason::user_shutdown);
    self->wait_for(worker);
  }
  // The indexes of the drives are written out meanwhile, should the node close, too.
  for (const auto& drive : *context->drives->all())
    if (drive.store)
      caf::anon_send(drive.writer, caf::close_atom_v);
  self->request(context->catalog_writer, close_timeout, caf::close_atom_v).receive([](v1::Done&) {}, [](caf::error&) {});
  self->send_exit(context->catalog_writer, caf::exit_reason::user_shutdown);
  self->wait_for(context->catalog_writer);
  core->cache->forget(context->id);
  context.reset();
}

} // namespace datamesh
