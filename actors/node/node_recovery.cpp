// Bringing a vault back from its recovery phrase and the mesh, and keeping there what that takes.
// docs/formats/recovery.md.
#include "crypto/identity.hpp"
#include "crypto/phrase.hpp"
#include "network/mesh_member.hpp"
#include "network/peer_drive.hpp"
#include "network/recovery_keeper.hpp"
#include "network/recovery_record.hpp"
#include "node/vault_runtime.hpp"
#include "storage/ask.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <thread>

namespace datamesh {

namespace {

using std::chrono::seconds;

/// A node that has just begun looks so long for another one, and so often for the record.
constexpr auto joined_in = seconds{40};
constexpr auto looked_up_times = 3;
constexpr auto looked_up_after = seconds{1};
/// When no further node has answered for so long, the rest is away.
constexpr auto others_found_in = seconds{15};
constexpr auto looked_at = std::chrono::milliseconds{100};
constexpr auto lookup_answers_in = network::lookup_time_max + seconds{10};
/// What an ended phrase's record may live, and clocks differ.
constexpr int64_t withdrawn_for_ns = int64_t{91} * 24 * 3600 * 1'000'000'000;

constexpr auto attempt = "recover vault";

struct found_record {
  network::recovery_contents what;
  uint64_t sequence = 0;
};

/// The newest that the mesh has.
result<found_record> look_up(caf::actor_system& sys, const network::peer_access::way& way, const crypto::key256& secret,
                             const environment& env) {
  auto name = network::recovery_name(secret, way.mesh);
  if (!name)
    return fail(name.error());
  v1::LookUp request;
  request.set_target(std::string{name->key.text()});
  request.set_kind(static_cast<uint32_t>(network::record_kind::recovery));
  request.set_enough(2); // There is one publisher: so all are asked, and the newest is found.
  caf::scoped_actor self{sys};
  auto answer = storage::ask<v1::LookedUp>(self.ptr(), way.discovery, lookup_answers_in, std::move(request));
  if (!answer)
    return fail(answer.error());
  std::optional<network::signed_record> newest;
  for (const auto& raw : answer->record())
    if (auto record = network::open_record(way.mesh, as_view(raw), env.clock->wall()); record && record->name == *name)
      if (!newest || record->sequence > newest->sequence)
        newest = std::move(*record);
  if (!newest)
    return fail(errc::not_found, "find what the mesh keeps for this phrase");
  auto what = network::open_recovery_record(secret, way.mesh, *newest);
  if (!what)
    return fail(what.error());
  if (!*what)
    return fail(errc::not_found, "find what the mesh keeps for a phrase that was removed from its vault");
  return found_record{std::move(**what), newest->sequence};
}

} // namespace

void node_core::start_recovery() {
  recovery_ = std::make_unique<network::recovery_keeper>(*system_, env, peers, [this] { return peers_that_are_drives(); });
}

std::vector<network::recovery_node> node_core::peers_that_are_drives() const {
  std::vector<network::recovery_node> nodes;
  for (const auto& drive : *drives->all())
    if (auto peer = network::peer_of(drive.folder)) {
      auto used = drive.store ? drive.store->usage() : fail(errc::drive_missing, "count shards");
      nodes.push_back({*peer, used ? used->shard_count : 0});
    }
  return nodes;
}

void node_core::offer_recovery(const crypto::key_file& keys) {
  auto now = env.clock->wall().time_since_epoch().count();
  std::vector<uint32_t> of_use; // A device is no other machine.
  for (const auto& lock : keys.locks())
    if (lock.kind != crypto::lock_kind::device)
      of_use.push_back(lock.number);
  std::vector<network::recovery_phrase> phrases;
  for (const auto& key : keys.keys().recoveries) {
    if (key.ended_ns != 0 && now - key.ended_ns > withdrawn_for_ns)
      continue;
    network::recovery_phrase phrase{key.secret, keys.keys().revision, key.ended_ns != 0, {}, {}};
    if (!phrase.ended) {
      auto all = keys.encode_with(of_use, *env.random);
      auto least = keys.encode_with(std::array{key.lock}, *env.random);
      if (!all || !least)
        continue;
      phrase.key_file = std::move(*all);
      phrase.key_file_least = std::move(*least);
    }
    phrases.push_back(std::move(phrase));
  }
  recovery_->offer(keys.keys().vault, std::move(phrases));
}

void node_core::withdraw_recovery(byte_view key_file) {
  if (auto known = crypto::key_file::inspect(key_file))
    recovery_->withdraw(known->vault);
}

recovery_report node_core::recovery_of(const vault_id& vault) const {
  return recovery_->standing(vault);
}

/// Those that answer become drives, and are named; the others are named in *away*.
result<std::vector<std::string>> node_core::add_peers(const std::vector<peer_id>& ids, const job_options& job,
                                                      std::vector<std::string>& away) {
  std::vector<std::string> there;
  auto list = *drives->all();
  storage::drive_table::list fresh;
  for (const auto& peer : ids) {
    auto folder = network::peer_folder(peer);
    auto id = network::peer_drive_id(peer);
    auto known = std::ranges::find(list, id, &storage::drive_entry::id);
    if (known != list.end())
      (known->store && known->store->is_in_place() ? there : away).push_back(folder);
    else if (auto entry = start_drive({id, folder, 0}); entry.store)
      fresh.push_back(std::move(entry));
    else
      away.push_back(folder); // This node itself cannot be one of them: it has lost nothing.
  }
  auto is_there = [](const storage::drive_entry& entry) {
    return entry.store->is_in_place();
  };
  // One that has just begun may be opening what it keeps: who tells of the room is done with that. Who
  // took the room back does not tell, and lists all the same.
  auto has_told = [&](const storage::drive_entry& entry) {
    auto peer = network::peer_of(entry.folder);
    return peer && peers->has_told(*peer);
  };
  // Others are not held up by nodes that are not found.
  auto until = env.clock->monotonic() + others_found_in;
  for (size_t before = 0; env.clock->monotonic() < until; std::this_thread::sleep_for(looked_at)) {
    auto now = static_cast<size_t>(std::ranges::count_if(fresh, is_there) + std::ranges::count_if(fresh, has_told));
    if (now == 2 * fresh.size() || job.cancel.cancelled())
      break;
    if (std::exchange(before, now) < now)
      until = env.clock->monotonic() + others_found_in;
  }
  auto gone = std::stable_partition(fresh.begin(), fresh.end(), is_there);
  stop_drives({gone, fresh.end()});
  for (auto one = gone; one != fresh.end(); ++one)
    away.push_back(one->folder);
  fresh.erase(gone, fresh.end());
  if (job.cancel.cancelled() || fresh.empty()) {
    stop_drives(fresh);
    return job.cancel.cancelled() ? fail(errc::cancelled, attempt) : result<std::vector<std::string>>{std::move(there)};
  }
  std::lock_guard guard{mutex_};
  list = *drives->all();
  auto is_known = [&](const storage::drive_entry& entry) {
    return std::ranges::find(list, entry.id, &storage::drive_entry::id) != list.end();
  };
  if (std::ranges::any_of(fresh, is_known)) {
    stop_drives(fresh);
    return fail(errc::conflict, "add nodes as drives while somebody else does");
  }
  list.insert(list.end(), fresh.begin(), fresh.end());
  if (auto saved = save_drives(list); !saved) {
    stop_drives(fresh);
    return fail(saved.error());
  }
  drives->replace(std::move(list));
  for (const auto& entry : fresh) {
    caf::anon_send(supervisor_, drive_watch{std::make_shared<const storage::drive_entry>(entry)});
    there.push_back(entry.folder);
  }
  return there;
}

result<recover_summary> node_core::recover_vault(const std::string& name, const credential& phrase, const job_options& job) {
  if (phrase.type() != credential::kind::recovery_phrase)
    return fail(errc::invalid_argument, "recover a vault by something else than its recovery phrase", name);
  if (auto valid = node_home::check_vault_name(name); !valid)
    return fail(valid.error());
  auto entropy = crypto::decode_phrase(phrase.secret());
  if (!entropy)
    return fail(entropy.error());
  if (home.key_file(name) || is_open(name))
    return fail(errc::vault_exists, attempt, name);
  auto way = peers->now();
  if (!mesh_ || !way)
    return fail(errc::unavailable, "recover a vault while this node is in no mesh", name);
  for (auto end = env.clock->monotonic() + joined_in; !mesh_->report().joined(); std::this_thread::sleep_for(looked_at)) {
    if (job.cancel.cancelled())
      return fail(errc::cancelled, attempt, name);
    if (env.clock->monotonic() >= end)
      return fail(errc::unavailable, "recover a vault while no other node of the mesh answers", name);
  }
  auto secret = crypto::recovery_secret(*entropy);
  auto found = look_up(*system_, *way, secret, env);
  // Who has just come in does not know many yet.
  for (auto more = looked_up_times - 1; more > 0 && !found && !job.cancel.cancelled(); --more) {
    std::this_thread::sleep_for(looked_up_after);
    found = look_up(*system_, *way, secret, env);
  }
  if (!found)
    return fail(found.error().within(attempt, name));
  auto unlocker = unlocker_for(phrase);
  auto keys = unlocker ? crypto::key_file::open(found->what.key_file, *unlocker) : fail(unlocker.error());
  if (!keys)
    return fail(keys.error().within(attempt, name));
  if (auto elsewhere = check_not_here(keys->keys().vault, attempt, name); !elsewhere)
    return fail(elsewhere.error());
  recover_summary summary;
  summary.id = keys->keys().vault;
  summary.made_ns = static_cast<int64_t>(std::min<uint64_t>(found->sequence, INT64_MAX / 1'000'000)) * 1'000'000;
  summary.nodes_left_out = found->what.nodes_left_out;
  // What lies on other nodes is asked for in the vault's name, for as long as this takes.
  const auto& ring = keys->keys();
  peers->add_owner(ring.vault, [seed = std::make_shared<const crypto::key256>(ring.identity_seed)](byte_view message) {
    return crypto::ed25519_sign(*seed, message);
  });
  auto there = add_peers(found->what.nodes, job, summary.nodes_away);
  peers->drop_owner(ring.vault); // It is added anew when the vault is opened.
  if (!there)
    return fail(there.error().within(attempt, name));
  if (there->empty())
    return fail(errc::unavailable, fmt::format("reach any of the {} nodes that keep shards of vault", found->what.nodes.size()), name);
  summary.nodes = std::move(*there);
  auto rebuilt = restore_vault(name, found->what.key_file, phrase, job);
  if (!rebuilt)
    return fail(rebuilt.error());
  summary.rebuilt = *rebuilt;
  return summary;
}

} // namespace datamesh
