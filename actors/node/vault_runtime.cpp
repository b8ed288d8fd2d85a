#include "node/vault_runtime.hpp"

#include "crypto/identity.hpp"
#include "network/peer_access.hpp"
#include "storage/adopt_actor.hpp"
#include "storage/checkpoint_actor.hpp"
#include "storage/convert.hpp"
#include "storage/range_reader.hpp"
#include "storage/verify_actor.hpp"

#include <fmt/format.h>

#include <thread>

namespace datamesh {

namespace {

std::vector<drive_id> known_drives(const storage::drive_table& table) {
  std::vector<drive_id> ids;
  for (const auto& drive : *table.all())
    ids.push_back(drive.id);
  return ids;
}

} // namespace

vault_runtime::vault_runtime(std::shared_ptr<node_core> c, std::string n, crypto::key_file k)
    : core(std::move(c)), name(std::move(n)), keys(std::move(k)) {}

vault_runtime::~vault_runtime() {
  close();
  if (listed)
    core->closed(name);
}

result<void> vault_runtime::start(catalog_use use) {
  auto fresh_catalog = use == catalog_use::fresh;
  auto fresh_log = random_id<device_id>(*core->env.random);
  if (!fresh_log)
    return fail(fresh_log.error());
  ordered_store_options options;
  options.folder = core->home.catalog_folder(name);
  options.create_if_missing = fresh_catalog;
  options.or_read_only = !fresh_catalog;
  options.encryption_key = bytes::copy_of(keys.keys().catalog_key.view());
  options.memory_bytes = 16 << 20;
  auto store = lasting_store::open(core->env.stores, std::move(options));
  if (!store) {
    if (store.error().code() == errc::not_found)
      return fail(store.error().as(errc::catalog_missing, "open the catalog of vault", name));
    return fail(store.error().within("open the catalog of vault", name));
  }
  auto names = storage::catalog::open(std::move(*store), keys.keys().vault, *fresh_log, core->home.place_of_catalog(name));
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
  context->holders = core->holders;
  context->drives = core->drives;
  context->pace = core->pace;
  context->keys = std::make_shared<storage::key_holder>(keys.keys());
  context->names = std::move(*names);
  // What lies on other nodes is asked for in the vault's name.
  core->peers->add_owner(context->id, [seed = std::make_shared<const crypto::key256>(keys.keys().identity_seed)](byte_view message) {
    return crypto::ed25519_sign(*seed, message);
  });
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
  context->names->follow_drives([drives = core->drives, vault = context->id] {
    storage::drive_marks marks;
    for (const auto& drive : *drives->all())
      if (drive.store)
        marks[drive.id] = drive.store->shards_changed(vault);
    return marks;
  });
  core->offer_recovery(keys);
  // What a full disk has no room for is taken in later; until then all else is read.
  // A new vault has nothing anywhere, and a rebuild looks at all drives.
  if (fresh_catalog)
    context->names->trust(core->drives_in_service());
  else
    context->names->compare_drives(known_drives(*core->drives));
  if (use != catalog_use::compared)
    return {};
  // What could not be read then, a drive or a key file may have brought since.
  auto care = core->home.care(name);
  if (context->names->was_interrupted() || context->names->is_behind() || care.knows_of_unread())
    if (auto adopted = adopt(); !adopted && !disk_refuses(adopted.error().code()))
      return adopted;
  return {};
}

void vault_runtime::tell_lost(uint64_t packs) const {
  event what;
  what.kind = event_kind::data_lost;
  what.level = severity::error;
  what.subject = name;
  what.detail = fmt::format("{} on the drives can not be read, and what was in {} is not known",
                            packs == 1 ? "a pack" : fmt::format("{} packs", packs), packs == 1 ? "it" : "them");
  what.code = errc::damaged;
  core->events->publish(std::move(what));
}

result<void> vault_runtime::note_unread(const rebuild_summary& found, bool knows_all) const {
  auto care = core->home.care(name);
  auto incomplete = knows_all ? std::min(found.packs_incomplete, care.packs_incomplete + care.packs_unread) : found.packs_incomplete;
  // With all drives in service, what can not be read for damage is lost: nothing brings it back.
  auto unread = core->drives->complete() ? found.packs_newer : found.packs_unreadable;
  // What came may hold what was missed.
  auto came = found.packs > 0 && care.files_lost > 0;
  if (came) {
    auto lost = storage::files_without_data(*context->names);
    if (!lost)
      return fail(lost.error());
    care.files_lost = std::min<uint64_t>(care.files_lost, lost->size());
  }
  if (!came && care.packs_unread == unread && care.drives_unseen == found.drives_unseen && care.packs_incomplete == incomplete)
    return {};
  care.packs_unread = unread;
  care.packs_incomplete = incomplete;
  care.drives_unseen = found.drives_unseen;
  return core->home.set_care(name, care);
}

result<void> vault_runtime::adopt() {
  auto running = begin({});
  if (!running)
    return fail(errc::unavailable, "take in what a crash left", name);
  // A drive that comes while the others are listed is looked at the next time.
  auto doubts = context->names->doubts();
  auto seen = core->drives_in_service();
  auto adopted = wait_on<rebuild_summary>(running, [this](auto job, auto done) {
    storage::start_adopt(context, {false, core->home.care(name).knows_of_unread(), job, std::move(done)});
  });
  if (!adopted)
    return fail(adopted.error().within("take in what a crash left", name));
  context->names->reconciled(doubts, seen);
  // A catalog that goes on knows all that anybody was told of: what else there is was cut off.
  auto knows_all = !context->names->may_be_older();
  // What the drives that are away hold beside what is known, their counters tell when they are
  // back; of a catalog that was made without them they have none.
  if (knows_all)
    adopted->drives_unseen = std::min(adopted->drives_unseen, core->home.care(name).drives_unseen);
  if (auto lost = adopted->packs_unreadable - adopted->packs_newer; lost > 0 && core->drives->complete())
    tell_lost(lost);
  auto noted = note_unread(*adopted, knows_all);
  return !noted && !disk_refuses(noted.error().code()) ? noted : result<void>{};
}

result<void> vault_runtime::mend() {
  std::unique_lock guard{mending_};
  // What a job has under way must not be taken for something left behind.
  if (jobs.idle()) {
    caf::scoped_actor self{core->system()};
    auto writable = false;
    self->request(context->catalog_writer, storage::step_timeout, caf::open_atom_v)
        .receive([&](v1::Done&) { writable = true; }, [](caf::error&) {});
    auto care = core->home.care(name);
    if (writable && (context->names->was_interrupted() || care.knows_of_unread()))
      (void) adopt();
  }
  if (context->names->is_behind())
    return fail(errc::store_corrupt, "go on with a catalog that is older than a checkpoint in the packs", name);
  return {};
}

std::shared_ptr<storage::job> vault_runtime::begin(const job_options& options) {
  auto numbered = options;
  if (numbered.job == 0)
    numbered.job = core->next_job();
  return jobs.begin(numbered, core->env, core->events);
}

std::shared_ptr<storage::job> vault_runtime::begin_when_mended(const job_options& options) {
  std::shared_lock guard{mending_};
  return begin(options);
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

result<void> vault_runtime::replace_keys(crypto::key_file next) {
  auto encoded = next.encode(*core->env.random);
  if (!encoded)
    return fail(encoded.error());
  if (auto saved = core->home.set_key_file(name, *encoded); !saved)
    return saved;
  keys = std::move(next);
  context->keys->set(keys.keys());
  core->offer_recovery(keys);
  return {};
}

void vault_runtime::learn_recovery(const credential& with) {
  if (with.type() != credential::kind::recovery_phrase)
    return;
  std::lock_guard guard{key_mutex};
  auto next = keys;
  if (auto learned = next.learn_recovery(crypto::secret_bytes{with.secret()}); learned && *learned)
    (void) replace_keys(std::move(next));
}

void vault_runtime::keep_checkpoint(const cancel_token& cancel) {
  auto how = storage::choose_policy(*core->drives, {});
  // One of a catalog that does not know all would seem to be the newest.
  if (!how || context->names->is_behind() || !storage::wants_checkpoint(*context))
    return;
  (void) wait_for<storage::checkpoint_note>({.cancel = cancel}, [&](auto running, auto done) {
    storage::start_checkpoint(context, {*how, running, std::move(done)});
  });
}

void vault_runtime::close() {
  jobs.cancel_and_wait();
  if (context)
    core->peers->drop_owner(context->id);
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
