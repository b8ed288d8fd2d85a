#include "node/node_core.hpp"

#include "crypto/identity.hpp"
#include "crypto/thread_memory.hpp"
#include "network/link_messages.hpp"
#include "network/mesh_member.hpp"
#include "network/peer_access.hpp"
#include "network/recovery_keeper.hpp"
#include "node/guest_host.hpp"
#include "node/member_file.hpp"
#include "node/vault_runtime.hpp"
#include "storage/adopt_actor.hpp"
#include "storage/convert.hpp"
#include "storage/read_cache.hpp"
#include "storage/verify_actor.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <thread>

namespace datamesh {

namespace {

constexpr uint64_t memory_min = 40ull << 20;

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

/// The system waits for a thread of an actor until this, and not until it has ended.
struct thread_end final : caf::thread_hook {
  void init(caf::actor_system&) override {}
  void thread_started() override {}
  void thread_terminates() override {
    crypto::free_thread_memory();
  }
};

} // namespace

// -- node ------------------------------------------------------------------------------------

node_core::node_core(node_options o, environment e)
    : options(std::move(o)), env(std::move(e)), home(env, options.home), pace_(std::make_shared<network::line_pace>(rate_plan{})) {
  config_->add_message_types<caf::id_block::datamesh>();
  config_->add_message_types<caf::id_block::datamesh_mesh>();
  config_->set("scheduler.max-threads", 2u);
  // Idle workers wait on a condition. Those that steal poll and sleep up to 10 ms,
  // and most of our messages come from detached actors while they do.
  config_->set("scheduler.policy", caf::atom("sharing"));
  config_->add_thread_hook<thread_end>();
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
  auto labels = core->home.labels();
  if (!labels)
    return fail(labels.error());
  auto rule = core->home.rule();
  if (!rule)
    return fail(rule.error());
  core->drives->set_rule(*rule);
  core->peers = std::make_shared<network::peer_access>();
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
  core->start_recovery();
  if (auto device = core->home.device())
    core->device_ = *device;
  core->make_guests();
  std::vector<std::string> folders;
  for (const auto& drive : *known)
    if (allows(*rule, (*labels)[drive.id]))
      folders.push_back(drive.folder);
  core->name_peers(folders);
  core->drives->load(
      [core = core.get(), known = std::move(*known), labels = std::move(*labels)] { return core->start_drives(known, labels); });
  if (auto member = core->start_mesh(); !member)
    return fail(member.error());
  return core;
}

node_core::~node_core() {
  if (!system_)
    return;
  recovery_.reset();
  // Nobody asks from outside any more.
  mesh_.reset();
  guests_.reset();
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

// -- the mesh ----------------------------------------------------------------------------------------

result<void> node_core::start_mesh() {
  if (!options.mesh)
    return {};
  auto settings = network::read_mesh_options(*options.mesh);
  if (!settings)
    return fail(settings.error().reason);
  auto seed = home.node_seed();
  if (!seed)
    return fail(seed.error());
  network::member_parts parts{env, *seed, *settings, home.known_nodes_file(settings->mesh), {}, {}};
  // The member ends before the core does; see the destructor.
  parts.tell = [this](severity level, std::string detail, std::optional<errc> code) {
    tell_node("mesh", level, std::move(detail), code);
  };
  parts.members_at = home.members_file(settings->mesh);
  auto members = begin_membership(env, settings->mesh, parts.members_at, options.mesh->members, parts.tell);
  if (!members)
    return fail(members.error());
  parts.members = std::move(*members);
  auto rates = home.rates();
  if (!rates)
    parts.tell(severity::error, "the line is not limited: " + rates.error().message(), rates.error().code());
  pace_->set(rates.value_or(rate_plan{}));
  parts.pace = pace_;
  parts.end_parts = [this] {
    if (!guests_->close())
      kept_threads_ = true;
  };
  auto member = network::mesh_member::start(*system_, parts);
  if (!member)
    return fail(member.error());
  mesh_ = std::move(*member);
  guests_->serve(*mesh_);
  mesh_->lend(peers);
  return {};
}

result<void> node_core::reload_members() {
  constexpr auto attempted = "read the list of members again";
  if (!mesh_ || options.mesh->members.empty())
    return fail(errc::unavailable, attempted, "no file of it is named");
  auto raw = read_member_file(env, options.mesh->members);
  if (!raw)
    return fail(raw.error().within(attempted));
  return mesh_->offer_members(*raw).map([](bool) {});
}

result<void> node_core::set_rates(const rate_plan& plan) {
  if (auto good = check_rates(plan); !good)
    return good;
  std::lock_guard guard{rates_mutex_};
  if (auto kept = home.set_rates(plan); !kept)
    return kept;
  pace_->set(plan);
  return {};
}

result<line_report> node_core::measure_line(const peer_id& peer, const line_test& how, const job_options& job) {
  constexpr auto attempt = "measure the line to a node";
  if (how.bytes < line_test_bytes_min || how.bytes > line_test_bytes_max)
    return fail(errc::invalid_argument, attempt, "by less than 64 KiB or more than 1 GiB");
  if (how.time <= std::chrono::milliseconds{0} || how.time > line_test_time_max)
    return fail(errc::invalid_argument, attempt, "for no time or more than a minute");
  if (!mesh_)
    return fail(errc::unavailable, "measure the line to a node of a mesh, since this node is in none");
  if (peer == mesh_->report().self)
    return fail(errc::invalid_argument, "measure the line of a node to itself");
  storage::job runs;
  runs.number = job.job != 0 ? job.job : next_job();
  runs.cancel = job.cancel;
  runs.time = env.clock;
  runs.events = events;
  if (job.timeout)
    runs.deadline = env.clock->monotonic() + *job.timeout;
  auto measured = mesh_->measure_line(
      peer, how, [&] { return runs.ended(); }, [&](uint64_t moved, uint64_t all) { runs.progress(0, 0, moved, all); });
  events->wait_delivered();
  return measured;
}

void node_core::tell_node(const std::string& subject, severity level, std::string detail, std::optional<errc> code) {
  event what;
  what.kind = event_kind::node_changed;
  what.level = level;
  what.subject = subject;
  what.detail = std::move(detail);
  what.code = code;
  events->publish(std::move(what));
}

void node_core::make_guests() {
  // The host ends before the core does, as the member.
  guests_ = std::make_unique<guest_host>(
      *system_, guest_parts{env, &home, drives, peers, [this](severity level, std::string detail, std::optional<errc> code) {
                              tell_node("guests", level, std::move(detail), code);
                            }});
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
  if (auto started = runtime->start(vault_runtime::catalog_use::fresh); !started)
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

result<void> node_core::check_drives(const std::string& name) const {
  auto table = drives->all();
  if (table->empty() || std::ranges::any_of(*table, [](const auto& drive) { return drive.store != nullptr; }))
    return {};
  return fail(errc::drive_missing, "make the catalog again while no drive is in service, for vault", name);
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
  if (there) {
    guard.unlock();
    if (auto mended = there->mend(); !mended)
      return fail(mended.error());
    there->learn_recovery(with);
    return there;
  }
  auto rebuilding = home.is_rebuilding(name);
  if (!rebuilding)
    return fail(rebuilding.error());
  if (*rebuilding) {
    if (auto seen = check_drives(name); !seen)
      return fail(seen.error());
    rebuild_summary summary;
    return start_rebuilding(name, std::move(*file), {}, summary);
  }
  auto runtime = std::make_shared<vault_runtime>(shared_from_this(), name, std::move(*file));
  if (auto started = runtime->start(vault_runtime::catalog_use::compared); !started)
    return fail(started.error());
  runtime->listed = true;
  open_[name] = runtime;
  runtime->learn_recovery(with);
  return runtime;
}

namespace {

/// A catalog that does not open is thrown away when it is damaged or gone, not when it is
/// another vault's, or whole and out of reach.
result<void> may_be_replaced(const error& why) {
  if (why.code() == errc::authentication_failed || why.code() == errc::permission_denied || disk_refuses(why.code()))
    return fail(why);
  return {};
}

/// Refuses where a new catalog would know less than the one that is there.
result<void> check_in_reach(const storage::catalog& names, const storage::drive_table& table) {
  table.look();
  auto drives = table.all();
  uint64_t away = 0;
  std::optional<pack_id> after;
  for (;;) {
    auto page = names.packs(after, 1000);
    if (!page)
      return fail(page.error());
    if (page->empty())
      break;
    after = page->back().seal.id;
    for (const auto& pack : *page) {
      auto there = std::count_if(pack.drives.begin(), pack.drives.end(), [&](const drive_id& id) {
        const auto* drive = id.is_zero() ? nullptr : storage::drive_table::find(*drives, id);
        return drive != nullptr && drive->is_there();
      });
      away += !pack.condemned && there < pack.seal.shape.k && static_cast<size_t>(there) < pack.shards_present() ? 1 : 0;
    }
  }
  if (away > 0)
    return fail(errc::drive_missing, fmt::format("make the catalog again while drives are away, without which {} can not be read",
                                                 away == 1 ? "a pack that it knows" : fmt::format("{} packs that it knows", away)));
  return {};
}

} // namespace

result<rebuild_summary> node_core::rebuild_catalog(const std::string& name, const credential& with, const job_options& job) {
  // The key must open before anything is thrown away.
  auto file = unlock(name, with);
  if (!file)
    return fail(file.error());
  std::shared_ptr<vault_runtime> made; // Outlives the lock, which its closing takes.
  std::lock_guard guard{mutex_};
  if (open_.count(name) > 0)
    return fail(errc::locked, "rebuild the catalog of an open vault", name);
  if (auto there = check_drives(name); !there)
    return fail(there.error());
  // What only the catalog knows goes into packs first, if it can still be read.
  auto knows_all = false;
  if (auto rebuilding = home.is_rebuilding(name); rebuilding && !*rebuilding) {
    vault_runtime old{shared_from_this(), name, *file};
    auto kept = old.start(vault_runtime::catalog_use::as_it_is);
    // One that does not know all is wrong about where packs are, too.
    auto trusted = kept && !old.context->names->is_behind();
    if (trusted)
      kept = check_in_reach(*old.context->names, *drives);
    kept = !kept && !trusted ? may_be_replaced(kept.error()) : kept.and_then([&] { return old.flush(); });
    if (!kept)
      return fail(kept.error().within("keep what the catalog alone knows", name));
    knows_all = trusted && !old.context->names->may_be_older();
  }
  rebuild_summary summary;
  auto runtime = start_rebuilding(name, std::move(*file), job, summary, knows_all);
  if (!runtime)
    return fail(runtime.error());
  made = std::move(*runtime);
  return summary;
}

result<void> node_core::check_not_here(const vault_id& vault, const char* attempt, const std::string& name) const {
  auto here = home.vault_names();
  if (!here)
    return fail(here.error());
  for (const auto& other : *here)
    if (auto encoded = home.key_file(other)) {
      auto known = crypto::key_file::inspect(*encoded);
      if (known && known->vault == vault)
        return fail(errc::vault_exists, attempt, name);
    }
  return {};
}

result<rebuild_summary> node_core::restore_vault(const std::string& name, const bytes& key_file, const credential& with,
                                                 const job_options& job) {
  constexpr auto attempt = "restore vault";
  if (auto valid = node_home::check_vault_name(name); !valid)
    return fail(valid.error());
  auto unlocker = unlocker_for(with);
  if (!unlocker)
    return fail(unlocker.error());
  auto file = crypto::key_file::open(key_file, *unlocker);
  if (!file)
    return fail(file.error().within(attempt, name));
  if (auto elsewhere = check_not_here(file->keys().vault, attempt, name); !elsewhere)
    return fail(elsewhere.error());
  // Of a vault that is here nothing is removed, and of this one nothing any more.
  std::unique_lock removal{removal_mutex_};
  std::shared_ptr<vault_runtime> made; // Outlives the lock, which its closing takes.
  std::lock_guard guard{mutex_};
  if (home.key_file(name) || open_.count(name) > 0)
    return fail(errc::vault_exists, attempt, name);
  // What an interrupted removal left must not become part of it.
  if (auto half = home.is_half_removed(name); !half)
    return fail(half.error());
  else if (*half)
    if (auto cleared = home.remove_vault(name); !cleared)
      return fail(cleared.error());
  if (auto saved = home.set_key_file(name, key_file); !saved)
    return fail(saved.error().within(attempt, name));
  removal.unlock();
  rebuild_summary summary;
  auto runtime = start_rebuilding(name, std::move(*file), job, summary);
  if (!runtime)
    return fail(runtime.error());
  made = std::move(*runtime);
  return summary;
}

/// @pre the lock is held and the vault is not open
result<std::shared_ptr<vault_runtime>> node_core::start_rebuilding(const std::string& name, crypto::key_file keys, const job_options& job,
                                                                   rebuild_summary& summary, bool knows_all) {
  constexpr auto attempt = "rebuild the catalog of vault";
  if (auto begun = home.begin_rebuild(name); !begun)
    return fail(begun.error().within(attempt, name));
  if (auto destroyed = env.stores->destroy(home.catalog_folder(name)); !destroyed && destroyed.error().code() != errc::not_found)
    return fail(destroyed.error().within(attempt, name));
  auto runtime = std::make_shared<vault_runtime>(shared_from_this(), name, std::move(keys));
  if (auto started = runtime->start(vault_runtime::catalog_use::fresh); !started)
    return fail(started.error());
  auto adopted = runtime->wait_for<rebuild_summary>(job, [&](auto running, auto done) {
    storage::start_adopt(runtime->context, {true, false, running, std::move(done)});
  });
  if (!adopted)
    return fail(adopted.error().within(attempt, name));
  if (auto ended = home.end_rebuild(name); !ended)
    return fail(ended.error().within(attempt, name));
  // The old catalog may have known packs that could not be read.
  auto lost = storage::files_without_data(*runtime->context->names);
  if (!lost)
    return fail(lost.error().within(attempt, name));
  auto care = home.care(name);
  care.files_lost = lost->size();
  if (auto saved = home.set_care(name, care).and_then([&] { return runtime->note_unread(*adopted, knows_all); }); !saved)
    return fail(saved.error().within(attempt, name));
  summary = *adopted;
  summary.packs_incomplete = home.care(name).packs_incomplete; // Without what was cut off.
  runtime->listed = true;
  open_[name] = runtime;
  return runtime;
}

} // namespace datamesh
