// Care for a vault: figures, status, verify, cleanup, rebalance, keys.
#include "crypto/identity.hpp"
#include "node/vault_impl.hpp"
#include "storage/cleanup_actor.hpp"
#include "storage/rebalance_actor.hpp"
#include "storage/verify_actor.hpp"

#include <fmt/format.h>

namespace datamesh {

const std::string& local_vault::name() const noexcept {
  return runtime_->name;
}

const vault_id& local_vault::id() const noexcept {
  return runtime_->context->id;
}

result<void> local_vault::flush() {
  return runtime_->flush();
}

result<vault_stats> local_vault::stats() const {
  const auto& names = *runtime_->context->names;
  auto totals = names.totals();
  if (!totals)
    return fail(totals.error());
  vault_stats stats;
  stats.files = totals->files;
  stats.folders = totals->folders;
  stats.symlinks = totals->symlinks;
  stats.versions = totals->versions;
  stats.logical_bytes = totals->logical_bytes;
  stats.chunks = totals->chunks;
  stats.chunk_plain_bytes = totals->chunk_plain_bytes;
  stats.chunk_sealed_bytes = totals->chunk_sealed_bytes;
  stats.packs = totals->packs;
  stats.pack_bytes = totals->pack_bytes;
  stats.shard_bytes = totals->shard_bytes;
  stats.operations = totals->operations;
  stats.catalog_bytes = names.disk_bytes();
  auto checkpoint = names.last_checkpoint();
  if (!checkpoint)
    return fail(checkpoint.error());
  if (*checkpoint)
    stats.last_checkpoint_ns = (*checkpoint)->created_ns;
  stats.operations_since_checkpoint = totals->operations - (*checkpoint ? std::min((*checkpoint)->operations, totals->operations) : 0);
  return stats;
}

result<status_report> local_vault::status() const {
  auto& runtime = *runtime_;
  const auto& context = *runtime.context;
  status_report report;
  report.drives = runtime.core->reports();
  auto care = runtime.core->home.care(runtime.name);
  report.last_quick_verify_ns = care.quick_verify_ns;
  report.last_deep_verify_ns = care.deep_verify_ns;
  report.recovery = runtime.core->recovery_of(context.id);
  int wanted = 0; // Of the losses of drives.
  if (auto how = storage::choose_policy(*context.drives, {})) {
    wanted = storage::drive_losses_survived(*how);
    report.policy = storage::to_string(*how);
    report.policy_level = how->level == storage::domain_level::block ? "block" : "drive";
  }
  context.drives->look();
  auto drives = context.drives->all();
  auto outside = context.drives->outside_rule();
  std::optional<int> least;
  std::optional<pack_id> after;
  for (;;) {
    auto page = context.names->packs(after, 1000);
    if (!page)
      return fail(page.error());
    if (page->empty())
      break;
    after = page->back().seal.id;
    for (const auto& pack : *page) {
      if (pack.condemned)
        continue;
      auto good = 0;
      auto there = 0; // A failed drive is read, but not relied upon.
      for (size_t i = 0; i < pack.drives.size(); ++i) {
        const auto& id = pack.drives[i];
        const auto* drive = id.is_zero() || pack.is_faulty(i) ? nullptr : storage::drive_table::find(*drives, id);
        if (drive == nullptr || !drive->is_there())
          continue;
        ++there;
        good += drive->store->state() != storage::drive_state::failed;
      }
      report.shards_outside +=
          static_cast<uint64_t>(std::ranges::count_if(pack.drives, [&](const auto& id) { return outside.contains(id); }));
      auto margin = good - pack.seal.shape.k;
      least = std::min(least.value_or(margin), margin);
      ++report.packs;
      auto lost = there < pack.seal.shape.k;
      report.packs_lost += lost;
      report.packs_degraded += !lost && margin < pack.seal.shape.m;
      report.packs_weaker += !lost && storage::drive_losses_survived(pack) < wanted;
    }
  }
  report.margin_min = least.value_or(0);
  // The catalog knows all that could be read: of a vault that was brought back with too few of its drives, nothing.
  // A first put that failed looks the same.
  auto unread = report.packs == 0 && std::ranges::any_of(*drives, [&](const auto& drive) {
                  if (!drive.store || drive.store->shards_changed(context.id) == 0)
                    return false;
                  auto used = drive.store->usage();
                  return !used || used->shard_count > 0;
                });
  auto closed = std::ranges::count(report.drives, "read-only", &drive_report::state);
  auto faulty = std::count_if(report.drives.begin(), report.drives.end(), [](const auto& drive) { return drive.state != "ok"; }) - closed;
  using answer = status_report::answer;
  if (report.packs_lost == 0 && care.files_lost > 0) {
    report.overall = answer::lost;
    report.sentence = care.files_lost == 1 ? "The last look found a file that can not be read whole."
                                           : fmt::format("The last look found {} files that can not be read whole.", care.files_lost);
  } else if (report.packs_lost > 0) {
    report.overall = answer::lost;
    report.sentence =
        fmt::format("{} of {} packs can not be read: too many of their shards are gone or damaged.", report.packs_lost, report.packs);
  } else if (care.packs_unread > 0 && !unread) {
    report.overall = answer::unknown;
    report.sentence =
        fmt::format("{} on the drives could not be read: the rest of {} shards is on drives that are away, or the key file is "
                    "older than {}.",
                    care.packs_unread == 1 ? "A pack" : fmt::format("{} packs", care.packs_unread),
                    care.packs_unread == 1 ? "its" : "their", care.packs_unread == 1 ? "it is" : "they are");
  } else if (care.drives_unseen > 0 && !unread) {
    report.overall = answer::unknown;
    report.sentence = fmt::format("{} away when the catalog was made, and may hold what it does not know.",
                                  care.drives_unseen == 1 ? "A drive was" : fmt::format("{} drives were", care.drives_unseen));
  } else if (care.packs_incomplete > 0 && !unread) {
    report.overall = answer::unknown;
    report.sentence = fmt::format("{} on the drives {} too few shards to be read: a put that was cut off left {}, or the rest is on other "
                                  "drives. If there are any, adopt them.",
                                  care.packs_incomplete == 1 ? "A pack" : fmt::format("{} packs", care.packs_incomplete),
                                  care.packs_incomplete == 1 ? "has" : "have", care.packs_incomplete == 1 ? "it" : "them");
  } else if (report.packs_degraded > 0) {
    report.overall = answer::degraded;
    report.sentence =
        fmt::format("All data can be read, but {} of {} packs have less redundancy than they should.", report.packs_degraded, report.packs);
  } else if (unread) {
    report.overall = answer::unknown;
    report.sentence = "Nothing can be read: there are shards of this vault on the drives, but too few of any pack. If it has other "
                      "drives, adopt them.";
  } else {
    report.overall = answer::safe;
    report.sentence = report.packs == 0   ? "Nothing is stored yet."
                      : report.packs == 1 ? "Its one pack has its full redundancy."
                                          : fmt::format("All {} packs have their full redundancy.", report.packs);
    if (report.packs_weaker > 0 && report.packs == 1)
      report.sentence += " It survives the loss of fewer drives than new data will.";
    else if (report.packs_weaker > 0)
      report.sentence += fmt::format(" {} of them {} the loss of fewer drives than new data will.", report.packs_weaker,
                                     report.packs_weaker == 1 ? "survives" : "survive");
    if (faulty > 0)
      report.sentence += faulty == 1 ? std::string{" One drive is not in service."} : fmt::format(" {} drives are not in service.", faulty);
    if (closed > 0)
      report.sentence += closed == 1 ? std::string{" One drive takes no writes."} : fmt::format(" {} drives take no writes.", closed);
  }
  return report;
}

result<verify_summary> local_vault::verify(const verify_request& what, const job_options& job) {
  auto& runtime = *runtime_;
  if (!what.after)
    runtime.core->ask_peers(runtime);
  auto outcome = runtime.wait_for<verify_summary>(job, [&](auto running, auto done) {
    storage::start_verify(runtime.context, {what, running, std::move(done)});
  });
  if (outcome && what.paths.empty()) {
    auto care = runtime.core->home.care(runtime.name);
    outcome->packs_unread = care.packs_unread + care.packs_incomplete;
  }
  if (outcome && what.paths.empty() && !outcome->next_after) {
    auto care = runtime.core->home.care(runtime.name);
    auto now = runtime.core->env.clock->wall().time_since_epoch().count();
    // What is lost with a pack that is known, the pack tells.
    care.files_lost = outcome->packs_lost == 0 ? outcome->files_lost.size() : 0;
    if (what.deep)
      care.deep_verify_ns = now;
    // Who reads every block sees what is missing; in parts, that was spread over weeks.
    if (!what.deep || !what.after)
      care.quick_verify_ns = now;
    // That a full or read-only home takes no note of it makes the look no worse.
    if (auto saved = runtime.core->home.set_care(runtime.name, care); !saved && !disk_refuses(saved.error().code()))
      return fail(saved.error());
  }
  // Nobody waits for it then.
  if (outcome && what.background && !what.dry_run)
    runtime.keep_checkpoint(job.cancel);
  return outcome;
}

namespace {

/// What lies on drives and is not known may need what nothing else does.
result<void> check_all_read(const care_times& care, const std::string& vault) {
  if (auto packs = care.packs_unread + care.packs_incomplete; packs > 0)
    return fail(errc::conflict,
                fmt::format("clean up while {} on the drives could not be read, and what {} is not known",
                            packs == 1 ? "a pack" : fmt::format("{} packs", packs), packs == 1 ? "it needs" : "they need"),
                vault);
  if (care.drives_unseen > 0)
    return fail(errc::conflict,
                fmt::format("clean up by a catalog that was made while {} away",
                            care.drives_unseen == 1 ? "a drive was" : fmt::format("{} drives were", care.drives_unseen)),
                vault);
  return {};
}

} // namespace

result<cleanup_summary> local_vault::cleanup(const cleanup_request& what, const job_options& job) {
  auto& runtime = *runtime_;
  // One that is behind is told so: it is made again.
  if (!what.give_up_unread && !runtime.context->names->is_behind())
    if (auto all = check_all_read(runtime.core->home.care(runtime.name), runtime.name); !all)
      return fail(all.error());
  auto how = storage::choose_policy(*runtime.core->drives, what.policy);
  if (!how)
    return fail(how.error());
  storage::copy_protection copies{*how, storage::drives_for_policy(*runtime.core->drives), !what.policy.empty()};
  storage::retention rules;
  if (what.trash_age)
    rules.trash_ns = std::chrono::nanoseconds{*what.trash_age}.count();
  rules.versions_kept = what.keep_versions;
  auto outcome = runtime.wait_for<cleanup_summary>(job, [&](auto running, auto done) {
    storage::start_cleanup(runtime.context, {rules, copies, what.dry_run, running, std::move(done)});
  });
  if (outcome && !what.dry_run) {
    if (auto care = runtime.core->home.care(runtime.name); std::exchange(care.packs_incomplete, 0) > 0)
      if (auto saved = runtime.core->home.set_care(runtime.name, care); !saved && !disk_refuses(saved.error().code()))
        return fail(saved.error());
    runtime.keep_checkpoint(job.cancel);
    // What can not be removed now is tried again the next time.
    (void) runtime.core->remove_leftovers(std::nullopt, {.cancel = job.cancel});
  }
  return outcome;
}

result<rebalance_summary> local_vault::rebalance(bool dry_run, const job_options& job) {
  auto& runtime = *runtime_;
  return runtime.wait_for<rebalance_summary>(job, [&](auto running, auto done) {
    storage::start_rebalance(runtime.context, {dry_run, running, std::move(done)});
  });
}

// -- keys --------------------------------------------------------------------------------------

result<std::vector<key_lock>> local_vault::key_locks() const {
  std::lock_guard guard{runtime_->key_mutex};
  return describe(runtime_->keys.locks());
}

result<void> local_vault::change_password(const credential& next) {
  if (next.type() != credential::kind::password)
    return fail(errc::invalid_argument, "change the password");
  auto& runtime = *runtime_;
  std::lock_guard guard{runtime.key_mutex};
  std::vector<uint32_t> old;
  for (const auto& lock : runtime.keys.locks())
    if (lock.kind == crypto::lock_kind::password)
      old.push_back(lock.number);
  auto now = runtime.core->env.clock->wall().time_since_epoch().count();
  auto next_keys = runtime.keys;
  auto added = next_keys.add_password(crypto::secret_bytes{next.secret()}, "password", {}, now, *runtime.core->env.random);
  if (!added)
    return fail(added.error());
  for (auto number : old)
    if (auto removed = next_keys.remove_lock(number, now); !removed)
      return removed;
  return runtime.replace_keys(std::move(next_keys));
}

result<std::string> local_vault::add_recovery_phrase() {
  auto& runtime = *runtime_;
  std::lock_guard guard{runtime.key_mutex};
  auto now = runtime.core->env.clock->wall().time_since_epoch().count();
  auto next_keys = runtime.keys;
  auto phrase = next_keys.add_recovery_phrase("recovery phrase", now, *runtime.core->env.random);
  if (!phrase)
    return fail(phrase.error());
  if (auto saved = runtime.replace_keys(std::move(next_keys)); !saved)
    return fail(saved.error());
  return std::string{as_text(phrase->view())};
}

result<void> local_vault::trust_this_device() {
  auto& runtime = *runtime_;
  auto secret = runtime.core->home.device_secret();
  if (!secret)
    return fail(secret.error());
  auto key = crypto::x25519_public(*secret);
  if (!key)
    return fail(key.error());
  std::lock_guard guard{runtime.key_mutex};
  auto now = runtime.core->env.clock->wall().time_since_epoch().count();
  auto next_keys = runtime.keys;
  auto added = next_keys.add_device(*key, "this device", now, *runtime.core->env.random);
  if (!added)
    return fail(added.error());
  return runtime.replace_keys(std::move(next_keys));
}

result<void> local_vault::remove_key_lock(uint32_t number) {
  auto& runtime = *runtime_;
  std::lock_guard guard{runtime.key_mutex};
  auto next_keys = runtime.keys;
  auto now = runtime.core->env.clock->wall().time_since_epoch().count();
  if (auto removed = next_keys.remove_lock(number, now); !removed)
    return removed;
  return runtime.replace_keys(std::move(next_keys));
}

result<bytes> local_vault::key_file() const {
  std::lock_guard guard{runtime_->key_mutex};
  return runtime_->core->home.key_file(runtime_->name);
}

result<uint32_t> local_vault::rotate_epoch() {
  auto& runtime = *runtime_;
  std::lock_guard guard{runtime.key_mutex};
  auto next_keys = runtime.keys;
  auto& ring = next_keys.keys();
  if (auto rotated = crypto::rotate(ring, ring.spaces.front().id, *runtime.core->env.random); !rotated)
    return fail(rotated.error());
  auto epoch = ring.spaces.front().epoch;
  if (auto saved = runtime.replace_keys(std::move(next_keys)); !saved)
    return fail(saved.error());
  return epoch;
}

} // namespace datamesh
